"""Banks against one list of entries; a read wakes one bank and leaves the others as they are."""

import random

import pytest
from amaranth.hdl import Module, unsigned
from amaranth.sim import Simulator

from sparnn.hdl.common.banked_memory import banked_memory

BITS = 5


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize("row_writes", [False, True])
@pytest.mark.parametrize(("depth", "banks"), [(8, 1), (8, 4), (13, 4), (2, 2)])
def test_one_memory_to_its_reader(depth, banks, row_writes, parity):
    m = Module()
    write, read = banked_memory(
        m,
        "words",
        shape=unsigned(BITS),
        depth=depth,
        banks=banks,
        attrs={},
        parity=parity,
        row_writes=row_writes,
    )
    sim = Simulator(m)
    sim.add_clock(1e-6)
    rng = random.Random(depth + banks)
    held = [0] * (-(-depth // banks) * banks)
    expected = None

    async def bench(ctx):
        nonlocal expected
        for _ in range(200):
            enable, place = rng.random() < 0.6, rng.randrange(depth)
            writes = rng.random() < 0.5
            ctx.set(read.en, enable)
            ctx.set(read.addr, place)
            ctx.set(write.en, writes)
            if row_writes:
                row = rng.randrange(-(-depth // banks))
                values = [rng.getrandbits(BITS) for _ in range(banks)]
                targets = range(row * banks, (row + 1) * banks)
                ctx.set(write.addr, row)
                ctx.set(write.data, sum(one << BITS * k for k, one in enumerate(values)))
            else:
                values, targets = [rng.getrandbits(BITS)], [rng.randrange(depth)]
                ctx.set(write.addr, targets[0])
                ctx.set(write.data, values[0])
            if enable and writes and place in targets:
                ctx.set(read.en, 0)  # what is read of a word that is written is nobody's business
                enable = False
            await ctx.tick()
            if enable:
                expected = held[place]
            if writes:
                for target, value in zip(targets, values, strict=True):
                    held[target] = value
            if expected is not None:
                assert ctx.get(read.data) == expected
                if parity:
                    assert ctx.get(read.parity) == expected.bit_count() % 2

    sim.add_testbench(bench)
    sim.run()
