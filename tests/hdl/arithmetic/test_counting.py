import random

import pytest
from amaranth.hdl import Module, Signal

from sparnn.hdl.arithmetic.counting import (
    group_counts,
    lower_ones,
    lowest_index,
    population_count,
    prefix_sums,
)
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
    ("width", "group"), [(4, 4), (16, 4), (32, 8), (64, 16), (48, 16), (128, 32)]
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


@pytest.mark.parametrize("width", [2, 4, 8])
def test_lowest_one(width: int) -> None:
    """Every pattern: its place, and which places have a one below."""
    bits, place, below = Signal(width), Signal(8), Signal(width)
    m = clocked()
    m.d.comb += [place.eq(lowest_index(bits)), below.eq(lower_ones(bits))]

    async def bench(ctx):
        for pattern in range(1, 1 << width):
            ctx.set(bits, pattern)
            lowest = (pattern & -pattern).bit_length() - 1
            assert ctx.get(place) == lowest
            assert ctx.get(below) == (-1 << lowest + 1) & (1 << width) - 1
        ctx.set(bits, 0)
        assert ctx.get(below) == 0
        await ctx.tick()

    run(m, bench, cycles=10)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 32])
def test_prefix_sums(count: int) -> None:
    """Terms at random and at their most: no sum overflows."""
    terms = [Signal(4, name=f"term{k}") for k in range(count)]
    sums = [Signal(12, name=f"sum{k}") for k in range(count)]
    m = clocked()
    for signal, total in zip(sums, prefix_sums(m, list(terms), 8), strict=True):
        m.d.comb += signal.eq(total)
    rng = random.Random(count)

    async def bench(ctx):
        for number in range(20):
            values = [8 if number == 0 else rng.randint(0, 8) for _ in terms]
            for term, value in zip(terms, values, strict=True):
                ctx.set(term, value)
            wanted = [sum(values[: k + 1]) for k in range(count)]
            assert [ctx.get(total) for total in sums] == wanted
        await ctx.tick()

    run(m, bench, cycles=10)
