"""The float network in numpy, float64: for calibration, and to check the importer.

The formulas are those of ONNX LSTM, GRU and RNN.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from sparnn.sim.aliases import FloatArray

from .model import FloatLayer, FloatNetwork

__all__ = [
    "FloatTrace",
    "machine_biases",
    "named_output",
    "run_layer",
    "run_network",
    "run_reset_first",
]

States = Mapping[tuple[str, int], FloatArray]


@dataclass(frozen=True, eq=False)
class FloatTrace:
    """Every tensor of one layer in one run, by the names of docs/numerics.md.

    Members
    -------
    x : [batch, steps, inputs], what the layer reads.
    u, v : [batch, steps, gates, units], the two halves with the biases where the machine adds them:
        all in ``u``, but for the GRU's ``n`` row, where each half has its own. ``v`` is None for
        ``linear``.
    pre : [batch, steps, gates, units], what the activations read; the GRU's ``n`` row is
        ``u + r · v``.
    state : [batch, steps, units], the LSTM's c or the GRU's h; None for the others.
    h : [batch, steps, units], the output.
    h0, c0 : [batch, units], the initial state.
    joined : [batch, steps, units of both or of one], of the second of two joined layers: what they
        give together.

    Steps are in time's order, whatever the layer's direction.
    """

    x: FloatArray
    u: FloatArray
    v: FloatArray | None
    pre: FloatArray
    state: FloatArray | None
    h: FloatArray
    h0: FloatArray
    c0: FloatArray
    joined: FloatArray | None = None
    last: FloatArray | None = None

    @property
    def sequence(self) -> FloatArray:
        """What the next layer reads."""
        return self.h if self.joined is None else self.joined

    @property
    def final(self) -> FloatArray:
        """[batch, units], the output that was computed last."""
        return self.h[:, -1] if self.last is None else self.last


def run_network(
    network: FloatNetwork,
    x: FloatArray,
    initial: States | None = None,
    *,
    round_h: Mapping[int, Callable[[FloatArray], FloatArray]] | None = None,
) -> list[FloatTrace]:
    """Run all layers.

    Parameters
    ----------
    x : [batch, steps, inputs].
    initial : given initial states [batch, units] by (role, layer), as ``initial_h`` of layer 0;
        where none is given, the layer's constant one, else zero.
    round_h : rounds the outputs of some layers, by their indices; of a GRU that resets first, by
        that of its gates.
    """
    rounds = round_h or {}
    traces: list[FloatTrace] = []
    given = initial or {}
    finals = x[:, -1]
    for stage in network.stages:
        layer = network.layers[stage[-1]]
        if layer.join == "reset":
            h0 = given.get(("initial_h", stage[0]))
            gates, rounded = network.layers[stage[0]], rounds.get(stage[0])
            traces += run_reset_first(gates, layer, x, h0, round_h=rounded)
            x, finals = traces[-1].h, traces[-1].final
            continue
        for index in stage:
            layer = network.layers[index]
            values = x
            if layer.last_only:
                values = x[:, -1:] if layer.last_step else finals[:, np.newaxis]
            h0, c0 = given.get(("initial_h", index)), given.get(("initial_c", index))
            traces.append(run_layer(layer, values, h0, c0, round_h=rounds.get(index)))
        if layer.join:
            first, second = traces[-2].h, traces[-1].h
            both = first + second if layer.join == "sum" else np.concatenate([first, second], -1)
            traces[-1] = replace(traces[-1], joined=both)
        x = traces[-1].sequence
        finals = np.concatenate([traces[index].final for index in stage], -1)
    return traces


def named_output(traces: Sequence[FloatTrace], entry: Mapping[str, Any]) -> FloatArray:
    """What an output entry of the ``io`` names: [batch, steps, features], or [batch, features]."""
    both = [traces[index] for index in entry.get("layers", [entry["layer"]])]
    if entry["what"] in ("sequence", "step"):
        sequence = both[-1].sequence
        return sequence if entry["what"] == "sequence" else sequence[:, -1]
    if entry["what"] == "last":
        return np.concatenate([one.final for one in both], -1)
    states = [(one.state, 0 if one.last is not None else -1) for one in both]
    return np.concatenate([state[:, at] for state, at in states if state is not None], -1)


def machine_biases(layer: FloatLayer) -> tuple[FloatArray, FloatArray]:
    """The biases of the two halves as the machine adds them (docs/numerics.md, Rows)."""
    b_x, b_h = layer.b_x + layer.b_h, np.zeros_like(layer.b_h)
    if layer.kind == "gru":
        b_x[2], b_h[2] = layer.b_x[2], layer.b_h[2]
    return b_x, b_h


def run_layer(
    layer: FloatLayer,
    x: FloatArray,
    h0: FloatArray | None = None,
    c0: FloatArray | None = None,
    *,
    round_h: Callable[[FloatArray], FloatArray] | None = None,
) -> FloatTrace:
    """Run one layer on ``x`` [batch, steps, inputs] from the states [batch, units].

    ``round_h`` rounds the output of each step, as it leaves the layer and is fed back; the state
    of a GRU stays unrounded, as in the machine.
    """
    if layer.reverse:
        return _turned(
            run_layer(replace(layer, reverse=False), x[:, ::-1], h0, c0, round_h=round_h)
        )
    rounded = round_h or (lambda a: a)
    batch, steps = x.shape[:2]
    b_x, b_h = machine_biases(layer)
    h = _start(layer.initial_h, h0, batch, layer.units)
    c = _start(layer.initial_c, c0, batch, layer.units)
    u = np.einsum("bti,gui->btgu", x, layer.w_x, optimize=True) + b_x
    if layer.w_h is None:
        return FloatTrace(x, u, None, u, None, rounded(_activated(layer, u[:, :, 0])), h, c)
    shape, of_gates = (batch, steps, layer.units), _of_gates(layer)
    v, pre = np.empty_like(u), np.empty_like(u)
    outputs, state = np.empty(shape), np.empty(shape)
    w_h = layer.w_h.reshape(-1, layer.units).T
    start_h, start_c = h, c
    s, h = h, rounded(h)
    for t in range(steps):
        v[:, t] = (h @ w_h).reshape(batch, layer.gates, layer.units) + b_h
        pre[:, t] = u[:, t] + v[:, t]
        if layer.kind == "lstm":
            if layer.w_c is not None:
                pre[:, t, :2] += layer.w_c[:2] * c[:, np.newaxis]
            gates = of_gates(pre[:, t])
            c = gates[:, 1] * c + gates[:, 0] * _candidate(layer, pre[:, t, 2])
            output = gates[:, 3]
            if layer.w_c is not None:
                pre[:, t, 3] += layer.w_c[2] * c
                output = of_gates(pre[:, t, 3])
            h = output * _apply(layer, layer.cell, c, None)
            state[:, t] = c
        elif layer.kind == "gru":
            r, z = np.moveaxis(of_gates(pre[:, t, :2]), 1, 0)
            pre[:, t, 2] = u[:, t, 2] + r * v[:, t, 2]
            h = s = z * s + (1 - z) * _candidate(layer, pre[:, t, 2])
            state[:, t] = s
        else:
            h = _activated(layer, pre[:, t, 0])
        h = outputs[:, t] = rounded(h)
    kept = state if layer.kind in ("lstm", "gru") else None
    return FloatTrace(x, u, v, pre, kept, outputs, start_h, start_c)


def run_reset_first(
    gates: FloatLayer,
    candidate: FloatLayer,
    x: FloatArray,
    h0: FloatArray | None = None,
    *,
    round_h: Callable[[FloatArray], FloatArray] | None = None,
) -> tuple[FloatTrace, FloatTrace]:
    """The two layers of a GRU with linear_before_reset = 0; parameters as of :func:`run_layer`.

    The first one's ``h`` is ``r · h``, which ``round_h`` rounds as well.
    """
    rounded = round_h or (lambda a: a)
    batch, steps = x.shape[:2]
    shape, of_gates = (batch, steps, gates.units), _of_gates(gates)
    h = start = _start(gates.initial_h, h0, batch, gates.units)
    s, h = h, rounded(h)
    reset, outputs, state = np.empty(shape), np.empty(shape), np.empty(shape)
    us, vs = [], []
    assert gates.w_h is not None
    assert candidate.w_h is not None
    for layer in (gates, candidate):
        bias = machine_biases(layer)[0]
        us.append(np.einsum("bti,gui->btgu", x, layer.w_x, optimize=True) + bias)
        vs.append(np.empty_like(us[-1]))
    for t in range(steps):
        vs[0][:, t] = np.einsum("bi,gui->bgu", h, gates.w_h)
        r, z = (of_gates(us[0][:, t, gate] + vs[0][:, t, gate]) for gate in (0, 1))
        reset[:, t] = rounded(r * s)
        vs[1][:, t] = np.einsum("bi,gui->bgu", reset[:, t], candidate.w_h)
        new = _candidate(candidate, us[1][:, t, 0] + vs[1][:, t, 0])
        s = z * s + (1 - z) * new
        state[:, t], h = s, rounded(s)
        outputs[:, t] = h
    zero = np.zeros((batch, gates.units))
    return (
        FloatTrace(x, us[0], vs[0], us[0] + vs[0], state, reset, start, zero),
        FloatTrace(x, us[1], vs[1], us[1] + vs[1], None, outputs, zero, zero),
    )


def _turned(trace: FloatTrace) -> FloatTrace:
    """The trace with its steps in the opposite order."""
    turned: dict[str, Any] = {
        name: None if (values := getattr(trace, name)) is None else values[:, ::-1]
        for name in ("x", "u", "v", "pre", "state", "h")
    }
    return replace(trace, **turned, last=trace.h[:, -1])


def _start(
    constant: FloatArray | None, given: FloatArray | None, batch: int, units: int
) -> FloatArray:
    if given is not None:
        return np.asarray(given, np.float64)
    return np.broadcast_to(np.zeros(units) if constant is None else constant, (batch, units))


def _sigmoid(a: FloatArray) -> FloatArray:
    return 0.5 * (1 + np.tanh(0.5 * a))


def _hard_sigmoid(a: FloatArray) -> FloatArray:
    return np.clip(0.5 + 0.25 * a, 0, 1)


def _of_gates(layer: FloatLayer) -> Callable[[FloatArray], FloatArray]:
    """What the gates of an LSTM or GRU go through."""
    return partial(_apply, layer, layer.gate, clip=layer.clip)


def _activated(layer: FloatLayer, a: FloatArray) -> FloatArray:
    """What a row of an RNN or linear layer goes through."""
    return _apply(layer, layer.activation, a, layer.clip)


def _candidate(layer: FloatLayer, a: FloatArray) -> FloatArray:
    """g of an LSTM or n of a GRU."""
    return _apply(layer, layer.candidate, a, layer.clip)


def _apply(layer: FloatLayer, name: str, a: FloatArray, clip: float | None) -> FloatArray:
    """A function of the layer; its σ is the hard one where its activation says so."""
    if name == "relu":
        return np.maximum(a, 0)
    if name == "identity":
        return a
    if clip is not None:
        a = np.clip(a, -clip, clip)
    if name == "tanh":
        return np.tanh(a)
    return _hard_sigmoid(a) if layer.activation == "hard_sigmoid" else _sigmoid(a)
