"""The registers behind Wishbone, in Amaranth's simulator."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring

from sparnn.hdl.bus.registers import RegisterBlock
from sparnn.hdl.bus.table import DEFAULT_TIMEOUT, REGISTERS, registers
from sparnn.hdl.bus.wishbone import Wishbone
from tests.hdl.stream_helpers import run

WORDS = {register.name: register.offset // 4 for register in REGISTERS}


class Block:
    """Registers and their bus."""

    def __init__(self, jobs=True):
        self.bus, self.registers = Wishbone(), RegisterBlock(jobs=jobs)
        self.module = Module()
        self.module.submodules.bus = self.bus
        self.module.submodules.registers = self.registers
        wiring.connect(self.module, self.bus.access, self.registers.access)

    async def access(self, ctx, word, data=None, sel=0b1111):
        """(what was read, whether it was refused)."""
        bus = self.bus
        ctx.set(bus.cyc, 1)
        ctx.set(bus.stb, 1)
        ctx.set(bus.adr, word)
        ctx.set(bus.we, data is not None)
        ctx.set(bus.dat_w, data or 0)
        ctx.set(bus.sel, sel)
        found, ack, err = (
            await ctx.tick().sample(bus.dat_r, bus.ack, bus.err).until(bus.ack | bus.err)
        )
        ctx.set(bus.cyc, 0)
        ctx.set(bus.stb, 0)
        assert ack != err
        await ctx.tick()
        assert not ctx.get(bus.ack | bus.err)
        return found, bool(err)

    async def read(self, ctx, name):
        found, refused = await self.access(ctx, WORDS[name])
        assert not refused
        return found


def test_values_are_written_by_bytes():
    block = Block()

    async def bench(ctx):
        assert await block.read(ctx, "TIMEOUT") == DEFAULT_TIMEOUT
        await block.access(ctx, WORDS["CAPACITY"], 0x11223344)
        await block.access(ctx, WORDS["CAPACITY"], 0xAABBCCDD, 0b0110)
        assert await block.read(ctx, "CAPACITY") == 0x11BBCC44
        await block.access(ctx, WORDS["CAPACITY"], 0, 0)
        assert await block.read(ctx, "CAPACITY") == 0x11BBCC44
        ctx.set(block.registers.written_value, 77)
        assert await block.read(ctx, "WRITTEN") == 77

    run(block.module, bench)


@pytest.mark.parametrize(
    ("word", "data", "sel"),
    [
        (0x3FF, None, 15),
        (0x3FF, 1, 15),
        (WORDS["MAGIC"], 1, 15),
        (WORDS["IRQ_STATUS"], 1, 1),
        (WORDS["CONTROL"], 2, 1),
        (WORDS["CONTROL"], 1, 15),  # not ready
    ],
)
def test_refused(word, data, sel):
    block = Block()

    async def bench(ctx):
        ctx.set(block.registers.control_reset_ready, 1)
        assert (await block.access(ctx, word, data, sel))[1]

    run(block.module, bench)


def test_behind_streams_there_are_no_job_registers():
    block = Block(jobs=False)

    async def bench(ctx):
        for register in registers(True):
            assert (await block.access(ctx, register.offset // 4))[1] == register.jobs

    run(block.module, bench)


def test_triggers_last_a_cycle_and_sets_win():
    block = Block()
    triggered = []

    async def watch(ctx):
        async for _, _, start in ctx.tick().sample(block.registers.control_start):
            triggered.append(start)

    async def bench(ctx):
        ctx.set(block.registers.control_start_ready, 1)
        ctx.set(block.registers.control_reset_ready, 1)
        assert not (await block.access(ctx, WORDS["CONTROL"], 1))[1]
        assert await block.read(ctx, "CONTROL") == 0
        assert sum(triggered) == 1
        ctx.set(block.registers.irq_status_done_set, 1)
        await block.access(ctx, WORDS["IRQ_STATUS"], 1)
        assert await block.read(ctx, "IRQ_STATUS") == 1
        ctx.set(block.registers.irq_status_done_set, 0)
        await block.access(ctx, WORDS["IRQ_STATUS"], 2)
        assert await block.read(ctx, "IRQ_STATUS") == 1
        await block.access(ctx, WORDS["IRQ_STATUS"], 1)
        assert await block.read(ctx, "IRQ_STATUS") == 0

    run(block.module, bench, background=[watch])
