"""Rows of weights as integers, with one scale or with one for either sign."""

import numpy as np
import pytest

from sparnn.gen.quantize.weight_rows import quantize_rows


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("split", [False, True])
def test_rows_have_their_own_scale(bits: int, split: bool) -> None:
    weights = np.random.default_rng(0).normal(size=(3, 5, 7))
    weights[1, 2] = 0
    rows = quantize_rows(weights, bits, split=split)
    assert (rows.factors is not None) == split
    top = 2 ** (bits - 1) - 1
    largest = np.abs(rows.integers).max(axis=2)
    assert (largest[rows.scale > 0] == top).all()
    assert rows.scale[1, 2] == 0
    assert not rows.integers[1, 2].any()
    # A factor of 3 makes steps of three units.
    worst = 0.5000001 * rows.scale[..., None] * (3 if split else 1)
    assert (np.abs(rows.values - weights) <= worst).all()


@pytest.mark.parametrize(
    ("largest", "factors"),
    [
        ((1.0, 1.0), (1, 1)),
        ((1.0, 0.65), (3, 2)),
        ((0.65, 1.0), (2, 3)),
        ((1.0, 0.48), (2, 1)),
        ((0.48, 1.0), (1, 2)),
        ((1.0, 0.1), (3, 1)),
        ((0.1, 1.0), (1, 3)),
        ((1.0, 0.0), (1, 1)),
        ((0.0, 1.0), (1, 1)),
    ],
)
def test_factors_follow_the_larger_sign(
    largest: tuple[float, float], factors: tuple[int, int]
) -> None:
    """Positive weights up to one figure, negative ones down to the other, evenly spread."""
    rng = np.random.default_rng(1)
    positive, negative = largest
    weights = np.concatenate([np.linspace(0, positive, 400), -np.linspace(0, negative, 400)])
    weights = rng.permutation(weights)[np.newaxis, np.newaxis]
    rows = quantize_rows(weights, 8, split=True)
    assert rows.factors is not None
    assert tuple(rows.factors[:, 0, 0]) == factors


def test_split_rows_are_never_worse() -> None:
    """The smaller side's steps are finer: at most half of the error can go, where rows are even."""
    rng = np.random.default_rng(2)
    for skew in (1.0, 0.7, 0.5, 0.2):
        weights = rng.laplace(size=(1, 50, 300))
        weights[weights < 0] *= skew
        error = [
            ((quantize_rows(weights, 10, split=split).values - weights) ** 2).sum(axis=2)
            for split in (False, True)
        ]
        assert (error[1] <= error[0]).all()
        assert error[1].sum() < (0.97 if skew == 1 else 0.9) * error[0].sum()
