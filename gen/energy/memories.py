"""What an access of a memory takes, from the table of CACTI's figures (gen/energy/cacti.py)."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sparnn.gen.errors import SparnnError
from sparnn.hdl.common.banked_memory import bank_count
from sparnn.hdl.common.numbers import ceil_div

from .cacti import BITS, BYTES, NODES, TABLE

__all__ = ["LEAST_BITS", "AccessEnergy", "access_energy", "banked_energy"]

LEAST_BITS = 8 * BYTES[0]
"""Bits of the smallest memory; what is smaller is made of flip-flops and counts as logic."""


@dataclass(frozen=True)
class AccessEnergy:
    """Picojoules of a read and of a write of a whole word; leakage of the memory in milliwatts."""

    read_pj: float
    write_pj: float
    leakage_mw: float


def access_energy(words: int, width: int, *, ports: str, node: int) -> AccessEnergy:
    """Of one memory, between CACTI's figures.

    A word of more bits than the widest of the table lies in several memories beside each other; one
    of fewer bits than the narrowest costs as much as that. Between two widths energy is linear;
    between two sizes it is a power of the size. Of the few small wide memories of which CACTI finds
    no organization the smallest that it finds is taken.

    Parameters
    ----------
    ports: "one" for a memory that is never read and written at once, else "two".
    node: nanometres.

    Raises
    ------
    SparnnError: no figures are there for this node, or for so small or so large a memory.
    """
    if node not in NODES:
        raise SparnnError(
            f"energy at {node} nm: CACTI's figures are there for "
            f"{', '.join(str(one) for one in NODES)} nm; choose one of these"
        )
    beside = ceil_div(width, BITS[-1])
    bits = width / beside
    size = words * bits / 8
    if not BYTES[0] <= size <= BYTES[-1]:
        raise SparnnError(
            f"energy of a memory of {words} words of {width} bits: CACTI's figures are there for "
            f"{BYTES[0]} to {BYTES[-1]} bytes in words of at most {BITS[-1]} bits; divide it into "
            "banks, or make the table larger (docs/energy.md)"
        )
    bits = max(bits, BITS[0])
    above = next(one for one in BITS if one >= bits)
    below = max(one for one in BITS if one <= bits)
    share = 0.0 if above == below else (bits - below) / (above - below)
    ends = [_of_size(_rows()[node, ports, one], size) for one in (below, above)]
    values = [beside * ((1 - share) * low + share * high) for low, high in zip(*ends, strict=True)]
    return AccessEnergy(*values)


def banked_energy(
    words: int, width: int, *, ports: str, node: int, bank_bytes: int
) -> AccessEnergy:
    """The same where a larger memory is divided into banks of at most so many bytes, of which an
    access wakes one. As in hardware there is a power of two of them. The wires between banks are in
    no figure."""
    banks = bank_count(words, width, bank_bytes)
    one = access_energy(ceil_div(words, banks), width, ports=ports, node=node)
    return replace(one, leakage_mw=banks * one.leakage_mw)


def _of_size(rows: Sequence[tuple[int, tuple[float, ...]]], size: float) -> tuple[float, ...]:
    """Figures of a size between those of a width, in order of size."""
    if size <= rows[0][0]:
        return rows[0][1]
    place = next(index for index, (bytes_, _) in enumerate(rows) if bytes_ >= size)
    (low, first), (high, second) = rows[place - 1], rows[place]
    share = math.log(size / low) / math.log(high / low)
    return tuple(one * (two / one) ** share for one, two in zip(first, second, strict=True))


@cache
def _rows() -> Mapping[tuple[int, str, int], Sequence[tuple[int, tuple[float, ...]]]]:
    """Of each node, kind of ports and width: sizes and figures."""
    found: dict[tuple[int, str, int], list[tuple[int, tuple[float, ...]]]] = {}
    content: Mapping[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    for row in content["rows"]:
        figures = (row["read_pj"], row["write_pj"], row["leakage_mw"])
        found.setdefault((row["nm"], row["ports"], row["bits"]), []).append((row["bytes"], figures))
    return {key: sorted(rows) for key, rows in found.items()}
