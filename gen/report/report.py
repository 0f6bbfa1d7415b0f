"""`sparnn report`: a compiled folder as one self-contained HTML page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from sparnn.gen.errors import SparnnError
from sparnn.gen.estimate.machine import ESTIMATE
from sparnn.gen.evaluate.evaluate import layers_of
from sparnn.sim.golden.run import read_manifest

from .figures import Bar, bars, flow

__all__ = ["Section", "report"]

_SUFFICIENT_DB = 60.0


@dataclass(frozen=True)
class Section:
    """One section: a figure, what it shows, and the same as a table."""

    anchor: str
    title: str
    note: str
    figure: Markup | None = None
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = field(default_factory=list)


def report(
    folder: Path, output: Path, *, data: Path | None = None, simulation: Path | None = None
) -> list[str]:
    """Write the page.

    Parameters
    ----------
    data: an npz file with the model's inputs, for signal to noise and saturation.
    simulation: of `sparnn simulate --json`; ``report.json`` in the folder by default.

    Returns
    -------
    Lines for the user.

    Raises
    ------
    SparnnError, SimulationError: the folder or a file is not usable.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    estimate = _json(folder / ESTIMATE)
    measured = simulation or folder / "report.json"
    simulated = _json(measured) if simulation is not None or measured.is_file() else None
    sections = [
        _graph(folder, manifest),
        _memories(estimate),
        _cycles(estimate),
        _slots(estimate, simulated),
        *(_quality(folder, data)),
        _boards(estimate),
    ]
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    )
    model = manifest["options"]["model"]["name"]
    text = template.render(
        title=f"{model} on {estimate['mac_units']} multipliers",
        summary=f"sparnn {manifest['sparnn_version']}, {manifest['machine']} machine of "
        f"{estimate['lanes']} lanes, {estimate['cycles_per_step']:,.0f} cycles a step expected.",
        sections=sections,
    )
    output.write_text(text, encoding="utf-8")
    return [f"written        {output}, {len(sections)} sections"]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SparnnError(f"{path} cannot be read ({error}); compile the model again") from None


def _graph(folder: Path, manifest: Mapping[str, Any]) -> Section:
    """What runs where."""
    stages: list[tuple[str, str, list[str]]] = []
    if "graph" not in manifest:
        stages.append(("machine", "machine", _layers(manifest)))
    else:
        for stage in manifest["graph"]["stages"]:
            if "part" in stage:
                name = f"machine, part {Path(stage['part']).name}"
                stages.append(("machine", name, _layers(read_manifest(folder / stage["part"]))))
            else:
                stages.append(("host", "host, ONNX Runtime", list(stage["outputs"])))
    figure = Markup(flow("What runs where, in order", stages))
    rows = [(name, "; ".join(inside)) for _, name, inside in stages]
    note = "Stages in their order: parts of the machine with their layers, and what the host gives."
    return Section("graph", "Graph", note, figure, ("stage", "layers or outputs"), rows)


def _layers(manifest: Mapping[str, Any]) -> list[str]:
    return [
        f"{one['name']}: {one['kind']}, {one['inputs']} to {one['units']}"
        for one in manifest["layers"]
    ]


def _memories(estimate: Mapping[str, Any]) -> Section:
    rows: list[Bar] = []
    for name, (need, have) in estimate["memories"].items():
        rows.append((name, need / have, f"{need:,} of {have:,} ({100 * need / have:.0f} %)"))
    note = "Entries of each of the machine's memories that the network takes, for one step."
    return Section(
        "memories",
        "Machine and memories",
        note,
        Markup(bars("How full the machine's memories are", rows)),
        ("memory", "filled"),
        [(name, text) for name, _, text in rows],
    )


def _loops(estimate: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Name, cycles a step and useful share of the multipliers, of each loop."""
    found = []
    for part in estimate["parts"]:
        for loop in part:
            cycles = loop["steady"] or loop["first"]
            share = loop["macs"] / (estimate["mac_units"] * cycles)
            found.append((" + ".join(loop["names"]), cycles, share))
    return found


def _cycles(estimate: Mapping[str, Any]) -> Section:
    loops = _loops(estimate)
    most = max(cycles for _, cycles, _ in loops)
    rows: list[Bar] = [(name, cycles / most, f"{cycles:,.0f} cycles") for name, cycles, _ in loops]
    note = "Expected cycles of a step; of layers that run once, those of that."
    return Section(
        "cycles",
        "Cycles by layer",
        note,
        Markup(bars("Cycles by layer", rows)),
        ("layer", "cycles"),
        [(name, text) for name, _, text in rows],
    )


def _slots(estimate: Mapping[str, Any], simulated: Mapping[str, Any] | None) -> Section:
    rows: list[Bar] = [
        (name, min(1.0, share), f"{100 * share:.0f} % with a weight")
        for name, _, share in _loops(estimate)
    ]
    note = (
        "Share of the multipliers' slots for which there is a weight that is not zero; the others "
        "are starts, tails and uneven lanes. Zero activations are skipped: it may exceed 100 %."
    )
    if simulated is not None:
        useful = simulated["utilization"]
        rows.append(("simulated, all", useful, f"{100 * useful:.1f} % useful"))
        note += " The last bar is measured: pairs of a weight and an activation that are not zero."
    return Section(
        "slots",
        "Where the slots go",
        note,
        Markup(bars("Use of the multipliers by layer", rows)),
        ("layer", "slots"),
        [(name, text) for name, _, text in rows],
    )


def _quality(folder: Path, data: Path | None) -> list[Section]:
    """Signal to noise by layer, and what saturated, on the data."""
    if data is None:
        note = "Give the model's inputs with --data, and the page shows it."
        return [
            Section("noise", "Signal to noise by layer", note),
            Section("saturation", "Saturation", note),
        ]
    layers, saturated = layers_of(folder, data)
    rows: list[Bar] = []
    for one in layers:
        share = min(1.0, max(0.0, one.sqnr_db / _SUFFICIENT_DB))
        text = f"{one.sqnr_db:.1f} dB" if np.isfinite(one.sqnr_db) else "exact"
        rows.append((one.layer, share, text))
    noise = Section(
        "noise",
        "Signal to noise by layer",
        f"Integers beside real numbers, on {data.name}; the bar ends at {_SUFFICIENT_DB:.0f} dB.",
        Markup(bars("Signal to quantization noise by layer", rows)),
        ("layer", "signal to noise"),
        [(name, text) for name, _, text in rows],
    )
    clamped: list[Bar] = [
        (
            f"{one.layer}: {one.tensor}",
            one.saturated / one.values,
            f"{100 * one.saturated / one.values:.2g} %, up to {one.largest:.3g} times",
        )
        for one in saturated
    ]
    note = f"Share of the values that saturate on {data.name}, and the largest beside the range."
    if not clamped:
        return [noise, Section("saturation", "Saturation", f"Nothing saturates on {data.name}.")]
    return [
        noise,
        Section(
            "saturation",
            "Saturation",
            note,
            Markup(bars("What saturates", clamped)),
            ("tensor", "saturated"),
            [(name, text) for name, _, text in clamped],
        ),
    ]


def _boards(estimate: Mapping[str, Any]) -> Section:
    known = [one for one in estimate["boards"] if one["fits"]]
    most = max((one["microseconds_per_step"] for one in known), default=1.0)
    rows: list[Bar] = [
        (
            one["board"],
            one["microseconds_per_step"] / most,
            f"{one['microseconds_per_step']:,.1f} µs at {one['mhz']:g} MHz",
        )
        for one in known
    ]
    table = [(name, text) for name, _, text in rows]
    table += [
        (one["board"], f"not known: {one['unknown']}" if one["unknown"] else one["short"])
        for one in estimate["boards"]
        if not one["fits"]
    ]
    note = "Expected time of a step on the boards that hold the machine; the table has the others."
    figure = Markup(bars("Time of a step on boards", rows)) if rows else None
    return Section("boards", "Latency on boards", note, figure, ("board", "a step"), table)
