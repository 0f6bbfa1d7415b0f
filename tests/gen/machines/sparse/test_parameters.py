"""Entries of parameters: normalized, and worth the same as what the network says."""

import numpy as np
import pytest

from sparnn.gen.machines.sparse.pack import parameter_entries
from sparnn.hdl.arithmetic.formats import ZERO_SHIFT
from sparnn.sim.golden.arithmetic import rne


def fields(entry: int) -> tuple[int, int, int]:
    bias = entry >> 22
    return entry & 0xFFFF, entry >> 16 & 63, bias - (bias >> 15 << 16)


@pytest.mark.parametrize("mult", [0, 1, 2, 3, 255, 8191, 16383, 16384, 20000, 32767])
def test_entries_are_normalized_and_worth_the_same(mult: int) -> None:
    shifts = np.arange(48)
    biases = np.linspace(-32768, 32767, 48).astype(np.int64)
    sums = np.array([0, 1, -1, 3, 5, -7, 2**14, 2**20 + 1, -(2**24)])
    for entry, shift, bias in zip(
        parameter_entries(np.full(48, mult), shifts, biases), shifts, biases, strict=True
    ):
        new_mult, new_shift, new_bias = fields(int(entry))
        assert new_bias == bias
        assert 16384 <= new_mult <= 32767 or (new_mult, new_shift) == (0, ZERO_SHIFT)
        assert (new_shift == ZERO_SHIFT) == (mult == 0)
        if new_mult:
            assert new_mult << int(shift) == mult << new_shift
            before = rne(sums * mult, np.full(len(sums), shift))
            after = rne(sums * new_mult, np.full(len(sums), new_shift))
            np.testing.assert_array_equal(before, after)


def test_entries_keep_the_shape() -> None:
    ones = np.ones((4, 3), np.int32)
    assert parameter_entries(ones, ones, ones).shape == (4, 3)
