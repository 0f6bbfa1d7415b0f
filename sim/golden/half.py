"""One half of a layer in the golden model: docs/numerics.md, *Rows*."""

import numpy as np
import numpy.typing as npt

from sparnn.sim.aliases import IntArray
from sparnn.sim.network.network import IntegerLayer

from .arithmetic import rne

__all__ = ["Half", "half_of"]


class Half:
    """The rows of one half: sums of products, requantized, not yet saturated."""

    def __init__(
        self,
        weights: npt.NDArray[np.int32],
        factors: npt.NDArray[np.int32] | None,
        mult: npt.NDArray[np.int32],
        shift: npt.NDArray[np.int32],
        bias: npt.NDArray[np.int32],
    ):
        self.rows, columns = weights.shape[:2], weights.shape[2]
        # Products and all their partial sums are below 2^48, so float64 holds them exactly, and
        # its matrix product is many times faster than the one of int64. Where they are below 2^24,
        # float32 does, at half the memory.
        assert columns <= 1 << 16
        self.nonzero = np.count_nonzero(weights, axis=(0, 1))
        if factors is not None:
            positive, negative = factors[..., np.newaxis]
            weights = np.where(weights > 0, weights * positive, weights * negative)
        self.weights = weights.reshape(-1, columns).T.astype(np.float64)
        self.largest = float(np.abs(self.weights).sum(axis=0).max())  # sum of a row, for x of 1
        self.short: npt.NDArray[np.float32] | None = None
        self.mult, self.shift, self.bias = (a.astype(np.int64) for a in (mult, shift, bias))

    def __call__(self, x: IntArray) -> IntArray:
        """From [..., columns] to [..., gates, units]."""
        acc = self._sums(x).astype(np.int64)
        return rne(acc.reshape(*x.shape[:-1], *self.rows) * self.mult, self.shift) + self.bias

    def _sums(self, x: IntArray) -> npt.NDArray[np.floating]:
        """The exact row sums."""
        if self.largest * float(np.abs(x).max(initial=0)) >= 1 << 24:
            return x.astype(np.float64) @ self.weights
        if self.short is None:
            self.short = self.weights.astype(np.float32)
        return x.astype(np.float32) @ self.short

    def useful(self, x: IntArray) -> int:
        """Pairs of a non-zero weight and a non-zero element of `x`, [steps, columns]."""
        return int(np.count_nonzero(x, axis=0) @ self.nonzero)

    def useful_rows(self, x: IntArray, rows: npt.NDArray[np.bool_]) -> int:
        """The same of one step, [columns], in the rows that are marked, [rows]."""
        return int(np.count_nonzero(self.weights[x != 0][:, rows]))


def half_of(layer: IntegerLayer, which: str) -> Half:
    """The input half (`x`) or the hidden half (`h`) of a layer."""
    names = ("w", "factors", "mult", "shift", "bias")
    return Half(*(getattr(layer, f"{name}_{which}") for name in names))
