"""cocotb bench of the machine behind AXI: registers, and jobs from memory.

tests/system/test_bus.py builds and runs it. SPARNN_BENCH names a folder with network.npz,
program.json and image.bin of one network, SPARNN_SLOW asks for all crossings.
"""

import itertools
import os
import random
from pathlib import Path

import cocotb
import numpy as np
from bus_support import JobHost, crc_words, job_words
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiResp
from fault_cases import KINDS, Faults
from state_cases import MAP_AT, Streams

from sparnn.hdl.bus.faults import Fault, Part
from sparnn.hdl.bus.table import BUS_VERSION
from sparnn.hdl.host.protocol import IMAGE_VERSION, Opcode, Response, Target, header, identity
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.answers import expected_words, parse_results
from sparnn.sim.host.packets import header_words, sequence_packets, write_packet
from sparnn.sim.host.program import MachineProgram
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.verilator.hardware import load_program

FOLDER = Path(os.environ["SPARNN_BENCH"])
PROGRAM: MachineProgram = load_program(FOLDER)
NETWORK = IntegerNetwork.load(FOLDER / "network.npz")
IMAGE = np.fromfile(FOLDER / "image.bin", "<u4")
WEIGHTS = np.fromfile(FOLDER / "weights.bin", "<u4") if PROGRAM.config.stream_bits else None
X = np.random.default_rng(7).integers(-128, 128, (5, NETWORK.layers[0].inputs))
IDENTITY = identity(PROGRAM.config)
SLOW = "SPARNN_SLOW" in os.environ
LIMITS = {"timeout_time": 3, "timeout_unit": "ms"}

#: A page's end in memory: jobs lie on both sides of it.
PAGE = 0x3000


def test(**options):
    return cocotb.test(**(LIMITS | options))


async def started(dut, *, idle=0, stall=0):
    """A host with the network loaded by a job."""
    host = JobHost(dut, idle=idle, stall=stall, weights=WEIGHTS)
    await host.reset()
    await host.run(job_words(IDENTITY, IMAGE), 0x100, 0x8000, 0)
    return host


async def sequence(host, x, source, destination):
    """Run a sequence by a job and compare it with the golden model."""
    words, runs = sequence_packets(PROGRAM, 0, x)
    count = expected_words(PROGRAM, runs)
    answer = await host.run(job_words(IDENTITY, words), source, destination, count)
    assert len(answer) == count
    (result,) = parse_results(PROGRAM, runs, answer)
    trace = run_network(NETWORK, x)
    assert np.array_equal(result.outputs[-1], trace.layers[-1].outputs)
    assert np.array_equal(result.states[0], trace.layers[0].state)


@test()
async def registers_say_what_there_is(dut):
    host = JobHost(dut)
    await host.reset()
    assert await host.read("MAGIC") == 0x5350524E
    assert await host.read("VERSION") == BUS_VERSION | IMAGE_VERSION << 8
    assert await host.read("IDENTITY") == IDENTITY
    capabilities = await host.read("CAPABILITIES")
    assert capabilities & 1
    assert capabilities >> 16 & 0x3FF == len(dut.m_axi_rdata)
    assert await host.read("STATUS") == 2
    await host.write("SOURCE_LO", 0x12345678)
    await host.write("SOURCE_LO", 0xAB, at=2, size=1)
    assert await host.read("SOURCE_LO") == 0x12AB5678


@test()
async def refused_accesses_change_nothing(dut):
    host = JobHost(dut)
    await host.reset()
    assert (await host.lite.read(0x400, 4)).resp == AxiResp.SLVERR
    assert (await host.lite.write(0x400, b"1234")).resp == AxiResp.SLVERR
    await host.write("MAGIC", 1, refused=True)
    await host.write("CONTROL", 2, size=1, refused=True)
    await host.write("IRQ_STATUS", 1, size=1, refused=True)
    assert await host.read("MAGIC") == 0x5350524E
    assert await host.read("STATUS") == 2


SHAPES = [(60, 70)] if not SLOW else list(itertools.product((0, 70), (0, 80)))


@test()
@cocotb.parametrize(shape=SHAPES)
async def results_equal_the_golden_model(dut, shape):
    """Under idle and stalled channels, from and to addresses at every place of a beat and page."""
    host = await started(dut, idle=shape[0], stall=shape[1])
    beat = len(dut.m_axi_rdata) // 8
    rng = random.Random(shape[0])
    places = [0, beat - 4, beat + 4]
    if SLOW:
        places += [4, beat, *rng.sample(range(0, 2 * beat, 4), 2)]
    for place in places:
        x = X[: rng.randint(1, len(X))]
        await sequence(host, x, PAGE - beat + place, 2 * PAGE - rng.choice(places) - 4)
    assert await host.read("STATUS") >> 16 == 1 + len(places)


@test()
async def counters_and_interrupt_tell_of_a_job(dut):
    host = await started(dut)
    await host.write("IRQ_STATUS", 3)
    await host.write("IRQ_ENABLE", 1)
    await ClockCycles(dut.aclk, 3)
    assert dut.irq.value == 0
    words, runs = sequence_packets(PROGRAM, 0, X)
    job, count = job_words(IDENTITY, words), expected_words(PROGRAM, runs)
    beat = len(dut.m_axi_rdata) // 32
    await host.prepare(job, PAGE, 0x8000, count)
    await host.write("CONTROL", 1)
    await with_timeout(RisingEdge(dut.irq), 1, "ms")
    assert await host.read("WRITTEN") == count
    assert await host.read("READ_BEATS") == -(-len(job) // beat)
    assert await host.read("WRITE_BEATS") == -(-count // beat)
    assert 0 < await host.read("CYCLES") < 20000
    await host.write("IRQ_STATUS", 1)
    await ClockCycles(dut.aclk, 3)
    assert dut.irq.value == 0


@test()
async def two_jobs_in_a_row(dut):
    host = await started(dut)
    words, runs = sequence_packets(PROGRAM, 0, X)
    count = expected_words(PROGRAM, runs)
    job = job_words(IDENTITY, words)
    await host.prepare(job, 0x1000, 0x8000, count)
    await host.write("CONTROL", 1)
    await host.prepare(job, 0x2000, 0xA000, count)
    await host.write("CONTROL", 1)
    await host.write("CONTROL", 1, refused=True)  # one at work, one waits
    while await host.read("STATUS") >> 16 < 3:
        pass
    for place in (0x8000, 0xA000):
        (result,) = parse_results(PROGRAM, runs, host.words(place, count))
        assert np.array_equal(result.outputs[-1], run_network(NETWORK, X).layers[-1].outputs)


async def failing(host, job, fault, *, words=None, capacity=500, source=0x1000, to=0x8000):
    """Run a job that fails; where it did, as (address, word). Then recover and run another."""
    await host.prepare(job, source, to, capacity, words=words)
    await host.write("IRQ_STATUS", 3)
    await host.write("CONTROL", 1)
    while await host.read("STATUS") & 5 != 4:  # failed, and no longer busy
        pass
    assert await host.read("ERROR") == fault, Fault(await host.read("ERROR"))
    assert await host.read("IRQ_STATUS") == 2
    place = (
        await host.read("ERROR_ADDRESS_LO") | await host.read("ERROR_ADDRESS_HI") << 32,
        await host.read("ERROR_WORD"),
    )
    await host.write("CONTROL", 1, refused=True)
    host.region.bad.clear()
    await host.soft_reset()
    assert await host.read("ERROR") == 0
    await host.run(job_words(IDENTITY, IMAGE), 0x100, 0x8000, 0)
    await sequence(host, X[:2], 0x1004, 0x8000)
    return place


@test()
async def each_fault_has_a_code_and_a_place(dut):
    host = await started(dut)
    packets, runs = sequence_packets(PROGRAM, 0, X)
    count = expected_words(PROGRAM, runs)
    job = job_words(IDENTITY, packets)
    last = len(job) - 1

    damaged = job.copy()
    damaged[last] ^= 1 << 9
    assert await failing(host, damaged, Fault.CHECK) == (0x1000 + 4 * last, last)
    damaged = job.copy()
    damaged[4] ^= 1  # a value of the input: the machine cannot know
    assert await failing(host, damaged, Fault.CHECK) == (0x1000 + 4 * last, last)

    other = job_words(IDENTITY ^ 1, packets)
    assert await failing(host, other, Fault.IDENTITY) == (0x1000, 0)
    assert host.words(0x8000, 1) != [header(Response.DATA, 1)]

    bad = [*packets, header(7, 3), *packets]
    refused = await failing(host, job_words(IDENTITY, bad), Fault.REFUSED)
    assert refused == (0x8000 + 4 * count, count)

    assert await failing(host, job, Fault.CAPACITY, capacity=4) == (0x8010, 4)

    cut = job_words(IDENTITY, [header(Opcode.SELECT, Target.STORE << 20), header(Opcode.WRITE, 9)])
    assert await failing(host, cut, Fault.TRUNCATED) == (0x100C, 3)

    assert (await failing(host, job, Fault.SIZE, words=2))[1] == 0
    assert (await failing(host, job, Fault.SIZE, words=1 << 24))[1] == 0
    await failing(host, job, Fault.SIZE, capacity=1 << 24)
    await failing(host, job, Fault.ALIGNMENT, source=0x1002)
    await failing(host, job, Fault.ALIGNMENT, to=0x8001)


@test()
@cocotb.parametrize(shape=SHAPES[:2])
async def memory_errors_stop_a_job(dut, shape):
    host = await started(dut, idle=shape[0], stall=shape[1])
    words, _ = sequence_packets(PROGRAM, 0, np.tile(X, (2, 1)))
    job = job_words(IDENTITY, words)
    beat = len(dut.m_axi_rdata) // 8
    host.region.bad.add(0x1044)
    address, word = await failing(host, job, Fault.READ, source=0x1004)
    assert address == 0x1044 // beat * beat
    assert word <= (address - 0x1004) // 4
    host.region.bad.add(0x8008)
    address, _ = await failing(host, job, Fault.WRITE, to=0x8004)
    assert address == 0x8004 // beat * beat


@test()
@cocotb.parametrize(shape=SHAPES[:2])
async def streams_take_turns_by_states_in_memory(dut, shape):
    """Four streams, frame by frame and in pieces, are four separate runs bit for bit."""
    host = await started(dut, idle=shape[0], stall=shape[1])
    streams = Streams(host, PROGRAM, NETWORK, 4, 5)
    await streams.begin()
    for steps in (1, 1, 3, 2):
        for one in streams.rng.sample(range(4), 4):
            await streams.step(one, steps)
    # Two jobs queued, each with states of its own; then a job that goes on from what is on chip.
    waiting = []
    done = await host.read("STATUS") >> 16
    for number, one in enumerate((2, 0)):
        job, runs, count = streams.job(one, 2)
        await host.use_states(*streams.places[one])
        await host.prepare(job, 0x1000 + 0x1000 * number, 0x8000 + 0x800 * number, count)
        await host.write("CONTROL", 1)
        waiting.append((one, runs, 0x8000 + 0x800 * number, count))
    # Between the two the machine may be seen idle, so their number is waited for.
    while (await host.read("STATUS") >> 16) - done < len(waiting):
        pass
    for one, runs, place, count in waiting:
        streams.check(one, 2, runs, host.words(place, count))
    await host.use_states()
    job, runs, count = streams.job(0, 1)
    streams.check(0, 1, runs, await host.run(job, 0x1000, 0x8000, count))


@test()
async def what_goes_wrong_with_states_hurts_one_stream(dut):
    host = await started(dut)
    streams = Streams(host, PROGRAM, NETWORK, 4, 6)
    await streams.begin()
    for one in range(4):
        await streams.step(one, 2)
    each, (state, other) = streams.each, streams.places[1]
    good = host.words(state, each)
    beat = len(dut.m_axi_rdata) // 8

    async def fails(fault, part, load=state, save=other, **registers):
        job, _, count = streams.job(1, 1)
        await host.use_states(load, save)
        before = {name: await host.read(name) for name in registers}
        for name, value in registers.items():
            await host.write(name, value)
        await host.prepare(job, 0x1000, 0x8000, count)
        await host.write("CONTROL", 1)
        while await host.read("STATUS") & 5 != 4:
            pass
        error = await host.read("ERROR")
        assert (Fault(error & 15), Part(error >> 8)) == (fault, part)
        address = await host.read("ERROR_ADDRESS_LO")
        host.region.bad.clear()
        await host.soft_reset()
        for name, value in before.items():
            await host.write(name, value)
        host.put(state, good)
        return address

    last = state + 4 * each - 4
    for word, bit in ((each - 1, 3), (5, 0), (1, 31)):
        host.put(state, [*good[:word], good[word] ^ 1 << bit, *good[word + 1 :]])
        await fails(Fault.REFUSED if word == 1 else Fault.CHECK, Part.LOAD)
    host.put(state, [good[0] ^ 4, *good[1:]])
    assert await fails(Fault.IDENTITY, Part.LOAD) == state
    host.region.bad.add(last)
    assert await fails(Fault.READ, Part.LOAD) == last // beat * beat
    await fails(Fault.ALIGNMENT, Part.LOAD, load=state + 2)
    await fails(Fault.SIZE, Part.LOAD, STATE_WORDS=2)
    await fails(Fault.CHECK, Part.LOAD, STATE_WORDS=each - 1)
    host.region.bad.add(other + 4)
    await fails(Fault.WRITE, Part.SAVE)
    await fails(Fault.ALIGNMENT, Part.SAVE, save=other + 1)
    await fails(Fault.SIZE, Part.SAVE, MAP_WORDS=0)
    beyond = Fault.ALIGNMENT if len(dut.m_axi_araddr) < 64 else Fault.READ  # nothing is there
    await fails(beyond, Part.SAVE, MAP_HI=1 << 31)
    # Without states to begin with the number of words is that of what is left alone.
    await fails(Fault.CAPACITY, Part.SAVE, STATE_WORDS=each - 1, load=None)
    await fails(Fault.SIZE, Part.SAVE, STATE_WORDS=each + 1, load=None)
    # The packets that read the states are damaged, of another machine, or no such packets.
    reads = host.words(MAP_AT, streams.reads)
    elsewhere = MAP_AT + 0x800
    for words, fault in (
        ([*reads[:-1], reads[-1] ^ 1], Fault.CHECK),
        (job_words(IDENTITY ^ 1, reads[1:-1]), Fault.IDENTITY),
        (job_words(IDENTITY, header_words(PROGRAM.config, header(7, 3))), Fault.REFUSED),
        (
            job_words(IDENTITY, header_words(PROGRAM.config, header(Opcode.WRITE, 9))),
            Fault.TRUNCATED,
        ),
    ):
        host.put(elsewhere, words)
        await fails(fault, Part.SAVE, MAP_LO=elsewhere, MAP_WORDS=len(words))
    host.region.bad.add(MAP_AT + 4)
    await fails(Fault.READ, Part.SAVE)
    # Resets while a job is at work, the writing of states included.
    for _ in range(12 if SLOW else 4):
        job, _, count = streams.job(1, 1)
        await host.use_states(state, other)
        await host.prepare(job, 0x1000, 0x8000, count)
        await host.write("CONTROL", 1)
        await ClockCycles(dut.aclk, streams.rng.randrange(900))
        await host.soft_reset()
        assert host.words(state, each) == good
    # No stream has lost anything, that one neither.
    for one in range(4):
        await streams.step(one, 3)


@test()
async def silence_is_a_timeout(dut):
    host = await started(dut)
    await host.write("TIMEOUT", 300)
    job = job_words(IDENTITY, IMAGE)
    await host.prepare(job, 0x1000, 0x8000, 0)
    host.hold_reads(True)
    await host.write("CONTROL", 1)
    while not await host.read("STATUS") & 4:
        pass
    assert await host.read("ERROR") == Fault.TIMEOUT
    assert await host.read("STATUS") & 1  # a burst is still under way
    await host.write("CONTROL", 2)
    await ClockCycles(dut.aclk, 50)
    assert await host.read("STATUS") & 8
    host.hold_reads(False)
    await host.wait_reset()
    await host.write("TIMEOUT", 0)
    await host.run(job, 0x1000, 0x8000, 0)
    await sequence(host, X, 0x1000, 0x8000)


@test()
async def soft_reset_at_any_time(dut):
    host = await started(dut, idle=20, stall=20)
    words, runs = sequence_packets(PROGRAM, 0, X)
    job, count = job_words(IDENTITY, words), expected_words(PROGRAM, runs)
    rng = random.Random(3)
    for number in range(16 if SLOW else 4):
        await host.prepare(job, 0x1000, 0x8000, count)
        await host.write("CONTROL", 1)
        await host.write("CONTROL", 1)
        await ClockCycles(dut.aclk, rng.randint(0, 60 * (1 + number % 8)))
        await host.soft_reset()
        assert await host.read("STATUS") == 2
        await ClockCycles(dut.aclk, 100)
        assert await host.read("STATUS") == 2  # the job that waited is gone
        # The memories keep what they hold, so the network need not be loaded again.
        await sequence(host, X[:3], 0x1000, 0x8000)


@test()
async def reset_in_the_middle(dut):
    host = await started(dut)
    words, _ = sequence_packets(PROGRAM, 0, X)
    for cycles in (2, 9, 77):
        await host.prepare(job_words(IDENTITY, words), 0x1000, 0x8000, 500)
        await host.write("CONTROL", 1)
        await ClockCycles(dut.aclk, cycles)
        await host.reset()
        assert await host.read("TIMEOUT") == 1 << 28
        await host.run(job_words(IDENTITY, IMAGE), 0x100, 0x8000, 0)
        await sequence(host, X, 0x1000, 0x8000)


@test()
async def long_bursts_keep_to_pages(dut):
    """An image that is read from a page's middle: as many beats as words take, and whole bursts."""
    host = JobHost(dut)
    await host.reset()
    padding = write_packet(PROGRAM.config, Target.STORE, 0, 0, np.arange(32))
    job = job_words(IDENTITY, np.concatenate([padding] * (40 if SLOW else 12)))
    assert crc_words(job[:-1]) == job[-1]
    await host.run(job, PAGE - 0x84, 0x8000, 0)
    beat = len(dut.m_axi_rdata) // 8
    first, last = (PAGE - 0x84) // beat, (PAGE - 0x84 + 4 * len(job) - 1) // beat
    assert await host.read("READ_BEATS") == last - first + 1
    # Nothing waits for memory but the first word: a word a cycle, and three more for each header.
    cycles, stalls = await host.read("CYCLES"), await host.read("READ_STALLS")
    headers = 3 * len(job) // len(padding)
    assert cycles < len(job) + 3 * headers + 60, (cycles, len(job))
    assert stalls < 40, stalls


@test(timeout_time=30)
async def faults_are_found_and_streams_go_on(dut):
    """A few kinds, in `make cocotb` one of each; `make faults` has hundreds."""
    host = JobHost(dut)
    await host.reset()
    count = len(KINDS) if SLOW else 6
    assert (await Faults(host, PROGRAM, NETWORK, IMAGE, 3).run(count)).total() == count
