"""The float network becomes integers: the choice of all formats (docs/numerics.md)."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatLayer, FloatNetwork
from sparnn.sim.network.network import STRAIGHT, IntegerNetwork

from .calibrate import Ranges, TensorRange
from .calibration import LEAST_SQUARES, Calibration
from .formats import Probe, best_format, format_for_maximum, quantized_values, saturated_share
from .integers import Formats, integer_layer
from .reports import TensorReport, proposed_width, weights_report, wide_report

__all__ = ["Quantized", "in_formats_of", "quantize"]


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
        given: Formats | None = None
        if len(stage) > 1:  # what is joined has one format: the coarsest that one of them needs
            each = [_formats(choice, i, f_x, []) for i in stage]
            both = network.layers[stage[-1]].join != "reset"  # else the second shares a state
            pre = min(one.pre for one in each)
            state = min(one.state for one in each) if both else each[0].state
            if any(network.layers[i].candidate in STRAIGHT for i in stage):
                state = min(state, pre)
            finest = (_finest_output(network.layers[i], pre, state) for i in stage)
            out = min(*(one.out for one in each), *finest)
            given = replace(each[0], out=out, pre=pre, state=state)
        for index in stage:
            layer = network.layers[index]
            formats = _formats(choice, index, f_x, reports, given)
            joined = ranges.layers[index].joined
            shift = 0 if joined is None else _sum_shift(joined, formats.out, activation_bits)
            layers.append(integer_layer(layer, formats, weight_bits, shift, split_scales))
            reports.append(weights_report(layer, weight_bits, split_scales))
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
        formats = Formats(like.f_x, like.f_pre, like.f_state, like.f_out, like.out_bits)
        made = integer_layer(layer, formats, integers.weight_bits, like.sum_shift, like.split)
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
    proposal = proposed_width("x", db, bits, lambda width: measured(width)[1])
    share = saturated_share(tensor, f, bits)
    reports.append(TensorReport(layer.name, "x", bits, f, tensor.max_abs, share, db, proposal))
    return f


def _formats(
    choice: _Choice,
    index: int,
    f_x: int,
    reports: list[TensorReport],
    given: Formats | None = None,
) -> Formats:
    """``given``: formats of output, state and pre-activations that are fixed already."""
    network, bits = choice.network, choice.bits
    layer, measured = network.layers[index], choice.ranges.layers[index]
    f_pre = format_for_maximum(measured.pre.max_abs) if given is None else given.pre
    reports.append(wide_report(layer, "pre", f_pre, measured.pre))
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
        reports.append(wide_report(layer, "state", f_state, measured.state))
    if layer.kind == "gru_candidate" and given is not None:
        f_state = given.state
    following = network.layers[index + 1] if index + 1 < len(network.layers) else None
    if layer.kind == "linear" and following is None:
        return Formats(f_x, f_pre, f_state, f_pre, 16)

    def output(width: int) -> tuple[int, float]:
        """The best format of this width for the layer's output, and its effect in decibels."""
        least_squares = choice.calibration.name == "mse"
        if layer.w_h is None and following is not None and least_squares:
            columns = (following.w_x**2).sum(axis=(0, 1))
            f = best_format(measured.h, width, columns)
            return f, next(choice.probe.output_db(index, [f], width))
        formats = choice.calibration.formats(measured.h, width)
        finest = _finest_output(layer, f_pre, f_state)
        formats = sorted({min(f, finest) for f in formats})
        if given is not None:
            formats = [given.out]
        return _finest(formats, choice.probe.output_db(index, formats, width))

    f_out, db = output(bits)
    proposal = proposed_width("h", db, bits, lambda width: output(width)[1])
    share = saturated_share(measured.h, f_out, bits)
    reports.append(
        TensorReport(layer.name, "h", bits, f_out, measured.h.max_abs, share, db, proposal)
    )
    return Formats(f_x, f_pre, f_state, f_out, bits)


def _finest_output(layer: FloatLayer, f_pre: int, f_state: int) -> int:
    """The finest format of a layer's output: where a gate is not in Q15, that of its product with
    the cell."""
    if layer.gate not in STRAIGHT:
        return 15  # the finest of all
    return f_pre + (f_state if layer.cell in STRAIGHT else 15)


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


def _sum_shift(total: TensorRange, f_out: int, bits: int) -> int:
    """0 or 1: whether a sum loses less by saturation or by its last bit."""
    values = total.sample.astype(np.float64)
    errors = [
        float(((quantized_values(values, f, bits) - values) ** 2).sum()) for f in (f_out, f_out - 1)
    ]
    return int(errors[1] < errors[0] and f_out > -16)
