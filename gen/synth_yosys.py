"""Synthesis of Verilog by Yosys, block by block."""

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparnn.sim.progress import progress

from .errors import SparnnError
from .synth_cache import kept, key_of
from .targets import Target

__all__ = ["BLOCKS", "Block", "Netlist", "PINS", "run_yosys", "synthesize", "yosys_share"]

#: Modules that stay whole, so that their area and the places of paths are known by name: everything
#: that is placed many times, the parts of the machine, and the parts of a cluster.
BLOCKS = re.compile(
    r"sparnn(_[a-z0-9_]+)?|sparnn\.core\.\w+|sparnn_cluster\.core\.(collector|tree|post)"
)

#: Name of the module that :func:`synthesize` wraps around a top with more ports than pins.
PINS = "sparnn_pins"

_RUNNER = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.stdin.read().splitlines():
    libyosys.run_pass(command, design)
"""


@dataclass(frozen=True)
class Block:
    """One kept module: how often it is placed, and the cells of one copy, without kept modules
    inside."""

    module: str
    copies: int
    cells: Mapping[str, int]


@dataclass(frozen=True)
class Netlist:
    """What synthesis gave.

    Members
    -------
    json: flattened netlist for place and route, with pins where they were asked for.
    verilog: the mapped netlist, as hierarchical as it was synthesized.
    top: module of ``json``.
    blocks: the kept modules; one if synthesized flat.
    """

    json: Path
    verilog: Path
    top: str
    blocks: tuple[Block, ...]

    @property
    def cells(self) -> dict[str, int]:
        """All cells of the design, without the pins."""
        total: dict[str, int] = {}
        for block in self.blocks:
            for name, number in block.cells.items():
                total[name] = total.get(name, 0) + block.copies * number
        return total


def synthesize(
    verilog: str,
    top: str,
    target: Target,
    *,
    flat: bool = False,
    pins: bool = False,
    netlist: bool = True,
) -> Netlist:
    """Synthesize a design; the same work is done once (:mod:`~sparnn.gen.synth_cache`).

    Parameters
    ----------
    verilog: the whole design. top: its top module.
    flat: optimize across blocks. Takes much longer and gives no figures by block.
    pins: wrap the top in shift registers behind six pins, for place and route alone. They are in
        no figure. The top must have ports ``clk`` and ``rst``.

    netlist: write :attr:`Netlist.json`; False where only areas are wanted.

    Raises
    ------
    SparnnError: Yosys is missing, or refuses the design.
    """
    flat = flat or target.whole
    text = verilog + (_pins(verilog, top) if pins else "")
    outer = PINS if pins else top
    commands = [
        "read_verilog design.v",
        f"hierarchy -check -top {outer}",
        *(f"setattr -mod -set keep_hierarchy 1 {name}" for name in _kept(verilog, top, flat, pins)),
        target.synth.format(top=outer),
        "tee -q -o stat.json stat -json",
        "write_verilog -noattr mapped.v",
    ]
    if netlist:
        commands += [
            "setattr -mod -unset keep_hierarchy *",
            "flatten",
            "clean",
            "write_json netlist.json",
        ]

    def make(folder: Path) -> None:
        (folder / "design.v").write_text(text, encoding="utf-8")
        run_yosys(commands, folder, f"Synthesizing for {target.title}")

    folder = kept("synth", key_of(text, "\n".join(commands), _version()), make)
    statistics = json.loads((folder / "stat.json").read_text(encoding="utf-8"))
    return Netlist(
        folder / "netlist.json", folder / "mapped.v", outer, _blocks(statistics["modules"], top)
    )


def run_yosys(commands: list[str], folder: Path, title: str) -> str:
    """Run Yosys commands in a folder; its log, which is also kept there as ``yosys.log``.

    In a process of its own: Yosys ends the process on an error.

    Raises
    ------
    SparnnError: it is missing or fails.
    """
    if importlib.util.find_spec("pyosys") is None:
        raise SparnnError(
            "synthesis needs Yosys: install it with pip install 'sparnn[synth]' (pyosys)"
        )
    with progress(title):
        done = subprocess.run(
            [sys.executable, "-c", _RUNNER],
            input="\n".join(commands),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
        said = errors[-1] if errors else "Yosys stopped without a word"
        raise SparnnError(f"synthesis fails: {said}")
    (folder / "yosys.log").write_text(done.stdout, encoding="utf-8")
    return done.stdout


def yosys_share() -> Path:
    """Yosys' share folder: simulation models of the families' cells.

    Raises
    ------
    SparnnError: Yosys is missing.
    """
    spec = importlib.util.find_spec("pyosys")
    if spec is None or spec.origin is None:
        raise SparnnError("synthesis needs Yosys: install it with pip install 'sparnn[synth]'")
    return Path(spec.origin).parent / "share"


def _version() -> str:
    try:
        return importlib.metadata.version("pyosys")
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _kept(verilog: str, top: str, flat: bool, pins: bool) -> list[str]:
    names = re.findall(r"^module \\?([^\s(]+)", verilog, re.MULTILINE)
    if flat:
        return [top] if pins else []
    return [name for name in names if name == top or BLOCKS.fullmatch(name)]


def _blocks(modules: Mapping[str, Any], top: str) -> tuple[Block, ...]:
    """The modules of ``stat -json`` from the top on, with how often each is placed."""
    cells = {
        name.removeprefix("\\"): {
            cell.removeprefix("\\"): count for cell, count in module["num_cells_by_type"].items()
        }
        for name, module in modules.items()
    }
    copies = dict.fromkeys(cells, 0)

    def place(name: str, count: int) -> None:
        copies[name] += count
        for cell, number in cells[name].items():
            if cell in cells:
                place(cell, count * number)

    place(top, 1)
    return tuple(
        Block(
            name,
            copies[name],
            {c: n for c, n in cells[name].items() if c not in cells and not c.startswith("$")},
        )
        for name in cells
        if copies[name]
    )


def _ports(verilog: str, top: str) -> Iterator[tuple[str, int, str]]:
    """Direction, width and name of a module's ports, as Amaranth writes them."""
    match = re.search(
        rf"^module {re.escape(top)}\b.*?^endmodule", verilog, re.MULTILINE | re.DOTALL
    )
    if match is None:
        raise SparnnError(f"the Verilog has no module {top}: name the top module")
    for found in re.finditer(
        r"^  (input|output) (?:\[(\d+):0\] )?(\w+) ?;", match[0], re.MULTILINE
    ):
        yield found[1], int(found[2] or 0) + 1, found[3]


def _pins(verilog: str, top: str) -> str:
    """Shift registers around the top: place and route needs pins, and parts have few."""
    ports = list(_ports(verilog, top))
    ins = [(w, name) for way, w, name in ports if way == "input" and name not in ("clk", "rst")]
    outs = [(w, name) for way, w, name in ports if way == "output"]

    def connections(sides: list[tuple[int, str]], bus: str) -> list[str]:
        low, made = 0, []
        for width, name in sides:
            made.append(f".{name}({bus}[{low + width - 1}:{low}])")
            low += width
        return made

    wide_in, wide_out = sum(w for w, _ in ins), sum(w for w, _ in outs)
    connected = ", ".join(
        [".clk(clk)", ".rst(reset)", *connections(ins, "drive"), *connections(outs, "result")]
    )
    return f"""
module {PINS}(input clk, input rst, input shift_in, input load, output shift_out);
  reg reset;
  reg [{wide_in - 1}:0] drive;
  reg [{wide_out - 1}:0] sampled;
  wire [{wide_out - 1}:0] result;
  always @(posedge clk) begin
    reset <= rst;
    drive <= {{drive, shift_in}};
    sampled <= load ? result : {{sampled, 1'b0}};
  end
  assign shift_out = sampled[{wide_out - 1}];
  {top} dut({connected});
endmodule
"""
