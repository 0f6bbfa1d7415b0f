"""Verilog that counts the accesses of its memories while a run is under way.

The machine's own Verilog, with a counter beside each port of each memory. Nothing of the machine
changes, and no design has to be known: ports are found in the text that Amaranth writes. Counters
tell the simulation's driver what they have at its end (sim/verilator/driver/driver.cpp).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sparnn.gen.errors import SparnnError

__all__ = ["IMPORTS", "Accesses", "PortCounts", "counting_verilog", "counts_of"]

#: Modules that know whether a run is under way, by their signal ``busy``.
_BUSY = re.compile(r"^sparnn\.core\.(dispatcher|control)$")

_MODULE = re.compile(
    r"^module (?P<name>\\\S+ |[^\\ (]+) ?\(.*?^endmodule", re.MULTILINE | re.DOTALL
)
_NAME = r"(?P<name>\\\S+ |[^\\\s\[]+) ?"
_MEMORY = re.compile(rf"^  reg (?:\[(?P<high>\d+):0\] )?{_NAME}\[(?P<last>\d+):0\];$", re.MULTILINE)
_WRITE = re.compile(
    r"^  always @\(posedge (?P<clock>\S+) ?\) begin\n"
    rf"(?P<body>(?:    if \(.*\)\n      {_NAME.replace('?P<name>', '')}\[.*\] <= .*;\n)+)  end$",
    re.MULTILINE,
)
_WRITTEN = re.compile(
    rf"    if \((?P<enable>.*)\)\n      {_NAME}\[(?P<address>.*?)\](?:\[[\d:]+\])? <= "
)
_READ = re.compile(
    r"^  always @\(posedge (?P<clock>\S+) ?\)(?: begin)?\n"
    r"(?:    if \((?P<enable>.*)\) begin\n)?"
    rf"\s+_\d+_ <= {_NAME}\[(?P<address>.*)\];$",
    re.MULTILINE,
)

#: Counters of a memory.
_KINDS = 4
_READ_AT_ONCE = re.compile(rf"^  assign \S.* = {_NAME}\[(?P<address>[^\n]*)\];$", re.MULTILINE)

IMPORTS = """import "DPI-C" function void sparnn_run(input bit under_way);
import "DPI-C" function bit sparnn_running();
import "DPI-C" function void sparnn_count(input int number, input longint count);
"""


@dataclass(frozen=True)
class PortCounts:
    """A memory with the accesses of all of its ports, in all of its copies.

    Members
    -------
    module, memory: names in the Verilog.
    words, width: of one copy.
    clocked: False where the memory is read in the same cycle: it is made of flip-flops.
    copies: of the memory, in the machine.
    reads: cycles in which a copy was read. fresh: those of them in which the address was another
        one than before, or the word had been written since.
    writes: cycles in which a copy was written. Of a prediction the three are means.
    """

    module: str
    memory: str
    words: int
    width: int
    clocked: bool
    copies: int = 0
    reads: float = 0
    fresh: float = 0
    writes: float = 0

    @property
    def name(self) -> str:
        """Of the memory, with its module."""
        return f"{self.module}:{self.memory}"


@dataclass(frozen=True)
class Accesses:
    """What the accesses of a machine's memories are counted by.

    memories: without counts, in the order of their counters' numbers: copies, reads, fresh reads
        and writes of the first, then of the second.
    """

    memories: tuple[PortCounts, ...]

    def counted(self, counts: Mapping[str, int]) -> tuple[PortCounts, ...]:
        """The memories with what a driver counted."""
        found = []
        for place, one in enumerate(self.memories):
            copies, reads, fresh, writes = (
                counts.get(str(_KINDS * place + kind), 0) for kind in range(_KINDS)
            )
            found.append(replace(one, copies=copies, reads=reads, fresh=fresh, writes=writes))
        return tuple(found)


def counting_verilog(verilog: str) -> tuple[str, Accesses]:
    """A machine's Verilog with counters, and what they count.

    Raises
    ------
    SparnnError: no module of it knows when a run is under way.
    """
    memories: list[PortCounts] = []
    known = False

    def module(match: re.Match[str]) -> str:
        nonlocal known
        text, name = match[0], _plain(match["name"])
        lines = list(_counters(text, name, memories))
        if _BUSY.match(name):
            known = True
            clock = _clock(text)
            lines += [f"  always @(posedge {clock}) sparnn_run(busy);"]
        if not lines:
            return text
        return text.removesuffix("endmodule") + "\n".join([*lines, "endmodule"])

    result = _MODULE.sub(module, verilog)
    if not known:
        raise SparnnError(
            "the accesses of this Verilog cannot be counted: it has no dispatcher or control "
            "with a signal `busy`"
        )
    return IMPORTS + result, Accesses(tuple(memories))


def counts_of(memories: Sequence[PortCounts], more: Sequence[PortCounts]) -> tuple[PortCounts, ...]:
    """The counts of two runs of one machine, added."""
    return tuple(
        replace(
            one,
            reads=one.reads + two.reads,
            fresh=one.fresh + two.fresh,
            writes=one.writes + two.writes,
        )
        for one, two in zip(memories, more, strict=True)
    )


def _counters(text: str, module: str, memories: list[PortCounts]) -> Iterator[str]:
    """Lines that count the accesses of a module's memories, which are appended."""
    clocks: dict[str, str] = {}
    writes: dict[str, list[tuple[str, str]]] = {}
    reads: dict[str, list[tuple[str, str]]] = {}
    for block in _WRITE.finditer(text):
        for match in _WRITTEN.finditer(block["body"]):
            clocks[_plain(match["name"])] = block["clock"]
            port = (match["enable"], match["address"])
            writes.setdefault(_plain(match["name"]), []).append(port)
    for match in _READ.finditer(text):
        clocks[_plain(match["name"])] = match["clock"]
        port = (match["enable"] or "1'b1", match["address"])
        reads.setdefault(_plain(match["name"]), []).append(port)
    clocked = set(reads)
    for match in _READ_AT_ONCE.finditer(text):
        if _plain(match["name"]) in clocks:  # a memory, and not some bits
            reads.setdefault(_plain(match["name"]), []).append(("1'b1", match["address"]))
    for match in _MEMORY.finditer(text):
        memory = _plain(match["name"])
        number = _KINDS * len(memories)
        words, width = int(match["last"]) + 1, 1 + int(match["high"] or 0)
        memories.append(PortCounts(module, memory, words, width, memory in clocked))
        yield f"  longint sparnn_reads{number} = 0;"
        yield f"  longint sparnn_fresh{number} = 0;"
        yield f"  longint sparnn_writes{number} = 0;"
        if memory in clocks:
            yield from _counter(
                number, clocks[memory], writes.get(memory, []), reads.get(memory, [])
            )
        yield "  final begin"
        yield f"    sparnn_count({number}, 1);"
        for kind, name in enumerate(("reads", "fresh", "writes"), 1):
            yield f"    sparnn_count({number + kind}, sparnn_{name}{number});"
        yield "  end"


def _counter(
    number: int,
    clock: str,
    writes: Sequence[tuple[str, str]],
    reads: Sequence[tuple[str, str]],
) -> Iterator[str]:
    """Counts one memory. Several ports may count in one cycle, so assignments do not wait."""
    written = " | ".join(f"(|({enable}))" for enable, _ in writes) or "1'b0"
    for port in range(len(reads)):
        yield f"  reg sparnn_stale{number}_{port} = 1;"
        yield f"  reg [31:0] sparnn_before{number}_{port} = 0;"
    yield f"  always @(posedge {clock}) begin"
    yield f"    if (sparnn_running() && ({written}))"
    yield f"      sparnn_writes{number} = sparnn_writes{number} + 1;"
    for port, (enable, address) in enumerate(reads):
        stale, before = (f"sparnn_{name}{number}_{port}" for name in ("stale", "before"))
        yield f"    if ({enable}) begin"
        yield "      if (sparnn_running()) begin"
        yield f"        sparnn_reads{number} = sparnn_reads{number} + 1;"
        yield f"        if ({stale} || {before} != 32'({address}))"
        yield f"          sparnn_fresh{number} = sparnn_fresh{number} + 1;"
        yield "      end"
        yield f"      {before} = 32'({address});"
        yield f"      {stale} = 0;"
        yield "    end"
        for enable, address in writes:
            yield f"    if ((|({enable})) && {before} == 32'({address})) {stale} = 1;"
    yield "  end"


def _clock(text: str) -> str:
    """The clock of a module."""
    match = re.search(r"^  input (\w*clk);$", text, re.MULTILINE)
    assert match is not None
    return match[1]


def _plain(name: str) -> str:
    return name.strip().removeprefix("\\")
