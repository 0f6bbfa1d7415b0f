"""How the tensors of a network fare in their formats, and what is said to the user of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparnn.gen.network.model import FloatLayer

from .calibrate import TensorRange
from .formats import rounding_sqnr_db, saturated_share, sqnr_db
from .weight_rows import quantize_rows

__all__ = [
    "TensorReport",
    "proposals",
    "proposed_width",
    "saturation_report",
    "weights_report",
    "wide_report",
]

#: A tensor with less than this gets a proposal of more bits.
ENOUGH_DB = {"x": 30.0, "h": 30.0, "weights": 18.0}
WIDTHS = {"x": range(8, 17), "h": range(8, 17), "weights": range(4, 17)}


@dataclass(frozen=True)
class TensorReport:
    """How one tensor fares in its format on the calibration inputs.

    Members
    -------
    layer, tensor : where; ``x``, ``pre``, ``state``, ``h`` or ``weights``.
    bits, f : width and format; ``f`` is None for weights.
    max_abs : the largest magnitude.
    saturated : share of the values that saturate, 0 … 1.
    sqnr_db : signal to quantization noise. For ``x`` and ``h`` it is measured where it counts, at
        the output of the layer (``Probe``); for the others, in the tensor itself.
    proposal : the smallest width with enough of it where ``bits`` are too few, else None.
    """

    layer: str
    tensor: str
    bits: int
    f: int | None
    max_abs: float
    saturated: float
    sqnr_db: float
    proposal: int | None


def wide_report(layer: FloatLayer, name: str, f: int, tensor: TensorRange) -> TensorReport:
    """How a tensor of 16 bits fares in its format."""
    share, db = saturated_share(tensor, f, 16), rounding_sqnr_db(tensor, f, 16)
    return TensorReport(layer.name, name, 16, f, tensor.max_abs, share, db, None)


def proposed_width(tensor: str, db: float, bits: int, at: Any) -> int | None:
    """The smallest wider width with enough signal to noise; the widest where none has it."""
    if db >= ENOUGH_DB[tensor] or db == float("-inf"):
        return None
    wider = [width for width in WIDTHS[tensor] if width > bits]
    return next((width for width in wider if at(width) >= ENOUGH_DB[tensor]), 16) if wider else None


def weights_report(layer: FloatLayer, bits: int, split: bool) -> TensorReport:
    """How a layer's weights fare in so many bits."""
    matrices = [m for m in (layer.w_x, layer.w_h) if m is not None]
    exact = np.concatenate([m.reshape(-1) for m in matrices])

    def at(width: int) -> float:
        rows = [quantize_rows(m, width, split=split) for m in matrices]
        return sqnr_db(exact, np.concatenate([one.values.reshape(-1) for one in rows]))

    db = at(bits)
    largest = float(np.abs(exact).max())
    proposal = proposed_width("weights", db, bits, at)
    return TensorReport(layer.name, "weights", bits, None, largest, 0.0, db, proposal)


def saturation_report(tensors: Sequence[TensorReport]) -> list[str]:
    """Lines for the user: each tensor that saturates on the calibration inputs, and how often."""
    return [
        f"{t.layer}: {t.tensor} saturates in {100 * t.saturated:.2g} % of the calibration values "
        f"(largest {t.max_abs:.4g}, {t.bits} bits, format {t.f})"
        for t in tensors
        if t.saturated > 0
    ]


def proposals(tensors: Sequence[TensorReport]) -> list[str]:
    """Lines for the user: tensors that lose too much at their width, and the width to use."""
    lines = []
    for t in tensors:
        if t.proposal is not None:
            option = "--weight-bits" if t.tensor == "weights" else "--activation-bits"
            lines.append(
                f"{t.layer}: {t.tensor} has {t.sqnr_db:.1f} dB of signal to quantization noise at "
                f"{t.bits} bits; {option} {t.proposal} is better"
            )
    return lines
