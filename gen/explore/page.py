"""The result of an exploration as one HTML page."""

import io
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from .run import Exploration
from .space import Point

__all__ = ["write_page"]

_AXES = (
    ("lut", "LUTs"),
    ("memory_bits", "bits of memory"),
    ("energy_nj", "nJ a step, memories"),
)
_GREY, _FRONT, _MEASURED = "#9aa5b1", "#2563eb", "#d9480f"


def write_page(found: Exploration, path: Path) -> Path:
    """Write the page: fronts, errors of the models, and for each point of the front its command,
    as for those that were measured."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    best, beside = (
        [
            {
                "text": Point.of(found.points[index]["point"]).text(),
                "command": found.commands[index],
                "model": found.points[index],
                "simulated": found.simulated.get(index),
                "synthesized": found.synthesized.get(index),
            }
            for index in some
        ]
        for some in (found.front, found.beside)
    )
    text = environment.get_template("explore.html").render(
        found=found,
        failed=sorted(found.failed.items(), key=lambda one: -one[1]),
        figures=[
            _scatter(found, name, title)
            for name, title in (*_AXES, *([("quality", found.metric)] if found.metric else []))
        ],
        errors={name: _summary(errors) for name, errors in found.errors().items() if errors},
        tables=[("The best", best), ("Measured beside them", beside)],
    )
    path.write_text(text, encoding="utf-8")
    return path


def _summary(errors: list[float]) -> dict[str, Any]:
    size = sorted(map(abs, errors))
    return {"count": len(size), "median": size[len(size) // 2], "worst": size[-1]}


def _scatter(found: Exploration, name: str, title: str) -> Markup:
    """All points, the front and what was simulated, over cycles a step, as SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    measured = [index for index in found.simulated if "cycles_per_step" in found.simulated[index]]
    for points, color, size, label in (
        (range(len(found.points)), _GREY, 4, "points"),
        (found.front, _FRONT, 28, "best"),
    ):
        axes.scatter(
            [found.points[index]["cycles_per_step"] for index in points],
            [found.points[index][name] for index in points],
            s=size,
            color=color,
            label=f"{label} ({len(points):,})",
            rasterized=len(points) > 2000,
        )
    if measured:
        axes.scatter(
            [found.simulated[index]["cycles_per_step"] for index in measured],
            [found.points[index][name] for index in measured],
            s=40,
            facecolors="none",
            edgecolors=_MEASURED,
            label=f"simulated ({len(measured)})",
        )
    scale = "linear" if name == "quality" else "log"
    axes.set(xscale="log", yscale=scale, xlabel="cycles a step", ylabel=title)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return Markup(svg[svg.index("<svg") :])
