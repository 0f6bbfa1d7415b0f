import random

import pytest
from amaranth.hdl import Module, Signal

from sparnn.hdl.lane.counting import group_counts, population_count
from tests.hdl.stream_helpers import run


def clocked() -> Module:
    m = Module()
    tick = Signal()
    m.d.sync += tick.eq(~tick)
    return m


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 7, 8, 9])
def test_population_count(width: int) -> None:
    value, count = Signal(width), Signal(8)
    m = clocked()
    m.d.comb += count.eq(population_count(m, value))

    async def bench(ctx):
        for pattern in range(1 << width):
            ctx.set(value, pattern)
            assert ctx.get(count) == pattern.bit_count()
        await ctx.tick()

    run(m, bench, cycles=10)


@pytest.mark.parametrize(
    ("width", "group"), [(4, 4), (16, 4), (32, 8), (64, 16), (24, 16), (128, 32)]
)
def test_group_counts(width: int, group: int) -> None:
    value = Signal(width)
    counts = [Signal(8, name=f"count{k}") for k in range(-(-width // group))]
    m = clocked()
    for signal, count in zip(counts, group_counts(m, value, group), strict=True):
        m.d.comb += signal.eq(count)
    rng = random.Random(width * 1000 + group)

    async def bench(ctx):
        patterns = [0, (1 << width) - 1, *(1 << k for k in range(width))]
        for pattern in [*patterns, *(rng.getrandbits(width) for _ in range(200))]:
            ctx.set(value, pattern)
            for k, signal in enumerate(counts):
                expected = (pattern >> k * group & (1 << group) - 1).bit_count()
                assert ctx.get(signal) == expected
        await ctx.tick()

    run(m, bench, cycles=10)
