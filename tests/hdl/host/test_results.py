"""ResultWriter: RESULT packets out of output words."""

import random

import pytest

from sparnn.hdl.host.protocol import Response, header
from sparnn.hdl.host.results import ResultWriter
from sparnn.hdl.sparse.config import SparseConfig
from tests.hdl.stream_helpers import collect, run, send


def make_steps(rng: random.Random, units: int, post_units: int, steps: int):
    """(output words, host words) of some emitted steps."""
    words, expected = [], []
    for _ in range(steps):
        values = [rng.choice((-32768, 32767, -1, 0, rng.randint(-99, 99))) for _ in range(units)]
        expected += [header(Response.RESULT, units), *(value & 0xFFFFFFFF for value in values)]
        for start in range(0, units, post_units):
            part = values[start : start + post_units]
            words.append(
                {
                    "values": part + [0] * (post_units - len(part)),
                    "count": len(part),
                    "first": int(start == 0),
                }
            )
    return words, expected


@pytest.mark.parametrize("stall", [0.0, 0.6])
@pytest.mark.parametrize("idle", [0.0, 0.6])
@pytest.mark.parametrize(("post_units", "units"), [(1, 1), (1, 5), (4, 3), (4, 8), (64, 65)])
def test_packets(post_units: int, units: int, idle: float, stall: float) -> None:
    config = SparseConfig(lanes=post_units, post_units=post_units, max_v=1, chunk=64)
    dut = ResultWriter(config)
    words, expected = make_steps(random.Random(units), units, post_units, 4)

    async def source(ctx):
        ctx.set(dut.units, units)
        await send(ctx, dut.results, words, idle=idle)

    async def sink(ctx):
        assert await collect(ctx, dut.words, len(expected), stall=stall) == expected
        assert ctx.get(dut.idle)
        assert not ctx.get(dut.words.valid)

    run(dut, source, sink, cycles=5000)


def test_values_leave_one_per_cycle() -> None:
    """A word of n values takes n + 1 cycles, a header one more."""
    config = SparseConfig(lanes=8, post_units=8, max_v=1)
    dut = ResultWriter(config)
    words, expected = make_steps(random.Random(0), 16, 8, 5)
    cycle = 0
    at: list[int] = []

    async def count(ctx):
        nonlocal cycle
        while True:
            await ctx.tick()
            cycle += 1

    async def source(ctx):
        ctx.set(dut.units, 16)
        await send(ctx, dut.results, words)

    async def sink(ctx):
        await collect(ctx, dut.words, len(expected), at=at, clock=lambda: cycle)

    run(dut, source, sink, background=[count], cycles=5000)
    assert at[-1] - at[0] + 1 == 5 * (1 + 2 * (8 + 1)) - 1


def test_header_of_a_layer_that_is_over() -> None:
    """The next descriptor may be on its way while the host has not taken the header yet."""
    config = SparseConfig(lanes=4, post_units=4, max_v=1)
    dut = ResultWriter(config)
    words, expected = make_steps(random.Random(0), 3, 4, 1)

    async def source(ctx):
        ctx.set(dut.units, 3)
        await send(ctx, dut.results, words)
        ctx.set(dut.units, 99)

    async def sink(ctx):
        await ctx.tick().repeat(10)
        assert await collect(ctx, dut.words, len(expected)) == expected

    run(dut, source, sink, cycles=5000)
