"""What the commands of `sparnn bench` measured, as they show and write it."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import typer

from sparnn.gen.campaign.cluster import Piece, cluster
from sparnn.gen.output.json_output import write_json

__all__ = ["gather", "publish", "publish_rows", "spread"]

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


def spread(
    function: Callable[..., Iterable[Any]],
    sizes: Sequence[int],
    *others: Any,
    workers: int,
    scheduler: str | None,
    **named: Any,
) -> Iterator[dict[str, Any]]:
    """Points of a function of a list of sizes; on several workers, which take a size each, as they
    come. A point is a mapping, or a dataclass that becomes one.

    Raises
    ------
    SparnnError: no scheduler answers.
    """
    if workers == 1 and scheduler is None:
        yield from map(_mapping, function(sizes, *others, **named))
        return
    pieces = [Piece(size, _points, (function, [size], others, named)) for size in sizes]
    with cluster(min(workers, len(sizes)), scheduler) as hands:
        for _, points in hands.follow(iter(pieces), math.inf):
            yield from points


def _points(
    function: Callable[..., Iterable[Any]],
    sizes: Sequence[int],
    others: Sequence[Any],
    named: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """On a worker."""
    return [_mapping(point) for point in function(sizes, *others, **named)]


def _mapping(point: Any) -> dict[str, Any]:
    if isinstance(point, Mapping):
        return dict(point)
    return point.as_dict() if hasattr(point, "as_dict") else asdict(point)


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
