"""Draws `sparnn bench schedules` and `sparnn bench padding`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparnn.gen.synth.plot import save

from .sharp import PAPER_UTILIZATION

__all__ = ["plot_padding", "plot_schedules"]

Points = Sequence[Mapping[str, Any]]

_PUBLISHED = {"sharp": "SHARP, published", "epur": "E-PUR, published"}


def plot_schedules(points: Points, path: Path) -> None:
    """Mean utilization over the hidden sizes against MAC units, a line for each schedule.

    Parameters
    ----------
    points: of :func:`~sparnn.gen.bench.sharp.schedule_points`.
    path: an SVG or PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    macs = sorted({point["macs"] for point in points})
    for name in dict.fromkeys(point["schedule"] for point in points):
        means = []
        for size in macs:
            each = [
                point["utilization"]
                for point in points
                if (point["schedule"], point["macs"]) == (name, size)
            ]
            means.append(100 * sum(each) / len(each))
        axes.plot(macs, means, marker="o", label="E-PUR baseline" if name == "epur" else name)
    known = [size for size in macs if size in PAPER_UTILIZATION]
    for name, label in _PUBLISHED.items():
        values = [100 * PAPER_UTILIZATION[size][name] for size in known]
        axes.plot(known, values, marker="x", linestyle="--", label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(macs, [f"{size // 1024}K" for size in macs])
    axes.set_xlabel("MAC units")
    axes.set_ylabel("mean utilization, %")
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    save(figure, path)


def plot_padding(points: Points, path: Path) -> None:
    """What tiles that change gain over the best single tile, against the hidden size.

    Parameters
    ----------
    points: of :func:`~sparnn.gen.bench.sharp.padding_points`.
    path: an SVG or PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 3.5), layout="constrained")
    axes = figure.subplots()
    for size in sorted({point["macs"] for point in points}):
        own = sorted((p["hidden"], p["gain"]) for p in points if p["macs"] == size)
        axes.plot(
            [hidden for hidden, _ in own],
            [100 * (gain - 1) for _, gain in own],
            marker=".",
            label=f"{size // 1024}K",
        )
    axes.set_xlabel("hidden units")
    axes.set_ylabel("gain, %")
    axes.grid(alpha=0.3)
    axes.legend(title="MAC units", fontsize="small")
    save(figure, path)
