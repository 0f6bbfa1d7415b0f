"""The arithmetic of docs/numerics.md in PyTorch: exact values, straight-through gradients.

Tensors are float64 and hold integers. All of them stay below 2^53, but for products of sums and
multipliers, which are computed in int64 where they may reach it. What is rounded or saturated has
the gradient of what it stands for; a value that saturates has none. The formulas are written here
once more, from docs/numerics.md, and share no code with the golden model, which tests compare them
with.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from sparnn.sim.network.network import NO_CLIP, STRAIGHT, IntegerLayer

__all__ = ["Rows", "apply_function", "on_grid", "rounded", "saturated"]


class _Straight(Function):
    """A value whose gradient is that of another: ``slope`` times what arrives."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, exact: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return exact

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None, None


def _straight(value: Tensor, exact: Tensor, slope: Tensor) -> Tensor:
    found: Tensor = _Straight.apply(value, exact, slope)
    return found


def rounded(a: Tensor, n: int, bits: int | None = None) -> Tensor:
    """``sat_bits(rne(a, n))``, without ``bits`` the rounding alone; |a| below 2^53.

    A multiplication by 2^-n is exact, and `torch.round` takes halves to the even neighbour.
    """
    scale = 2.0**-n
    with torch.no_grad():
        near = torch.round(a * scale)
        inside = torch.ones((), dtype=torch.float64)
        if bits is not None:
            near, inside = _clamped(near, bits)
    return _straight(a, near, inside * scale)


def saturated(a: Tensor, bits: int) -> Tensor:
    """``sat_bits(a)``."""
    with torch.no_grad():
        exact, inside = _clamped(a, bits)
    return _straight(a, exact, inside)


def on_grid(values: Tensor, f: int, bits: int | None = None) -> Tensor:
    """Real numbers as integers of the format ``f``, saturated to ``bits`` where given."""
    with torch.no_grad():
        exact = torch.round(values * 2.0**f)
        inside = torch.ones((), dtype=torch.float64)
        if bits is not None:
            exact, inside = _clamped(exact, bits)
    return _straight(values, exact, inside * 2.0**f)


def _clamped(a: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """The value within its range, and 1 where it was inside, else 0."""
    exact = a.clamp(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)
    return exact, (exact == a).double()


class _RowSums(Function):
    """From activations to requantized sums without their bias, [..., gates, units]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, rows: "Rows") -> Tensor:
        ctx.save_for_backward(x)
        ctx.rows = rows
        acc = (x @ rows.matrix).unflatten(-1, rows.mult.shape)
        if rows.largest * float(x.abs().max()) < 2.0**53 / 32767:
            return torch.round(acc * rows.scale)  # a product below 2^53 over a power of two: exact
        return _rne(acc.long() * rows.mult, rows.shift).double()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (x,) = ctx.saved_tensors
        rows: Rows = ctx.rows
        grad = gradients[0]
        grad_x = grad_w = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad * rows.scale).flatten(-2) @ rows.matrix.T
        if ctx.needs_input_grad[1]:
            flat = grad.flatten(-2).reshape(-1, rows.mult.numel())
            grad_w = flat.T @ x.reshape(-1, x.shape[-1]) * rows.unit
            grad_w = grad_w.reshape(*rows.mult.shape, -1)
        return grad_x, grad_w, None


class Rows:
    """The rows of one half of a layer (*Rows* in docs/numerics.md).

    Parameters
    ----------
    layer: its integers. which: ``x`` or ``h``.
    weights, bias: the real numbers that the integers stand for, [gates, units, columns] and [gates,
        units]: the gradients go there.
    """

    def __init__(self, layer: IntegerLayer, which: str, weights: Tensor, bias: Tensor):
        integers, mult, shift, offset = (
            getattr(layer, f"{name}_{which}") for name in ("w", "mult", "shift", "bias")
        )
        whole = integers.astype(np.float64)
        factors = getattr(layer, f"factors_{which}")
        if factors is not None:
            whole *= np.where(integers > 0, factors[0][..., None], factors[1][..., None])
        self.weights = weights
        self.matrix = torch.from_numpy(np.ascontiguousarray(whole.reshape(-1, whole.shape[2]).T))
        self.largest = float(np.abs(whole).sum(axis=2).max())  # the sum of a row, for x of 1
        self.mult, self.shift = (torch.from_numpy(a.astype(np.int64)) for a in (mult, shift))
        self.scale = torch.ldexp(self.mult.double(), -self.shift)
        self.unit = 2.0 ** (layer.f_pre - (layer.f_x if which == "x" else layer.f_out))
        exact = torch.from_numpy(offset.astype(np.float64))
        slope = torch.tensor(2.0**layer.f_pre, dtype=torch.float64)
        self.bias = _straight(bias, exact, slope)

    def __call__(self, x: Tensor) -> Tensor:
        """``sat16(rne(acc · mult, shift) + bias)``, [..., gates, units]."""
        sums: Tensor = _RowSums.apply(x, self.weights, self)
        return saturated(sums + self.bias, 16)


def _rne(a: Tensor, n: Tensor) -> Tensor:
    """``a / 2^n`` to the nearest integer, ties to even, in int64: products reach 2^63."""
    floor = a >> n
    rest = a - (floor << n)
    # Compared with what is missing to the next integer, so that doubling cannot overflow.
    missing = (torch.ones_like(n) << n) - rest
    return floor + ((rest > missing) | ((rest == missing) & (floor & 1 == 1))).long()


def _chords(values: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.minimum(32767, np.rint(values)).astype(np.int64))


_TANH = _chords(np.tanh(np.arange(257) / 32) * 32768)
_HARD = _chords(np.arange(257) * 1024.0)


def _curve(table: Tensor, p: Tensor, n: int, most: int) -> tuple[Tensor, Tensor]:
    """The chord of a table at ``norm(p, n)``, and where its argument is neither clipped nor
    saturated."""
    z = torch.round(p * 2.0**-n).clamp(-32768, 32767).long()
    m = z.abs().clamp(max=most)
    i, r = m >> 7, m & 127
    t = table[i] + (((table[i + 1] - table[i]) * r + 64) >> 7)
    return torch.where(z < 0, -t, t), z.abs() < most


def apply_function(
    layer: IntegerLayer, name: str, p: Tensor, f: int, clip: int | None = None
) -> Tensor:
    """A function of 16-bit ``p`` in the format ``f``: σ and tanh in Q15, others in ``f``.

    ``clip`` is the layer's where none is given. σ is the hard one where the layer's activation
    says so.
    """
    clip = layer.clip if clip is None else clip
    if name in STRAIGHT:
        return p.clamp(min=0) if name == "relu" else p
    unit = 32768 * 2.0**-f
    with torch.no_grad():
        if name == "tanh":
            exact, inside = _curve(_TANH, p, f - 12, min(2 * clip, NO_CLIP))
            slope = unit * (1 - (exact / 32768) ** 2)
        else:
            hard = layer.activation == "hard_sigmoid"
            curve, inside = _curve(_HARD if hard else _TANH, p, f + 1 - 12, clip)
            exact = (32768 + curve) >> 1
            share = exact / 32768
            slope = unit * (0.25 * (curve.abs() < 32767) if hard else share * (1 - share))
    return _straight(p, exact.double(), slope * inside)
