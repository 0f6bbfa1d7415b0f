"""What the commands of `sparnn bench` measured, as they show and write it."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer

from sparnn.gen.output.json_output import write_json

__all__ = ["gather", "publish", "publish_rows"]

#: Of a point that has just been measured; the table and the file have all.
_SHOWN = (
    "model",
    "engine",
    "design",
    "lanes",
    "v",
    "seed",
    "steps",
    "bit_exact",
    "cycles",
    "utilization",
    "area",
)


def gather(points: Iterable[Mapping[str, Any]], json_file: str | None) -> list[Mapping[str, Any]]:
    """Points of which each takes long: written and shown as they come, so that a run that is
    stopped leaves what it had. A file holds an older run's points until the first one is there.
    """
    rows: list[Mapping[str, Any]] = []
    for point in points:
        rows.append(point)
        if json_file not in (None, "-"):
            write_json(rows, json_file)
        shown = {name: point[name] for name in _SHOWN if name in point}
        print(", ".join(f"{name} {_text(value)}" for name, value in shown.items()), file=sys.stderr)
    return rows


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
    write_json(list(points), json_file)
    if not all(point.get("bit_exact", True) for point in points):
        raise typer.Exit(1)


def publish_rows(title: str, points: Sequence[Mapping[str, Any]], json_file: str | None) -> None:
    """Print many points of few values, a row each, and write them."""
    from rich.console import Console
    from rich.table import Table

    names = list(dict.fromkeys(name for point in points for name in point))
    table = Table(*(name.replace("_", " ") for name in names), title=title)
    for point in points:
        table.add_row(*(_text(point.get(name)) for name in names))
    width = None if sys.stdout.isatty() else 40 + 16 * len(names)
    Console(stderr=json_file == "-", width=width).print(table)
    write_json(list(points), json_file)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "\n".join(f"{name} {_text(inner)}" for name, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
