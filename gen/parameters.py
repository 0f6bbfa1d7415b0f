"""Entries of a post unit's parameters, in the form that its memory keeps (docs/machine.md)."""

import numpy as np
import numpy.typing as npt

from sparnn.hdl.config import MULTIPLIER_BITS, SHIFT_BITS, ZERO_SHIFT

__all__ = ["parameter_entries"]

Integers = npt.NDArray[np.integer]


def parameter_entries(mult: Integers, shift: Integers, bias: Integers) -> npt.NDArray[np.uint64]:
    """An entry for each row, of arrays of any one shape.

    A post unit does not keep the multiplier's highest bit: it is 1, and the smaller multipliers
    that a network may have (0 … 16383) are made so by a larger shift, which changes no result:
    ``mult · 2^n / 2^(shift + n)``. A multiplier of zero has the shift ``ZERO_SHIFT`` for a mark.
    """
    mult, shift = mult.astype(np.int64), shift.astype(np.int64)
    up = np.where(mult == 0, 0, MULTIPLIER_BITS - 1 - np.frexp(mult)[1])
    shift = np.where(mult == 0, ZERO_SHIFT, shift + up)
    entries: npt.NDArray[np.uint64] = (
        (mult << up).astype(np.uint64)
        | shift.astype(np.uint64) << np.uint64(MULTIPLIER_BITS)
        | (bias.astype(np.int64) & 0xFFFF).astype(np.uint64)
        << np.uint64(MULTIPLIER_BITS + SHIFT_BITS)
    )
    return entries
