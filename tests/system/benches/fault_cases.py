"""Faults drawn from a seed, what becomes of each, and whether the machine goes on as before.

Four streams take turns on the machine, each with states of its own that the host keeps, and four
whose states the machine reads from memory and writes back. Each fault meets one of them; then that
one and another go on, and have to be where the golden model is.
"""

import random
from collections import Counter

import cocotb
import numpy as np
from bus_support import crc_words, job_words
from cocotb.triggers import ClockCycles, SimTimeoutError, with_timeout
from state_cases import Streams

from sparnn.hdl.bus.faults import Fault
from sparnn.hdl.host.protocol import identity
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.answers import expected_words, parse_results
from sparnn.sim.host.packets import sequence_packets

__all__ = ["KINDS", "Faults"]

SOURCE, DESTINATION, IMAGE_AT = 0x1000, 0x8000, 0x4000
STREAMS = 4
#: Cycles without a word after which the engine gives up.
PATIENCE = 3000

#: Kinds of faults for which a check is claimed -> the codes that may be given.
BROKEN = {Fault.CHECK, Fault.REFUSED, Fault.TRUNCATED, Fault.CAPACITY, Fault.TIMEOUT}
CHECKED = {
    "bit of an image": BROKEN | {Fault.IDENTITY},
    "bit of a job": BROKEN | {Fault.IDENTITY},
    "words cut off": BROKEN | {Fault.SIZE},
    "words added": BROKEN,
    "words exchanged": BROKEN | {Fault.IDENTITY},
    "another machine's job": {Fault.IDENTITY},
    "read error": {Fault.READ},
    "write error": {Fault.WRITE},
    "small capacity": {Fault.CAPACITY},
    "silent memory": {Fault.TIMEOUT},
    "impossible place": {Fault.ALIGNMENT},
    "bit of a state in memory": BROKEN | {Fault.IDENTITY},
    "read error of a state": {Fault.READ},
    "write error of a state": {Fault.WRITE},
    "impossible place of a state": {Fault.ALIGNMENT},
}
#: Kinds for which none is: words that are wrong and whose check is right.
UNCHECKED = ("bit of an image, right check", "words exchanged, right check")
RESETS = ("soft reset", "reset", "soft reset while states move")
KINDS = (*CHECKED, *UNCHECKED, *RESETS)


class Stream:
    """A sequence that goes on from call to call."""

    def __init__(self, network):
        self.network = network
        self.states = {}

    def draw(self, rng):
        inputs = self.network.layers[0].inputs
        return np.array([[rng.randint(-128, 127) for _ in range(inputs)] for _ in range(2)])

    def advance(self, trace):
        first = trace.layers[0]
        self.states = {("initial_h", 0): first.outputs[-1], ("initial_c", 0): first.state}


class Faults:
    """A host whose jobs go wrong."""

    def __init__(self, host, program, network, image, seed):
        self.host, self.program, self.network, self.image = host, program, network, image
        self.identity = identity(program.config)
        self.rng = random.Random(seed)
        self.streams = [Stream(network) for _ in range(STREAMS)]
        self.by_memory = Streams(host, program, network, STREAMS, seed, length=4096)
        self.found = Counter()

    async def run(self, count):
        """Kind and outcome of each fault -> how often, of so many faults."""
        await self.host.write("TIMEOUT", PATIENCE)
        await self._load()
        await self.by_memory.begin()
        kinds = []
        for number in range(count):
            kinds = kinds or self.rng.sample(KINDS, len(KINDS))
            kind = kinds.pop()
            try:
                outcome = await with_timeout(cocotb.start_soon(self._meet(kind)), 2, "ms")
            except SimTimeoutError:
                raise AssertionError(f"fault {number}, {kind}: hangs") from None
            if kind in CHECKED:
                assert outcome in {fault.name for fault in CHECKED[kind]}, (number, kind, outcome)
            self.found[kind, outcome] += 1
        return self.found

    async def _meet(self, kind):
        if "state" in kind:
            return await self._meet_state(kind)
        victim, other = self.rng.sample(self.streams, 2)
        x = victim.draw(self.rng)
        words, runs = sequence_packets(self.program, 0, x, victim.states)
        count = expected_words(self.program, runs)
        if kind.startswith("bit of an image"):
            outcome = await self._image_bit(kind.endswith("right check"), words, runs, x, victim)
        elif kind in RESETS:
            outcome = await self._reset(kind, job_words(self.identity, words), count)
        else:
            outcome = await self._job(kind, words, count)
        for stream in (victim, other):
            await self._step(stream, stream.draw(self.rng))
        return outcome

    async def _meet_state(self, kind):
        """A job goes wrong whose states come from memory and go back there."""
        host, rng, streams = self.host, self.rng, self.by_memory
        victim, other = rng.sample(range(STREAMS), 2)
        place, to = streams.places[victim]
        good = host.words(place, streams.each)
        where = 4 * rng.randrange(streams.each)
        if kind == "bit of a state in memory":
            bad = list(good)
            bad[where // 4] ^= 1 << rng.randrange(32)
            host.put(place, bad)
        elif kind == "read error of a state":
            host.region.bad.add(place + where)
        elif kind == "write error of a state":
            host.region.bad.add(to + where)
        job, _, count = streams.job(victim, 1)
        wrong = rng.randint(1, 3) if kind.startswith("impossible") else 0
        later = rng.random() < 0.5
        await host.use_states(place + wrong * (not later), to + wrong * later)
        if kind in RESETS:
            outcome = await self._reset("soft reset", job, count, 900)
        else:
            await host.prepare(job, SOURCE, DESTINATION, count)
            fault = await self._end()
            outcome = fault.name if fault else "no error"
            host.region.bad.clear()
            host.put(place, good)
            await self._recover(fault, image=False)
        await host.use_states()
        for stream in (victim, other):
            await streams.step(stream)
        return outcome

    async def _job(self, kind, words, count):
        """A job of a stream goes wrong."""
        host, rng = self.host, self.rng
        job = job_words(self.identity, words)
        source, destination, capacity = SOURCE, DESTINATION, count
        beat = len(host.dut.m_axi_rdata) // 8
        if kind == "bit of a job":
            job[rng.randrange(len(job))] ^= 1 << rng.randrange(32)
        elif kind == "words cut off":
            job = job[: rng.randrange(1, len(job))]
        elif kind == "words added":
            extra = [rng.getrandbits(32) for _ in range(rng.randint(1, 40))]
            job = np.concatenate([job, np.array(extra, np.uint32)])
        elif kind.startswith("words exchanged"):
            while True:
                one, two = rng.sample(range(len(job) - 1), 2)
                if job[one] != job[two]:
                    break
            job[[one, two]] = job[[two, one]]
            if kind.endswith("right check"):
                job[-1] = crc_words(job[:-1])
        elif kind == "another machine's job":
            job = job_words(self.identity ^ 1 << rng.randrange(32), words)
        elif kind == "read error":
            host.region.bad.add(SOURCE + 4 * rng.randrange(len(job)))
        elif kind == "write error":
            host.region.bad.add(DESTINATION + 4 * rng.randrange(count))
        elif kind == "small capacity":
            capacity = rng.randrange(count)
        elif kind == "impossible place":
            if rng.random() < 0.5:
                source += rng.randint(1, 3)
            else:
                destination += rng.randint(1, 3)
        await host.prepare(job, source, destination, capacity)
        if kind == "silent memory":
            host.hold_reads(True)
        fault = await self._end()
        if fault in (Fault.READ, Fault.WRITE):
            (bad,) = host.region.bad
            said = await host.read("ERROR_ADDRESS_LO")
            # The beat that could not be read, the burst that could not be written.
            within = beat if fault == Fault.READ else 4096
            assert said // beat * beat <= bad < said + within
        host.region.bad.clear()
        host.hold_reads(False)
        await self._recover(fault, image=kind in UNCHECKED)
        return fault.name if fault else "no error"

    async def _image_bit(self, checked, words, runs, x, victim):
        """A bit of the network is wrong: in the job, or before its check was worked out."""
        host, rng = self.host, self.rng
        image = np.array(self.image, np.uint32)
        job = job_words(self.identity, image)
        at, bit = rng.randrange(1, len(job) - checked), rng.randrange(32)
        job[at] ^= np.uint32(1 << bit)
        if checked:
            job[-1] = crc_words(job[:-1])
        await host.prepare(job, IMAGE_AT, DESTINATION, 0)
        fault = await self._end()
        outcome = fault.name if fault else "no error"
        if checked and not fault:
            count = expected_words(self.program, runs)
            await host.prepare(job_words(self.identity, words), SOURCE, DESTINATION, count)
            fault = await self._end()
            outcome = fault.name
            if not fault:
                answer = host.words(DESTINATION, await host.read("WRITTEN"))
                right = len(answer) == count and self._equal(runs, answer, x, victim)
                outcome = "output right" if right else "output wrong"
        await self._recover(fault, image=True)
        return outcome

    def _equal(self, runs, answer, x, stream):
        (result,) = parse_results(self.program, runs, answer)
        trace = run_network(self.network, x, stream.states)
        return np.array_equal(result.outputs[-1], trace.layers[-1].outputs) and np.array_equal(
            result.states[0], trace.layers[0].state
        )

    async def _reset(self, kind, job, count, within=400):
        host = self.host
        await host.prepare(job, SOURCE, DESTINATION, count)
        await host.write("CONTROL", 1)
        await ClockCycles(host.dut.aclk, self.rng.randrange(within))
        if kind == "soft reset":
            await host.soft_reset()
        else:
            await host.reset()
            await host.write("TIMEOUT", PATIENCE)
            await self._load()
            await self.by_memory.point()
        assert await host.read("STATUS") & 0xFFFF == 2
        return "reset"

    async def _end(self):
        """Start the job that is prepared; why it stopped, once it has."""
        host = self.host
        jobs = await host.read("STATUS") >> 16
        await host.write("CONTROL", 1)
        while True:
            status = await host.read("STATUS")
            if status & 5 == 4:  # failed, and no longer busy
                return Fault(await host.read("ERROR") & 15)
            if status & 5 == 5 and host.r_channel.pause:
                return Fault(await host.read("ERROR") & 15)  # a burst that memory does not give
            if status >> 16 != jobs:
                return Fault.NONE

    async def _recover(self, fault, *, image):
        if fault:
            await self.host.soft_reset()
        assert await self.host.read("ERROR") == 0
        if image:
            await self._load()

    async def _load(self):
        await self.host.run(job_words(self.identity, self.image), IMAGE_AT, DESTINATION, 0)

    async def _step(self, stream, x):
        """The stream goes on from its states."""
        words, runs = sequence_packets(self.program, 0, x, stream.states)
        count = expected_words(self.program, runs)
        job = job_words(self.identity, words)
        answer = await self.host.run(job, SOURCE, DESTINATION, count)
        assert len(answer) == count
        assert self._equal(runs, answer, x, stream)
        stream.advance(run_network(self.network, x, stream.states))
