"""Memories as modules of their own, for chips, where a memory compiler makes them (docs/chips.md).

A machine's Verilog has its memories as arrays, from which synthesis for FPGAs makes block RAMs.
Synthesis for a chip makes flip-flops of them. So each memory that a compiler could make stands as
an instance of a module here, and the module's simulation model promises no more than a macro keeps.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import _nir

from .common.numbers import ceil_div

__all__ = ["MemoryMacro", "separate_memories"]

#: Memories that the host fills while nothing runs, by their names; of banks each.
_LOADED = re.compile(r"(weights|weight_masks)(_\d+)?$")


@dataclass(frozen=True, order=True)
class MemoryMacro:
    """A kind of memory, with ports of one clock. Latency: ``r*_data`` one cycle after ``r*_addr``,
    where ``r*_en`` is high; else it stays.

    Members
    -------
    words, bits: size. write_bits: that a bit of ``w*_en`` stands for.
    writes, reads: ports.
    collision: what a port reads of a word that is written in the same cycle: "old", "new", or "any"
        where nobody uses it. "alone": no port's data are used after a cycle with a write, to
        whatever word, so that reads and writes can share one port.
    """

    words: int
    bits: int
    write_bits: int
    writes: int
    reads: int
    collision: str

    @property
    def name(self) -> str:
        """Of the module."""
        parts = "" if self.write_bits == self.bits else f"_by{self.write_bits}"
        return (
            f"sparnn_memory_{self.words}x{self.bits}{parts}_{self.writes}w{self.reads}r_"
            f"{self.collision}"
        )

    @property
    def address_bits(self) -> int:
        return max(1, (self.words - 1).bit_length())

    def verilog(self) -> str:
        """A model for simulation: it starts with words that mean nothing, and where ``collision``
        leaves open what is read it reads the complement."""
        return "\n".join([*self._ports(), *self._content(), "endmodule", ""])

    def _ports(self) -> Iterator[str]:
        address, word = f"[{self.address_bits - 1}:0]", f"[{self.bits - 1}:0]"
        enables = f"[{ceil_div(self.bits, self.write_bits) - 1}:0]"
        yield f"module {self.name}("
        yield "  input clk,"
        for port in range(self.writes):
            yield f"  input {enables} w{port}_en,"
            yield f"  input {address} w{port}_addr,"
            yield f"  input {word} w{port}_data,"
        for port in range(self.reads):
            yield f"  input r{port}_en,"
            yield f"  input {address} r{port}_addr,"
            yield f"  output reg {word} r{port}_data{',' if port < self.reads - 1 else ''}"
        yield ");"

    def _content(self) -> Iterator[str]:
        yield f"  reg [{self.bits - 1}:0] words [0:{self.words - 1}];"
        yield "  integer i;"
        yield "  initial"
        yield f"    for (i = 0; i < {self.words}; i = i + 1)"
        copies = ceil_div(self.bits, 32)
        yield f"      words[i] = {{{copies}{{32'h9e3779b9 ^ (32'h85ebca6b * i)}}}};"
        yield "  always @(posedge clk) begin"
        for port in range(self.reads):
            yield f"    if (r{port}_en) begin"
            yield f"      r{port}_data <= {self._read(port)};"
            if self.collision == "new":
                for one in range(self.writes):
                    same = f"w{one}_addr == r{port}_addr"
                    yield from self._parts(f"w{one}_en[i] && {same}", one, f"r{port}_data")
            yield "    end"
        for port in range(self.writes):
            yield from self._parts(f"w{port}_en[i]", port, f"words[w{port}_addr]")
        yield "  end"

    def _read(self, port: int) -> str:
        """The word that a read gives, but for what is written in the same cycle."""
        word = f"words[r{port}_addr]"
        where = {"alone": "", "any": f" && w{{}}_addr == r{port}_addr"}.get(self.collision)
        if where is None:
            return word
        writes = [f"|w{one}_en{where.format(one)}" for one in range(self.writes)]
        return f"({' || '.join(writes)}) ? ~{word} : {word}"

    def _parts(self, condition: str, port: int, place: str) -> Iterator[str]:
        """Write the parts of a word that are enabled."""
        part = f"[i * {self.write_bits} +: {self.write_bits}]"
        yield f"    for (i = 0; i < {ceil_div(self.bits, self.write_bits)}; i = i + 1)"
        yield f"      if ({condition}) {place}{part} <= w{port}_data{part};"


@dataclass
class _Ports:
    """The netlist's cells of one memory: numbers, and the cells."""

    writes: list[tuple[int, Any]] = field(default_factory=list)
    reads: list[tuple[int, Any]] = field(default_factory=list)

    def __iter__(self) -> Iterator[int]:
        return (number for number, _ in (*self.writes, *self.reads))


@contextmanager
def separate_memories(least_bits: int, *, alone: bool) -> Iterator[set[MemoryMacro]]:
    """What is converted to Verilog meanwhile has its memories as instances; the kinds are added to
    the set.

    Not taken are memories of fewer bits, with initial values, without a port of either sort, or
    that are read in the same cycle.

    Parameters
    ----------
    alone: the memories that the host fills are written while nothing runs: not where they are
        filled from external memory.
    """
    kinds: set[MemoryMacro] = set()
    emitter = rtlil.ModuleEmitter
    collect, emit = emitter.collect_memory_info, emitter.emit_cells

    def without(self: Any, step: Any) -> None:
        """A step of the emitter that does not see the memories that are taken."""
        taken = {*self.separate, *(one for _, ports in self.separate.values() for one in ports)}
        cells = self.module.cells
        self.module.cells = [number for number in cells if number not in taken]
        step(self)
        self.module.cells = cells

    def collect_memory_info(self: Any) -> None:
        self.separate = {}
        for number, ports in _memories(self).items():
            macro = _macro(self.netlist.cells[number], ports, least_bits, alone)
            if macro is not None:
                self.separate[number] = macro, ports
        without(self, collect)

    def emit_cells(self: Any) -> None:
        without(self, emit)
        for number, (macro, ports) in self.separate.items():
            kinds.add(macro)
            name = self.netlist.cells[number].name
            self.builder.cell(f"\\{macro.name}", name, ports=_connections(self, ports))

    emitter.collect_memory_info, emitter.emit_cells = collect_memory_info, emit_cells
    try:
        yield kinds
    finally:
        emitter.collect_memory_info, emitter.emit_cells = collect, emit


def _memories(emitter: Any) -> dict[int, _Ports]:
    """The ports of each memory of a module."""
    cells = [(number, emitter.netlist.cells[number]) for number in emitter.module.cells]
    found = {number: _Ports() for number, cell in cells if isinstance(cell, _nir.Memory)}
    for number, cell in cells:
        if isinstance(cell, _nir.SyncWritePort):
            found[cell.memory].writes.append((number, cell))
        elif isinstance(cell, (_nir.SyncReadPort, _nir.AsyncReadPort)):
            found[cell.memory].reads.append((number, cell))
    return found


def _macro(memory: Any, ports: _Ports, least_bits: int, alone: bool) -> MemoryMacro | None:
    """The kind of a memory that a compiler could make; None of any other."""
    cells = [cell for _, cell in (*ports.writes, *ports.reads)]
    if memory.width * memory.depth < least_bits or any(memory.init):
        return None
    if not ports.writes or not ports.reads:
        return None
    if any(isinstance(cell, _nir.AsyncReadPort) for cell in cells):
        return None
    if len({(cell.clk, cell.clk_edge) for cell in cells}) > 1 or cells[0].clk_edge != "pos":
        return None
    shown = {len(cell.transparent_for) for _, cell in ports.reads}
    if alone and _LOADED.match(memory.name):
        collision = "alone"
    elif memory.attributes.get("no_rw_check"):
        collision = "any"
    elif shown == {len(ports.writes)}:
        collision = "new"
    elif shown == {0}:
        collision = "old"
    else:
        return None
    return MemoryMacro(
        memory.depth,
        memory.width,
        _write_bits(ports.writes[0][1]),
        len(ports.writes),
        len(ports.reads),
        collision,
    )


def _write_bits(port: Any) -> int:
    """Bits that are always written together: the netlist has an enable for each bit."""
    enables = list(port.en)
    for bits in range(len(enables), 1, -1):
        groups = [enables[at : at + bits] for at in range(0, len(enables), bits)]
        if len(enables) % bits == 0 and all(len(set(group)) == 1 for group in groups):
            return bits
    return 1


def _connections(emitter: Any, ports: _Ports) -> dict[str, Any]:
    found = {}
    for place, (_, cell) in enumerate(ports.writes):
        step = _write_bits(ports.writes[0][1])
        found[f"w{place}_en"] = emitter.sigspec(_nir.Value(list(cell.en)[::step]))
        found[f"w{place}_addr"] = emitter.sigspec(cell.addr)
        found[f"w{place}_data"] = emitter.sigspec(cell.data)
    for place, (number, cell) in enumerate(ports.reads):
        found[f"r{place}_en"] = emitter.sigspec(cell.en)
        found[f"r{place}_addr"] = emitter.sigspec(cell.addr)
        found[f"r{place}_data"] = emitter.cell_wires[number].name
    found["clk"] = emitter.sigspec(ports.writes[0][1].clk)
    return found
