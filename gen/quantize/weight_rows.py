"""Float weights become integers, row by row: one scale, or one for either sign (split scales)."""

from dataclasses import dataclass

import numpy as np

from sparnn.sim.aliases import FloatArray
from sparnn.sim.network.network import Int32Array

__all__ = ["QuantizedRows", "quantize_rows"]

#: Factors (positive, negative) of a row, one pair for each ratio; the first where none is better.
_FACTORS = ((1, 1), (3, 2), (2, 3), (2, 1), (1, 2), (3, 1), (1, 3))
#: Other factors than (1, 1) have to lower a row's error by more than rounding does.
_BETTER = 0.999


@dataclass(frozen=True, eq=False)
class QuantizedRows:
    """Weights [gates, units, columns] as integers.

    Members
    -------
    integers: within ±(2^(bits-1) − 1), of the shape of the weights.
    scale: of one unit of integer times factor, [gates, units]; 0 for a row of zeros.
    factors: of positive and negative integers, [2, gates, units]; None is 1.
    """

    integers: Int32Array
    scale: FloatArray
    factors: Int32Array | None = None

    @property
    def values(self) -> FloatArray:
        """The weights that the integers stand for."""
        weights = self.integers * self.scale[..., np.newaxis]
        if self.factors is None:
            return weights
        positive, negative = self.factors[..., np.newaxis]
        return weights * np.where(self.integers > 0, positive, negative)


def quantize_rows(weights: FloatArray, bits: int, *, split: bool = False) -> QuantizedRows:
    """Symmetric integers with one scale per row.

    Parameters
    ----------
    weights: [gates, units, columns].
    split: the scales of a row's positive and negative weights may have a ratio of 1, 2/3, 1/2 or
        1/3: the one with the smallest squared error in the row (MASR's split quantization, arXiv
        1908.08976, section III-C, with the ratio kept to what a lane does in one addition).
    """
    positive = np.maximum(weights.max(axis=2), 0)
    negative = np.maximum(-weights.min(axis=2), 0)
    best = _rounded(weights, bits, positive, negative, (1, 1))
    if not split:
        return QuantizedRows(best.integers, best.scale)
    least = _error(best, weights)
    for factors in _FACTORS[1:]:
        other = _rounded(weights, bits, positive, negative, factors)
        error = _error(other, weights)
        better = error < _BETTER * least
        assert best.factors is not None
        assert other.factors is not None
        best = QuantizedRows(
            np.where(better[..., np.newaxis], other.integers, best.integers),
            np.where(better, other.scale, best.scale),
            np.where(better, other.factors, best.factors),
        )
        least = np.where(better, error, least)
    return best


def _rounded(
    weights: FloatArray,
    bits: int,
    positive: FloatArray,
    negative: FloatArray,
    factors: tuple[int, int],
) -> QuantizedRows:
    """With these factors: the largest of either sign just fits."""
    top = float((1 << (bits - 1)) - 1)
    scale = np.maximum(positive / factors[0], negative / factors[1]) / top
    steps = np.where(weights > 0, factors[0], factors[1]) * scale[..., np.newaxis]
    integers = np.rint(weights / np.where(steps > 0, steps, 1.0)).astype(np.int32)
    both = np.broadcast_to(np.array(factors, np.int32)[:, None, None], (2, *scale.shape))
    return QuantizedRows(integers, scale, both)


def _error(rows: QuantizedRows, weights: FloatArray) -> FloatArray:
    return ((rows.values - weights) ** 2).sum(axis=2)
