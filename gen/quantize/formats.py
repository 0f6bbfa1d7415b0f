"""The choice of binary points: by the error that each format causes on calibration data."""

from collections.abc import Callable

import numpy as np

from sparnn.gen.network.model import FloatArray, FloatNetwork
from sparnn.gen.network.run import FloatTrace, run_layer, run_network, run_reset_first

from .calibrate import Ranges, TensorRange

__all__ = [
    "Probe",
    "best_format",
    "candidate_formats",
    "format_for_maximum",
    "quantized_values",
    "rounding_sqnr_db",
    "saturated_share",
    "sqnr_db",
]

#: How much larger than the calibration maximum a 16-bit tensor may get without saturation.
HEADROOM = 1.25


def format_for_maximum(max_abs: float, headroom: float = HEADROOM) -> int:
    """The finest format, 0 … 15, in which 16 bits hold ``headroom · max_abs``."""
    if max_abs == 0:
        return 15
    return int(np.clip(np.floor(np.log2(32767 / (headroom * max_abs))), 0, 15))


def quantized_values(values: FloatArray, f: int, bits: int) -> FloatArray:
    """The nearest numbers that ``bits`` bits hold in format ``f``."""
    limit = 2.0 ** (bits - 1)
    scaled = np.rint(np.ldexp(values, f))
    return np.ldexp(np.clip(scaled, -limit, limit - 1), -f)


def best_format(tensor: TensorRange, bits: int, weights: FloatArray | None = None) -> int:
    """The format, −16 … 15, with the smallest squared error of rounding and saturation.

    Parameters
    ----------
    weights : [features], how much an error in each feature counts (the squared length of the weight
        columns that read it); None: all the same.
    """
    candidates = candidate_formats(tensor.max_abs, bits)
    values = tensor.sample.astype(np.float64)
    if weights is None or not weights.any():
        weights = np.ones(values.shape[1])
    errors = [
        float((((quantized_values(values, f, bits) - values) ** 2) @ weights).sum())
        for f in candidates
    ]
    return candidates[int(np.argmin(errors))]


def candidate_formats(max_abs: float, bits: int) -> list[int]:
    """From the finest format without saturation to eight finer ones, within −16 … 15.

    The first comes first, so that equal errors choose the one with the larger range.
    """
    if max_abs == 0:
        return [15]
    coarse = int(np.floor(np.log2((2.0 ** (bits - 1) - 1) / max_abs)))
    return [int(f) for f in np.unique(np.clip(range(coarse, coarse + 9), -16, 15))]


def saturated_share(tensor: TensorRange, f: int, bits: int) -> float:
    """The share of the sample that saturates, 0 … 1."""
    limit = 2.0 ** (bits - 1)
    scaled = np.rint(np.ldexp(tensor.sample.astype(np.float64), f))
    return float(np.mean((scaled < -limit) | (scaled > limit - 1)))


def rounding_sqnr_db(tensor: TensorRange, f: int, bits: int) -> float:
    """Signal to quantization noise of the sample in decibels; infinite where nothing is lost."""
    values = tensor.sample.astype(np.float64)
    return sqnr_db(values, quantized_values(values, f, bits))


def sqnr_db(reference: FloatArray, values: FloatArray) -> float:
    """10 log10(Σ reference² / Σ (values − reference)²); infinite where they are equal."""
    noise = float(((values - reference) ** 2).sum())
    signal = float((reference**2).sum())
    if noise == 0:
        return float("inf")
    return 10 * float(np.log10(signal / noise)) if signal > 0 else float("-inf")


class Probe:
    """Runs single layers with one tensor rounded, and measures the error at the layer's output.

    Rounding of a layer's input or of the output that it feeds back spreads through gates and
    recurrence, so its own error says little. The rest of the layer stays in float64.
    """

    def __init__(self, network: FloatNetwork, ranges: Ranges):
        self.network = network
        self.groups: list[tuple[dict[tuple[str, int], FloatArray], list[FloatTrace]]] = []
        by_length: dict[int, list[int]] = {}
        for i, sequence in enumerate(ranges.probe):
            by_length.setdefault(len(sequence.x), []).append(i)
        for group in by_length.values():
            chosen = [ranges.probe[i] for i in group]
            x = np.stack([s.x for s in chosen])
            initial = {k: np.stack([s.initial[k] for s in chosen]) for k in chosen[0].initial}
            self.groups.append((initial, run_network(network, x, initial)))

    def input_db(self, f: int, bits: int) -> float:
        """Output of the first layer when the network's input is rounded."""
        return self._db(0, lambda x: quantized_values(x, f, bits), None)

    def output_db(self, index: int, f: int, bits: int) -> float:
        """Output of a layer when that output, fed back where the layer is recurrent, is rounded."""
        return self._db(index, None, lambda h: quantized_values(h, f, bits))

    def _db(
        self,
        index: int,
        round_x: Callable[[FloatArray], FloatArray] | None,
        round_h: Callable[[FloatArray], FloatArray] | None,
    ) -> float:
        # A GRU that resets first is two layers; what either gives is judged by what both give.
        stage = next(stage for stage in self.network.stages if index in stage)
        pair = [self.network.layers[one] for one in stage]
        layer = self.network.layers[index]
        exact, rounded = [], []
        for initial, traces in self.groups:
            x = traces[index].x
            states = (initial.get((role, index)) for role in ("initial_h", "initial_c"))
            with np.errstate(over="ignore", invalid="ignore"):
                given = round_x(x) if round_x else x
                if pair[-1].join == "reset":
                    index = stage[-1]
                    h0 = initial.get(("initial_h", stage[0]))
                    run = run_reset_first(pair[0], pair[1], given, h0, round_h=round_h)[1]
                else:
                    run = run_layer(layer, given, *states, round_h=round_h)
            exact.append(traces[index].h.reshape(-1))
            rounded.append(run.h.reshape(-1))
        db = sqnr_db(np.concatenate(exact), np.concatenate(rounded))
        return db if np.isfinite(db) or db > 0 else float("-inf")
