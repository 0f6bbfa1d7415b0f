"""The other side of the machine's buses, for cocotb benches."""

import random
from itertools import count
from types import SimpleNamespace

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, ReadOnly, RisingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiResp, AxiSlave
from cocotbext.axi.address_space import MemoryRegion
from crossings import meet_fault, meet_job

from sparnn.hdl.bus.table import REGISTERS
from sparnn.hdl.common.check import crc_words

__all__ = ["JobHost", "crc_words", "job_words"]

OFFSETS = {register.name: register.offset for register in REGISTERS}
GUARD = 0xDEADBEEF
#: Words before and behind what is written that have to stay.
GUARDS = 40


def job_words(identity, packets):
    """A job: identity, packets, check."""
    words = [identity, *(int(word) for word in packets)]
    return np.array([*words, crc_words(words)], np.uint32)


def pauses(percent, seed):
    """For pause generators: whether a channel rests, in so many of its cycles."""
    rng = random.Random(seed)
    return (rng.random() * 100 < percent for _ in count())


class FaultyRegion(MemoryRegion):
    """Memory that answers accesses to ``bad`` addresses with an error."""

    def __init__(self, size):
        super().__init__(size)
        self.bad = set()

    def _check(self, address, length):
        if any(address <= bad < address + length for bad in self.bad):
            raise ValueError(f"access to {address:#x}")

    async def _read(self, address, length, **kwargs):
        self._check(address, length)
        return await super()._read(address, length, **kwargs)

    async def _write(self, address, data, **kwargs):
        self._check(address, len(data))
        await super()._write(address, data, **kwargs)


class WishboneMaster:
    """Accesses by Wishbone, with the calls and answers of AxiLiteMaster."""

    def __init__(self, dut):
        self.dut = dut
        dut.wb_cyc.value = 0
        dut.wb_stb.value = 0

    async def _access(self, address, data, sel):
        dut = self.dut
        await FallingEdge(dut.aclk)
        dut.wb_adr.value = address // 4
        dut.wb_we.value = data is not None
        dut.wb_dat_w.value = data or 0
        dut.wb_sel.value = sel
        dut.wb_cyc.value = 1
        dut.wb_stb.value = 1
        while True:
            await FallingEdge(dut.aclk)
            if dut.wb_ack.value or dut.wb_err.value:
                break
        resp = AxiResp.SLVERR if dut.wb_err.value else AxiResp.OKAY
        found = int(dut.wb_dat_r.value).to_bytes(4, "little")
        dut.wb_cyc.value = 0
        dut.wb_stb.value = 0
        await FallingEdge(dut.aclk)
        return SimpleNamespace(data=found, resp=resp)

    async def read(self, address, length):
        assert length == 4
        return await self._access(address, None, 15)

    async def write(self, address, data):
        at = address % 4
        value = int.from_bytes(bytes(data), "little") << 8 * at
        return await self._access(address, value, (1 << len(data)) - 1 << at)


class Host:
    """Drives clock, reset and registers."""

    def __init__(self, dut, idle=0):
        self.dut = dut
        self.states = 0
        Clock(dut.aclk, 10, unit="ns").start()
        dut.aresetn.value = 0
        if hasattr(dut, "wb_cyc"):
            self.lite = WishboneMaster(dut)
            return
        bus = AxiLiteBus.from_prefix(dut, "s_axi")
        self.lite = AxiLiteMaster(bus, dut.aclk, dut.aresetn, reset_active_level=False)
        if idle:
            write, read = self.lite.write_if, self.lite.read_if
            for channel in (write.aw_channel, write.w_channel, write.b_channel):
                channel.set_pause_generator(pauses(idle, id(channel)))
            for channel in (read.ar_channel, read.r_channel):
                channel.set_pause_generator(pauses(idle, id(channel)))

    async def reset(self):
        self.dut.aresetn.value = 0
        self.states = 0
        await ClockCycles(self.dut.aclk, 4)
        self.dut.aresetn.value = 1
        await self.wait_reset()

    async def wait_reset(self):
        """Wait until no reset is going on."""
        while await self.read("STATUS") & 8:
            pass

    async def soft_reset(self):
        await self.write("CONTROL", 2)
        await self.wait_reset()

    async def read(self, name):
        answer = await self.lite.read(OFFSETS[name], 4)
        assert answer.resp == AxiResp.OKAY
        value = int.from_bytes(answer.data, "little")
        if name == "ERROR" and value:
            meet_fault(value)
        return value

    async def write(self, name, value, *, at=0, size=4, refused=False):
        data = value.to_bytes(size, "little")
        answer = await self.lite.write(OFFSETS[name] + at, data)
        assert answer.resp == (AxiResp.SLVERR if refused else AxiResp.OKAY), name


#: Where weights lie that the machine reads by itself.
WEIGHTS_AT = 0xE000


class JobHost(Host):
    """And memory of 64 KiB, with the weights of a machine that reads them from there."""

    def __init__(self, dut, *, idle=0, stall=0, weights=None):
        super().__init__(dut, idle)
        self.weights = weights
        self.pauses, self.states = (idle, stall), 0
        self.region = FaultyRegion(1 << 16)
        self.memory = AxiSlave(
            AxiBus.from_prefix(dut, "m_axi"),
            dut.aclk,
            dut.aresetn,
            target=self.region,
            reset_active_level=False,
        )
        write, read = self.memory.write_if, self.memory.read_if
        self.r_channel = read.r_channel
        seeds = count(100 * idle + stall)
        if stall:
            for channel in (write.aw_channel, write.w_channel, read.ar_channel):
                channel.set_pause_generator(pauses(stall, next(seeds)))
        if idle:
            for channel in (write.b_channel, read.r_channel):
                channel.set_pause_generator(pauses(idle, next(seeds)))
        cocotb.start_soon(self._watch("ar"))
        cocotb.start_soon(self._watch("aw"))

    async def reset(self):
        await super().reset()
        if self.weights is not None:
            self.put(WEIGHTS_AT, self.weights)
            await self.write("WEIGHTS_LO", WEIGHTS_AT)

    async def _watch(self, channel):
        """What is offered stands until it is taken, and no burst crosses 4 KiB."""
        dut = self.dut
        valid, ready = (getattr(dut, f"m_axi_{channel}{end}") for end in ("valid", "ready"))
        address, length = (getattr(dut, f"m_axi_{channel}{end}") for end in ("addr", "len"))
        size = len(dut.m_axi_rdata) // 8
        before = None
        while True:
            await RisingEdge(dut.aclk)
            await ReadOnly()
            if not dut.aresetn.value:
                before = None
                continue
            now = (int(address.value), int(length.value)) if valid.value else None
            if before is not None:
                assert now == before, f"{channel} changed before it was taken"
            if now is not None:
                first = now[0]
                last = first // size * size + (now[1] + 1) * size - 1
                assert first >> 12 == last >> 12, f"a burst crosses 4 KiB: {now}"
            before = None if now is None or ready.value else now

    def hold_reads(self, held):
        """Give no beats."""
        self.r_channel.clear_pause_generator()
        self.r_channel.pause = held

    def words(self, address, number):
        return np.frombuffer(self.region[address : address + 4 * number], "<u4").tolist()

    def put(self, address, words):
        data = np.asarray(words, np.uint32).astype("<u4").tobytes()
        self.region[address : address + len(data)] = data

    async def prepare(self, job, source, destination, capacity, *, words=None):
        """Put a job into memory and say so in the registers."""
        bits = len(self.dut.m_axi_rdata)
        meet_job(bits, source, len(job), destination, capacity, self.pauses, self.states)
        self.put(source & ~3, job)
        await self.write("SOURCE_LO", source)
        await self.write("SOURCE_WORDS", len(job) if words is None else words)
        await self.write("DESTINATION_LO", destination)
        await self.write("CAPACITY", capacity)

    async def use_states(self, load=None, save=None):
        """Where the next jobs' states come from and go to; None: nowhere."""
        self.states = (load is not None) | (save is not None) << 1
        await self.write("STATES", self.states)
        await self.write("STATE_IN_LO", load or 0)
        await self.write("STATE_OUT_LO", save or 0)

    async def run(self, job, source, destination, capacity):
        """Run a job to its end; the words of its answer. What is beside them has to stay."""
        guards = [GUARD] * GUARDS
        before = destination - 4 * GUARDS
        self.put(before, [*guards, *[0] * capacity, *guards])
        await self.prepare(job, source, destination, capacity)
        jobs = await self.read("STATUS") >> 16
        await self.write("CONTROL", 1)
        while True:
            status = await self.read("STATUS")
            assert not status & 4, f"error {await self.read('ERROR')}"
            if status >> 16 != jobs:
                break
        written = await self.read("WRITTEN")
        found = self.words(before, 2 * GUARDS + capacity)
        assert found[:GUARDS] == guards
        assert found[GUARDS + capacity :] == guards
        return found[GUARDS : GUARDS + written]
