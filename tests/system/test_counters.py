"""What the hardware counts is what the golden model counts."""

import pytest

from sparnn.gen.bench.masr import MasrOptions, masr_point
from sparnn.gen.bench.workload import masr_workload


@pytest.mark.parametrize("unfolded", [True, False])
def test_lost_slots(unfolded: bool) -> None:
    """masr_point itself asserts that the counted pairs are the golden model's useful MACs."""
    workload = masr_workload(hidden=30, steps=6, seed=3)
    point = masr_point(workload, 8, MasrOptions(v=2, unfolded=unfolded))
    assert point.bit_exact
    assert point.utilization + sum(point.lost.values()) == pytest.approx(1)
    assert point.lost["tail"] > 0
