"""What stands around the machine on a bus, synthesized alone for ECP5: `python -m
sparnn.gen.bench.bus`.

The machine itself is an empty box. With ``--json`` the figures go into docs/results.
"""

import argparse
import datetime
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sparnn.gen.machines.presets import load_machine
from sparnn.gen.synth.mapping import synthesize
from sparnn.gen.targets import find_target
from sparnn.hdl.bus.geometry import MemoryGeometry
from sparnn.hdl.bus.top import BUS_MODULE, Bus, BusMachine, bus_verilog
from sparnn.hdl.emit import TOP_MODULE

__all__ = ["bus_area", "main"]

_BOX = f"""(* blackbox *)
module {TOP_MODULE} (
  input clk, input rst,
  input [31:0] rx__payload, input rx__valid, output rx__ready,
  output [31:0] tx__payload, output tx__valid, input tx__ready
);
endmodule
"""
_SHAPES = ((Bus.AXI, 32), (Bus.AXI, 64), (Bus.AXI, 128), (Bus.AXI_STREAM, 0), (Bus.WISHBONE, 64))
_COLUMNS = [
    {"title": "bus", "text": "{bus}"},
    {"title": "memory data", "text": "{memory}"},
    {"title": "LUT4", "text": "{lut:,}"},
    {"title": "FF", "text": "{ff:,}"},
    {"title": "block RAM", "text": "{bram}"},
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


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="Write the table there.")
    options = parser.parse_args(arguments)
    rows = [bus_area(bus, bits) for bus, bits in _SHAPES]
    for row in rows:
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
        table = {"provenance": provenance, "columns": _COLUMNS, "rows": rows}
        text = json.dumps({"tables": {"area": table}}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
