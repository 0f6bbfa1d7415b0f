"""Synthesis of Verilog by Yosys, block by block."""

import inspect
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparnn.gen.targets import Device, Target
from sparnn.sim.verilator.cache import kept, key_of

from .pins import PINS, with_pins
from .yosys import run_yosys, yosys_version

__all__ = ["BLOCKS", "Block", "Netlist", "plain_names", "synthesize"]

#: Modules that stay whole, so that their area and the places of paths are known by name: everything
#: that is placed many times, the parts of the machine, and the parts of a cluster.
BLOCKS = re.compile(
    r"sparnn(_[a-z0-9_]+)?|sparnn\.core\.\w+|sparnn_cluster\.core\.(collector|tree|post)"
)


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
    device: Device | None = None,
    *,
    flat: bool = False,
    pins: bool = False,
    netlist: bool = True,
) -> Netlist:
    """Synthesize a design; the same work is done once (:mod:`~sparnn.sim.verilator.cache`).

    Parameters
    ----------
    verilog: the whole design.
    top: its top module.
    device: of the family; the default one for None.
    flat: optimize across blocks. Takes much longer and gives no figures by block.
    pins: wrap the top in shift registers behind five pins, for place and route alone. They are in
        no figure. The top must have ports ``clk`` and ``rst``.
    netlist: write :attr:`Netlist.json`; False where only areas are wanted.

    Raises
    ------
    SparnnError: Yosys is missing, or refuses the design.
    """
    flat = flat or target.whole
    verilog = plain_names(verilog)
    text = with_pins(verilog, top) if pins else verilog
    outer = PINS if pins else top
    mapping = [
        "read_verilog design.v",
        *(f"setattr -mod -set keep_hierarchy 1 {name}" for name in _kept(verilog, top, flat, pins)),
        target.synth.format(top=outer, variant=(device or target.default_device).variant),
        *(["write_json mapped.json"] if target.finish else []),
    ]
    commands = [
        *(["read_json mapped.json"] if target.finish else []),
        "tee -q -o stat.json stat -json",
        "write_verilog -noattr mapped.v",
    ]
    if netlist:
        commands += [
            "setattr -mod -unset keep_hierarchy *",
            "flatten",
            "clean",
            *([target.pads] if target.pads else []),
            "write_json netlist.json",
        ]

    def make(folder: Path) -> None:
        (folder / "design.v").write_text(text, encoding="utf-8")
        title = f"Synthesizing for {target.title}"
        if not target.finish:
            run_yosys([*mapping, *commands], folder, title)
            return
        run_yosys(mapping, folder, title)
        mapped = json.loads((folder / "mapped.json").read_text(encoding="utf-8"))
        for change in target.finish:
            change(mapped)
        (folder / "mapped.json").write_text(json.dumps(mapped), encoding="utf-8")
        run_yosys(commands, folder, title)
        (folder / "mapped.json").unlink()

    sources = [inspect.getsource(sys.modules[change.__module__]) for change in target.finish]
    parts = (text, "\n".join([*mapping, *commands]), *sources, yosys_version())
    folder = kept("synth", key_of(*parts), make)
    statistics = json.loads((folder / "stat.json").read_text(encoding="utf-8"))
    return Netlist(
        folder / "netlist.json", folder / "mapped.v", outer, _blocks(statistics["modules"], top)
    )


def plain_names(verilog: str) -> str:
    """The same design with ``<3>`` for ``[3]`` inside of escaped names.

    Amaranth calls an element of an array ``\\name[3]``. Yosys's abc9 takes that for a bit of
    ``name`` and ends in an assertion (rtlil.cc:2872) where there is one.
    """
    return re.sub(r"\\\S+", lambda name: name[0].replace("[", "<").replace("]", ">"), verilog)


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
