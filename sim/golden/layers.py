"""The integer golden model: docs/numerics.md in numpy, independent of the hardware.

Vectorized over units; the only loop is over the steps of a recurrent layer. Everything is int64.
The validated ranges of `IntegerLayer` bound every value: an accumulator by 3 · 2^15 · 2^15 · 2^16 <
2^48, its product with a multiplier by 2^63, and all others by 2^49.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from sparnn.sim.aliases import IntArray
from sparnn.sim.errors import SimulationError
from sparnn.sim.network.layer import DELTAS
from sparnn.sim.network.network import NO_CLIP, STRAIGHT, WITH_STATE, IntegerLayer, IntegerNetwork

from .arithmetic import hard_sigmoid, rne, saturate, sigmoid, tanh, tanh15
from .half import deltas_of, half_of
from .saturation import Clamp
from .trace import TENSORS, LayerTrace, NetworkTrace

__all__ = [
    "rne",
    "run_layer",
    "run_network",
    "saturate",
    "sigmoid",
    "tanh",
    "tanh15",
]

Advance = Callable[[float], None]

_BLOCK = 256  # steps whose input half is computed at once: bounds the memory of long sequences


def run_network(
    network: IntegerNetwork,
    x: npt.NDArray[np.integer],
    initial: Mapping[tuple[str, int], npt.NDArray[np.integer]] | None = None,
    advance: Advance | None = None,
) -> NetworkTrace:
    """Run one sequence through all layers.

    Parameters
    ----------
    network
        The network.
    x
        Integers, [steps, inputs], within the activation bits, format `f_x` of the first layer.
    initial
        Initial states by (role, layer): `initial_h` in `f_out`, `initial_c` in `f_state`, [units].
        Where none is given, the layer's constant one, else zero. Of a layer with thresholds also
        what it holds of `DELTAS`, as a trace has it.
    advance
        Called with 1 after each step of each recurrent layer.

    Raises
    ------
    SimulationError
        `x` or a state has another shape or range, or there is no such state.
    """
    states = dict(initial or {})
    traces: list[LayerTrace] = []
    values = _integers("x", x, (None, network.layers[0].inputs), network.activation_bits)
    finals = values[-1]
    for stage in network.stages:
        layer = network.layers[stage[-1]]
        if layer.join == "reset":
            h0, c0 = (states.pop((role, stage[0]), None) for role in ("initial_h", "initial_c"))
            both = network.layers[stage[0]], layer
            held = [_deltas(one, index, states) for one, index in zip(both, stage, strict=True)]
            traces += _reset_first(*both, values, h0, c0, advance, held)
            values, finals = traces[-1].outputs, traces[-1].h
            continue
        for index in stage:
            layer = network.layers[index]
            x_layer = values
            if layer.last_only:
                x_layer = values[-1:] if layer.last_step else finals[np.newaxis]
            h0, c0 = states.pop(("initial_h", index), None), states.pop(("initial_c", index), None)
            deltas = _deltas(layer, index, states)
            traces.append(run_layer(layer, x_layer, h0, c0, advance, deltas))
        if len(stage) > 1:
            traces[-1] = _join(layer, traces[-2], traces[-1])
        values = traces[-1].sequence
        finals = np.concatenate([traces[index].h for index in stage])
    if states:
        role, index = next(iter(states))
        raise SimulationError(f"layer {index} has no {role}: the network has {len(traces)} layers")
    return NetworkTrace(tuple(traces))


def run_layer(
    layer: IntegerLayer,
    x: npt.NDArray[np.integer],
    h0: npt.NDArray[np.integer] | None = None,
    c0: npt.NDArray[np.integer] | None = None,
    advance: Advance | None = None,
    deltas: Mapping[str, IntArray] | None = None,
) -> LayerTrace:
    """Run one sequence through one layer, in the layer's direction.

    Parameters
    ----------
    layer
        The layer.
    x
        Integers, [steps, inputs], format `f_x`; at least one step.
    h0, c0
        Initial output in `f_out` and initial state in `f_state`, [units]. Of a GRU, `c0` is its
        unrounded hidden state; without it, `h0` in `f_state`.
    advance
        Called with 1 after each step of a recurrent layer.
    deltas
        What it holds of `DELTAS` before the first step; zeros where none is given.

    Raises
    ------
    SimulationError
        `x` or a state has another shape or range, or the layer has no such state.
    """
    x = _integers(f"input of layer {layer.name!r}", x, (None, layer.inputs), 16)
    x = x[::-1] if layer.reverse else x
    h, state = _initial(layer, h0, c0)
    clamp = Clamp(TENSORS)
    half_x = half_of(layer, "x", deltas)
    outputs = np.zeros((len(x), layer.units), np.int64)
    useful = half_x.useful(x)
    if not layer.has_hidden:
        for block in _blocks(len(x)):
            pre = clamp("u", half_x(x[block]), 16)[:, 0]
            outputs[block] = clamp("h", _activated(layer, pre), layer.out_bits)
        held = deltas_of(half_x)
        return LayerTrace(outputs, outputs[-1], None, useful, clamp.found, deltas=held)

    half_h = half_of(layer, "h", deltas)
    cell = _CELLS[layer.kind]
    first = h
    threshold = layer.threshold
    left_out = None if threshold is None else np.zeros(outputs.shape, np.bool_)
    for block in _blocks(len(x)):
        u_block = clamp("u", half_x(x[block]), 16)
        for step, u in enumerate(u_block, block.start):
            v = clamp("v", half_h(h), 16)
            if left_out is not None and threshold is not None:
                left_out[step] = saturate(v + half_x.bias, 16)[0] < -threshold
                u = np.where(left_out[step], half_x.bias, u)
                useful -= half_x.useful_rows(x[step], left_out[step])
            value, state = cell(layer, u, v, state, clamp)
            h = outputs[step] = clamp("h", value, layer.out_bits)
            if advance is not None:
                advance(1)
    useful += half_h.useful(np.vstack([first, outputs[:-1]]))
    order = slice(None, None, -1 if layer.reverse else 1)
    if left_out is not None:
        left_out = left_out[order]
    return LayerTrace(
        outputs[order],
        outputs[-1],
        state,
        useful,
        clamp.found,
        left_out=left_out,
        deltas=deltas_of(half_x, half_h),
    )


def _reset_first(
    gates: IntegerLayer,
    candidate: IntegerLayer,
    x: npt.NDArray[np.integer],
    h0: npt.NDArray[np.integer] | None,
    c0: npt.NDArray[np.integer] | None,
    advance: Advance | None,
    deltas: Sequence[Mapping[str, IntArray]],
) -> tuple[LayerTrace, LayerTrace]:
    """The two layers of a GRU whose reset gate comes before the product, step by step.

    Parameters as of :func:`run_layer`. The first trace has ``r · s`` as output, and the state.
    """
    x = _integers(f"input of layer {gates.name!r}", x, (None, gates.inputs), 16)
    h, s = _initial(gates, h0, c0)
    assert s is not None
    clamps = Clamp(TENSORS), Clamp(TENSORS)
    shape = (len(x), gates.units)
    first_h, reset, outputs = h, np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    halves = [
        (half_of(layer, "x", held), half_of(layer, "h", held))
        for layer, held in zip((gates, candidate), deltas, strict=True)
    ]
    bits, n = gates.out_bits, 15 + gates.f_state - gates.f_out
    for step, x_t in enumerate(x):
        u, v = (
            clamps[0](name, half(value), 16)
            for name, half, value in zip("uv", halves[0], (x_t, h), strict=True)
        )
        r, z = _sigma(gates)(clamps[0]("pre", u + v, 16), gates.f_pre)
        q = reset[step] = clamps[0]("h", rne(r * s, n), bits)
        u, v = (
            clamps[1](name, half(value), 16)
            for name, half, value in zip("uv", halves[1], (x_t, q), strict=True)
        )
        new = _candidate(candidate, clamps[1]("pre", u + v, 16)[0])
        s = _mixed(candidate, z, s, new, clamps[1])
        h = outputs[step] = clamps[1]("h", rne(s * 32768, n), bits)
        if advance is not None:
            advance(2)
    useful = [half_x.useful(x) for half_x, _ in halves]
    useful[0] += halves[0][1].useful(np.vstack([first_h, outputs[:-1]]))
    useful[1] += halves[1][1].useful(reset)
    return (
        LayerTrace(reset, reset[-1], s, useful[0], clamps[0].found, deltas=deltas_of(*halves[0])),
        LayerTrace(
            outputs, outputs[-1], None, useful[1], clamps[1].found, deltas=deltas_of(*halves[1])
        ),
    )


def _join(layer: IntegerLayer, first: LayerTrace, second: LayerTrace) -> LayerTrace:
    """The trace of the second of two joined layers, with what they give together."""
    if layer.join == "concat":
        return replace(second, joined=np.hstack([first.outputs, second.outputs]))
    clamp = Clamp(TENSORS)
    total = clamp("sum", rne(first.outputs + second.outputs, layer.sum_shift), layer.out_bits)
    clamped = {name: second.clamped[name] + clamp.found[name] for name in TENSORS}
    return replace(second, joined=total, clamped=clamped)


def _integers(
    what: str, values: npt.ArrayLike, shape: tuple[int | None, ...], bits: int
) -> IntArray:
    """`values` as int64, when they have this shape (None: any size but 0) and width."""
    array = np.asarray(values)
    sizes = "[" + ", ".join("steps" if size is None else str(size) for size in shape) + "]"
    fits = array.ndim == len(shape) and all(
        actual > 0 if size is None else actual == size
        for actual, size in zip(array.shape, shape, strict=True)
    )
    if array.dtype.kind not in "iu" or not fits:
        raise SimulationError(
            f"{what} is {array.dtype} of the shape {array.shape}: it must be integers {sizes}, "
            "with at least one step"
        )
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if array.min() < low or array.max() > high:
        raise SimulationError(
            f"{what} holds {array.min()} … {array.max()}: {bits} bits hold {low} … {high}"
        )
    return array.astype(np.int64)


def _deltas(
    layer: IntegerLayer, index: int, states: dict[tuple[str, int], npt.NDArray[np.integer]]
) -> dict[str, IntArray]:
    """What a layer holds of `DELTAS`, taken out of the states."""
    found = {}
    for role in DELTAS if layer.sends_differences else ():
        given = states.pop((role, index), None)
        if given is not None:
            what, half = role.split("_")
            weights = layer.w_x if half == "x" or layer.w_h is None else layer.w_h
            gates, units, columns = weights.shape
            size, bits = (columns, 16) if what == "references" else (gates * units, 48)
            found[role] = _integers(f"{role} of layer {layer.name!r}", given, (size,), bits)
    return found


def _initial(
    layer: IntegerLayer,
    h0: npt.NDArray[np.integer] | None,
    c0: npt.NDArray[np.integer] | None,
) -> tuple[IntArray, IntArray | None]:
    """h and, of an LSTM or GRU, c or s before the first step."""
    shape, has_state = (layer.units,), layer.kind in WITH_STATE
    if (h0 is not None and not layer.has_hidden) or (c0 is not None and not has_state):
        raise SimulationError(f"layer {layer.name!r} ({layer.kind}) takes no such initial state")
    h = np.zeros(shape, np.int64)
    given = layer.initial_h if h0 is None else h0
    if given is not None:
        h = _integers(f"initial_h of layer {layer.name!r}", given, shape, layer.out_bits)
    if not has_state:
        return h, None
    given = layer.initial_c if c0 is None else c0
    if given is not None:
        return h, _integers(f"initial_c of layer {layer.name!r}", given, shape, 16)
    if layer.kind == "lstm":
        return h, np.zeros(shape, np.int64)
    n = layer.f_out - layer.f_state
    return h, saturate(rne(h, n) if n >= 0 else h << -n, 16)


def _blocks(steps: int) -> Iterator[slice]:
    for start in range(0, steps, _BLOCK):
        yield slice(start, min(start + _BLOCK, steps))


# A cell takes the saturated halves u and v, [gates, units], and the state, and gives the output,
# rounded but not yet saturated, and the new state.


def _lstm(
    layer: IntegerLayer, u: IntArray, v: IntArray, c: IntArray | None, clamp: Clamp
) -> tuple[IntArray, IntArray | None]:
    pre = clamp("pre", u + v, 16)
    assert c is not None
    if layer.w_c is not None:  # peepholes: of i, f
        pre[:2] = clamp("pre", pre[:2] + rne(layer.w_c[:2] * c, layer.cell_shift), 16)
    gate = partial(_function, layer, layer.gate)
    f_gate = layer.f_pre if layer.gate in STRAIGHT else 15
    i, f = gate(pre[:2], layer.f_pre)
    g = _candidate(layer, pre[2])
    p = rne(i * g, _candidate_format(layer) - layer.f_state)
    c = clamp("state", rne(f * c + p, f_gate), 16)
    if layer.w_c is not None:
        pre[3] = clamp("pre", pre[3] + rne(layer.w_c[2] * c, layer.cell_shift), 16)
    o = gate(pre[3], layer.f_pre)
    f_cell = layer.f_state if layer.cell in STRAIGHT else 15
    value = o * _function(layer, layer.cell, c, layer.f_state, NO_CLIP)
    return rne(value, f_gate + f_cell - layer.f_out), c


def _gru(
    layer: IntegerLayer, u: IntArray, v: IntArray, s: IntArray | None, clamp: Clamp
) -> tuple[IntArray, IntArray | None]:
    r, z = _sigma(layer)(clamp("pre", u[:2] + v[:2], 16), layer.f_pre)
    n = _candidate(layer, clamp("pre", u[2] + rne(r * v[2], 15), 16))
    assert s is not None
    s = _mixed(layer, z, s, n, clamp)
    return rne(s * 32768, 15 + layer.f_state - layer.f_out), s


def _sigma(layer: IntegerLayer) -> Callable[[npt.ArrayLike, int], IntArray]:
    """What the gates go through, or a row of the activation σ."""
    return partial(_function, layer, "sigmoid")


def _function(
    layer: IntegerLayer, name: str, p: npt.ArrayLike, f: int, clip: int | None = None
) -> IntArray:
    """A function of 16-bit `p` in format `f`: in Q15, or of relu and identity in format `f`.

    `clip` is the layer's where none is given.
    """
    p = np.asarray(p, np.int64)
    clip = layer.clip if clip is None else clip
    if name in STRAIGHT:
        return np.maximum(p, 0) if name == "relu" else p
    if name == "tanh":
        return tanh(p, f, clip)
    sigma = hard_sigmoid if layer.activation == "hard_sigmoid" else sigmoid
    return sigma(p, f, clip)


def _candidate(layer: IntegerLayer, pre: IntArray) -> IntArray:
    """g or n, in the format of :func:`_candidate_format`."""
    return _function(layer, layer.candidate, pre, layer.f_pre)


def _candidate_format(layer: IntegerLayer) -> int:
    return layer.f_pre if layer.candidate in STRAIGHT else 15


def _mixed(layer: IntegerLayer, z: IntArray, s: IntArray, n: IntArray, clamp: Clamp) -> IntArray:
    """The new state of a GRU."""
    p = rne((32768 - z) * n, _candidate_format(layer) - layer.f_state)
    return clamp("state", rne(z * s + p, 15), 16)


def _rnn(
    layer: IntegerLayer, u: IntArray, v: IntArray, state: IntArray | None, clamp: Clamp
) -> tuple[IntArray, IntArray | None]:
    return _activated(layer, clamp("pre", u + v, 16)[0]), state


_CELLS = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}


def _activated(layer: IntegerLayer, pre: IntArray) -> IntArray:
    """The output of an RNN or linear layer, rounded but not yet saturated."""
    if layer.activation not in STRAIGHT:
        name = "tanh" if layer.activation == "tanh" else "sigmoid"
        return rne(_function(layer, name, pre, layer.f_pre) * 32768, 30 - layer.f_out)
    value = np.maximum(pre, 0) if layer.activation == "relu" else pre
    return rne(value * 32768, 15 + layer.f_pre - layer.f_out)
