"""What a job is, and what the parts of its engine say to each other."""

from amaranth.hdl import Module, Signal, Value

from sparnn.hdl.host.protocol import identity
from sparnn.hdl.machine import MachineConfig

from .faults import Fault, Part
from .feed import JobFeeder
from .geometry import WORD_COUNT_BITS, MemoryGeometry
from .job_counters import JobCounters
from .packets import AnswerFollower
from .state_writer import StateWriter

__all__ = ["JOB", "RESET_CYCLES", "JobWork"]

#: Cycles that a soft reset keeps the machine in reset: more than the registers on its way.
RESET_CYCLES = 16
#: What the registers say of a job, and their bits.
JOB = {
    "source": 64,
    "words": 32,
    "destination": 64,
    "capacity": 32,
    "load": 1,
    "save": 1,
    "state_in": 64,
    "state_out": 64,
}


def _part_layout(geometry: MemoryGeometry) -> dict[str, int]:
    """What a part of a job has, and the bits that the engine keeps of each."""
    return {
        "source": geometry.address_bits,
        "words": WORD_COUNT_BITS,
        "destination": geometry.address_bits,
        "capacity": WORD_COUNT_BITS,
    }


class JobWork:
    """What the parts of the engine say to each other.

    Members
    -------
    waits, waiting: the job that waits, as the registers say it, and whether work does.
    job, part, fresh: the job at work, its part, and whether no part of it has begun.
    given, wide, far: what the part has, and whether its sizes, its addresses have bits that the
        engine has not. sizes, places: whether those that it has are possible.
    begins, working: the part begins; words move. saving: they are states on their way to memory.
    offers, room, takes: a word for memory is there, has a place, is taken. put: words so far.
    full: there is no room left. resting: the machine has taken all and is at rest.
    ends: and what it leaves has been written. struck: the machine has read a damaged word.
    discarding: answers of a job that has failed.
    wrong, at, of_answer: what goes wrong in this cycle, at which word of the job or its answer.
    locates, base: a cycle later the word's address is kept, from the first word's.
    hold: cycles that are left of the machine's reset.
    """

    def __init__(self, config: MachineConfig, geometry: MemoryGeometry) -> None:
        self.waits = {name: Signal(bits, name=f"waits_{name}") for name, bits in JOB.items()}
        self.job = {name: Signal(bits, name=f"job_{name}") for name, bits in JOB.items()}
        layout = _part_layout(geometry)
        self.given = {name: Signal(bits, name=f"given_{name}") for name, bits in layout.items()}
        self.part = Signal(Part)
        self.fresh = Signal()
        self.saving = Signal()
        self.put = Signal(WORD_COUNT_BITS)
        self.offers = Signal()
        self.room = Signal()
        self.ends = Signal()
        self.struck = Signal()
        self.waiting = Signal()
        self.wide = Signal()
        self.far = Signal()
        self.feeder = JobFeeder(identity(config), config.link_words)
        self.states = StateWriter(config)
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
        self.base = Signal(geometry.address_bits)
        self.hold = Signal(range(RESET_CYCLES + 1), init=RESET_CYCLES)

    def fail(self, m: Module, fault: Fault, word: Value, *, answer: bool = False) -> None:
        """The job ends with that fault at that word."""
        m.d.comb += [self.wrong.eq(fault), self.at.eq(word), self.of_answer.eq(answer)]
