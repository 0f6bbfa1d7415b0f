"""Points of `sparnn bench padding` as a table of docs/results: `python -m
sparnn.gen.bench.padding_table POINTS.json`, with the file that `--json` wrote."""

import argparse
import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["main", "padding_table"]

RESULTS = Path("docs/results/sharp.json")
_COLUMNS = [
    {"title": "MAC units", "text": "{size}"},
    {"title": "most that tiles gain which change", "text": "{most:.1f} %"},
    {"title": "at so many units", "text": "{units}"},
    {"title": "mean of all sizes", "text": "{mean:.1f} %"},
]


def padding_table(points: Sequence[Mapping[str, Any]], date: str) -> dict[str, Any]:
    """What changing tiles gain over the best one, by the number of MAC units."""
    rows = []
    for macs in sorted({point["macs"] for point in points}):
        mine = [point for point in points if point["macs"] == macs]
        best = max(mine, key=lambda point: point["gain"])
        gains = [100 * (point["gain"] - 1) for point in mine]
        rows.append(
            {
                "size": f"{macs // 1024}K",
                "most": max(gains),
                "units": best["hidden"],
                "mean": sum(gains) / len(gains),
            }
        )
    sizes = " ".join(str(one) for one in sorted({point["hidden"] for point in points}))
    return {
        "provenance": {"command": f"sparnn bench padding --hidden {sizes}", "date": date},
        "columns": _COLUMNS,
        "rows": rows,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Put the table of a file of points beside the other ones of SHARP's page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("points", type=Path)
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    points = json.loads(options.points.read_text(encoding="utf-8"))
    content = json.loads(options.json.read_text(encoding="utf-8"))
    content["tables"]["padding"] = padding_table(points, options.date)
    text = json.dumps(content, indent=1, ensure_ascii=False)
    options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
