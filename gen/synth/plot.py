"""Draws the area by block."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparnn.gen.errors import SparnnError
from sparnn.gen.targets import Target

__all__ = ["check_plot", "plot_area", "save"]

_PARTS = (("lut_logic", "logic"), ("carry", "carry cells"), ("lut_ram", "LUT RAM"))


def check_plot(path: Path) -> None:
    """Refuse, before a long run, a plot that could not be drawn after it."""
    if path.suffix not in (".svg", ".png"):
        raise SparnnError(f"--plot {path}: name a file that ends in .svg or .png")
    if not path.parent.is_dir():
        raise SparnnError(f"--plot {path}: the folder {path.parent} does not exist: create it")
    if importlib.util.find_spec("matplotlib") is None:
        raise SparnnError("--plot needs matplotlib: install it with pip install 'sparnn[synth]'")


def plot_area(blocks: Sequence[Mapping[str, Any]], target: Target, path: Path) -> None:
    """Stacked bars: LUTs of each block, all copies; flip-flops, multipliers, RAM in the labels.

    Parameters
    ----------
    blocks: as :func:`~sparnn.gen.synth.report.area_rows` gives them.
    path: an SVG or PNG file.
    """
    from matplotlib.figure import Figure

    rows = [row for row in reversed(blocks) if row["lut"] or row["ff"]]
    names = [
        f"{row['module']} × {row['copies']}\n{row['ff']} FF, {row['dsp']:g} DSP, "
        f"{row['bram']:g} RAM"
        for row in rows
    ]
    figure = Figure(figsize=(8, 1 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots()
    left = [0] * len(rows)
    for key, label in _PARTS:
        values = [_part(row, key) for row in rows]
        axes.barh(names, values, left=left, label=label)
        left = [start + value for start, value in zip(left, values, strict=True)]
    axes.set_xlabel(f"{target.units['lut']}, all copies of the block ({target.title})")
    axes.legend()
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    """Write a figure; equal figures give equal files."""
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "sparnn"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _part(row: Mapping[str, Any], key: str) -> int:
    if key == "lut_logic":
        return int(row["lut_logic"])
    return int(row[f"lut_in_{key}"])
