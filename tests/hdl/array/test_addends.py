"""StoredAddends: every place once, in the order of the outputs, whoever else reads."""

import random

import pytest

from sparnn.hdl.array.addends import StoredAddends
from sparnn.hdl.config import MachineConfig
from tests.hdl.stream_helpers import run


@pytest.mark.parametrize(("busy", "stall"), [(0.0, 0.0), (0.6, 0.0), (0.0, 0.7), (0.5, 0.5)])
def test_order(busy: float, stall: float) -> None:
    config = MachineConfig(lanes=2, post_units=2, max_v=1, store_depth=300)
    dut = StoredAddends(config)
    rng = random.Random(str((busy, stall)))
    store = [rng.getrandbits(config.store_entry_bits) for _ in range(config.store_depth)]

    async def bench(ctx):
        for number in range(30):
            words, steps, reverse = rng.randint(1, 5), rng.randint(1, 6), rng.randint(0, 1)
            stride = words + rng.randint(0, 3)
            base = rng.randrange(250)
            order = range(steps - 1, -1, -1) if reverse else range(steps)
            places = [base + step * stride + word for step in order for word in range(words)]
            enable = number % 5 != 0
            program = {"out_words": words, "out_stride": stride, "reverse": reverse}
            ctx.set(dut.program, program)
            ctx.set(dut.first, places[0])
            ctx.set(dut.enable, enable)
            ctx.set(dut.steps, steps)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.first, rng.randrange(300))
            ctx.set(dut.steps, rng.randrange(100))
            read, got, cycles = [], [], 0
            idle = 0
            while idle < 12:
                ctx.set(dut.free, rng.random() >= busy)
                ctx.set(dut.o.ready, rng.random() >= stall)
                enabled, address = ctx.get(dut.read_en), ctx.get(dut.read_addr)
                assert not enabled or ctx.get(dut.free)
                if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                    got.append(ctx.get(dut.o.payload.as_value()))
                await ctx.tick()
                ctx.set(dut.read_data, store[address] if enabled else rng.getrandbits(16))
                if enabled:
                    read.append(address)
                assert len(read) - len(got) <= StoredAddends.AHEAD + 1  # one left in this cycle
                cycles += 1
                idle = 0 if len(got) < len(places) * enable else idle + 1
                assert cycles < 1000
            assert read == (places if enable else [])
            assert got == [store[place] for place in read]
            if busy == stall == 0.0 and enable:
                assert cycles - 12 <= 2 * len(places) + 6

    run(dut, bench, cycles=50_000)
