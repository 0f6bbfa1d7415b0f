"""What the host port keeps of the packet at hand."""

from typing import Any, NamedTuple

from amaranth.hdl import Cat, Const, Signal, Value

from .protocol import ARGUMENT_BITS, Opcode, Response

__all__ = [
    "Answer",
    "Header",
    "Payload",
    "Selection",
    "new_header",
    "new_payload",
    "new_selection",
]


class Header(NamedTuple):
    """The header at hand, and what its argument may be, compared a cycle before it is decoded."""

    opcode: Signal
    argument: Signal
    end: Signal  #: the address behind what it wants to read
    within: Signal  #: that is within the memory
    inside: Signal  #: the argument is a legal address
    known: Signal  #: it is a legal selection
    nothing: Signal  #: it is zero
    steps: Signal  #: it is a legal number of steps
    readable: Signal  #: what is selected may be read
    requested: Signal  #: the opcode, a bit for each of those that are allowed

    @property
    def selects(self) -> tuple[Value, Value]:
        """Target and index of a SELECT."""
        return self.argument[20:], self.argument[:20]

    @property
    def allowed(self) -> dict[Opcode, Value]:
        """Which opcodes the argument suits."""
        return {
            Opcode.SELECT: self.known,
            Opcode.ADDRESS: self.inside,
            Opcode.WRITE: Const(1, 1),
            Opcode.READ: self.readable & ~self.nothing,
            Opcode.RUN: self.steps,
            Opcode.IDENTIFY: self.nothing,
        }


def new_header() -> Header:
    end = Signal(ARGUMENT_BITS + 1)
    within = Signal()
    known = Signal()
    steps = Signal()
    readable = Signal()
    requested = Signal(len(Opcode))
    return Header(
        opcode=Signal(4),
        argument=Signal(ARGUMENT_BITS),
        end=end,
        within=within,
        inside=Signal(),
        known=known,
        nothing=Signal(),
        steps=steps,
        readable=readable,
        requested=requested,
    )


class Selection(NamedTuple):
    """The memory that is selected, and where in it the next entry lies."""

    target: Signal
    index: Signal
    addr: Signal
    selected: Signal
    depth: Signal  #: entries
    last: Signal  #: the last one's address
    parts_last: Signal  #: beats of an entry less one
    of_store: Signal


def new_selection(beats: int) -> Selection:
    selected = Signal()
    last = Signal(21)
    parts_last = Signal(range(beats))
    of_store = Signal()
    return Selection(
        target=Signal(8),
        index=Signal(12),
        addr=Signal(21),
        selected=selected,
        depth=Signal(21),
        last=last,
        parts_last=parts_last,
        of_store=of_store,
    )


class Payload(NamedTuple):
    """What is left of a WRITE or a READ, and the entry that a WRITE collects.

    ``final`` and ``beyond`` are compared the cycle before, as things were then (bit 0 of ``ends``
    and ``full``) and as a beat or an entry made them (bit 1).
    """

    left: Signal  #: payload words, or entries to read
    part: Signal  #: the beat of its entry that comes
    final: Signal  #: it is the last one
    beyond: Signal  #: its entry would lie beyond the memory
    took: Signal
    filled: Signal
    ends: Signal
    full: Signal
    entry: Signal
    load_addr: Signal
    commit: Signal
    begins: Signal
    refused: Signal


def new_payload(beats: int, entry_bits: int) -> Payload:
    left = Signal(ARGUMENT_BITS)
    part = Signal(range(beats))
    beyond = Signal()
    filled = Signal()
    full = Signal(2)
    entry = Signal(entry_bits)
    load_addr = Signal(20)
    begins = Signal()
    refused = Signal()
    return Payload(
        left=left,
        part=part,
        final=Signal(),
        beyond=beyond,
        took=Signal(),
        filled=filled,
        ends=Signal(2),
        full=full,
        entry=entry,
        load_addr=load_addr,
        commit=Signal(),
        begins=begins,
        refused=refused,
    )


class Answer(NamedTuple):
    """A word that goes to the host before the words of the results."""

    word: Signal
    valid: Signal

    def reply(self, response: Response, value: Any) -> list[Any]:
        """Statements that begin an answer."""
        return [self.word.eq(Cat(value, Const(response, 4))), self.valid.eq(1)]
