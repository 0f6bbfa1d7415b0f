"""Lanes that take work of their neighbours."""

from dataclasses import replace

import pytest

from sparnn.gen.bench.masr import MasrOptions, masr_point
from sparnn.gen.bench.workload import masr_workload


@pytest.mark.parametrize("v", [1, 4])
def test_a_lane_without_work_halves_its_neighbours(v: int) -> None:
    """Inputs in every other slice only: half of the lanes have next to nothing to do.

    masr_point itself asserts that the counted pairs are the golden model's useful MACs.
    """
    drawn = masr_workload(
        hidden=32, inputs=128, weight_density=1, input_density=1, hidden_density=0.05, steps=4
    )
    x = drawn.x.copy()
    x[:, 1::2] = 0
    workload = replace(drawn, x=x)
    options = MasrOptions(v=v, balance=False, chunk=64)
    alone, shared = (
        masr_point(workload, 4, replace(options, sharing=sharing)) for sharing in (False, True)
    )
    assert alone.bit_exact
    assert shared.bit_exact
    assert shared.useful_macs == alone.useful_macs
    if v == 1:  # the neighbour has other rows
        assert shared.cycles == alone.cycles
    else:
        assert shared.cycles < 0.8 * alone.cycles
