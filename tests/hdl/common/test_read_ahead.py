"""ReadAhead: every word with its tag, in order, whatever the latency and who stalls."""

import random
from collections import deque

import pytest
from amaranth.lib import data

from sparnn.hdl.common.read_ahead import ReadAhead
from tests.hdl.stream_helpers import collect, run


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("latency", [2, 3, 4, 5])
def test_order(latency: int, stall: float) -> None:
    dut = ReadAhead(12, data.StructLayout({"number": 8}), latency)
    rng = random.Random(str((latency, stall)))
    count = 200
    cycles = 0

    async def source(ctx):
        nonlocal cycles
        pipeline: deque[int | None] = deque([None] * latency)
        number = 0
        while True:
            issue = bool(ctx.get(dut.free)) and number < count
            ctx.set(dut.issue, issue)
            ctx.set(dut.tag.number, number)
            pipeline.append(number * 5 if issue else None)
            number += issue
            await ctx.tick()
            pipeline.popleft()
            arrived = pipeline[0]
            ctx.set(dut.data, rng.getrandbits(12) if arrived is None else arrived)
            cycles += 1

    async def sink(ctx):
        found = await collect(ctx, dut.o, count, stall=stall)
        assert [(one["word"], one["tag"]["number"]) for one in found] == [
            (5 * number, number) for number in range(count)
        ]

    run(dut, sink, background=[source])
    if not stall:  # one word per cycle
        assert cycles <= count + latency + 4
