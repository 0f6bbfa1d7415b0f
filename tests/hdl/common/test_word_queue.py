"""WordQueue: order, depth, and what it promises about time."""

import random

import pytest

from sparnn.hdl.common.word_queue import WordQueue
from tests.hdl.stream_helpers import collect, put, run, send


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("idle", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("depth", [4, 16])
def test_order(depth: int, idle: float, stall: float) -> None:
    dut = WordQueue(9, depth)
    words = [random.Random(depth).getrandbits(9) for _ in range(100)]

    async def source(ctx):
        await send(ctx, dut.i, words, idle=idle)

    async def sink(ctx):
        assert await collect(ctx, dut.o, len(words), stall=stall) == words
        assert not ctx.get(dut.o.valid)

    run(dut, source, sink, cycles=10_000)


@pytest.mark.parametrize("depth", [4, 32])
def test_depth_and_latency(depth: int) -> None:
    """Latency when empty; exactly two words more than ``depth`` with nothing taken."""
    dut = WordQueue(8, depth)

    async def bench(ctx):
        await put(ctx, dut.i, 7)
        for _ in range(WordQueue.LATENCY - 2):
            assert not ctx.get(dut.o.valid)
            await ctx.tick()
        assert ctx.get(dut.o.valid)
        for number in range(depth + 1):
            assert ctx.get(dut.i.ready)
            await put(ctx, dut.i, number)
        for _ in range(5):
            assert not ctx.get(dut.i.ready)
            await ctx.tick()
        taken = await collect(ctx, dut.o, depth + 2)
        assert taken == [7, *range(depth + 1)]

    run(dut, bench)
