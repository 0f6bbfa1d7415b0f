"""CSC with zero runs: what is encoded comes back, with as much padding as the runs need."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparnn.gen.bench.csc import encode_csc


def decoded(image, matrices, elements):
    """The matrices again, entry by entry."""
    result = [np.zeros_like(matrix) for matrix in matrices]
    for element in range(elements):
        column = 0
        for matrix in result:
            for j in range(matrix.shape[1]):
                row = -1
                start, end = image.pointers[element, column : column + 2]
                for k in range(start, end):
                    row += 1 + image.runs[element][k]
                    if image.weights[element][k]:
                        matrix[row * elements + element, j] = image.weights[element][k]
                column += 1
    return result


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 70),
    columns=st.integers(1, 6),
    elements=st.sampled_from([1, 2, 4, 8]),
    index_bits=st.integers(1, 4),
    density=st.sampled_from([0.02, 0.2, 0.7, 1.0]),
    seed=st.integers(0, 1000),
)
def test_round_trip(rows, columns, elements, index_bits, density, seed):
    rng = np.random.default_rng(seed)
    matrices = [
        np.where(rng.random((rows, n)) < density, rng.integers(1, 9, (rows, n)), 0)
        for n in (columns, columns + 1)
    ]
    matrices[0][0, 0] = 1
    image = encode_csc(matrices, elements, index_bits)
    for back, matrix in zip(decoded(image, matrices, elements), matrices, strict=True):
        np.testing.assert_array_equal(back, matrix)
    assert image.nonzeros == sum(np.count_nonzero(matrix) for matrix in matrices)
    assert max(runs.max(initial=0) for runs in image.runs) < 1 << index_bits
    assert image.entries.sum() == sum(map(len, image.weights))


@pytest.mark.parametrize(("gap", "entries"), [(15, 1), (16, 2), (31, 2), (32, 3)])
def test_padding(gap, entries):
    """15 zeros fit into one run of four bits; a padding entry stands for 16 places."""
    matrix = np.zeros((40, 1), np.int64)
    matrix[gap, 0] = 7
    image = encode_csc([matrix], 1, 4)
    assert image.entries.tolist() == [entries]
    assert image.weights[0][-1] == 7
    assert not image.weights[0][:-1].any()
