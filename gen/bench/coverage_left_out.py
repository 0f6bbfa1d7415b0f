"""Bits that cannot move, left out of what runs reach of the Verilog, each with a reason."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.machine import MachineConfig

from .constant_bits import constant_bits

__all__ = ["Point", "left_out"]

#: (kind, module, where) of a point, as gen/bench/coverage_rtl.py keeps them.
Point = tuple[str, str, str]

CONSTANT = "constant in its module, as logic optimization proves: zeros above sums, gaps of counts"


class _Still(NamedTuple):
    """Bits from ``least`` on of signals by their names."""

    module: str
    name: str
    least: int
    reason: str


_SLOW = (
    _Still(
        r".*\.counters", r".*", 24, "slots of the lanes, which fill 64 bits: from 2^24 slots on"
    ),
    _Still(
        r".*", r"cycles(\$\d+)?", 22, "cycles of a run, which fill 32 bits: from 2^22 cycles on"
    ),
)
#: In Verilator's names, a character that C++ does not allow.
_CODED = re.compile(r"__0([0-9a-fA-F]{2})")
_BIT = re.compile(r"(.*?)(?:\[(-?\d+)\])?:[01]->[01]")


def _tail(config: MachineConfig) -> _Still:
    return _Still(
        r".*",
        r".*\.tail",
        clog2(config.post_units),
        "tail, the units of a layer mod post_units: bits that no remainder has",
    )


def left_out(verilog: str, config: MachineConfig, points: Iterable[Point]) -> Mapping[Point, str]:
    """Of some points those that are left out, and why. ``config``: what the Verilog is of.

    Raises
    ------
    SparnnError: Yosys is missing or fails.
    """
    constants, still = constant_bits(verilog), (*_SLOW, _tail(config))
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
        for one in still:
            named = re.fullmatch(one.module, module) and re.fullmatch(one.name, name)
            if named and bit >= one.least:
                found[point] = one.reason
    return found
