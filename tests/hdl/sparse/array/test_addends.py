"""StoredAddends: every word of a step once, in order, however slowly they are taken."""

import random
from collections import deque

import pytest

from sparnn.hdl.sparse.array.addends import StoredAddends
from sparnn.hdl.sparse.config import SparseConfig
from tests.hdl.stream_helpers import run


@pytest.mark.parametrize("packed", [0, 1])
@pytest.mark.parametrize("stall", [0.0, 0.7])
def test_order(stall: float, packed: int) -> None:
    config = SparseConfig(
        lanes=2, post_units=2, max_v=1, store_depth=512, packed_store=packed, vector_words=4
    )
    dut = StoredAddends(config)
    rng = random.Random(str((stall, packed)))
    store = [rng.getrandbits(config.store_entry_bits) for _ in range(config.store_depth)]

    async def bench(ctx):
        ahead = 0
        arriving = deque([0] * (config.store_latency - 1))
        for _ in range(60):
            words, first = rng.randint(1, 12), rng.randrange(250)
            ctx.set(dut.words, words)
            ctx.set(dut.first, first)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.first, rng.randrange(300))
            ctx.set(dut.words, rng.randrange(100))
            read, got, cycles = [], [], 0
            while len(got) < words:
                ctx.set(dut.o.ready, rng.random() >= stall)
                enabled, address = ctx.get(dut.read_en), ctx.get(dut.read_addr)
                if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                    got.append(ctx.get(dut.o.payload.as_value()))
                await ctx.tick()
                arriving.append(store[address] if enabled else rng.getrandbits(16))
                ctx.set(dut.read_data, arriving.popleft())
                if enabled:
                    read.append(address)
                ahead = max(ahead, len(read) - len(got))
                cycles += 1
                assert cycles < 1000
            assert read == list(range(first, first + words))
            assert got == [store[place] for place in read]
            assert not ctx.get(dut.read_en)
            if not stall and words <= dut.ahead:
                assert cycles == words + config.store_latency + 3
        assert ahead <= dut.ahead + 1  # one left in this cycle

    run(dut, bench, cycles=50_000)
