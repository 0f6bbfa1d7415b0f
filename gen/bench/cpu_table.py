"""Points of `sparnn bench cpu` as a table of docs/results: `python -m sparnn.gen.bench.cpu_table
POINTS.json...`, with the files that `--json` wrote."""

import argparse
import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["cpu_table", "main"]

RESULTS = Path("docs/results/cpu.json")
_COLUMNS = [
    {"title": "network", "text": "{model}"},
    {"title": "steps a call", "text": "{steps}"},
    {"title": "engine", "text": "{engine} {version}"},
    {"title": "numbers", "text": "{numbers}"},
    {"title": "threads", "text": "{threads}"},
    {"title": "median, µs", "text": "{median_us:,.1f}"},
    {"title": "99th percentile, µs", "text": "{p99_us:,.1f}"},
    {"title": "ours, µs", "text": "{ours_us:,.1f}"},
    {"title": "median over ours", "text": "{over_ours:.1f}"},
]


def cpu_table(points: Sequence[Mapping[str, Any]], date: str) -> dict[str, Any]:
    """The table of all points of one command."""
    return {
        "provenance": {"command": "sparnn bench cpu MODEL…, those of the table", "date": date},
        "columns": _COLUMNS,
        "rows": [{**one, "over_ours": one["median_us"] / one["ours_us"]} for one in points],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table of files of points."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("points", type=Path, nargs="+")
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    points = [
        point for file in options.points for point in json.loads(file.read_text(encoding="utf-8"))
    ]
    points.sort(key=lambda point: (point["model"], point["steps"]))
    table = {"tables": {"engines": cpu_table(points, options.date)}}
    options.json.write_text(
        json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
