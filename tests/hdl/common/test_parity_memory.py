"""Words with parity: every single bit that flips is seen by whoever uses the word."""

from amaranth.hdl import Module, unsigned
from amaranth.sim import Simulator

from sparnn.hdl.common.parity_memory import parity_memory

DEPTH = 8


def test_every_bit_of_a_word():
    m = Module()
    write, read = parity_memory(m, "words", shape=unsigned(5), depth=DEPTH, attrs={})
    words = m.submodules.words.data
    sim = Simulator(m)
    sim.add_clock(1e-6)

    async def bench(ctx):
        async def odd(address):
            ctx.set(read.addr, address)
            await ctx.tick()
            return (ctx.get(read.data).bit_count() + ctx.get(read.parity)) % 2

        assert [await odd(k) for k in range(DEPTH)] == [0] * DEPTH  # what memories begin with
        for value in (0, 1, 0b10110, 31):
            ctx.set(write.en, 1)
            ctx.set(write.addr, 3)
            ctx.set(write.data, value)
            await ctx.tick()
            ctx.set(write.en, 0)
            assert not await odd(3)
            assert ctx.get(read.data) == value
            for bit in range(6):
                ctx.set(words[3], ctx.get(words[3]) ^ 1 << bit)
                assert await odd(3)
                ctx.set(words[3], ctx.get(words[3]) ^ 1 << bit)

    sim.add_testbench(bench)
    sim.run()
