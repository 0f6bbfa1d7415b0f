"""A machine whose first lane, first cluster and top are the gates that synthesis gave.

They stand in the place of their Verilog, in the whole machine and on its whole workload, so that
what the gates see is what they would see, and a wrong netlist would give wrong outputs. Memories of
a macro's size stay memories. Each net's changes are counted over a window of a run's cycles: values
at clock edges, so that glitches are in no figure.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparnn.gen.synth.yosys import run_yosys, yosys_version
from sparnn.hdl.common.numbers import ceil_div
from sparnn.sim.verilator.cache import kept, key_of

from .counting import IMPORTS
from .liberty import Cell, Library, read_liberty
from .memories import LEAST_BITS

__all__ = ["FIRST_NUMBER", "LEAST_GATED", "GateCell", "GateModule", "gates_verilog"]

FIRST_NUMBER = 1 << 20
"""Numbers of the first net's counter of the modules: this, twice this and three times this."""

#: Bits of a word of nets.
_WORD = 32

LEAST_GATED = 4
"""Flip-flops behind one clock gate, at least."""

_PARTS = ("sparnn_lane", "sparnn_cluster", "sparnn")
_GATES = "_gates"
_ZEROES = re.compile(r"  initial begin : zero_\d+\n    integer i;\n.*\n  end\n")

#: It takes bits of a vector that follow from others for a loop.
_FOR_VERILATOR = "/* verilator lint_off UNOPTFLAT */"

_MACRO = """(* blackbox *) module sram_macro(
  input RD_CLK, input RD_EN, input RD_ARST, input RD_SRST, input RD_ADDR, output RD_DATA,
  input WR_CLK, input WR_EN, input WR_ADDR, input WR_DATA);
endmodule
"""


@dataclass(frozen=True)
class GateCell:
    """A cell of a netlist: its type and the net of each pin; -1 where there is none to count.

    gate: of a flip-flop behind a clock gate, and of that, the place of the enable among the
    module's ``enables``; -1 of all others.
    """

    kind: str
    pins: Mapping[str, int]
    gate: int = -1


@dataclass(frozen=True)
class GateModule:
    """A module of gates.

    Members
    -------
    name: of the Verilog module in whose place it stands. copies: of it in the machine.
    cells: standard cells. nets: so many are counted, from ``first`` on.
    enables: nets that open clock gates; behind the nets' numbers are those of the cycles in which
        they do.
    """

    name: str
    copies: int
    first: int
    nets: int
    cells: tuple[GateCell, ...]
    enables: tuple[int, ...] = ()


def gates_verilog(
    verilog: str, liberty: Path, *, begin: int, cycles: int, clock_gates: bool = False
) -> tuple[str, tuple[GateModule, ...]]:
    """A machine's Verilog with gates in it, and what the gates are.

    Parameters
    ----------
    begin, cycles: the window in which changes are counted, in cycles of the run.
    clock_gates: registers of :data:`LEAST_GATED` bits or more that share an enable get a clock gate
        of the library.

    Raises
    ------
    SparnnError: Yosys is missing or fails.
    """
    text = _ZEROES.sub("", verilog)
    how = repr((Path(__file__).read_bytes(), clock_gates))
    key = key_of(text, liberty.read_bytes(), how, yosys_version())
    folder = kept("gates", key, lambda folder: _map(folder, text, liberty, clock_gates))
    design = json.loads((folder / "mapped.json").read_text(encoding="utf-8"))["modules"]
    mapped = (folder / "mapped.v").read_text(encoding="utf-8")
    library = read_liberty(liberty)
    modules, texts = [], []
    copies = _copies(design)
    for number, name in enumerate(_PARTS, 1):
        if name not in design:
            continue
        names, cells, enables = _nets(design[name], library)
        module = GateModule(name, copies[name], number * FIRST_NUMBER, len(names), cells, enables)
        modules.append(module)
        lines = list(_counters(module, names, begin, cycles)) if names else []
        if name == "sparnn":
            lines.append(f"  always @(posedge clk) sparnn_run({_busy(design[name])});")
        body = "\n".join([_module(mapped, name).removesuffix("endmodule"), *lines, "endmodule"])
        texts.append(_placed(body, name))
    models = [_model(library.cells[kind]) for kind in sorted(_kinds(modules))]
    rest = verilog.replace(_module(verilog, "sparnn"), "")
    return "\n".join([_FOR_VERILATOR, IMPORTS, rest, *models, *texts]), tuple(modules)


def _map(work: Path, verilog: str, liberty: Path, clock_gates: bool) -> None:
    """Writes ``mapped.v`` and ``mapped.json``: standard cells, and memories as they are."""
    (work / "sparnn.v").write_text(verilog, encoding="utf-8")
    (work / "macro.v").write_text(_MACRO, encoding="utf-8")
    (work / "cells.lib").write_bytes(liberty.read_bytes())
    run_yosys(
        [
            "read_verilog sparnn.v",
            f"setattr -mod -set keep_hierarchy 1 {' '.join(_PARTS[:-1])}",
            "read_verilog macro.v",
            "synth -flatten -top sparnn -run begin:fine",
            "write_json coarse.json",
            "write_rtlil coarse.il",
        ],
        work,
        "Mapping to gates: memories",
    )
    modules = json.loads((work / "coarse.json").read_text(encoding="utf-8"))["modules"]
    chosen = [
        f"chtype -set sram_macro {module}/{re.sub(r'[^a-zA-Z0-9_.]', '?', cell)}"
        for module, content in modules.items()
        for cell, memory in content["cells"].items()
        if memory["type"] == "$mem_v2" and _bits(memory["parameters"]) >= LEAST_BITS
    ]
    run_yosys(
        [
            "read_rtlil coarse.il",
            *chosen,
            "synth -flatten -top sparnn -run fine:check",
            # Resets become logic, because a clock gate knows enables alone.
            *(
                [
                    "dfflegalize -cell $_DFF_P_ 01 -cell $_DFFE_PP_ 01",
                    f"clockgate -liberty cells.lib -min_net_size {LEAST_GATED}",
                ]
                if clock_gates
                else []
            ),
            "dfflibmap -liberty cells.lib",
            "abc -liberty cells.lib",
            "opt_clean",
            "chtype -set $mem_v2 t:sram_macro",
            "write_json mapped.json",
            "write_verilog -norename -noattr mapped.v",
        ],
        work,
        "Mapping to gates: logic",
    )
    for name in ("coarse.json", "coarse.il", "cells.lib", "sparnn.v", "macro.v"):
        (work / name).unlink()


def _bits(parameters: Mapping[str, str]) -> int:
    return int(parameters["SIZE"], 2) * int(parameters["WIDTH"], 2)


def _copies(design: Mapping[str, Any]) -> dict[str, int]:
    """How often each module stands in the machine."""
    copies = {"sparnn": 1}
    for parent in ("sparnn", "sparnn_cluster"):
        for cell in design[parent]["cells"].values():
            if cell["type"] in _PARTS:
                copies[cell["type"]] = copies.get(cell["type"], 0) + copies[parent]
    return copies


def _nets(
    module: Mapping[str, Any], library: Library
) -> tuple[list[str], tuple[GateCell, ...], tuple[int, ...]]:
    """The nets that cells of the library drive or read, as Verilog; the cells; the enables."""
    names = {
        bit: _expression(name, place, len(wire["bits"]))
        for name, wire in module["netnames"].items()
        for place, bit in enumerate(wire["bits"])
    }
    placed = [cell for cell in module["cells"].values() if cell["type"] in library.cells]
    gates: dict[Any, int] = {}  # place of the enable, by the clock that it opens
    enables: list[Any] = []
    for cell in placed:
        gate = library.cells[cell["type"]].gate
        if gate:
            enable, output = (cell["connections"][pin][0] for pin in gate)
            gates[output] = len(enables)
            enables.append(enable)
    numbers: dict[Any, int] = {}
    cells = []
    for cell in placed:
        kind = library.cells[cell["type"]]
        clocks = {kind.clock, *kind.gate[1:]}
        pins = {
            pin: numbers.setdefault(bits[0], len(numbers))
            if isinstance(bits[0], int) and pin not in clocks
            else -1
            for pin, bits in cell["connections"].items()
        }
        clock = cell["connections"].get(kind.gate[1] if kind.gate else kind.clock, [None])[0]
        cells.append(GateCell(cell["type"], pins, gates.get(clock, -1)))
    return (
        [names[bit] for bit in numbers],
        tuple(cells),
        tuple(numbers[enable] for enable in enables),
    )


def _expression(name: str, place: int, width: int) -> str:
    return f"\\{name} " + (f"[{place}]" if width > 1 else "")


def _busy(module: Mapping[str, Any]) -> str:
    """The net that tells whether a run is under way."""
    name = next(
        name for name in module["netnames"] if re.search(r"core\.(dispatcher|control)\.busy$", name)
    )
    return _expression(name, 0, 1)


def _module(text: str, name: str) -> str:
    found = re.search(rf"^module {name}\(.*?^endmodule", text, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found[0]


def _placed(text: str, name: str) -> str:
    """The module under the name of gates, with the first of its parts made of gates."""
    if name != "sparnn":
        text = text.replace(f"module {name}(", f"module {name}{_GATES}(", 1)
    part = {"sparnn": "sparnn_cluster", "sparnn_cluster": "sparnn_lane"}.get(name)
    if part is not None:
        text = re.sub(rf"^  {part} ", f"  {part}{_GATES} ", text, count=1, flags=re.MULTILINE)
    return text


def _counters(module: GateModule, names: Sequence[str], begin: int, cycles: int) -> Iterator[str]:
    # In words: one vector of all nets would be copied for each of them.
    words = ceil_div(module.nets, _WORD)
    yield f"  wire [{_WORD - 1}:0] sparnn_nets [{words}];"
    yield f"  reg [{_WORD - 1}:0] sparnn_before [{words}];"
    yield f"  int sparnn_changes [{words * _WORD}];"
    yield f"  int sparnn_open [{len(module.enables) + 1}];"
    yield "  longint sparnn_cycle = 0;"
    for word in range(words):
        bits = names[word * _WORD : (word + 1) * _WORD]
        yield f"  assign sparnn_nets[{word}] = {{{', '.join(reversed(bits))}}};"
    yield "  always @(posedge clk) begin"
    yield "    if (sparnn_running()) begin"
    yield f"      if (sparnn_cycle >= {begin} && sparnn_cycle < {begin + cycles})"
    yield f"        for (int i = 0; i < {words}; i++)"
    yield "          if (sparnn_nets[i] != sparnn_before[i])"
    yield f"            for (int j = 0; j < {_WORD}; j++)"
    yield "              if (sparnn_nets[i][j] != sparnn_before[i][j])"
    yield f"                sparnn_changes[{_WORD} * i + j] = sparnn_changes[{_WORD} * i + j] + 1;"
    if module.enables:
        yield f"      if (sparnn_cycle >= {begin} && sparnn_cycle < {begin + cycles}) begin"
        for place, net in enumerate(module.enables):
            yield f"        if ({names[net]}) sparnn_open[{place}] = sparnn_open[{place}] + 1;"
        yield "      end"
    yield f"      if (sparnn_cycle + 1 >= {begin} && sparnn_cycle < {begin + cycles})"
    yield f"        for (int i = 0; i < {words}; i++) sparnn_before[i] = sparnn_nets[i];"
    yield "      sparnn_cycle = sparnn_cycle + 1;"
    yield "    end"
    yield "  end"
    yield (
        f"  final for (int i = 0; i < {module.nets}; i++) "
        f"sparnn_count({module.first} + i, longint'(sparnn_changes[i]));"
    )
    yield (
        f"  final for (int i = 0; i < {len(module.enables)}; i++) "
        f"sparnn_count({module.first + module.nets} + i, longint'(sparnn_open[i]));"
    )


def _kinds(modules: Sequence[GateModule]) -> set[str]:
    return {cell.kind for module in modules for cell in module.cells}


def _model(cell: Cell) -> str:
    """A cell in Verilog."""
    ports = ", ".join(cell.pins)
    lines = [f"module {cell.name}({ports});"]
    lines += [
        f"  {'output' if pin.is_output else 'input'} {pin.name};" for pin in cell.pins.values()
    ]
    functions = {pin.name: pin.function for pin in cell.pins.values() if pin.is_output}
    if cell.gate:
        enable, output = cell.gate
        lines += [
            "  reg opened = 0;",
            f"  always_latch if (!{cell.clock}) opened = {enable};",
            f"  assign {output} = {cell.clock} & opened;",
        ]
        return "\n".join([*lines, "endmodule"])
    if cell.clock:
        state, inverse = cell.state
        lines += [f"  reg {state} = 0;", f"  wire {inverse} = ~{state};"]
        lines += [f"  always @(posedge {cell.clock}) {state} <= {cell.data};"]
    lines += [f"  assign {name} = {function};" for name, function in functions.items()]
    return "\n".join([*lines, "endmodule"])
