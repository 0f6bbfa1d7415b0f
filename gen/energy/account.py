"""Memory energy of a run: counted accesses times what an access takes, by what memories hold."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .counting import PortCounts
from .memories import LEAST_BITS, access_energy, banked_energy

__all__ = [
    "KINDS",
    "MemoryEnergy",
    "banks_together",
    "is_memory",
    "kind_of",
    "memory_energy",
    "sliced",
]

#: What a memory holds, by its module and name.
_KINDS = (
    ("pointers", re.compile(r":pointers_(even|odd)$")),
    ("weights", re.compile(r":(weights|matrix)(_\d+)?$")),
    ("masks", re.compile(r":weight_masks(_\d+)?$")),
    ("activations", re.compile(r"_lane\.\w+:activation\w+$|_vector_lane:[xh]$")),
    ("store", re.compile(r"core\.store|core:store|core\.broadcaster")),
    ("sums", re.compile(r"sums|rows:|queue|join|totals|fifo|candidates|kept|halves")),
)

#: What distinguishes the banks of a memory.
_BANK = re.compile(r"_\d+$")

KINDS = (*(name for name, _ in _KINDS), "other")
"""What memories hold. ``weights``: EIE's and ESE's with the runs of zeros before them;
``activations``: those that multipliers read; ``store``: those of the whole sequence, and their way
to the lanes; ``sums``: partial sums, halves that wait for each other, queues; ``other``:
requantization parameters, cell states, tables, programs."""


@dataclass(frozen=True)
class MemoryEnergy:
    """One memory of a run, in all of its copies. pj: of the whole run."""

    counts: PortCounts
    kind: str
    pj: float
    leakage_mw: float


def is_memory(counts: PortCounts) -> bool:
    """Whether it is a memory and not flip-flops, whose energy is the logic's."""
    return counts.words * counts.width >= LEAST_BITS


def kind_of(name: str) -> str:
    """What a memory of this name holds."""
    return next((kind for kind, pattern in _KINDS if pattern.search(name)), "other")


def memory_energy(
    memories: Sequence[PortCounts],
    node: int,
    *,
    gated: bool = True,
    bank_bytes: Mapping[str, int] | None = None,
) -> list[MemoryEnergy]:
    """What each memory takes.

    Parameters
    ----------
    gated: a read whose word is still at the output is none: the memory's clock stands. False counts
        every cycle in which the read port is enabled, as the Verilog is written.
    bank_bytes: by kind, largest bank of memories of that kind; where nothing is said, memories are
        whole.
    """
    found = []
    for one in memories:
        if not is_memory(one):
            continue
        kind = kind_of(one.name)
        reads = one.fresh if gated else one.reads
        # What is only read while it runs is written through the same port before.
        ports = "two" if one.writes and one.reads else "one"
        limit = (bank_bytes or {}).get(kind)
        energy = (
            access_energy(one.words, one.width, ports=ports, node=node)
            if limit is None
            else banked_energy(one.words, one.width, ports=ports, node=node, bank_bytes=limit)
        )
        found.append(
            MemoryEnergy(
                one,
                kind,
                reads * energy.read_pj + one.writes * energy.write_pj,
                one.copies * energy.leakage_mw,
            )
        )
    return found


def banks_together(memories: Sequence[PortCounts]) -> list[PortCounts]:
    """The banks of a memory as one row: so many more copies, with the accesses of all."""
    found: dict[tuple[str, str, int, int], PortCounts] = {}
    for one in memories:
        name = _BANK.sub("", one.memory)
        key = (one.module, name, one.words, one.width)
        before = found.get(key)
        found[key] = replace(
            one,
            memory=name,
            **{
                count: getattr(one, count) + (getattr(before, count) if before else 0)
                for count in ("copies", "reads", "fresh", "writes")
            },
        )
    return list(found.values())


def sliced(memories: Sequence[PortCounts], bits: int) -> list[PortCounts]:
    """The same machine if a lane's copy of the activations were a memory for each element of its
    words: a pair wakes the one that it reads, a word that arrives all of them. So many are read as
    weights are."""
    weights = {one.module: one.fresh for one in memories if kind_of(one.name) == "weights"}
    found = []
    for one in memories:
        count = one.width // bits
        if kind_of(one.name) == "activations" and one.module in weights and count > 1:
            one = replace(
                one,
                width=bits,
                copies=one.copies * count,
                reads=weights[one.module],
                fresh=weights[one.module],
                writes=one.writes * count,
            )
        found.append(one)
    return found
