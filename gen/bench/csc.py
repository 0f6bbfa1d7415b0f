"""Compressed sparse columns with zero runs: EIE's encoding (arXiv 1602.01528, section III-B)."""

from dataclasses import dataclass

import numpy as np

from sparnn.sim.aliases import IntArray

__all__ = ["CscImage", "encode_csc"]


@dataclass(frozen=True, eq=False)
class CscImage:
    """The matrices of a layer, dealt to processing elements.

    Members
    -------
    weights, runs: per element, its entries in column order: a weight and the zeros before it. A
        padding entry has weight 0 and the longest run.
    pointers: [elements, columns + 1], place of each column's first entry.
    nonzeros: entries that are no padding.
    """

    weights: list[IntArray]
    runs: list[IntArray]
    pointers: IntArray
    nonzeros: int

    @property
    def entries(self) -> IntArray:
        """Entries of each element, padding included."""
        return self.pointers[:, -1]


def encode_csc(matrices: list[IntArray], elements: int, index_bits: int) -> CscImage:
    """Encode the columns of one matrix after the other.

    Row r of every matrix belongs to element ``r % elements``, where it is row ``r // elements``;
    runs count only the zeros of the element's own rows.

    Parameters
    ----------
    matrices: [rows, columns] each.
    index_bits: of a run; longer runs are padded.
    """
    longest = (1 << index_bits) - 1
    parts, first_column, columns = [], 0, sum(matrix.shape[1] for matrix in matrices)
    for matrix in matrices:
        rows, cols = np.nonzero(matrix)
        parts.append((rows % elements, cols + first_column, rows // elements, matrix[rows, cols]))
        first_column += matrix.shape[1]
    element, column, row, value = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((row, column, element))
    element, column, row, value = (part[order] for part in (element, column, row, value))
    follows = np.zeros(len(row), bool)
    follows[1:] = (element[1:] == element[:-1]) & (column[1:] == column[:-1])
    before = np.where(follows, np.concatenate(([0], row[:-1])), -1)
    gap = row - before - 1
    copies = 1 + gap // (longest + 1)
    last = np.cumsum(copies) - 1
    runs = np.full(int(copies.sum()), longest, np.int64)
    weights = np.zeros(len(runs), np.int64)
    runs[last], weights[last] = gap % (longest + 1), value
    cell = np.repeat(element * columns + column, copies)
    counts = np.bincount(cell, minlength=elements * columns).reshape(elements, columns)
    pointers = np.zeros((elements, columns + 1), np.int64)
    pointers[:, 1:] = counts.cumsum(axis=1)
    ends = np.cumsum(pointers[:, -1])[:-1]
    return CscImage(np.split(weights, ends), np.split(runs, ends), pointers, len(value))
