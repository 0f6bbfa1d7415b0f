"""Bursts: none crosses 4 KiB, whatever the width."""

import pytest
from amaranth.hdl import Module, Signal

from sparnn.hdl.bus.geometry import BOUNDARY, MemoryGeometry
from sparnn.hdl.errors import ConfigurationError
from tests.hdl.stream_helpers import run


@pytest.mark.parametrize("bits", [32, 64, 128, 256, 512])
@pytest.mark.parametrize("burst", [1, 16, 256])
def test_bursts_stay_within_a_page(bits, burst):
    geometry = MemoryGeometry(data_bits=bits, burst=burst)
    page = geometry.page_beats
    assert page * bits // 8 == BOUNDARY
    beat, left, length = Signal(30), Signal(24), Signal(9)
    m = Module()
    m.d.sync += length.eq(geometry.burst_length(beat, left))

    async def bench(ctx):
        for first in (0, 1, page // 2 + 1, page - 1, 3 * page - 2):
            for rest in (1, 3, 10_000):
                ctx.set(beat, first)
                ctx.set(left, rest)
                await ctx.tick()
                found = ctx.get(length)
                assert 1 <= found <= min(rest, burst)
                assert first // page == (first + found - 1) // page

    run(m, bench)


@pytest.mark.parametrize(
    "wrong",
    [
        {"data_bits": 48},
        {"data_bits": 1024},
        {"address_bits": 8},
        {"burst": 512},
        {"burst": 3},
        {"outstanding": 32},
    ],
)
def test_impossible_geometries_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=name):
        MemoryGeometry(**wrong)
