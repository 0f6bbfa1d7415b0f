"""What stands around the machine on a bus, and what parity costs: `python -m
sparnn.gen.bench.bus`.

Around an empty box, synthesized alone for ECP5; and blocks with and without parity. With
``--json`` the figures go into docs/results.
"""

import argparse
import datetime
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sparnn.gen.machines.presets import load_machine
from sparnn.gen.machines.sparse.blocks import BLOCKS
from sparnn.gen.synth.mapping import synthesize
from sparnn.gen.targets import find_target
from sparnn.hdl.bus.geometry import MemoryGeometry
from sparnn.hdl.bus.top import BUS_MODULE, Bus, BusMachine, bus_verilog
from sparnn.hdl.emit import TOP_MODULE
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.verilog import modules_verilog

__all__ = ["bus_area", "main", "parity_area"]

_BOX = f"""(* blackbox *)
module {TOP_MODULE} (
  input clk, input rst,
  input [31:0] rx__payload, input rx__valid, output rx__ready,
  output [31:0] tx__payload, output tx__valid, input tx__ready
);
endmodule
"""
_SHAPES = ((Bus.AXI, 32), (Bus.AXI, 64), (Bus.AXI, 128), (Bus.AXI_STREAM, 0), (Bus.WISHBONE, 64))
#: Families, blocks with memories that have parity, and columns of a mask.
_BLOCKS = (
    ("ecp5", "lane", 32),
    ("ecp5", "lane", 16),
    ("ecp5", "cell", 32),
    ("xilinx7", "lane", 32),
    ("xilinx7", "lane", 16),
)
_COLUMNS = [
    {"title": "bus", "text": "{bus}"},
    {"title": "memory data", "text": "{memory}"},
    {"title": "LUT4", "text": "{lut:,}"},
    {"title": "FF", "text": "{ff:,}"},
    {"title": "block RAM", "text": "{bram}"},
]
_PARITY_COLUMNS = [
    {"title": "family", "text": "{family}"},
    {"title": "block", "text": "{block}"},
    {"title": "chunk", "text": "{chunk}"},
    {"title": "parity", "text": "{parity}"},
    *_COLUMNS[2:],
]


def bus_area(bus: Bus, data_bits: int) -> dict[str, Any]:
    """LUT4 with two for each carry cell, flip-flops and block RAMs, without the machine."""
    target = find_target("ecp5")
    geometry = MemoryGeometry(data_bits=data_bits) if bus.jobs else None
    text = bus_verilog(BusMachine(load_machine(None, None), bus, geometry))
    netlist = synthesize(text + _BOX, BUS_MODULE, target, flat=True, netlist=False)
    total = target.count(netlist.cells)
    return {
        "bus": bus.value,
        "memory": f"{data_bits} bits" if bus.jobs else "none",
        **{name: total[name] for name in ("lut", "ff", "bram")},
    }


def parity_area(family: str, block: str, chunk: int, parity: int) -> dict[str, Any]:
    """The same of a block of a sparse machine whose masks have so many columns."""
    target = find_target(family)
    config = SparseConfig(chunk=chunk, parity=parity)
    text = modules_verilog([(BLOCKS[block](config), "block")])
    total = target.count(synthesize(text, "block", target, flat=True, netlist=False).cells)
    return {
        "family": target.title,
        "block": block,
        "chunk": chunk if block == "lane" else "",
        "parity": "yes" if parity else "no",
        **{name: total[name] for name in ("lut", "ff", "bram")},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="Write the table there.")
    options = parser.parse_args(arguments)
    areas = [bus_area(bus, bits) for bus, bits in _SHAPES]
    parities = [parity_area(*shape, parity) for shape in _BLOCKS for parity in (0, 1)]
    for row in (*areas, *parities):
        print(row)
    if options.json is not None:
        versions = ", ".join(
            f"{title} {importlib.metadata.version(name)}"
            for title, name in (("Amaranth", "amaranth"), ("pyosys", "pyosys"))
        )
        provenance = {
            "command": "python -m sparnn.gen.bench.bus --json docs/results/bus.json",
            "date": datetime.date.today().isoformat(),
            "versions": versions,
        }
        tables = {
            name: {"provenance": provenance, "columns": columns, "rows": rows}
            for name, columns, rows in (
                ("area", _COLUMNS, areas),
                ("parity", _PARITY_COLUMNS, parities),
            )
        }
        text = json.dumps({"tables": tables}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
