"""Bits that cannot move, left out of what runs reach of the Verilog, each with a reason."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .constant_bits import constant_bits

__all__ = ["Point", "left_out"]

#: (kind, module, where) of a point, as gen/bench/coverage_rtl.py keeps them.
Point = tuple[str, str, str]

CONSTANT = "constant in its module, as logic optimization proves: zeros above sums, gaps of counts"


class _Slow(NamedTuple):
    """Bits of counters that move after so many cycles only."""

    module: str
    name: str
    least: int
    reason: str


_SLOW = (
    _Slow(r".*\.counters", r".*", 24, "slots of the lanes, which fill 64 bits: from 2^24 slots on"),
    _Slow(r".*", r"cycles(\$\d+)?", 22, "cycles of a run, which fill 32 bits: from 2^22 cycles on"),
)
#: In Verilator's names, a character that C++ does not allow.
_CODED = re.compile(r"__0([0-9a-f]{2})")
_BIT = re.compile(r"(.*?)(?:\[(-?\d+)\])?:[01]->[01]")


def left_out(verilog: str, points: Iterable[Point]) -> Mapping[Point, str]:
    """Of some points those that are left out, and why.

    Raises
    ------
    SparnnError: Yosys is missing or fails.
    """
    constants = constant_bits(verilog)
    found = {}
    for point in points:
        kind, module, where = point
        if kind != "toggle" or not (match := _BIT.fullmatch(where.split(" ")[2])):
            continue
        name = _CODED.sub(lambda code: chr(int(code[1], 16)), match[1])
        bit = int(match[2] or 0)
        if (module, name, bit) in constants:
            found[point] = CONSTANT
            continue
        for slow in _SLOW:
            named = re.fullmatch(slow.module, module) and re.fullmatch(slow.name, name)
            if named and bit >= slow.least:
                found[point] = slow.reason
    return found
