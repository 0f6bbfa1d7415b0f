"""What the hardware counts is what the golden model counts."""

import pytest

from sparnn.gen.bench.masr import MasrOptions, masr_point
from sparnn.gen.bench.workload import masr_workload


@pytest.mark.parametrize("unfolded", [True, pytest.param(False, marks=pytest.mark.deep)])
def test_lost_slots(unfolded: bool) -> None:
    """masr_point itself asserts that the counted pairs are the golden model's useful MACs."""
    workload = masr_workload(hidden=30, steps=6, seed=3)
    point = masr_point(workload, 8, MasrOptions(v=2, unfolded=unfolded))
    assert point.bit_exact
    assert point.utilization + sum(point.lost.values()) == pytest.approx(1)
    assert point.lost["tail"] > 0


@pytest.mark.parametrize(
    ("width", "masks"), [(4, True), pytest.param(2, False, marks=pytest.mark.deep)]
)
def test_lost_slots_of_wide_lanes(width: int, masks: bool) -> None:
    """Rows that are pruned together: zeros are multiplied only where there are no masks."""
    workload = masr_workload(hidden=40, steps=6, seed=3, block=4)
    point = masr_point(workload, 2, MasrOptions(width=width, masks=masks))
    assert point.bit_exact
    assert (point.macs, point.lanes) == (2 * width, 2)
    assert point.utilization + sum(point.lost.values()) == pytest.approx(1)
    assert (point.lost["zero"] < 0.05) == masks
