"""Masks by magnitude. Needs sparnn[train]."""

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'sparnn[train]'")

from sparnn.train.pruning import Structure, mask_of  # noqa: E402

WEIGHTS = torch.randn((4, 6, 16), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("density", [0.05, 0.25, 0.5, 1.0])
def test_the_smallest_go(density: float) -> None:
    mask = mask_of(WEIGHTS, density, Structure())
    assert int(mask.sum()) == round(density * WEIGHTS.numel())
    kept, gone = WEIGHTS.abs()[mask > 0], WEIGHTS.abs()[mask == 0]
    assert not len(gone) or kept.min() >= gone.max()


@pytest.mark.parametrize("width", [4, 8])
def test_rows_that_a_lane_multiplies_at_once_share_a_mask(width: int) -> None:
    mask = mask_of(WEIGHTS, 0.25, Structure("rows", width=width))
    assert int(mask.sum()) == round(0.25 * WEIGHTS.numel())
    blocks = mask.transpose(0, 1).reshape(-1, width, 16)  # gates of a unit first
    assert (blocks == blocks[:, :1]).all()


def test_rows_that_do_not_fill_a_block() -> None:
    mask = mask_of(WEIGHTS[:3, :5], 0.5, Structure("rows", width=4))
    assert mask.shape == (3, 5, 16)
    assert 0 < mask.sum() < mask.numel()


def test_lanes_that_split_a_row_have_the_same_work() -> None:
    mask = mask_of(WEIGHTS, 0.25, Structure("balanced", lanes=4))
    for lane in range(4):
        assert (mask[..., lane::4].sum(-1) == 1).all()
