"""Jobs: packets from memory through the machine, its answer to memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.machine import MachineConfig

from .faults import Fault, Part
from .feed import LEAST_WORDS
from .geometry import WORD_COUNT_BITS, MemoryGeometry
from .job_counters import JobCounters
from .job_work import JOB, RESET_CYCLES, JobWork

__all__ = ["JobEngine"]


class JobEngine(wiring.Component):
    """Works through jobs, one at a time; one more may wait.

    A job is words in memory: the identity of the machine that it is for, packets
    (docs/machine.md), and the CRC-32 (ISO-HDLC) of all words before it. The packets go to the
    machine, all that it answers goes to the destination. The job is done when the machine has
    taken the last word, is at rest and the memory has acknowledged its last word of answer. The
    machine is at rest where it takes a word and none is offered, and offers none itself.

    Around it there may be two parts more, which are jobs like it. With ``load`` the words at
    ``state_in`` come first: they write the states that the job begins with. With ``save`` those at
    ``map`` come last: they read the states that it leaves, and :class:`StateWriter` turns what is
    answered into words for ``state_out`` that a later job can load.

    The first thing that goes wrong ends the job: no burst begins any more, those that have begun
    come to their end, the answers up to there are written (but for WRITE), the interrupt is raised
    and nothing starts until a soft reset, which also drops the job that waits. The reset holds the
    machine in reset for ``RESET_CYCLES``; its memories keep what they hold.

    Latency: the first burst is asked for four cycles after ``start``. Flow control: streams.

    Parameters
    ----------
    config: of the machine, which may read its weights from memory. geometry: of the memory.

    Members
    -------
    start: the job of source, words, destination, capacity, load, save, state_in and state_out, as
        in the registers; while ``ready``. timeout: as the register.
    map, map_words, state_words: as the registers; they stand while a job is at work.
    soft_reset: at any time. machine_reset: resets the machine.
    rx: Out(stream), tx: In(stream), the machine's. read_*, write_*: reader and writer.
    ready, busy, failed, resetting, fault, part, error_word, error_address, jobs, written: as in the
        registers. done, erred: one cycle, for the interrupt.
    cycles, read_beats, write_beats, read_stalls, write_stalls: of the last job.
    wrong: only of a machine with parity: a word that it read does not match it, for a cycle.
    damaged: only of a machine that reads its weights: they do not match their check.
    """

    def __init__(self, config: MachineConfig, geometry: MemoryGeometry) -> None:
        self._config, self._geometry = config, geometry
        address = geometry.address_bits
        super().__init__(
            {
                "start": In(1),
                **{name: In(bits) for name, bits in JOB.items()},
                "map": In(64),
                "map_words": In(32),
                "state_words": In(32),
                "timeout": In(32),
                "soft_reset": In(1),
                "machine_reset": Out(1, init=1),
                "rx": Out(stream.Signature(32 * config.link_words)),
                "tx": In(stream.Signature(32)),
                "read_start": Out(1),
                "read_address": Out(address),
                "read_count": Out(WORD_COUNT_BITS),
                "read_words": In(stream.Signature(32)),
                "read_stop": Out(1),
                "read_idle": In(1),
                "read_beat": In(1),
                "read_error": In(1),
                "read_error_address": In(address),
                "write_start": Out(1),
                "write_address": Out(address),
                "write_words": Out(stream.Signature(32)),
                "write_finish": Out(1),
                "write_drop": Out(1),
                "write_idle": In(1),
                "write_beat": In(1),
                "write_error": In(1),
                "write_error_address": In(address),
                "ready": Out(1),
                "busy": Out(1),
                "failed": Out(1),
                "resetting": Out(1),
                "fault": Out(Fault),
                "part": Out(Part),
                "error_word": Out(WORD_COUNT_BITS),
                "error_address": Out(address),
                "jobs": Out(16),
                "written": Out(WORD_COUNT_BITS),
                "done": Out(1),
                "erred": Out(1),
                **{name: Out(32) for name in JobCounters.NAMES},
            }
            | ({"damaged": In(1)} if config.stream_bits else {})
            | ({"wrong": In(1)} if config.parity else {})
        )

    @property
    def config(self) -> MachineConfig:
        return self._config

    @property
    def geometry(self) -> MemoryGeometry:
        return self._geometry

    def elaborate(self, platform: object) -> Module:
        m = Module()
        work = JobWork(self._config, self._geometry)
        cleared = ResetInserter(self.machine_reset)
        m.submodules.feeder = cleared(work.feeder)
        m.submodules.follower = cleared(work.follower)
        m.submodules.states = cleared(work.states)
        m.submodules.counters = work.counters
        wiring.connect(m, wiring.flipped(self.read_words), work.feeder.words_in)
        wiring.connect(m, work.feeder.beats, wiring.flipped(self.rx))
        self._queue(m, work)
        self._move(m, work)
        self._count(m, work)
        self._judge(m, work)
        self._watch(m, work)
        self._fail(m, work)
        m.d.comb += self.busy.eq(1)
        with m.FSM(init="RESET"):
            self._run(m, work)
            self._recover(m, work)
        return m

    def _queue(self, m: Module, work: JobWork) -> None:
        """Take the job that waits while the work before is at work."""
        m.d.comb += self.ready.eq(~work.waiting & ~self.failed & ~self.resetting)
        with m.If(self.start & self.ready):
            m.d.sync += [
                work.waiting.eq(1),
                *(work.waits[name].eq(getattr(self, name)) for name in JOB),
            ]

    def _move(self, m: Module, work: JobWork) -> None:
        """Connect what the job's words and the answers pass through."""
        m.d.comb += [
            self.read_address.eq(work.given["source"]),
            self.read_count.eq(work.given["words"]),
            self.write_address.eq(work.given["destination"]),
            self.read_start.eq(work.begins),
            self.write_start.eq(work.begins),
            work.feeder.start.eq(work.begins),
            work.feeder.words.eq(work.given["words"]),
            work.feeder.enable.eq(work.working),
            work.saving.eq(work.part == Part.SAVE),
            work.full.eq(work.put == work.given["capacity"]),
            work.offers.eq(Mux(work.saving, work.states.words.valid, self.tx.valid)),
            self.write_words.valid.eq(work.offers & work.working & ~work.full),
            self.write_words.payload.eq(
                Mux(work.saving, work.states.words.payload, self.tx.payload)
            ),
            work.room.eq(self.write_words.ready & work.working & ~work.full),
            self.tx.ready.eq(
                Mux(work.saving, work.states.answers.ready & work.working, work.room)
                | work.discarding
            ),
            work.states.start.eq(work.begins & work.saving),
            work.states.took.eq(self.rx.valid & self.rx.ready),
            work.states.word.eq(self.rx.payload),
            work.states.answers.valid.eq(self.tx.valid & work.saving & work.working),
            work.states.answers.payload.eq(self.tx.payload),
            work.states.words.ready.eq(work.room & work.saving),
            work.states.finish.eq(work.resting),
            work.takes.eq(self.write_words.valid & self.write_words.ready),
            work.follower.took.eq(self.tx.valid & self.tx.ready),
            work.follower.word.eq(self.tx.payload),
            work.resting.eq(work.feeder.done & self.rx.ready & ~self.tx.valid),
        ]
        with m.If(work.takes):
            m.d.sync += work.put.eq(work.put + 1)
            with m.If(work.part == Part.JOB):
                m.d.sync += self.written.eq(self.written + 1)

    def _count(self, m: Module, work: JobWork) -> None:
        """Count the cycles of a job, and those in which nothing moves."""
        m.d.comb += [
            work.counters.begin.eq(work.begins & work.fresh),
            work.counters.read_beat.eq(self.read_beat),
            work.counters.write_beat.eq(self.write_beat),
            work.counters.read_stall.eq(
                work.working
                & self.rx.ready
                & ~self.rx.valid
                & ~self.read_words.valid
                & ~work.feeder.done
            ),
            work.counters.write_stall.eq(work.working & self.tx.valid & ~self.tx.ready),
            work.counters.moved.eq(
                self.read_beat
                | self.write_beat
                | work.takes
                | (self.read_words.valid & self.read_words.ready)
                | (self.rx.valid & self.rx.ready)
            ),
            work.counters.timeout.eq(self.timeout),
        ]
        m.d.comb += self.resetting.eq(self.machine_reset)
        if self._config.parity:
            m.d.comb += work.struck.eq(self.wrong)
        m.d.comb += [
            getattr(self, name).eq(getattr(work.counters, name)) for name in work.counters.NAMES
        ]

    def _judge(self, m: Module, work: JobWork) -> None:
        """Say whether the part's sizes and places are possible, a cycle after they are given."""
        beyond = [
            (work.given[start][2:] + work.given[count])[len(work.given[start]) - 2 :].any()
            for start, count in (("source", "words"), ("destination", "capacity"))
        ]
        m.d.sync += [
            work.sizes.eq(~work.wide & (work.given["words"] >= LEAST_WORDS)),
            work.places.eq(
                ~work.far
                & ~work.given["source"][:2].any()
                & ~work.given["destination"][:2].any()
                & ~Cat(beyond).any()
            ),
        ]

    def _watch(self, m: Module, work: JobWork) -> None:
        """Say what goes wrong while words move."""
        with m.If(work.working):
            with m.If(self.read_error):
                work.fail(m, Fault.READ, work.feeder.taken)
            with m.Elif(self.write_error):
                work.fail(m, Fault.WRITE, work.put, answer=True)
            with m.Elif(work.feeder.fault != Fault.NONE):
                m.d.comb += [work.wrong.eq(work.feeder.fault), work.at.eq(work.feeder.taken - 1)]
            with m.Elif(work.takes & work.follower.refused & ~work.saving):
                work.fail(m, Fault.REFUSED, work.put, answer=True)
            with m.Elif(work.saving & work.states.wrong):
                work.fail(m, Fault.REFUSED, work.put, answer=True)
            with m.Elif(work.offers & work.full):
                # A job without room for answers may still meet a packet that is refused.
                what = Mux(work.follower.refused & ~work.saving, Fault.REFUSED, Fault.CAPACITY)
                m.d.comb += [work.wrong.eq(what), work.at.eq(work.put), work.of_answer.eq(1)]
            with m.Elif(work.ends & work.saving & ~work.full):
                work.fail(m, Fault.SIZE, work.put, answer=True)
            with m.Elif(work.counters.expired):
                work.fail(m, Fault.TIMEOUT, work.feeder.taken)
            if self._config.stream_bits:
                with m.If(self.damaged):
                    work.fail(m, Fault.WEIGHTS, work.feeder.taken)
            with m.If(work.struck):
                work.fail(m, Fault.PARITY, work.feeder.taken)

    def _fail(self, m: Module, work: JobWork) -> None:
        """Keep what went wrong and the word, and a cycle later the word's address."""
        with m.If(work.locates):
            with m.Switch(self.fault):
                with m.Case(Fault.READ):
                    m.d.sync += self.error_address.eq(self.read_error_address)
                with m.Case(Fault.WRITE):
                    m.d.sync += self.error_address.eq(self.write_error_address)
                with m.Default():
                    m.d.sync += self.error_address.eq(work.base + Cat(Const(0, 2), self.error_word))

        m.d.sync += [self.done.eq(0), self.erred.eq(0), work.locates.eq(0)]
        with m.If(work.wrong != Fault.NONE):
            m.d.sync += [
                self.failed.eq(1),
                self.erred.eq(1),
                work.locates.eq(1),
                self.fault.eq(work.wrong),
                self.part.eq(work.part),
                self.error_word.eq(work.at),
                work.base.eq(Mux(work.of_answer, work.given["destination"], work.given["source"])),
            ]

    def _run(self, m: Module, work: JobWork) -> None:
        """The states of a job, and of one that has failed."""
        with self._state(m, work, "IDLE"):
            m.d.comb += self.busy.eq(0)
            with m.If(work.waiting):
                m.d.sync += [
                    work.waiting.eq(0),
                    *(work.job[name].eq(work.waits[name]) for name in JOB),
                    self.written.eq(0),
                    work.fresh.eq(1),
                    work.part.eq(Mux(work.waits["load"], Part.LOAD, Part.JOB)),
                ]
                m.next = "GIVE"
        with self._state(m, work, "GIVE"):
            self._give(m, work)
            m.d.sync += work.put.eq(0)
            m.next = "JUDGE"
        with self._state(m, work, "JUDGE"):
            m.next = "BEGIN"
        with self._state(m, work, "BEGIN", may_fail=True):
            with m.If(work.sizes & work.places):
                m.d.comb += work.begins.eq(1)
                m.d.sync += work.fresh.eq(0)
                m.next = "WORK"
            with m.Else():
                m.d.comb += work.wrong.eq(Mux(work.sizes, Fault.ALIGNMENT, Fault.SIZE))
        with self._state(m, work, "WORK", may_fail=True):
            m.d.comb += [work.working.eq(1), work.counters.count.eq(1)]
            m.d.comb += work.ends.eq(work.resting & (work.states.done | ~work.saving))
            with m.If(work.ends):
                m.next = "FLUSH"
        with self._state(m, work, "FLUSH", may_fail=True):
            m.d.comb += [work.counters.count.eq(1), self.write_finish.eq(1)]
            with m.If(self.write_error):
                work.fail(m, Fault.WRITE, work.put, answer=True)
            with m.Elif(work.struck):  # some cycles after the word was read
                work.fail(m, Fault.PARITY, work.feeder.taken)
            with m.Elif(work.counters.expired):
                work.fail(m, Fault.TIMEOUT, work.feeder.taken)
            with m.Elif(self.write_idle):
                with m.If(work.part == Part.LOAD):
                    m.d.sync += work.part.eq(Part.JOB)
                    m.next = "GIVE"
                with m.Elif((work.part == Part.JOB) & work.job["save"]):
                    m.d.sync += work.part.eq(Part.SAVE)
                    m.next = "GIVE"
                with m.Else():
                    m.d.sync += [self.done.eq(1), self.jobs.eq(self.jobs + 1)]
                    m.next = "IDLE"
        with self._state(m, work, "STOP"):
            m.d.comb += [self.read_stop.eq(1), self.write_finish.eq(1), work.discarding.eq(1)]
            with m.If(self.read_idle & self.write_idle):
                m.next = "FAILED"
        with self._state(m, work, "FAILED"):
            m.d.comb += [self.busy.eq(0), self.read_stop.eq(1), work.discarding.eq(1)]

    def _give(self, m: Module, work: JobWork) -> None:
        """Say what the part has: the bits that the engine keeps, and whether there are more."""
        job, nothing = work.job, Const(0, 1)
        parts = {
            Part.LOAD: (job["state_in"], self.state_words, nothing, nothing),
            Part.JOB: (job["source"], job["words"], job["destination"], job["capacity"]),
            Part.SAVE: (self.map, self.map_words, job["state_out"], self.state_words),
        }
        with m.Switch(work.part):
            for part, values in parts.items():
                source, words, destination, capacity = values
                with m.Case(part):
                    m.d.sync += [
                        *(work.given[n].eq(v) for n, v in zip(work.given, values, strict=True)),
                        work.wide.eq(
                            Cat(words[WORD_COUNT_BITS:], capacity[WORD_COUNT_BITS:]).any()
                        ),
                        work.far.eq(
                            Cat(
                                source[self._geometry.address_bits :],
                                destination[self._geometry.address_bits :],
                            ).any()
                        ),
                    ]

    def _recover(self, m: Module, work: JobWork) -> None:
        """The states of a soft reset: what has begun ends, then the machine is reset."""
        with self._state(m, work, "DRAIN"):
            m.d.comb += [
                self.resetting.eq(1),
                self.read_stop.eq(1),
                self.write_drop.eq(1),
                work.discarding.eq(1),
            ]
            m.d.sync += work.hold.eq(RESET_CYCLES)
            with m.If(self.read_idle & self.write_idle):
                m.d.sync += self.machine_reset.eq(1)
                m.next = "RESET"
        with self._state(m, work, "RESET"):
            m.d.sync += [
                work.hold.eq(work.hold - 1),
                work.waiting.eq(0),
                self.failed.eq(0),
                self.fault.eq(Fault.NONE),
                self.part.eq(Part.JOB),
                self.error_word.eq(0),
                self.error_address.eq(0),
                self.jobs.eq(0),
            ]
            with m.If(work.hold == 0):
                m.d.sync += self.machine_reset.eq(0)
                m.next = "IDLE"

    @contextmanager
    def _state(
        self, m: Module, work: JobWork, name: str, *, may_fail: bool = False
    ) -> Iterator[None]:
        """A state that a fault, where it may, and a soft reset leave."""
        with m.State(name):
            yield
            if may_fail:
                with m.If(work.wrong != Fault.NONE):
                    m.next = "STOP"
            with m.If(self.soft_reset):
                m.next = "DRAIN"
