"""Jobs: packets from memory through the machine, its answer to memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal
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
        layout = job_layout(self._geometry)
        given = {name: getattr(self, name) for name in layout}
        waits = {name: Signal(len(given[name]), name=f"waits_{name}") for name in layout}
        job = {name: Signal(bits, name=f"job_{name}") for name, bits in layout.items()}
        waiting = Signal()  # a job does
        wide, far = Signal(), Signal()  # its sizes, its addresses have bits that the engine has not

        cleared = ResetInserter(self.machine_reset)
        feeder = JobFeeder(self._identity, self._link_words)
        follower = AnswerFollower()
        m.submodules.feeder = cleared(feeder)
        m.submodules.follower = cleared(follower)
        m.submodules.counters = counters = JobCounters()
        wiring.connect(m, wiring.flipped(self.read_words), feeder.words_in)
        wiring.connect(m, feeder.beats, wiring.flipped(self.rx))

        # What there is to do: the job that waits, then the one at work.
        m.d.comb += self.ready.eq(~waiting & ~self.failed & ~self.resetting)
        with m.If(self.start & self.ready):
            m.d.sync += [waiting.eq(1), *(waits[name].eq(given[name]) for name in layout)]

        working = Signal()  # words move
        begins = Signal()
        discarding = Signal()  # answers of a job that has failed
        takes = Signal()  # a word of answer
        resting = Signal()
        full = Signal()
        m.d.comb += [
            self.read_address.eq(job["source"]),
            self.read_count.eq(job["words"]),
            self.write_address.eq(job["destination"]),
            self.read_start.eq(begins),
            self.write_start.eq(begins),
            feeder.start.eq(begins),
            feeder.words.eq(job["words"]),
            feeder.enable.eq(working),
            full.eq(self.written == job["capacity"]),
            self.write_words.valid.eq(self.tx.valid & working & ~full),
            self.write_words.payload.eq(self.tx.payload),
            self.tx.ready.eq((self.write_words.ready & working & ~full) | discarding),
            takes.eq(self.write_words.valid & self.write_words.ready),
            follower.took.eq(self.tx.valid & self.tx.ready),
            follower.word.eq(self.tx.payload),
            resting.eq(feeder.done & self.rx.ready & ~self.tx.valid),
            counters.begin.eq(begins),
            counters.read_beat.eq(self.read_beat),
            counters.write_beat.eq(self.write_beat),
            counters.read_stall.eq(
                working & self.rx.ready & ~self.rx.valid & ~self.read_words.valid & ~feeder.done
            ),
            counters.write_stall.eq(working & self.tx.valid & ~self.tx.ready),
            counters.moved.eq(
                self.read_beat
                | self.write_beat
                | takes
                | (self.read_words.valid & self.read_words.ready)
                | (self.rx.valid & self.rx.ready)
            ),
            counters.timeout.eq(self.timeout),
        ]
        m.d.comb += self.resetting.eq(self.machine_reset)
        m.d.comb += [getattr(self, name).eq(getattr(counters, name)) for name in counters.NAMES]
        with m.If(takes):
            m.d.sync += self.written.eq(self.written + 1)

        # What went wrong, and where: first the word, then its address.
        wrong = Signal(Fault)
        at = Signal(WORD_COUNT_BITS)
        of_answer = Signal()
        locates = Signal()
        sizes = Signal()  # that the job has are possible
        places = Signal()
        beyond = [
            (job[base][2:] + job[count])[len(job[base]) - 2 :].any()
            for base, count in (("source", "words"), ("destination", "capacity"))
        ]
        m.d.sync += [
            sizes.eq(~wide & (job["words"] >= LEAST_WORDS)),
            places.eq(
                ~far & ~job["source"][:2].any() & ~job["destination"][:2].any() & ~Cat(beyond).any()
            ),
        ]

        def fail(fault: Fault, word: object, *, answer: bool = False) -> None:
            m.d.comb += [wrong.eq(fault), at.eq(word), of_answer.eq(answer)]

        with m.If(working):
            with m.If(self.read_error):
                fail(Fault.READ, feeder.taken)
            with m.Elif(self.write_error):
                fail(Fault.WRITE, self.written, answer=True)
            with m.Elif(feeder.fault != Fault.NONE):
                m.d.comb += [wrong.eq(feeder.fault), at.eq(feeder.taken - 1)]
            with m.Elif(takes & follower.refused):
                fail(Fault.REFUSED, self.written, answer=True)
            with m.Elif(self.tx.valid & full):
                fail(Fault.CAPACITY, self.written, answer=True)
            with m.Elif(counters.expired):
                fail(Fault.TIMEOUT, feeder.taken)
            if self._weights:
                with m.If(self.damaged):
                    fail(Fault.WEIGHTS, feeder.taken)
        base = Signal(self._geometry.address_bits)
        with m.If(locates):
            with m.Switch(self.fault):
                with m.Case(Fault.READ):
                    m.d.sync += self.error_address.eq(self.read_error_address)
                with m.Case(Fault.WRITE):
                    m.d.sync += self.error_address.eq(self.write_error_address)
                with m.Default():
                    m.d.sync += self.error_address.eq(base + Cat(Const(0, 2), self.error_word))

        hold = Signal(range(self.RESET_CYCLES + 1), init=self.RESET_CYCLES)
        m.d.sync += [self.done.eq(0), self.erred.eq(0), locates.eq(0)]
        with m.If(wrong != Fault.NONE):
            m.d.sync += [
                self.failed.eq(1),
                self.erred.eq(1),
                locates.eq(1),
                self.fault.eq(wrong),
                self.error_word.eq(at),
                base.eq(Mux(of_answer, job["destination"], job["source"])),
            ]

        @contextmanager
        def state(name: str, *, may_fail: bool = False) -> Iterator[None]:
            """A state that a fault, where it may, and a soft reset leave."""
            with m.State(name):
                yield
                if may_fail:
                    with m.If(wrong != Fault.NONE):
                        m.next = "STOP"
                with m.If(self.soft_reset):
                    m.next = "DRAIN"

        m.d.comb += self.busy.eq(1)
        with m.FSM(init="RESET"):
            with state("IDLE"):
                m.d.comb += self.busy.eq(0)
                with m.If(waiting):
                    m.d.sync += [
                        waiting.eq(0),
                        wide.eq(
                            Cat(waits[one][WORD_COUNT_BITS:] for one in ("words", "capacity")).any()
                        ),
                        far.eq(
                            Cat(
                                waits[one][layout[one] :] for one in ("source", "destination")
                            ).any()
                        ),
                        *(job[name].eq(waits[name]) for name in layout),
                        self.written.eq(0),
                    ]
                    m.next = "JUDGE"
            with state("JUDGE"):
                m.next = "BEGIN"
            with state("BEGIN", may_fail=True):
                with m.If(sizes & places):
                    m.d.comb += begins.eq(1)
                    m.next = "WORK"
                with m.Else():
                    m.d.comb += wrong.eq(Mux(sizes, Fault.ALIGNMENT, Fault.SIZE))
            with state("WORK", may_fail=True):
                m.d.comb += [working.eq(1), counters.count.eq(1)]
                with m.If(resting):
                    m.next = "FLUSH"
            with state("FLUSH", may_fail=True):
                m.d.comb += [counters.count.eq(1), self.write_finish.eq(1)]
                with m.If(self.write_error):
                    fail(Fault.WRITE, self.written, answer=True)
                with m.Elif(counters.expired):
                    fail(Fault.TIMEOUT, feeder.taken)
                with m.Elif(self.write_idle):
                    m.d.sync += [self.done.eq(1), self.jobs.eq(self.jobs + 1)]
                    m.next = "IDLE"
            with state("STOP"):
                m.d.comb += [self.read_stop.eq(1), self.write_finish.eq(1), discarding.eq(1)]
                with m.If(self.read_idle & self.write_idle):
                    m.next = "FAILED"
            with state("FAILED"):
                m.d.comb += [self.busy.eq(0), self.read_stop.eq(1), discarding.eq(1)]
            with state("DRAIN"):
                m.d.comb += [
                    self.resetting.eq(1),
                    self.read_stop.eq(1),
                    self.write_drop.eq(1),
                    discarding.eq(1),
                ]
                m.d.sync += hold.eq(self.RESET_CYCLES)
                with m.If(self.read_idle & self.write_idle):
                    m.d.sync += self.machine_reset.eq(1)
                    m.next = "RESET"
            with state("RESET"):
                m.d.sync += [
                    hold.eq(hold - 1),
                    waiting.eq(0),
                    self.failed.eq(0),
                    self.fault.eq(Fault.NONE),
                    self.error_word.eq(0),
                    self.error_address.eq(0),
                    self.jobs.eq(0),
                ]
                with m.If(hold == 0):
                    m.d.sync += self.machine_reset.eq(0)
                    m.next = "IDLE"
        return m
