"""SequentialMemory: words in order, from wherever reading restarts."""

import random

from sparnn.hdl.common.sequential_memory import SequentialMemory
from tests.hdl.stream_helpers import run


def test_random_reading() -> None:
    dut = SequentialMemory(16, 32)
    rng = random.Random(0)
    words = [rng.randrange(1 << 16) for _ in range(32)]

    async def bench(ctx):
        ctx.set(dut.write_en, 1)
        for address, word in enumerate(words):
            ctx.set(dut.write_addr, address)
            ctx.set(dut.write_data, word)
            await ctx.tick()
        ctx.set(dut.write_en, 0)
        for _ in range(200):
            place = rng.randrange(32)
            ctx.set(dut.base, place)
            ctx.set(dut.restart, 1)
            ctx.set(dut.next, ctx.get(dut.ready) and rng.randrange(2))
            await ctx.tick()
            ctx.set(dut.restart, 0)
            ctx.set(dut.next, 0)
            for _ in range(dut.RESTART_LATENCY - 1):
                if rng.random() < 0.2:
                    break
                assert not ctx.get(dut.ready)
                await ctx.tick()
            else:
                assert ctx.get(dut.ready)
            while not ctx.get(dut.ready):
                await ctx.tick()
            for _ in range(rng.randrange(12)):
                assert ctx.get(dut.ready)
                assert ctx.get(dut.value) == words[place % 32]
                step = rng.randrange(2)
                ctx.set(dut.next, step)
                await ctx.tick()
                ctx.set(dut.next, 0)
                place += step

    run(dut, bench)
