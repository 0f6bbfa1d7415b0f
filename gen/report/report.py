"""`sparnn report`: a compiled folder as one self-contained HTML page."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import onnx
from markupsafe import Markup

from sparnn.gen.errors import SparnnError
from sparnn.gen.estimate.machine import ESTIMATE
from sparnn.gen.evaluate.evaluate import layers_of
from sparnn.sim.golden.run import read_manifest

from .figures import Bar, Box, bars, flow, machine, stacked

__all__ = ["Section", "report"]

_SUFFICIENT_DB = 60.0
#: Kinds of operators that the figure names for a stage.
_OPERATORS = 6


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
        _use(estimate),
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
                name = "host, ONNX Runtime"
                stages.append(("host", name, _operators(folder / stage["host"])))
    figure = Markup(flow("What runs where, in order", stages))
    rows = [(name, "; ".join(inside)) for _, name, inside in stages]
    note = "Stages in their order: parts of the machine with layers, the host with its operators."
    return Section("graph", "Graph", note, figure, ("stage", "layers or operators"), rows)


def _operators(model: Path) -> list[str]:
    """What the host runs, the most frequent operators first."""
    try:
        counted = Counter(node.op_type for node in onnx.load(model).graph.node)
    except Exception as error:  # protobuf's own, among others
        raise SparnnError(f"{model} cannot be read ({error}); compile the model again") from None
    found = [f"{count} {name}" for name, count in counted.most_common(_OPERATORS)]
    more = len(counted) - len(found)
    return found + [f"and {more} others"] * bool(more)


def _layers(manifest: Mapping[str, Any]) -> list[str]:
    return [
        f"{one['name']}: {one['kind']}, {one['inputs']} to {one['units']}"
        for one in manifest["layers"]
    ]


#: Where the machine's memories are, by the words in their parameters' names; the rest is control's.
_PLACES = (
    ("store", "Store", "inputs and states", ("store", "input")),
    ("lanes", "Lanes", "", ("weight", "mask", "column", "tile")),
    (
        "post",
        "Post units",
        "requantize, σ, tanh, states",
        ("parameter", "state", "row", "cell", "table"),
    ),
)


def _memories(estimate: Mapping[str, Any]) -> Section:
    rows: list[Bar] = []
    for name, (need, have) in estimate["memories"].items():
        rows.append((name, need / have, f"{need:,} of {have:,} ({100 * need / have:.0f} %)"))
    left = {name: share for name, share, _ in rows}
    boxes: list[Box] = []
    for place, title, what, words in _PLACES:
        own = [name for name in left if any(word in name for word in words)]
        if place == "lanes":
            what = f"{estimate['lanes']} lanes, {estimate['mac_units']} MAC units"
        boxes.append((title, what, [(name.removesuffix("_depth"), left.pop(name)) for name in own]))
    control: Box = (
        "Control",
        "runs the layers",
        [(name.removesuffix("_depth"), share) for name, share in left.items()],
    )
    note = (
        "Values go from the store to the lanes, their sums to the post units, and what those make "
        "of them back. Each memory is drawn as full as the network makes it, for one step; of "
        "several parts, the fullest."
    )
    return Section(
        "memories",
        "Machine and memories",
        note,
        Markup(machine("The machine, and how full its memories are", boxes, control)),
        ("memory", "filled"),
        [(name, text) for name, _, text in rows],
    )


def _loops(estimate: Mapping[str, Any]) -> list[tuple[str, float, Mapping[str, Any]]]:
    """Name, cycles a step, and what else is known, of each loop."""
    found = []
    for part in estimate["parts"]:
        for loop in part:
            found.append((" + ".join(loop["names"]), loop["steady"] or loop["first"], loop))
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


_EXPECTED = ("a pair that is not zero", "lanes that have less to do", "starts, tails and waits")
#: The hardware's counters (docs/measures.md), what each means.
_COUNTED = {
    "pair": "a pair that is not zero",
    "stall": "no room for a partial sum",
    "empty": "no pair found in time",
    "idle": "waits while others of its cluster work",
    "tail": "the whole cluster waits",
}


def _slots(estimate: Mapping[str, Any], simulated: Mapping[str, Any] | None) -> Section:
    """What the multipliers' cycles go to: counted in the hardware, else as the model expects it."""
    counted = {} if simulated is None else simulated.get("slots", {})
    if counted:
        causes = tuple(_COUNTED.values())
        bars_of = [("simulated, all", [counted[name] for name in _COUNTED])]
        note = "Lanes times cycles of the simulation, counted by the machine itself."
    else:
        causes = _EXPECTED
        bars_of = [
            (name, _expected(estimate, cycles, loop)) for name, cycles, loop in _loops(estimate)
        ]
        note = (
            "Expected on the sample inputs, in a step. A machine whose file has counters = 1 "
            "counts it in the simulation, stalls by their cause."
        )
    if simulated is not None:
        useful = simulated["utilization"]
        note += f" Simulated: {100 * useful:.1f} % useful."
    rows = [(name, *(f"{100 * share:.1f} %" for share in shares)) for name, shares in bars_of]
    return Section(
        "slots",
        "Where the slots go",
        note,
        Markup(stacked("What the multipliers' cycles go to", causes, bars_of)),
        ("layer", *causes),
        rows,
    )


def _expected(estimate: Mapping[str, Any], cycles: float, loop: Mapping[str, Any]) -> list[float]:
    """Shares of a loop's slots: useful, uneven, the rest."""
    lanes = estimate["lanes"]
    if not loop.get("pairs"):  # all lanes work at once: what is not useful is padding and waiting
        useful = min(1.0, loop["macs"] / (estimate["mac_units"] * cycles))
        return [useful, 0.0, 1.0 - useful]
    useful = min(1.0, loop["pairs"] / (lanes * cycles))
    uneven = min(1.0 - useful, loop["longest"] / cycles - loop["pairs"] / (lanes * cycles))
    return [useful, uneven, 1.0 - useful - uneven]


def _use(estimate: Mapping[str, Any]) -> Section:
    """Utilization by layer, weights alone."""
    rows: list[Bar] = []
    for name, cycles, loop in _loops(estimate):
        share = loop["macs"] / (estimate["mac_units"] * cycles)
        rows.append((name, min(1.0, share), f"{100 * share:.0f} % of the slots"))
    note = (
        "Weights that are not zero for each of the multipliers' slots. Zero activations are "
        "skipped, so it may exceed 100 %."
    )
    figure = Markup(bars("Use of the multipliers by layer", rows))
    table = [(name, text) for name, _, text in rows]
    return Section("use", "Utilization by layer", note, figure, ("layer", "weights"), table)


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
