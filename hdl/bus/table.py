"""The registers, said once: hardware, C header, driver and document are made of this table."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

__all__ = [
    "ADDRESS_BITS",
    "BUS_VERSION",
    "DEFAULT_TIMEOUT",
    "MAGIC",
    "REGISTERS",
    "Access",
    "Field",
    "Register",
    "members",
    "registers",
]

#: What the first register reads: "SPRN", so that software knows what it talks to.
MAGIC = 0x5350524E
#: Of this table: a change that software would notice raises it.
BUS_VERSION = 2
#: The registers take a window of so many address bits, 4 KiB.
ADDRESS_BITS = 12
#: Cycles without a word moved after which a job is given up; 2.7 s at 100 MHz.
DEFAULT_TIMEOUT = 1 << 28


class Access(Enum):
    """What software can do with a field."""

    READ = "ro"  #: read it; the hardware says what it is
    WRITE = "rw"  #: read and write it
    TRIGGER = "w1s"  #: write 1 to make something happen; it reads as 0
    CLEAR = "w1c"  #: the hardware sets it, writing 1 clears it


@dataclass(frozen=True)
class Field:
    """Some bits of a register.

    Members
    -------
    low, width: its bits. reset: its value after a reset, of what software may write.
    """

    name: str
    low: int
    width: int
    access: Access
    text: str
    reset: int = 0

    def __post_init__(self) -> None:
        assert self.low >= 0
        assert 1 <= self.width <= 32 - self.low, self.name
        assert 0 <= self.reset < 1 << self.width, self.name
        assert self.width == 1 or self.access in (Access.READ, Access.WRITE), self.name

    @property
    def mask(self) -> int:
        """Its bits within the register."""
        return ((1 << self.width) - 1) << self.low


@dataclass(frozen=True)
class Register:
    """32 bits at an offset.

    Members
    -------
    jobs: it is there only where the machine reads and writes memory by itself.
    weights: and only where it reads its weights from there.
    """

    name: str
    offset: int
    text: str
    fields: tuple[Field, ...]
    jobs: bool = False
    weights: bool = False

    def __post_init__(self) -> None:
        assert self.offset % 4 == 0
        assert 0 <= self.offset < 1 << ADDRESS_BITS
        taken = 0
        for field in self.fields:
            assert not taken & field.mask, f"{self.name}.{field.name} overlaps"
            taken |= field.mask

    @property
    def partial(self) -> bool:
        """Single bytes of it may be written: all it has are plain values."""
        return all(field.access is Access.WRITE for field in self.fields)

    @property
    def writable(self) -> bool:
        return any(field.access is not Access.READ for field in self.fields)

    def member(self, field: Field) -> str:
        """The field's name as a port."""
        return f"{self.name}_{field.name}".lower()


def _word(
    name: str, offset: int, access: Access, text: str, *, jobs: bool, reset: int = 0
) -> Register:
    """A register of one field of 32 bits."""
    return Register(name, offset, text, (Field("VALUE", 0, 32, access, text, reset),), jobs)


_READ, _WRITE, _TRIGGER, _CLEAR = Access.READ, Access.WRITE, Access.TRIGGER, Access.CLEAR

REGISTERS: tuple[Register, ...] = (
    _word("MAGIC", 0x00, _READ, f"{MAGIC:#010x}, the letters SPRN.", jobs=False),
    Register(
        "VERSION",
        0x04,
        "Versions that software has to know.",
        (
            Field("BUS", 0, 8, _READ, "Of these registers and of jobs."),
            Field("IMAGE", 8, 8, _READ, "Of images and program.json (IMAGE_VERSION)."),
        ),
    ),
    _word(
        "IDENTITY",
        0x08,
        _READ,
        "Identity of the machine: images that were compiled for it have the same.",
        jobs=False,
    ),
    Register(
        "CAPABILITIES",
        0x0C,
        "How the machine was built.",
        (
            Field(
                "JOBS",
                0,
                1,
                _READ,
                "It reads and writes memory by itself; else words come in a stream.",
            ),
            Field("PARITY", 1, 1, _READ, "Its words of weights, masks and states have parity."),
            Field("LINK_WORDS", 8, 8, _READ, "Packet words that the machine takes at once."),
            Field("DATA_BITS", 16, 10, _READ, "Width of the memory's data, 0 without jobs."),
            Field("QUEUE", 28, 4, _READ, "Jobs that may wait while one is at work."),
        ),
    ),
    Register(
        "CONTROL",
        0x10,
        "What software wants done.",
        (
            Field(
                "START",
                0,
                1,
                _TRIGGER,
                "Take the job that the job registers say. Refused with "
                "a bus error while STATUS.READY is 0.",
            ),
            Field(
                "RESET",
                1,
                1,
                _TRIGGER,
                "Soft reset: end the transfers that have begun, reset "
                "the machine's control, drop all jobs, clear ERROR. Memories keep what they "
                "hold.",
            ),
        ),
    ),
    Register(
        "STATUS",
        0x14,
        "What is going on.",
        (
            Field(
                "BUSY", 0, 1, _READ, "A job is at work, or transfers are still coming to an end."
            ),
            Field("READY", 1, 1, _READ, "A job can be started."),
            Field("FAILED", 2, 1, _READ, "Something went wrong; a soft reset clears it."),
            Field("RESETTING", 3, 1, _READ, "A soft reset is going on."),
            Field("JOBS", 16, 16, _READ, "Jobs done since the last reset, modulo 65536."),
        ),
    ),
    Register(
        "ERROR",
        0x18,
        "The first thing that went wrong since the last soft reset.",
        (
            Field("CODE", 0, 4, _READ, "What: a number of Fault (hdl/bus/faults.py), 0: nothing."),
            Field("PART", 8, 2, _READ, "Of what: 0 the job itself, 1 STATE_IN, 2 STATE_OUT."),
        ),
    ),
    _word("ERROR_WORD", 0x1C, _READ, "Where: words into the job or into its answer.", jobs=False),
    _word("ERROR_ADDRESS_LO", 0x20, _READ, "Where in memory, low half.", jobs=True),
    _word("ERROR_ADDRESS_HI", 0x24, _READ, "Where in memory, high half.", jobs=True),
    Register(
        "IRQ_ENABLE",
        0x28,
        "What raises the interrupt.",
        (
            Field("DONE", 0, 1, _WRITE, "A job is done."),
            Field("ERROR", 1, 1, _WRITE, "Something went wrong."),
        ),
    ),
    Register(
        "IRQ_STATUS",
        0x2C,
        "What has happened; write 1 to clear. The interrupt is high while an enabled bit is set.",
        (
            Field("DONE", 0, 1, _CLEAR, "A job is done; behind a stream, a packet of answers."),
            Field("ERROR", 1, 1, _CLEAR, "Something went wrong."),
        ),
    ),
    _word("SOURCE_LO", 0x30, _WRITE, "Address of the job's words, low half.", jobs=True),
    _word("SOURCE_HI", 0x34, _WRITE, "Address of the job's words, high half.", jobs=True),
    _word(
        "SOURCE_WORDS", 0x38, _WRITE, "Words of the job, identity and check included.", jobs=True
    ),
    _word("DESTINATION_LO", 0x3C, _WRITE, "Address for the answer, low half.", jobs=True),
    _word("DESTINATION_HI", 0x40, _WRITE, "Address for the answer, high half.", jobs=True),
    _word("CAPACITY", 0x44, _WRITE, "Words that the answer may take.", jobs=True),
    _word(
        "TIMEOUT",
        0x48,
        _WRITE,
        "Cycles without a word moved after which a job is given up; 0: never.",
        jobs=True,
        reset=DEFAULT_TIMEOUT,
    ),
    _word("WRITTEN", 0x4C, _READ, "Words of answer of the last job.", jobs=True),
    _word("CYCLES", 0x50, _READ, "Cycles of the last job.", jobs=True),
    _word("READ_BEATS", 0x54, _READ, "Beats that the last job read.", jobs=True),
    _word("WRITE_BEATS", 0x58, _READ, "Beats that the last job wrote.", jobs=True),
    _word(
        "READ_STALLS",
        0x5C,
        _READ,
        "Cycles of the last job in which the machine waited for a word from memory.",
        jobs=True,
    ),
    _word(
        "WRITE_STALLS",
        0x60,
        _READ,
        "Cycles of the last job in which a word of answer waited for memory.",
        jobs=True,
    ),
    *(
        Register(
            f"WEIGHTS_{half}",
            offset,
            text,
            (Field("VALUE", 0, 32, _WRITE, text, 0),),
            jobs=True,
            weights=True,
        )
        for half, offset, text in (
            ("LO", 0x64, "Address of the weights (weights.bin), a multiple of a beat, low half."),
            ("HI", 0x68, "Address of the weights, high half."),
        )
    ),
    Register(
        "STATES",
        0x6C,
        "Where the states of a job come from and go to. The machine keeps them otherwise.",
        (
            Field("LOAD", 0, 1, _WRITE, "The job begins with the states at STATE_IN."),
            Field("SAVE", 1, 1, _WRITE, "It writes those that it leaves to STATE_OUT."),
        ),
        jobs=True,
    ),
    *(
        _word(f"{name}_{half}", offset + 4 * high, _WRITE, f"{text}, {side} half.", jobs=True)
        for name, offset, text in (
            ("STATE_IN", 0x70, "Address of the states that the job begins with"),
            ("STATE_OUT", 0x78, "Address for the states that it leaves"),
            ("MAP", 0x80, "Address of the packets that read all states of the network"),
        )
        for high, (half, side) in enumerate((("LO", "low"), ("HI", "high")))
    ),
    _word("MAP_WORDS", 0x88, _WRITE, "Their words, identity and check included.", jobs=True),
    _word("STATE_WORDS", 0x8C, _WRITE, "Words of a sequence's states in memory.", jobs=True),
    _word(
        "PARITY",
        0x90,
        _READ,
        "Cycles in which the machine read a word that does not match its parity, since the last "
        "hard reset.",
        jobs=False,
    ),
)


def registers(jobs: bool, weights: bool = False) -> tuple[Register, ...]:
    """Those of a machine that reads memory by itself, perhaps its weights too, or of one behind
    streams."""
    return tuple(
        one for one in REGISTERS if (jobs or not one.jobs) and (weights or not one.weights)
    )


def members(table: tuple[Register, ...]) -> Iterator[tuple[str, Register, Field]]:
    """Every field, with its name as a port."""
    for register in table:
        for field in register.fields:
            yield register.member(field), register, field


assert len({one.offset for one in REGISTERS}) == len({one.name for one in REGISTERS})
assert len({one.name for one in REGISTERS}) == len(REGISTERS)
