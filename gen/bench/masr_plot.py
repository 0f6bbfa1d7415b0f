"""Draws `sparnn bench masr` and `sparnn bench encodings`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparnn.gen.synth.plot import save

__all__ = ["MASR_UTILIZATION", "plot_encodings", "plot_utilization"]

Points = Sequence[Mapping[str, Any]]

#: Of MASR's own machine, by lanes (arXiv 1908.08976, PACT 2019).
MASR_UTILIZATION = {64: 0.90, 256: 0.80, 1024: 0.50}
_LOST = ("stall", "empty", "idle", "tail")


def plot_utilization(points: Points, path: Path) -> None:
    """Stacked bars of what the MAC slots were used for, for each number of lanes, and the paper's.

    Parameters
    ----------
    points: of :func:`~sparnn.gen.bench.masr.masr_points`.
    path: an SVG or PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    places = list(range(len(points)))
    bottom = [0.0] * len(points)
    shares = [("useful", [100 * point["utilization"] for point in points])]
    shares += [(name, [100 * point["lost"][name] for point in points]) for name in _LOST]
    for name, values in shares:
        axes.bar(places, values, bottom=bottom, label=name, width=0.6)
        bottom = [low + value for low, value in zip(bottom, values, strict=True)]
    known = [place for place in places if points[place]["lanes"] in MASR_UTILIZATION]
    axes.plot(
        known,
        [100 * MASR_UTILIZATION[points[place]["lanes"]] for place in known],
        "kx--",
        label="MASR, published",
    )
    axes.set_xticks(places, [str(point["lanes"]) for point in points])
    axes.set_xlabel("lanes")
    axes.set_ylabel("share of the MAC slots, %")
    axes.legend(fontsize="small", loc="lower left")
    save(figure, path)


def plot_encodings(points: Points, path: Path) -> None:
    """Bits per non-zero weight against lanes: masks, and runs with column pointers.

    Parameters
    ----------
    points: of :func:`~sparnn.gen.bench.encodings.encoding_points`.
    path: an SVG or PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(point["encoding"] for point in points):
        mine = [point for point in points if point["encoding"] == name]
        axes.plot(
            [point["lanes"] for point in mine],
            [point["per_weight"] for point in mine],
            marker="o",
            label=name,
        )
    lanes = sorted({point["lanes"] for point in points})
    axes.set_xscale("log", base=2)
    axes.set_xticks(lanes, [str(count) for count in lanes])
    axes.set_xlabel("lanes")
    axes.set_ylabel("bits per non-zero weight")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    save(figure, path)
