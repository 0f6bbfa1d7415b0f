"""SlotCounters against sums taken step by step."""

import random

import pytest

from sparnn.hdl.host.protocol import COUNTER_WORDS, Counter
from sparnn.hdl.sparse.array.counters import SlotCounters
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.lane.slots import Slot
from tests.hdl.stream_helpers import run


@pytest.mark.parametrize("lanes", [1, 3, 8, 17])
def test_sums(lanes: int) -> None:
    dut = SlotCounters(SparseConfig(lanes=lanes, max_v=1, counters=1))
    rng = random.Random(lanes)

    async def read(ctx, counter):
        value = 0
        for word in range(COUNTER_WORDS):
            ctx.set(dut.read.addr, counter * COUNTER_WORDS + word)
            await ctx.tick().repeat(2)
            value |= ctx.get(dut.read.data) << 16 * word
        return value

    async def bench(ctx):
        for cycles in (1, 2, 90):  # each run starts from zero
            expected = dict.fromkeys(Counter, 0)
            for _ in range(cycles):
                idle = rng.random() < 0.3
                slots = [Slot.IDLE if idle else Slot(rng.randrange(4)) for _ in range(lanes)]
                for port, slot in zip(dut.slots, slots, strict=True):
                    ctx.set(port, slot)
                ctx.set(dut.counting, 1)
                await ctx.tick()
                if all(slot == Slot.IDLE for slot in slots):
                    expected[Counter.TAIL] += lanes
                else:
                    for slot in slots:
                        expected[Counter[slot.name]] += 1
            ctx.set(dut.counting, 0)
            await ctx.tick().repeat(4)
            assert {one: await read(ctx, one) for one in Counter} == expected
            assert sum(expected.values()) == lanes * cycles

    run(dut, bench, cycles=3000)
