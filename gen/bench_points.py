"""What the commands of `sparnn bench` measured, as they show and write it."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from .errors import SparnnError

__all__ = ["check_json", "gather", "publish"]

#: Of a point that has just been measured; the table and the file have all.
_SHOWN = ("design", "lanes", "v", "seed", "steps", "bit_exact", "cycles", "utilization", "area")


def check_json(json_file: str | None) -> None:
    """Refuse before a long run what could not be written after it."""
    if json_file is None or json_file == "-":
        return
    file = Path(json_file)
    if file.is_dir():
        raise SparnnError(f"--json {file} is a folder: name a file in it")
    if not file.parent.is_dir():
        raise SparnnError(f"--json {file}: the folder {file.parent} does not exist: create it")


def gather(points: Iterable[Mapping[str, Any]], json_file: str | None) -> list[Mapping[str, Any]]:
    """Points of which each takes long: written and shown as they come, so that a run that is
    stopped leaves what it had. A file holds an older run's points until the first one is there.
    """
    rows: list[Mapping[str, Any]] = []
    for point in points:
        rows.append(point)
        if json_file not in (None, "-"):
            _write(rows, Path(json_file))
        shown = {name: point[name] for name in _SHOWN if name in point}
        print(", ".join(f"{name} {_text(value)}" for name, value in shown.items()), file=sys.stderr)
    return rows


def _write(points: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Aside, then renamed: a reader never finds half a file."""
    aside = file.with_name(f"{file.name}.new")
    aside.write_text(_listed(points), encoding="utf-8")
    aside.replace(file)


def _listed(points: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(list(points), indent=2, allow_nan=False) + "\n"


def publish(title: str, points: Sequence[Mapping[str, Any]], json_file: str | None) -> None:
    """Print points side by side and write them; exit with 1 where one is not bit exact."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, show_header=False)
    for name in dict.fromkeys(name for point in points for name in point):
        table.add_row(name.replace("_", " "), *(_text(point.get(name)) for point in points))
    # Wide enough for any number of points, so that nothing is cut in a log.
    width = None if sys.stdout.isatty() else 40 + 24 * len(points)
    Console(stderr=json_file == "-", width=width).print(table)
    if json_file == "-":
        sys.stdout.write(_listed(points))
    elif json_file is not None:
        _write(points, Path(json_file))
    if not all(point.get("bit_exact", True) for point in points):
        raise typer.Exit(1)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "\n".join(f"{name} {_text(inner)}" for name, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
