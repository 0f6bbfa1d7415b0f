"""The float network becomes integers: formats, weights, multipliers, biases (docs/numerics.md)."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatLayer, FloatNetwork
from sparnn.gen.network.run import machine_biases
from sparnn.sim.aliases import FloatArray
from sparnn.sim.network.network import (
    NO_CLIP,
    STRAIGHT,
    Int32Array,
    IntegerLayer,
    IntegerNetwork,
)

from .calibrate import Ranges, TensorRange
from .calibration import LEAST_SQUARES, Calibration
from .formats import (
    Probe,
    best_format,
    format_for_maximum,
    quantized_values,
    rounding_sqnr_db,
    saturated_share,
    sqnr_db,
)
from .weight_rows import quantize_rows

__all__ = [
    "Quantized",
    "TensorReport",
    "in_formats_of",
    "proposals",
    "quantize",
    "requantizer",
    "saturation_report",
]

MAX_SHIFT = 47
MAX_MULT = 32767
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


@dataclass(frozen=True, eq=False)
class Quantized:
    """What ``quantize`` makes.

    Members
    -------
    network : the integers.
    io : the float network's io with ``f`` in every input and output.
    tensors : one report per tensor.
    """

    network: IntegerNetwork
    io: dict[str, Any]
    tensors: tuple[TensorReport, ...]


@dataclass(frozen=True, eq=False)
class _Choice:
    """What formats are chosen from, and for how many bits."""

    network: FloatNetwork
    ranges: Ranges
    probe: Probe
    bits: int
    calibration: Calibration


@dataclass(frozen=True)
class _Formats:
    x: int
    pre: int
    state: int
    out: int
    out_bits: int


def quantize(
    network: FloatNetwork,
    ranges: Ranges,
    weight_bits: int = 8,
    activation_bits: int = 8,
    *,
    split_scales: bool = False,
    calibration: Calibration = LEAST_SQUARES,
) -> Quantized:
    """Choose formats and turn a float network into an integer one.

    Parameters
    ----------
    ranges : what ``calibrate`` measured on the same network (after pruning).
    weight_bits : 4 … 16; activation_bits : 8 … 16.
    calibration : how the formats of activations are chosen.
    split_scales : see ``split`` of :func:`~sparnn.gen.quantize.weight_rows.quantize_rows`.

    Raises
    ------
    SparnnError : a width out of range, or values that no format holds.
    """
    for name, bits, low in (("weight", weight_bits, 4), ("activation", activation_bits, 8)):
        if not low <= bits <= 16:
            raise SparnnError(f"{name} bits = {bits} is outside {low} to 16")
    reports: list[TensorReport] = []
    choice = _Choice(network, ranges, Probe(network, ranges), activation_bits, calibration)
    f_x = _input_format(choice, reports)
    layers = []
    for stage in network.stages:
        given: _Formats | None = None
        if len(stage) > 1:  # what is joined has one format: the coarsest that one of them needs
            each = [_formats(choice, i, f_x, []) for i in stage]
            both = network.layers[stage[-1]].join != "reset"  # else the second shares a state
            pre = min(one.pre for one in each)
            state = min(one.state for one in each) if both else each[0].state
            if any(network.layers[i].candidate in STRAIGHT for i in stage):
                state = min(state, pre)
            given = replace(each[0], out=min(one.out for one in each), pre=pre, state=state)
        for index in stage:
            layer = network.layers[index]
            formats = _formats(choice, index, f_x, reports, given)
            joined = ranges.layers[index].joined
            shift = 0 if joined is None else _sum_shift(joined, formats.out, activation_bits)
            layers.append(_layer(layer, formats, weight_bits, shift, split_scales))
            reports.append(_weights_report(layer, weight_bits, split_scales))
        f_x = formats.out - shift
    integer = IntegerNetwork(tuple(layers), weight_bits, activation_bits)
    return Quantized(integer, _io(network, integer), tuple(reports))


def in_formats_of(network: FloatNetwork, integers: IntegerNetwork) -> IntegerNetwork:
    """The integers of other real numbers in the formats, widths and thresholds of a network that
    has the same layers.

    Raises
    ------
    SparnnError : values that these formats do not hold.
    """
    layers = []
    for layer, like in zip(network.layers, integers.layers, strict=True):
        formats = _Formats(like.f_x, like.f_pre, like.f_state, like.f_out, like.out_bits)
        made = _layer(layer, formats, integers.weight_bits, like.sum_shift, like.split)
        layers.append(replace(made, delta_x=like.delta_x, delta_h=like.delta_h))
    return replace(integers, layers=tuple(layers))


def _io(network: FloatNetwork, integer: IntegerNetwork) -> dict[str, Any]:
    io: dict[str, Any] = copy.deepcopy(dict(network.io))
    for entry in io.get("inputs", []):
        layer = integer.layers[entry["layer"]]
        entry["f"] = {
            "lengths": 0,
            "x": layer.f_x,
            "initial_h": layer.f_out,
            "initial_c": layer.f_state,
        }[entry["role"]]
    for entry in io.get("outputs", []):
        layer = integer.layers[entry["layer"]]
        what = entry["what"]
        entry["f"] = layer.f_state if what == "state_c" else layer.f_out
        if what in ("sequence", "step"):
            entry["f"] -= layer.sum_shift
    return io


# Formats -------------------------------------------------------------------------------------


def _input_format(choice: _Choice, reports: list[TensorReport]) -> int:
    """The input's format: the one with the smallest error at the output of the first layer."""
    layer, tensor, bits = choice.network.layers[0], choice.ranges.x, choice.bits
    limit = 2.0 ** (bits - 1) - 1
    if tensor.max_abs > np.ldexp(limit, 16):
        raise SparnnError(
            f"the calibration inputs reach {tensor.max_abs:g}, but {bits} bits hold at most "
            f"{np.ldexp(limit, 16):g} in the coarsest format; scale the input down, and the first "
            "layer's weights up"
        )
    if 0 < tensor.max_abs < 2.0**-11:
        raise SparnnError(
            f"the calibration inputs reach only {tensor.max_abs:g}, less than 16 steps of the "
            "finest format; scale the input up, and the first layer's weights down"
        )

    def measured(width: int) -> tuple[int, float]:
        """The best format of this width, and the first layer's output with it in decibels."""
        formats = choice.calibration.formats(tensor, width)
        return _finest(formats, choice.probe.input_db(formats, width))

    f, db = measured(bits)
    proposal = _proposal("x", db, bits, lambda width: measured(width)[1])
    share = saturated_share(tensor, f, bits)
    reports.append(TensorReport(layer.name, "x", bits, f, tensor.max_abs, share, db, proposal))
    return f


def _formats(
    choice: _Choice,
    index: int,
    f_x: int,
    reports: list[TensorReport],
    given: _Formats | None = None,
) -> _Formats:
    """``given``: formats of output, state and pre-activations that are fixed already."""
    network, bits = choice.network, choice.bits
    layer, measured = network.layers[index], choice.ranges.layers[index]
    f_pre = format_for_maximum(measured.pre.max_abs) if given is None else given.pre
    _report_wide(layer, "pre", f_pre, measured.pre, reports)
    f_state = 0
    if measured.state is not None:
        # A GRU's state is a mean of values within ±1: it never exceeds its start or 1.
        curved = network.layers[index + (layer.kind == "gru_gates")].candidate not in STRAIGHT
        mean = layer.kind in ("gru", "gru_gates") and curved
        bounded = mean and measured.state.max_abs <= 1
        f_state = 15 if bounded else format_for_maximum(measured.state.max_abs)
        if layer.candidate in STRAIGHT:  # which is then no coarser than the state
            f_state = min(f_state, f_pre)
        f_state = f_state if given is None else given.state
        _report_wide(layer, "state", f_state, measured.state, reports)
    if layer.kind == "gru_candidate" and given is not None:
        f_state = given.state
    following = network.layers[index + 1] if index + 1 < len(network.layers) else None
    if layer.kind == "linear" and following is None:
        return _Formats(f_x, f_pre, f_state, f_pre, 16)

    def output(width: int) -> tuple[int, float]:
        """The best format of this width for the layer's output, and its effect in decibels."""
        least_squares = choice.calibration.name == "mse"
        if layer.w_h is None and following is not None and least_squares:
            columns = (following.w_x**2).sum(axis=(0, 1))
            f = best_format(measured.h, width, columns)
            return f, next(choice.probe.output_db(index, [f], width))
        formats = choice.calibration.formats(measured.h, width)
        if given is not None:
            formats = [given.out]
        return _finest(formats, choice.probe.output_db(index, formats, width))

    f_out, db = output(bits)
    proposal = _proposal("h", db, bits, lambda width: output(width)[1])
    share = saturated_share(measured.h, f_out, bits)
    reports.append(
        TensorReport(layer.name, "h", bits, f_out, measured.h.max_abs, share, db, proposal)
    )
    return _Formats(f_x, f_pre, f_state, f_out, bits)


def _finest(formats: list[int], effects: Iterator[float]) -> tuple[int, float]:
    """The format with the best effect and the effect, coarse formats first.

    From the second format in a row that is worse than the best, saturation only grows.
    """
    best = (formats[0], next(effects))
    for f in formats[1:]:
        db = next(effects)
        if db > best[1]:
            best = (f, db)
        elif f >= best[0] + 2:
            break
    return best


def _report_wide(
    layer: FloatLayer, name: str, f: int, tensor: TensorRange, reports: list[TensorReport]
) -> None:
    share, db = saturated_share(tensor, f, 16), rounding_sqnr_db(tensor, f, 16)
    reports.append(TensorReport(layer.name, name, 16, f, tensor.max_abs, share, db, None))


def _proposal(tensor: str, db: float, bits: int, at: Any) -> int | None:
    """The smallest wider width with enough signal to noise; the widest where none has it."""
    if db >= ENOUGH_DB[tensor] or db == float("-inf"):
        return None
    wider = [width for width in WIDTHS[tensor] if width > bits]
    return next((width for width in wider if at(width) >= ENOUGH_DB[tensor]), 16) if wider else None


# Integers ------------------------------------------------------------------------------------


def requantizer(ratio: FloatArray, where: str) -> tuple[Int32Array, Int32Array]:
    """``mult`` 0 … 32767 and ``shift`` 0 … 47 with ``mult · 2^-shift ≈ ratio``.

    ``mult`` is within 16384 … 32767 unless the ratio is 0 or so small that the shift is at its end.

    Raises
    ------
    SparnnError : a ratio of more than 32767.
    """
    if (ratio > MAX_MULT).any():
        raise SparnnError(
            f"{where}: the weights have to be scaled by {float(ratio.max()):g}, but the limit is "
            f"{MAX_MULT}; scale the model's input or this layer's weights down"
        )
    safe = np.where(ratio > 0, ratio, 1.0)
    shift = np.clip(15 - np.frexp(safe)[1], 0, MAX_SHIFT)
    mult = np.rint(np.ldexp(safe, shift))
    carry = (mult > MAX_MULT) & (shift > 0)
    shift = np.where(carry, shift - 1, shift)
    mult = np.minimum(np.rint(np.ldexp(safe, shift)), MAX_MULT)
    zero = (ratio == 0) | (mult == 0)
    return (
        np.where(zero, 0, mult).astype(np.int32),
        np.where(zero, 0, shift).astype(np.int32),
    )


def _sum_shift(total: TensorRange, f_out: int, bits: int) -> int:
    """0 or 1: whether a sum loses less by saturation or by its last bit."""
    values = total.sample.astype(np.float64)
    errors = [
        float(((quantized_values(values, f, bits) - values) ** 2).sum()) for f in (f_out, f_out - 1)
    ]
    return int(errors[1] < errors[0] and f_out > -16)


def _layer(
    layer: FloatLayer, formats: _Formats, weight_bits: int, sum_shift: int, split: bool
) -> IntegerLayer:
    where = f"layer {layer.name!r}"
    bias_x, bias_h = machine_biases(layer)
    rows_x = quantize_rows(layer.w_x, weight_bits, split=split)
    mult_x, shift_x = requantizer(
        np.ldexp(rows_x.scale, formats.pre - formats.x), f"{where}, input half"
    )
    hidden: dict[str, Any] = dict.fromkeys(("w_h", "mult_h", "shift_h", "bias_h"))
    if layer.w_h is not None:
        rows_h = quantize_rows(layer.w_h, weight_bits, split=split)
        ratio = np.ldexp(rows_h.scale, formats.pre - formats.out)
        mult_h, shift_h = requantizer(ratio, f"{where}, hidden half")
        bias = _bias(bias_h, formats.pre, where)
        hidden = {
            "w_h": rows_h.integers,
            "factors_h": rows_h.factors,
            "mult_h": mult_h,
            "shift_h": shift_h,
            "bias_h": bias,
        }
    return IntegerLayer(
        name=layer.name,
        kind=layer.kind,
        activation=layer.activation,
        w_x=rows_x.integers,
        factors_x=rows_x.factors,
        mult_x=mult_x,
        shift_x=shift_x,
        bias_x=_bias(bias_x, formats.pre, where),
        f_x=formats.x,
        f_pre=formats.pre,
        f_state=formats.state,
        f_out=formats.out,
        out_bits=formats.out_bits,
        last_only=layer.last_only,
        last_step=layer.last_step,
        reverse=layer.reverse,
        join=layer.join,
        sum_shift=sum_shift,
        initial_h=_state(layer.initial_h, formats.out, formats.out_bits),
        initial_c=_state(layer.initial_c, formats.state, 16),
        candidate=layer.candidate,
        cell=layer.cell,
        clip=NO_CLIP if layer.clip is None else _clip(layer.clip),
        **_peepholes(layer, formats),
        **hidden,
    )


def _peepholes(layer: FloatLayer, formats: _Formats) -> dict[str, Any]:
    """16-bit weights of the state, in the finest common scale that a shift of 0 … 31 can undo."""
    if layer.w_c is None:
        return {}
    ratio = np.ldexp(layer.w_c, formats.pre - formats.state)
    largest = float(np.abs(ratio).max())
    if largest > MAX_MULT:
        raise SparnnError(
            f"layer {layer.name!r}: the peepholes have to be scaled by {largest:g}, but the limit "
            f"is {MAX_MULT}; scale the layer's peepholes down"
        )
    shift = int(np.clip(np.floor(np.log2(MAX_MULT / max(largest, 2.0**-32))), 0, 31))
    return {"w_c": np.rint(np.ldexp(ratio, shift)).astype(np.int32), "cell_shift": shift}


def _clip(clip: float) -> int:
    """In 2^-11, at least one step."""
    return int(np.clip(np.rint(np.ldexp(clip, 11)), 1, NO_CLIP))


def _bias(bias: FloatArray, f_pre: int, where: str) -> Int32Array:
    integers = np.rint(np.ldexp(bias, f_pre))
    if np.abs(integers).max() > 32767:
        raise SparnnError(
            f"{where}: a bias of {float(np.abs(bias).max()):g} does not fit 16 bits in format "
            f"{f_pre}; the limit is 32767, so scale the layer down"
        )
    return integers.astype(np.int32)


def _state(values: FloatArray | None, f: int, bits: int) -> Int32Array | None:
    if values is None:
        return None
    return np.rint(np.ldexp(quantized_values(values, f, bits), f)).astype(np.int32)


# Reports -------------------------------------------------------------------------------------


def _weights_report(layer: FloatLayer, bits: int, split: bool) -> TensorReport:
    matrices = [m for m in (layer.w_x, layer.w_h) if m is not None]
    exact = np.concatenate([m.reshape(-1) for m in matrices])

    def at(width: int) -> float:
        rows = [quantize_rows(m, width, split=split) for m in matrices]
        return sqnr_db(exact, np.concatenate([one.values.reshape(-1) for one in rows]))

    db = at(bits)
    largest = float(np.abs(exact).max())
    proposal = _proposal("weights", db, bits, at)
    return TensorReport(layer.name, "weights", bits, None, largest, 0.0, db, proposal)


def saturation_report(quantized: Quantized) -> list[str]:
    """Lines for the user: each tensor that saturates on the calibration inputs, and how often."""
    return [
        f"{t.layer}: {t.tensor} saturates in {100 * t.saturated:.2g} % of the calibration values "
        f"(largest {t.max_abs:.4g}, {t.bits} bits, format {t.f})"
        for t in quantized.tensors
        if t.saturated > 0
    ]


def proposals(quantized: Quantized) -> list[str]:
    """Lines for the user: tensors that lose too much at their width, and the width to use."""
    lines = []
    for t in quantized.tensors:
        if t.proposal is not None:
            option = "--weight-bits" if t.tensor == "weights" else "--activation-bits"
            lines.append(
                f"{t.layer}: {t.tensor} has {t.sqnr_db:.1f} dB of signal to quantization noise at "
                f"{t.bits} bits; {option} {t.proposal} is better"
            )
    return lines
