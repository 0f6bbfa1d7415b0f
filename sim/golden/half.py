"""One half of a layer in the golden model: docs/numerics.md, *Rows* and *Deltas*."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.sim.aliases import IntArray
from sparnn.sim.network.network import IntegerLayer

from .arithmetic import rne

__all__ = ["DeltaHalf", "Half", "deltas_of", "differences", "half_of"]


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
        return self.requantized(self.sums(x))

    def sums(self, x: IntArray) -> IntArray:
        """The exact row sums, [..., rows]."""
        return self._sums(x).astype(np.int64)

    def requantized(self, acc: IntArray) -> IntArray:
        """From exact row sums, [..., rows], to [..., gates, units]."""
        return rne(acc.reshape(*acc.shape[:-1], *self.rows) * self.mult, self.shift) + self.bias

    def _sums(self, x: IntArray) -> npt.NDArray[np.floating]:
        """The same, in floats that hold them."""
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


class DeltaHalf(Half):
    """A half that is sent differences: references and row sums go from one call to the next.

    A call with [columns] is a step, one with [steps, columns] so many.

    Parameters
    ----------
    references, totals
        To begin with, [columns] and [rows]; zeros where none are given.
    """

    def __init__(
        self,
        half: tuple[Any, ...],
        threshold: int,
        references: IntArray | None = None,
        totals: IntArray | None = None,
    ):
        super().__init__(*half)
        columns, rows = self.weights.shape
        self.threshold = threshold
        self.references = np.zeros(columns, np.int64) if references is None else references
        self.total = np.zeros(rows, np.int64) if totals is None else totals
        self._first = self.references

    def __call__(self, x: IntArray) -> IntArray:
        d, self.references = differences(np.atleast_2d(x), self.threshold, self.references)
        totals = self.total + np.cumsum(self.sums(d), axis=0)
        self.total = totals[-1]
        return self.requantized(totals.reshape(*x.shape[:-1], -1))

    def useful(self, x: IntArray) -> int:
        """Of the sequence `x`: pairs of a non-zero weight and a difference that is sent."""
        return super().useful(differences(x, self.threshold, self._first)[0])


def differences(
    x: IntArray, threshold: int, references: IntArray | None = None
) -> tuple[IntArray, IntArray]:
    """What is sent of each step of [steps, columns], zeros between, and the references after it."""
    r = np.zeros(x.shape[1], np.int64) if references is None else references.copy()
    sent = np.zeros(x.shape, np.int64)
    for step, values in enumerate(x):
        d = values - r
        sent[step] = np.where(np.abs(d) > threshold, d, 0)
        r += sent[step]
    return sent, r


def half_of(layer: IntegerLayer, which: str, deltas: Mapping[str, IntArray] | None = None) -> Half:
    """The input half (`x`) or the hidden half (`h`) of a layer, with what it begins with of
    `DELTAS`."""
    names = ("w", "factors", "mult", "shift", "bias")
    half = tuple(getattr(layer, f"{name}_{which}") for name in names)
    threshold = getattr(layer, f"delta_{which}")
    if threshold is None:
        return Half(*half)
    held = [(deltas or {}).get(f"{name}_{which}") for name in ("references", "totals")]
    return DeltaHalf(half, threshold, *held)


def deltas_of(half_x: Half, half_h: Half | None = None) -> dict[str, IntArray]:
    """What halves hold of `DELTAS`; nothing where elements are sent."""
    found: dict[str, IntArray] = {}
    for which, half in (("x", half_x), ("h", half_h)):
        if isinstance(half, DeltaHalf):
            found |= {f"references_{which}": half.references, f"totals_{which}": half.total}
    return found
