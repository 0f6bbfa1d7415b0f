"""Runs of `sparnn explore` as a table of docs/results: `python -m sparnn.gen.bench.explore_table
NAME:RESULT.json=SECONDS...`, with files that `--json` wrote and the processor time that the models
took."""

import argparse
import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["explore_table", "main"]

RESULTS = Path("docs/results/explore.json")
_COLUMNS = [
    {"title": "network", "text": "{model}"},
    {"title": "points", "text": "{points:,}"},
    {"title": "processor-seconds, all on models", "text": "{seconds:,.0f}"},
    {"title": "no machine for it", "text": "{failed:,}"},
    {"title": "best", "text": "{front}"},
    {"title": "simulated", "text": "{simulated}"},
    {"title": "bit exact", "text": "{exact}"},
    {"title": "error of cycles, median / worst", "text": "{cycles}"},
    {"title": "synthesized", "text": "{synthesized}"},
    {"title": "error of LUTs, median / worst", "text": "{lut}"},
]


def explore_table(
    runs: Sequence[tuple[str, Mapping[str, Any], float]], date: str
) -> dict[str, Any]:
    """The table of some runs, each with its name and the processor-seconds that its models took."""
    rows = [
        {
            "model": name,
            "points": run["points"],
            "seconds": seconds,
            "failed": sum(run["failed"].values()),
            "front": len(run["front"]),
            "simulated": run["simulated"],
            "exact": "yes" if run["bit_exact"] else "NO",
            "synthesized": run["synthesized"],
            **{what: _said(run["errors"][what]) for what in ("cycles", "lut")},
        }
        for name, run, seconds in runs
    ]
    return {
        "provenance": {
            "command": "sparnn explore MODEL --calibrate X.npz --simulate N --synthesize N",
            "date": date,
        },
        "columns": _COLUMNS,
        "rows": rows,
    }


def _said(errors: Sequence[float]) -> str:
    size = sorted(map(abs, errors))
    return f"{size[len(size) // 2]:.1%} / {size[-1]:.1%}" if size else ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table of some files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="NAME:RESULT.json=SECONDS")
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    pairs = [one.rpartition("=") for one in options.runs]
    runs = [
        (name, run, float(seconds))
        for where, _, seconds in pairs
        for name, _, file in [where.partition(":")]
        for run in json.loads(Path(file).read_text(encoding="utf-8"))
    ]
    table = {"tables": {"runs": explore_table(runs, options.date)}}
    text = json.dumps(table, indent=1, ensure_ascii=False)
    options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
