"""The program of the serial post unit (docs/post.md, "Serial").

An instruction is one cycle. Operands that it loads are multiplied in the next one, where ``acc``
may take the product; what it reads from ``place`` is there in the next one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from amaranth.lib import data

from sparnn.hdl.common.numbers import clog2

__all__ = [
    "DISPATCH",
    "A",
    "Acc",
    "B",
    "Count",
    "Go",
    "Instruction",
    "Place",
    "Value",
    "encoded",
    "instruction_layout",
    "program",
]


class A(IntEnum):
    """What the first operand becomes. Limb k of the row's sum is ``LIMB + k``."""

    HOLD = 0
    MEMORY = 1
    ZERO = 2
    ONE = 3
    HIDDEN = 4  #: 1 in a hidden half, else 0
    SCALE = 5  #: ``2^12``, of σ ``2^11``, with the sign of the value: its magnitude in 2^-12
    SIGN = 6  #: 1 with the sign that the value had then
    HALF = 7  #: 2^14
    MINUS = 8  #: -1
    LIMB = 9


class B(IntEnum):
    """What the second operand becomes."""

    HOLD = 0
    MULT = 1
    BIAS = 2  #: it is the last of the row's parameters to be used: on to the next row's
    VALUE = 3
    REST = 4  #: the value's bits between two entries of the table
    MEMORY = 5
    STATE = 6  #: the memory, or zero in a fresh step
    RECTIFIED = 7  #: the value, or of a layer with ReLU zero where it is negative


class Acc(IntEnum):
    """What the accumulator does. ``ADD + k`` adds the product times 2^(15 k), k the limb."""

    HOLD = 0
    CLEAR = 1
    SHIFT = 2  #: to the right, by at most eight, as long as the count is not zero
    ADD_EVEN = 3  #: rounds what the shift left, ties to even
    ADD_UP = 4  #: rounds it, ties up
    ADD = 5


class Count(IntEnum):
    """What the count becomes: bits to shift by."""

    HOLD = 0
    PARAMETER = 1
    FORMAT = 2  #: f_pre, or f_state while ``back``
    UP = 3  #: 15 - f_state
    OUT = 4
    SEVEN = 5
    FIFTEEN = 6


class Value(IntEnum):
    """What the value becomes."""

    HOLD = 0
    SATURATED = 1
    CURVE = 2  #: of tanh that; of σ half of 32768 and that


class Place(IntEnum):
    """The address in memory."""

    INPUT = 0  #: u of the row
    STATE = 1
    SLOPE = 2  #: of the accumulator, saturated
    BASE = 3
    FIRST = 4  #: i, then tanh(c'); r
    SECOND = 5  #: f; z
    THIRD = 6  #: -z


class Go(IntEnum):
    """Which instruction is next: the following one, or ``to`` if …"""

    NEXT = 0
    TO = 1  #: always
    SHIFTED = 2  #: this one again, until the shift is complete; then the following one
    ROW = 3  #: this one again, until there is a row; then the following one, or ``to`` of a hole
    TAKEN = 4  #: this one again, until the output is taken, and the row with it; then ``to``
    FINAL = 5  #: … the half is final
    APART = 6  #: … the row is n of a GRU
    CURVED = 7  #: … the row needs σ or tanh
    DISPATCH = 8  #: always; not to ``to`` but by what the curve was of, from :data:`DISPATCH` on
    TAKE = 9  #: always; the row is taken


#: Where the instructions behind a curve begin: 16 of them, {back, not LSTM, gate}; without gates
#: and states 7.
DISPATCH = 16


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Members
    -------
    a: what the first operand becomes.
    b: what the second operand becomes.
    acc: what the accumulator does.
    count: what the count becomes.
    value: what the value becomes.
    place: the address in the memory of words.
    write: 1: the value goes to ``place``.
    back: 1: the curve that follows is that of a new state.
    go: how the next instruction is chosen.
    to: the label that ``go`` may lead to.
    """

    a: int = A.HOLD
    b: int = B.HOLD
    acc: int = Acc.HOLD
    count: int = Count.HOLD
    value: int = Value.HOLD
    place: int = Place.INPUT
    write: int = 0
    back: int = 0
    go: int = Go.NEXT
    to: str = ""


def _row(limbs: int) -> list[Instruction]:
    """From a row's sum to u or v, then to the pre-activation."""
    i = Instruction
    products = [
        i(a=A.LIMB + k, acc=Acc.ADD + k - 1) for k in range(1, limbs)
    ]  # each limb is loaded while the one before is added
    return [
        i(a=A.LIMB, b=B.MULT, acc=Acc.CLEAR, count=Count.PARAMETER, go=Go.ROW, to="hole"),
        *products,
        i(a=A.ONE, b=B.BIAS, acc=Acc.ADD + limbs - 1),
        i(acc=Acc.SHIFT, go=Go.SHIFTED),
        i(acc=Acc.ADD_EVEN),
        i(a=A.HIDDEN, b=B.MEMORY, acc=Acc.CLEAR, value=Value.SATURATED, go=Go.FINAL, to="join"),
        i(write=1, go=Go.TAKE, to="row"),
    ]


def program(limbs: int) -> tuple[list[Instruction], Mapping[str, int]]:
    """The instructions, and the addresses that ``to`` names.

    ``limbs``: parts of 15 bits, the last one of 16, that a row's sum is multiplied in.
    """
    i = Instruction
    parts: dict[str, list[Instruction]] = {
        "row": _row(limbs),
        # 16 entries: of LSTM i, f, g, o; of GRU r, z, n; of others; then tanh(c').
        "dispatch": [
            i(place=Place.FIRST, write=1, go=Go.TAKE, to="row"),
            i(place=Place.SECOND, write=1, go=Go.TAKE, to="row"),
            i(place=Place.FIRST, go=Go.TO, to="lstm_state"),
            i(place=Place.FIRST, go=Go.TO, to="lstm_output"),
            i(place=Place.FIRST, write=1, go=Go.TAKE, to="row"),
            i(place=Place.SECOND, write=1, go=Go.TO, to="gru_update"),
            i(place=Place.THIRD, go=Go.TO, to="gru_state"),
            i(go=Go.TO, to="plain"),
            *[i()] * 2,
            i(place=Place.FIRST, write=1, go=Go.TAKE, to="row"),
            *[i()] * 5,
        ],
        "join": [
            i(a=A.ONE, b=B.VALUE, acc=Acc.ADD, go=Go.APART, to="gru_candidate"),
            i(acc=Acc.ADD),
            i(value=Value.SATURATED, go=Go.CURVED, to="curve"),
        ],
        # Identity, ReLU, and what has gone through a curve: 2^15 times it, which is no operand.
        "plain": [
            i(a=A.HALF, b=B.RECTIFIED, acc=Acc.CLEAR, count=Count.OUT),
            i(acc=Acc.ADD),
        ],
        "scaled": [i(a=A.ZERO, acc=Acc.ADD)],
        "output": [
            i(acc=Acc.SHIFT, go=Go.SHIFTED),
            i(acc=Acc.ADD_EVEN),
            i(value=Value.SATURATED),
        ],
        "emit": [i(go=Go.TAKEN, to="row")],
        "hole": [
            i(acc=Acc.CLEAR, go=Go.FINAL, to="zero"),
            i(go=Go.TAKE, to="row"),
        ],
        "zero": [i(value=Value.SATURATED, go=Go.TO, to="emit")],
        "curve": [
            i(a=A.SCALE, b=B.VALUE, acc=Acc.CLEAR, count=Count.FORMAT),
            i(a=A.ZERO, acc=Acc.ADD),
            i(acc=Acc.SHIFT, go=Go.SHIFTED),
            i(acc=Acc.ADD_EVEN),
            i(value=Value.SATURATED, place=Place.SLOPE),
            i(a=A.MEMORY, b=B.REST, place=Place.BASE, acc=Acc.CLEAR, count=Count.SEVEN),
            i(a=A.ONE, b=B.MEMORY, acc=Acc.ADD),
            i(acc=Acc.SHIFT, go=Go.SHIFTED),
            i(acc=Acc.ADD_UP),
            i(value=Value.SATURATED),
            i(a=A.SIGN, b=B.VALUE, acc=Acc.CLEAR),
            i(acc=Acc.ADD),
            i(value=Value.CURVE, go=Go.DISPATCH),
        ],
        # rne(i · g, 15 - f_state) + f · c: the new state, and its tanh.
        "lstm_state": [
            i(a=A.MEMORY, b=B.VALUE, acc=Acc.CLEAR, count=Count.UP, place=Place.SECOND),
            i(a=A.MEMORY, acc=Acc.ADD, place=Place.STATE),
            i(b=B.STATE, acc=Acc.SHIFT, go=Go.SHIFTED, place=Place.STATE),
            i(a=A.ZERO, acc=Acc.ADD_EVEN, count=Count.FIFTEEN),
            i(acc=Acc.SHIFT, go=Go.SHIFTED),
            i(acc=Acc.ADD_EVEN),
            i(value=Value.SATURATED),
            i(place=Place.STATE, write=1, back=1, go=Go.TO, to="curve"),
        ],
        "lstm_output": [
            i(a=A.MEMORY, b=B.VALUE, acc=Acc.CLEAR, count=Count.OUT),
            i(a=A.ZERO, acc=Acc.ADD, go=Go.TO, to="output"),
        ],
        # -z: 32768 - z is no operand.
        "gru_update": [
            i(a=A.MINUS, b=B.VALUE, acc=Acc.CLEAR),
            i(acc=Acc.ADD),
            i(value=Value.SATURATED),
            i(place=Place.THIRD, write=1, go=Go.TAKE, to="row"),
        ],
        # u + rne(r · v, 15)
        "gru_candidate": [
            i(place=Place.FIRST),
            i(a=A.MEMORY, b=B.VALUE, acc=Acc.CLEAR, count=Count.FIFTEEN, place=Place.INPUT),
            i(a=A.ONE, b=B.MEMORY, acc=Acc.ADD),
            i(acc=Acc.SHIFT, go=Go.SHIFTED),
            i(acc=Acc.ADD_EVEN),
            i(value=Value.SATURATED, go=Go.TO, to="curve"),
        ],
        # rne((32768 - z) · n, 15 - f_state) + z · s: the new state and the output.
        "gru_state": [
            i(a=A.MEMORY, b=B.VALUE, acc=Acc.CLEAR, count=Count.UP),
            i(a=A.HALF, acc=Acc.ADD),
            i(acc=Acc.ADD, place=Place.SECOND),
            i(a=A.MEMORY, acc=Acc.ADD, place=Place.STATE),
            i(b=B.STATE, acc=Acc.SHIFT, go=Go.SHIFTED, place=Place.STATE),
            i(a=A.ZERO, acc=Acc.ADD_EVEN, count=Count.FIFTEEN),
            i(acc=Acc.SHIFT, go=Go.SHIFTED),
            i(acc=Acc.ADD_EVEN),
            i(value=Value.SATURATED),
            i(a=A.HALF, b=B.VALUE, acc=Acc.CLEAR, count=Count.OUT, place=Place.STATE, write=1),
            i(acc=Acc.ADD, go=Go.TO, to="scaled"),
        ],
    }
    assert len(parts["row"]) <= DISPATCH
    code: list[Instruction] = []
    labels: dict[str, int] = {}
    for name, part in parts.items():
        if name == "dispatch":
            code += [i()] * (DISPATCH - len(code))
        labels[name] = len(code)
        code += part
    return code, labels


def instruction_layout(limbs: int, length: int) -> data.StructLayout:
    """An instruction as the program memory holds it."""

    def codes(enum: type[IntEnum], more: int = 0) -> int:
        return (max(enum) + more).bit_length()

    return data.StructLayout(
        {
            "a": codes(A, limbs - 1),
            "b": codes(B),
            "acc": codes(Acc, limbs - 1),
            "count": codes(Count),
            "value": codes(Value),
            "place": codes(Place),
            "write": 1,
            "finish": 1,
            "back": 1,
            "go": codes(Go),
            "to": clog2(length),
        }
    )


def encoded(one: Instruction, labels: Mapping[str, int]) -> dict[str, int]:
    """The fields of :func:`instruction_layout`; a label becomes the address that it stands at."""
    fields = {name: int(getattr(one, name)) for name in Instruction.__annotations__ if name != "to"}
    return fields | {"to": labels[one.to] if one.to else 0}
