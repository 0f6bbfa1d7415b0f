"""Thresholds of differences: what the user asks for, and what is chosen (docs/numerics.md)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.run import quantize_sequence
from sparnn.sim.network.network import MOST_DELTA_BITS, IntegerNetwork

from .activity import Activity
from .features import Fitted
from .formats import sqnr_db

__all__ = ["DEFAULT_DELTA_DB", "DeltaChoice", "delta_lines", "parse_delta", "with_thresholds"]

#: Signal to the noise that thresholds add, where ``auto`` is asked for and nothing else.
DEFAULT_DELTA_DB = 30.0
#: Halvings of the common threshold, and of each tensor's own.
_ROUNDS = 8


@dataclass(frozen=True)
class DeltaChoice:
    """What is asked for. real: of all tensors, in real numbers; None: chosen, so that the outputs
    keep ``sqnr_db``."""

    real: float | None
    sqnr_db: float = DEFAULT_DELTA_DB


def parse_delta(delta: str | None, sqnr_db: float | None) -> DeltaChoice | None:
    """``--delta`` and ``--delta-sqnr``; None: no deltas.

    Raises
    ------
    SparnnError: neither ``auto`` nor a number from 0 on, or decibels without ``auto``.
    """
    if sqnr_db is not None and delta != "auto":
        raise SparnnError(
            f"--delta-sqnr {sqnr_db:g} is for thresholds that are chosen; add --delta auto, or "
            "leave it out"
        )
    if delta is None:
        return None
    if delta == "auto":
        return DeltaChoice(None, DEFAULT_DELTA_DB if sqnr_db is None else sqnr_db)
    try:
        real = float(delta)
    except ValueError:
        real = math.nan
    if not 0 <= real < math.inf:
        raise SparnnError(
            f"--delta {delta} is neither auto nor a threshold: give a number from 0 on, in the "
            "units of the activations"
        )
    return DeltaChoice(real)


def with_thresholds(fitted: Fitted, choice: DeltaChoice, single: Sequence[bool]) -> Fitted:
    """The network with thresholds in all layers, 0 where a layer takes a ``single`` step.

    Raises
    ------
    SparnnError: a threshold is outside a tensor's format, or activations are too wide.
    """
    network = fitted.quantized.network
    if network.activation_bits > MOST_DELTA_BITS:
        raise SparnnError(
            f"--delta: differences have a bit more than activations, of which the network has "
            f"{network.activation_bits}; name at most --activation-bits {MOST_DELTA_BITS}, or "
            "leave --delta out"
        )
    if choice.real is None:
        network = _chosen(fitted, choice.sqnr_db, single)
    else:
        network = _with(network, dict.fromkeys(_tensors(network), choice.real), single, strict=True)
    return replace(fitted, quantized=replace(fitted.quantized, network=network))


#: A stage of layers that read the same input, and "x" or "h": thresholds are shared in it, so that
#: the directions of a layer can run together.
_Tensor = tuple[int, str]


def _tensors(network: IntegerNetwork) -> list[_Tensor]:
    halves = ["xh" if network.layers[stage[0]].has_hidden else "x" for stage in network.stages]
    return [(number, half) for number, which in enumerate(halves) for half in which]


def _with(
    network: IntegerNetwork,
    real: dict[_Tensor, float],
    single: Sequence[bool],
    *,
    strict: bool = False,
) -> IntegerNetwork:
    """The network with thresholds given in real numbers: a difference in integers is above one if
    it is above the next integer below. ``strict``: refuse what is beyond the format, else take the
    largest."""
    layers = list(network.layers)
    most = (1 << network.activation_bits - 1) - 1
    for number, stage in enumerate(network.stages):
        for index in stage:
            layer = layers[index]
            found: dict[str, Any] = {}
            for half, f in (("x", layer.f_x), ("h", layer.f_out)):
                value = real.get((number, half))
                if value is None:
                    continue
                integer = 0 if single[index] else math.floor(math.ldexp(value, f))
                if strict and integer > most:
                    raise SparnnError(
                        f"--delta {value:g}: layer {layer.name!r} holds {half} up to "
                        f"{math.ldexp(most, -f):g}; give at most that, or --delta auto, which "
                        "chooses for each tensor"
                    )
                found[f"delta_{half}"] = min(integer, most)
            layers[index] = replace(layer, **found)
    return replace(network, layers=tuple(layers))


def _chosen(fitted: Fitted, sqnr: float, single: Sequence[bool]) -> IntegerNetwork:
    """The largest thresholds that keep the outputs: first in the same ratio to what each tensor's
    elements change by, then of each tensor alone, in turn, as far as it goes."""
    plain = fitted.quantized.network
    fed = [quantize_sequence(plain, one) for one in fitted.compared()]
    exact = [run_network(plain, one.x, one.initial).layers[-1] for one in fed]
    reference = np.concatenate([one.sequence for one in exact]).astype(np.float64)
    scale = {tensor: 2.0 ** -_format(plain, tensor) for tensor in _tensors(plain)}

    def kept(real: dict[_Tensor, float]) -> bool:
        network = _with(plain, real, single)
        ours = [run_network(network, one.x, one.initial).layers[-1].sequence for one in fed]
        return sqnr_db(reference, np.concatenate(ours).astype(np.float64)) >= sqnr

    most = float(1 << plain.activation_bits - 1)
    best, low, high = dict.fromkeys(scale, 0.0), 0.0, most
    for _ in range(_ROUNDS):
        middle = math.sqrt(max(low, 0.5) * high)
        tried = {tensor: middle * step for tensor, step in scale.items()}
        if kept(tried):
            best, low = tried, middle
        else:
            high = middle
    for tensor, step in scale.items():
        low, high = best[tensor] / step, most
        for _ in range(_ROUNDS):
            middle = math.sqrt(max(low, 0.5) * high)
            tried = best | {tensor: middle * step}
            if kept(tried):
                best, low = tried, middle
            else:
                high = middle
    return _with(plain, best, single)


def _format(network: IntegerNetwork, tensor: _Tensor) -> int:
    number, half = tensor
    layer = network.layers[network.stages[number][0]]
    return layer.f_x if half == "x" else layer.f_out


def delta_lines(network: IntegerNetwork, activity: Activity) -> list[str]:
    """For people: of each layer the thresholds, in real numbers, and what share is sent."""
    if activity.sent is None:
        return []
    lines = []
    for layer, sent in zip(network.layers, activity.sent, strict=True):
        parts = []
        for name, threshold, f, elements in (
            ("x", layer.delta_x, layer.f_x, sent[0]),
            ("h", layer.delta_h, layer.f_out, sent[1]),
        ):
            if threshold is None or elements is None:
                continue
            parts.append(
                f"{100 * float(np.mean(elements)):.1f} % of {name} sent, above "
                f"{math.ldexp(threshold, -f):.4g}"
            )
        lines.append(f"{layer.name}: {'; '.join(parts)}")
    return lines
