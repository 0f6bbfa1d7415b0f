"""Jobs: packets from memory through the machine, its answer to memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .faults import Fault
from .feed import LEAST_WORDS, JobFeeder
from .geometry import WORD_COUNT_BITS, MemoryGeometry
from .job_counters import JobCounters
from .packets import AnswerFollower

__all__ = ["JobEngine", "job_layout"]


def job_layout(geometry: MemoryGeometry) -> dict[str, int]:
    """What the job registers say, and the bits that the engine keeps of each."""
    return {
        "source": geometry.address_bits,
        "words": WORD_COUNT_BITS,
        "destination": geometry.address_bits,
        "capacity": WORD_COUNT_BITS,
    }


class JobEngine(wiring.Component):
    """Works through jobs, one at a time; one more may wait.

    A job is words in memory: the identity of the machine that it is for, packets
    (docs/machine.md), and the CRC-32 (ISO-HDLC) of all words before it. The packets go to the
    machine, all that it answers goes to the destination. The job is done when the machine has
    taken the last word, is at rest and the memory has acknowledged its last word of answer. The
    machine is at rest where it takes a word and none is offered, and offers none itself.

    The first thing that goes wrong ends the job: no burst begins any more, those that have begun
    come to their end, the answers up to there are written (but for WRITE), the interrupt is raised
    and nothing starts until a soft reset, which also drops the job that waits. The reset holds the
    machine in reset for :attr:`RESET_CYCLES`; its memories keep what they hold.

    Latency: the first burst is asked for three cycles after ``start``. Flow control: streams.

    Parameters
    ----------
    identity, link_words: of the machine. geometry: of the memory. weights: it reads them from
    memory.

    Members
    -------
    start: the job of source, words, destination and capacity, 64 or 32 bits each as in the
        registers; while ``ready``. timeout: as the register.
    soft_reset: at any time. machine_reset: resets the machine.
    rx: Out(stream), tx: In(stream), the machine's. read_*, write_*: reader and writer.
    ready, busy, failed, resetting, fault, error_word, error_address, jobs, written: as in the
        registers. done, erred: one cycle, for the interrupt.
    cycles, read_beats, write_beats, read_stalls, write_stalls: of the last job.
    damaged: only with ``weights``: those that the machine has read do not match their check.
    """

    #: Cycles that a soft reset keeps the machine in reset: more than the registers on its way.
    RESET_CYCLES = 16

    def __init__(
        self, identity: int, link_words: int, geometry: MemoryGeometry, *, weights: bool = False
    ) -> None:
        self._identity, self._link_words = identity, link_words
        self._weights = weights
        self._geometry = geometry
        address = geometry.address_bits
        super().__init__(
            {
                "start": In(1),
                "source": In(64),
                "words": In(32),
                "destination": In(64),
                "capacity": In(32),
                "timeout": In(32),
                "soft_reset": In(1),
                "machine_reset": Out(1, init=1),
                "rx": Out(stream.Signature(32 * link_words)),
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
                "error_word": Out(WORD_COUNT_BITS),
                "error_address": Out(address),
                "jobs": Out(16),
                "written": Out(WORD_COUNT_BITS),
                "done": Out(1),
                "erred": Out(1),
                **{name: Out(32) for name in JobCounters.NAMES},
            }
            | ({"damaged": In(1)} if weights else {})
        )

    @property
    def geometry(self) -> MemoryGeometry:
        return self._geometry

    def elaborate(self, platform: object) -> Module:
        m = Module()
        work = _Work(self, job_layout(self._geometry))
        cleared = ResetInserter(self.machine_reset)
        m.submodules.feeder = cleared(work.feeder)
        m.submodules.follower = cleared(work.follower)
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

    def _queue(self, m: Module, work: "_Work") -> None:
        """Take the job that waits while the work before is at work."""
        given = {name: getattr(self, name) for name in work.layout}
        m.d.comb += self.ready.eq(~work.waiting & ~self.failed & ~self.resetting)
        with m.If(self.start & self.ready):
            m.d.sync += [
                work.waiting.eq(1),
                *(work.waits[name].eq(given[name]) for name in work.layout),
            ]

    def _move(self, m: Module, work: "_Work") -> None:
        """Connect what the job's words and the answers pass through."""
        m.d.comb += [
            self.read_address.eq(work.job["source"]),
            self.read_count.eq(work.job["words"]),
            self.write_address.eq(work.job["destination"]),
            self.read_start.eq(work.begins),
            self.write_start.eq(work.begins),
            work.feeder.start.eq(work.begins),
            work.feeder.words.eq(work.job["words"]),
            work.feeder.enable.eq(work.working),
            work.full.eq(self.written == work.job["capacity"]),
            self.write_words.valid.eq(self.tx.valid & work.working & ~work.full),
            self.write_words.payload.eq(self.tx.payload),
            self.tx.ready.eq(
                (self.write_words.ready & work.working & ~work.full) | work.discarding
            ),
            work.takes.eq(self.write_words.valid & self.write_words.ready),
            work.follower.took.eq(self.tx.valid & self.tx.ready),
            work.follower.word.eq(self.tx.payload),
            work.resting.eq(work.feeder.done & self.rx.ready & ~self.tx.valid),
        ]
        with m.If(work.takes):
            m.d.sync += self.written.eq(self.written + 1)

    def _count(self, m: Module, work: "_Work") -> None:
        """Count the cycles of a job, and those in which nothing moves."""
        m.d.comb += [
            work.counters.begin.eq(work.begins),
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
        m.d.comb += [
            getattr(self, name).eq(getattr(work.counters, name)) for name in work.counters.NAMES
        ]

    def _judge(self, m: Module, work: "_Work") -> None:
        """Say whether the job's sizes and places are possible, a cycle after it was taken."""
        beyond = [
            (work.job[start][2:] + work.job[count])[len(work.job[start]) - 2 :].any()
            for start, count in (("source", "words"), ("destination", "capacity"))
        ]
        m.d.sync += [
            work.sizes.eq(~work.wide & (work.job["words"] >= LEAST_WORDS)),
            work.places.eq(
                ~work.far
                & ~work.job["source"][:2].any()
                & ~work.job["destination"][:2].any()
                & ~Cat(beyond).any()
            ),
        ]

    def _watch(self, m: Module, work: "_Work") -> None:
        """Say what goes wrong while words move."""
        with m.If(work.working):
            with m.If(self.read_error):
                work.fail(m, Fault.READ, work.feeder.taken)
            with m.Elif(self.write_error):
                work.fail(m, Fault.WRITE, self.written, answer=True)
            with m.Elif(work.feeder.fault != Fault.NONE):
                m.d.comb += [work.wrong.eq(work.feeder.fault), work.at.eq(work.feeder.taken - 1)]
            with m.Elif(work.takes & work.follower.refused):
                work.fail(m, Fault.REFUSED, self.written, answer=True)
            with m.Elif(self.tx.valid & work.full):
                work.fail(m, Fault.CAPACITY, self.written, answer=True)
            with m.Elif(work.counters.expired):
                work.fail(m, Fault.TIMEOUT, work.feeder.taken)
            if self._weights:
                with m.If(self.damaged):
                    work.fail(m, Fault.WEIGHTS, work.feeder.taken)

    def _fail(self, m: Module, work: "_Work") -> None:
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
                self.error_word.eq(work.at),
                work.base.eq(Mux(work.of_answer, work.job["destination"], work.job["source"])),
            ]

    def _run(self, m: Module, work: "_Work") -> None:
        """The states of a job, and of one that has failed."""
        with self._state(m, work, "IDLE"):
            m.d.comb += self.busy.eq(0)
            with m.If(work.waiting):
                m.d.sync += [
                    work.waiting.eq(0),
                    work.wide.eq(work.bits_beyond("words", "capacity")),
                    work.far.eq(work.bits_beyond("source", "destination")),
                    *(work.job[name].eq(work.waits[name]) for name in work.layout),
                    self.written.eq(0),
                ]
                m.next = "JUDGE"
        with self._state(m, work, "JUDGE"):
            m.next = "BEGIN"
        with self._state(m, work, "BEGIN", may_fail=True):
            with m.If(work.sizes & work.places):
                m.d.comb += work.begins.eq(1)
                m.next = "WORK"
            with m.Else():
                m.d.comb += work.wrong.eq(Mux(work.sizes, Fault.ALIGNMENT, Fault.SIZE))
        with self._state(m, work, "WORK", may_fail=True):
            m.d.comb += [work.working.eq(1), work.counters.count.eq(1)]
            with m.If(work.resting):
                m.next = "FLUSH"
        with self._state(m, work, "FLUSH", may_fail=True):
            m.d.comb += [work.counters.count.eq(1), self.write_finish.eq(1)]
            with m.If(self.write_error):
                work.fail(m, Fault.WRITE, self.written, answer=True)
            with m.Elif(work.counters.expired):
                work.fail(m, Fault.TIMEOUT, work.feeder.taken)
            with m.Elif(self.write_idle):
                m.d.sync += [self.done.eq(1), self.jobs.eq(self.jobs + 1)]
                m.next = "IDLE"
        with self._state(m, work, "STOP"):
            m.d.comb += [self.read_stop.eq(1), self.write_finish.eq(1), work.discarding.eq(1)]
            with m.If(self.read_idle & self.write_idle):
                m.next = "FAILED"
        with self._state(m, work, "FAILED"):
            m.d.comb += [self.busy.eq(0), self.read_stop.eq(1), work.discarding.eq(1)]

    def _recover(self, m: Module, work: "_Work") -> None:
        """The states of a soft reset: what has begun ends, then the machine is reset."""
        with self._state(m, work, "DRAIN"):
            m.d.comb += [
                self.resetting.eq(1),
                self.read_stop.eq(1),
                self.write_drop.eq(1),
                work.discarding.eq(1),
            ]
            m.d.sync += work.hold.eq(self.RESET_CYCLES)
            with m.If(self.read_idle & self.write_idle):
                m.d.sync += self.machine_reset.eq(1)
                m.next = "RESET"
        with self._state(m, work, "RESET"):
            m.d.sync += [
                work.hold.eq(work.hold - 1),
                work.waiting.eq(0),
                self.failed.eq(0),
                self.fault.eq(Fault.NONE),
                self.error_word.eq(0),
                self.error_address.eq(0),
                self.jobs.eq(0),
            ]
            with m.If(work.hold == 0):
                m.d.sync += self.machine_reset.eq(0)
                m.next = "IDLE"

    @staticmethod
    @contextmanager
    def _state(m: Module, work: "_Work", name: str, *, may_fail: bool = False) -> Iterator[None]:
        """A state that a fault, where it may, and a soft reset leave."""
        with m.State(name):
            yield
            if may_fail:
                with m.If(work.wrong != Fault.NONE):
                    m.next = "STOP"
            with m.If(work.engine.soft_reset):
                m.next = "DRAIN"


class _Work:
    """What the parts of the engine say to each other.

    Members
    -------
    waits, waiting: the job that waits, as the registers say it, and whether work does.
    job, wide, far: the job at work, and whether its sizes, its addresses have bits that the engine
        has not. sizes, places: whether those that it has are possible.
    begins, working: the job begins; words move. takes: a word of answer.
    full: the answers have no room left. resting: the machine has taken all and is at rest.
    discarding: answers of a job that has failed.
    wrong, at, of_answer: what goes wrong in this cycle, at which word of the job or its answer.
    locates, base: a cycle later the word's address is kept, from the first word's.
    hold: cycles that are left of the machine's reset.
    """

    def __init__(self, engine: JobEngine, layout: dict[str, int]) -> None:
        self.engine, self.layout = engine, layout
        self.waits = {
            name: Signal(len(getattr(engine, name)), name=f"waits_{name}") for name in layout
        }
        self.job = {name: Signal(bits, name=f"job_{name}") for name, bits in layout.items()}
        self.waiting = Signal()
        self.wide = Signal()
        self.far = Signal()
        self.feeder = JobFeeder(engine._identity, engine._link_words)
        self.follower, self.counters = AnswerFollower(), JobCounters()
        self.working = Signal()
        self.begins = Signal()
        self.discarding = Signal()
        self.takes = Signal()
        self.resting = Signal()
        self.full = Signal()
        self.wrong = Signal(Fault)
        self.at = Signal(WORD_COUNT_BITS)
        self.of_answer = Signal()
        self.locates = Signal()
        self.sizes = Signal()
        self.places = Signal()
        self.base = Signal(engine.geometry.address_bits)
        self.hold = Signal(range(engine.RESET_CYCLES + 1), init=engine.RESET_CYCLES)

    def fail(self, m: Module, fault: Fault, word: Value, *, answer: bool = False) -> None:
        """The job ends with that fault at that word."""
        m.d.comb += [self.wrong.eq(fault), self.at.eq(word), self.of_answer.eq(answer)]

    def bits_beyond(self, *names: str) -> Value:
        """Whether the job that waits says more there than the engine has bits for."""
        return Cat(self.waits[name][self.layout[name] :] for name in names).any()
