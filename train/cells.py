"""The cells of docs/numerics.md in PyTorch, on tensors of integers with a batch axis in front."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sparnn.sim.network.network import NO_CLIP, STRAIGHT, WITH_STATE, IntegerLayer

from .straight import Rows, apply_function, rounded, saturated

__all__ = ["LayerRun", "Weights", "run_layer", "run_reset_first"]

#: The real numbers of a layer by the names of `sparnn.gen.network.model.FloatLayer`; the biases as
#: the machine adds them.
Weights = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class LayerRun:
    """What a layer gives. outputs: [batch, steps, units], at the steps they belong to. h: what was
    computed last, [batch, units]. state: the final c or s; None where there is none."""

    outputs: Tensor
    h: Tensor
    state: Tensor | None


class _Half:
    """One half: rows, and with thresholds the references of what is sent (*Deltas*).

    The sum of all differences times their weights is the product of weights and references, so the
    references take the place of the elements.
    """

    def __init__(self, layer: IntegerLayer, which: str, weights: Weights):
        self.rows = Rows(layer, which, weights[f"w_{which}"], weights[f"b_{which}"])
        self.threshold: int | None = getattr(layer, f"delta_{which}")
        self.references: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """One step, [batch, columns]."""
        return self.rows(self._sent(x))

    def steps(self, x: Tensor) -> Tensor:
        """So many steps, [batch, steps, columns]."""
        if self.threshold is None:
            return self.rows(x)
        return self.rows(torch.stack([self._sent(one) for one in x.unbind(1)], dim=1))

    def _sent(self, x: Tensor) -> Tensor:
        if self.threshold is None:
            return x
        r = torch.zeros_like(x) if self.references is None else self.references
        self.references = torch.where((x - r).abs() > self.threshold, x, r)
        return self.references


def run_layer(
    layer: IntegerLayer,
    weights: Weights,
    x: Tensor,
    h0: Tensor | None = None,
    c0: Tensor | None = None,
) -> LayerRun:
    """Run sequences of the same length, [batch, steps, inputs], in the layer's direction."""
    x = x.flip(1) if layer.reverse else x
    u = _Half(layer, "x", weights).steps(x)
    if not layer.has_hidden:
        outputs = _activated(layer, u[..., 0, :])
        return LayerRun(outputs, outputs[:, -1], None)
    half_h = _Half(layer, "h", weights)
    h, state = _initial(layer, len(x), h0, c0)
    outputs_of = []
    for u_t in u.unbind(1):
        v = half_h(h)
        if layer.kind == "lstm":
            h, state = _lstm(layer, weights, u_t, v, state)
        elif layer.kind == "gru":
            h, state = _gru(layer, u_t, v, state)
        else:
            h = _activated(layer, saturated(u_t + v, 16)[:, 0])
        outputs_of.append(h)
    outputs = torch.stack(outputs_of, dim=1)
    return LayerRun(outputs.flip(1) if layer.reverse else outputs, h, state)


def run_reset_first(
    gates: IntegerLayer,
    candidate: IntegerLayer,
    weights: tuple[Weights, Weights],
    x: Tensor,
    h0: Tensor | None = None,
) -> LayerRun:
    """The two layers of a GRU with linear_before_reset = 0."""
    h, s = _initial(gates, len(x), h0, None)
    pair = (gates, weights[0]), (candidate, weights[1])
    us = [_Half(layer, "x", own).steps(x) for layer, own in pair]
    halves = [_Half(layer, "h", own) for layer, own in pair]
    n = 15 + gates.f_state - gates.f_out
    outputs = []
    for u_g, u_c in zip(us[0].unbind(1), us[1].unbind(1), strict=True):
        pre = saturated(u_g + halves[0](h), 16)
        r, z = (apply_function(gates, "sigmoid", pre[:, k], gates.f_pre) for k in (0, 1))
        q = rounded(r * s, n, gates.out_bits)
        new = _candidate(candidate, saturated(u_c + halves[1](q), 16)[:, 0])
        s = _mixed(candidate, z, s, new)
        h = rounded(s * 32768, n, candidate.out_bits)
        outputs.append(h)
    return LayerRun(torch.stack(outputs, dim=1), h, s)


def _initial(
    layer: IntegerLayer, batch: int, h0: Tensor | None, c0: Tensor | None
) -> tuple[Tensor, Tensor]:
    """h and the state before the first step, of constants, given values or zero."""

    def start(given: Tensor | None, name: str) -> Tensor | None:
        constant = getattr(layer, name)
        if given is None and constant is not None:
            given = torch.from_numpy(constant.astype("float64")).expand(batch, -1)
        return given

    zero = torch.zeros((batch, layer.units), dtype=torch.float64)
    h, c = start(h0, "initial_h"), start(c0, "initial_c")
    h = zero if h is None else h
    if c is None and layer.kind in WITH_STATE and layer.kind != "lstm":
        c = rounded(h, layer.f_out - layer.f_state, 16)
    return h, zero if c is None else c


def _lstm(
    layer: IntegerLayer, weights: Weights, u: Tensor, v: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    pre = saturated(u + v, 16).unbind(1)
    seen = weights.get("w_c")

    def gate(row: int, peephole: int) -> Tensor:
        value = pre[row]
        if seen is not None:
            value = saturated(value + rounded(seen[peephole] * c, layer.cell_shift), 16)
        return apply_function(layer, layer.gate, value, layer.f_pre)

    f_gate = layer.f_pre if layer.gate in STRAIGHT else 15
    i, f = gate(0, 0), gate(1, 1)
    p = rounded(i * _candidate(layer, pre[2]), _candidate_format(layer) - layer.f_state)
    c = rounded(f * c + p, f_gate, 16)
    o = gate(3, 2)  # sees the new state
    f_cell = layer.f_state if layer.cell in STRAIGHT else 15
    value = o * apply_function(layer, layer.cell, c, layer.f_state, NO_CLIP)
    return rounded(value, f_gate + f_cell - layer.f_out, layer.out_bits), c


def _gru(layer: IntegerLayer, u: Tensor, v: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    pre = saturated(u[:, :2] + v[:, :2], 16)
    r, z = (apply_function(layer, "sigmoid", pre[:, k], layer.f_pre) for k in (0, 1))
    n = _candidate(layer, saturated(u[:, 2] + rounded(r * v[:, 2], 15), 16))
    s = _mixed(layer, z, s, n)
    return rounded(s * 32768, 15 + layer.f_state - layer.f_out, layer.out_bits), s


def _mixed(layer: IntegerLayer, z: Tensor, s: Tensor, n: Tensor) -> Tensor:
    """The new state of a GRU."""
    p = rounded((32768 - z) * n, _candidate_format(layer) - layer.f_state)
    return rounded(z * s + p, 15, 16)


def _candidate(layer: IntegerLayer, pre: Tensor) -> Tensor:
    return apply_function(layer, layer.candidate, pre, layer.f_pre)


def _candidate_format(layer: IntegerLayer) -> int:
    return layer.f_pre if layer.candidate in STRAIGHT else 15


def _activated(layer: IntegerLayer, pre: Tensor) -> Tensor:
    """The output of an RNN or linear layer."""
    name = "sigmoid" if layer.activation == "hard_sigmoid" else layer.activation
    value = apply_function(layer, name, pre, layer.f_pre)
    f = layer.f_pre if name in STRAIGHT else 15
    return rounded(value * 32768, 15 + f - layer.f_out, layer.out_bits)
