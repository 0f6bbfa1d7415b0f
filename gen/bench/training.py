"""What training on the integer grid brings: `python -m sparnn.gen.bench.training`.

- ``pruning``: a network pruned gradually to several densities in each structure, on machines of
  equal multipliers: accuracy, cycles of the Verilog, memory, predicted LUTs.
- ``delta``: a network under growing thresholds of differences, as it was trained and fine-tuned
  with each threshold: what is sent, accuracy and cycles of the Verilog, beside the pass of a
  machine of the same size without deltas.

Training data are those of examples/tune.py: PyTorch is needed, and what train.py has left.
"""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from sparnn.gen.compile import CompileSummary, compile_model
from sparnn.gen.errors import SparnnError
from sparnn.gen.evaluate.metrics import find_metric
from sparnn.gen.graph.read import read_model
from sparnn.gen.machines.presets import structure
from sparnn.gen.network.to_onnx import float_model
from sparnn.sim.network.arrays import write_npz
from sparnn.sim.runner import SimulationReport, simulate
from sparnn.sim.session.session import InferenceSession

__all__ = ["delta_rows", "machine_file", "main", "pruning_rows", "run_variant", "sent_share"]

RESULTS = Path("docs/results/training.json")
EXAMPLES = Path("examples")
DENSITIES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05)
#: Structure, its options, and the machine of 16 multipliers that it is for.
STRUCTURES: tuple[tuple[str, dict[str, int], dict[str, Any]], ...] = (
    ("unstructured", {}, {"lanes": 16}),
    ("rows", {"width": 4}, {"lanes": 4, "width": 4}),
    ("balanced", {"lanes": 4}, {"lanes": 16}),
)
#: Of the machines of the pruning curves: one alone would set the pace from a density of 30 % on.
POST_UNITS = 4
#: The machines of the delta curves: without masks of weights, as many post units as lanes, since
#: what deltas leave to do in a step is mostly theirs. Lanes and rows by network.
DELTA_LANES = {"silero": (8, 4)}
DELTA_MACHINE = {"masks": 0, "chunk": 128, "sub_chunk": 16}
#: What is judged, where it is not test.npz by its labels: data, metric, the axis of sequences.
JUDGED = {
    "silero": ("input.npz", "silero/judge.py:same", 1),
    "denoiser": ("test.npz", "denoiser/judge.py:quality", 0),
}
#: Thresholds by network, in the units of the activations.
THRESHOLDS = {"gestures": (0.0, 0.05, 0.1), "silero": (0.0, 0.05, 0.1, 0.2)}
#: The board whose predicted LUTs are told.
BOARD = "ulx3s"


def machine_file(file: Path, **fields: int) -> str:
    """A sparse machine as a file that compile takes as it is, so that one build serves all runs;
    its memories are the usual ones."""
    lines = ['machine = "sparse"', *(f"{name} = {value}" for name, value in fields.items())]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(file)


def run_variant(
    model: Path, folder: Path, network: str, count: int, **options: Any
) -> tuple[CompileSummary, SimulationReport, float]:
    """Compile with the samples beside the data, simulate, judge.

    The Verilog runs the first ``count`` sequences and has to equal the golden model on them; the
    golden model, and so the Verilog, is judged on all of the data.

    Raises
    ------
    SparnnError: the Verilog is not bit exact.
    """
    name, judge, batch = JUDGED.get(network, ("test.npz", "accuracy", 0))
    data = EXAMPLES / network / name
    metric = find_metric(f"{EXAMPLES / judge}" if ":" in judge else judge)
    summary = compile_model(model, data.with_name("calibrate.npz"), folder, **options)
    with np.load(data) as opened:
        arrays = dict(opened)
    session = InferenceSession(folder)
    names = [entry.name for entry in session.get_inputs()]
    feeds = {name: arrays[name] for name in names}
    found = session.run(None, feeds)
    outputs = dict(zip([one.name for one in session.get_outputs()], found, strict=True))
    short = folder.with_name(f"{folder.name}_inputs.npz")
    few = {k: v[:count] if batch == 0 else v[:, :count] for k, v in feeds.items()}
    write_npz(short, few, level=1)
    report = simulate(folder, short)
    if not report.bit_exact:
        raise SparnnError(f"{model}: the Verilog differs from the golden model")
    return summary, report, metric.of(outputs, arrays)


def _tune() -> Any:
    """examples/tune.py, which is no part of the package.

    Raises
    ------
    SparnnError: PyTorch is missing, or this is no checkout.
    """
    file = EXAMPLES / "tune.py"
    if not file.is_file():
        raise SparnnError(f"{file} is not here: run this from the top folder of a sparnn checkout")
    if importlib.util.find_spec("torch") is None:
        raise SparnnError("training needs PyTorch: pip install 'sparnn[train]'")
    spec = importlib.util.spec_from_file_location("sparnn_tune", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Tuned = Callable[..., Path]
#: What an earlier run has measured; None: it is not to be kept.
Kept = Sequence[dict[str, Any]] | None


def _tuner(network: str, build: Path, keep: bool) -> Tuned:
    """Gives the file of a network, fine-tuned with some options; ``keep``: or made before."""
    tune = _tune()

    def tuned(name: str, **options: Any) -> Path:
        file = build / f"{name}.onnx"
        if not (keep and file.is_file()):
            tune.tuned(network, file, **options)
        return file

    return tuned


def pruning_rows(network: str, build: Path, count: int, kept: Kept) -> Iterator[dict[str, Any]]:
    """A row for each structure and density."""
    tuned = _tuner(network, build, kept is not None)
    known = {(row["structure"], row["density"]): row for row in kept or ()}
    for kind, structure_options, machine in STRUCTURES:
        shape = structure(machine["lanes"], width=machine.get("width", 1), post_units=POST_UNITS)
        shape |= {"max_v": machine["lanes"] // POST_UNITS, **machine}
        fixed = machine_file(build / f"{network}_{kind}.toml", **shape)
        file = None
        for density in DENSITIES:  # each begins where the one before has ended
            name = f"{network}_{kind}_{round(100 * density)}"
            options = {"density": density, "kind": kind, **structure_options}
            file = tuned(name, start=file, share=0.4, **options)
            if (kind, density) in known:
                yield known[kind, density]
                continue
            summary, report, quality = run_variant(file, build / name, network, count, config=fixed)
            (part,) = summary.parts
            board = next(one for one in summary.estimate.boards if one.board.name == BOARD)
            layers = part.quantized.network.layers
            weights = [w for one in layers for w in (one.w_x, one.w_h) if w is not None]
            kept_weights = sum(int(np.count_nonzero(w)) for w in weights)
            yield {
                "network": network,
                "structure": kind,
                "density": density,
                "kept": kept_weights / sum(w.size for w in weights),
                "quality": quality,
                "sequences": report.sequences,
                "cycles_per_step": report.cycles_per_step,
                "utilization": report.utilization,
                "image_bits": 32 * len(part.placement.image),
                "luts": round(board.needs["lut"]),
            }
            print(f"{name}: {quality:.4f}, {report.cycles_per_step:.1f} cycles a step", flush=True)


def delta_rows(network: str, build: Path, count: int, kept: Kept) -> Iterator[dict[str, Any]]:
    """A row of the dense pass, one without deltas, then one for each threshold, as trained and
    fine-tuned."""
    tune = _tune()
    tuned = _tuner(network, build, kept is not None)
    plain = EXAMPLES / network / tune.NETWORKS[network][0]
    lanes, width = DELTA_LANES.get(network, (4, 2))
    shape = structure(lanes, width=width, post_units=lanes) | DELTA_MACHINE
    shape |= {"lanes": lanes, "width": width}
    dense_file = machine_file(build / "dense.toml", **shape)
    delta_file = machine_file(build / "delta.toml", **shape, delta=1)
    known = {(row["threshold"], row["tuned"]): row for row in kept or ()}

    def row(threshold: str, fine: str, file: Path, **options: Any) -> dict[str, Any]:
        if (threshold, fine) in known:
            return known[threshold, fine]
        name = f"{network}_delta_{threshold}_{fine}"
        summary, report, quality = run_variant(file, build / name, network, count, **options)
        found: dict[str, Any] = {
            "network": network,
            "threshold": threshold,
            "tuned": fine,
            "quality": quality,
            "cycles_per_step": report.cycles_per_step,
            "sequences": report.sequences,
            "steps": report.steps,
        }
        if summary.parts[0].activity.sent is not None:
            found["sent"] = sent_share(summary)
            found["sent_percent"] = round(100 * found["sent"], 6)
        print(f"{name}: {quality:.4f}, {report.cycles_per_step:.1f} cycles a step", flush=True)
        return found

    if ("dense pass", "no") in known:
        yield known["dense pass", "no"]
    else:
        yield {
            "network": network,
            "threshold": "dense pass",
            "tuned": "no",
            "cycles_per_step": _dense_cycles(plain, build / f"{network}_pass", dense_file),
        }
    yield row("no deltas", "no", plain, config=dense_file)
    before: Path | None = None
    for threshold in THRESHOLDS[network]:
        options = {"config": delta_file, "delta": threshold}
        yield row(f"{threshold:g}", "no", plain, **options)
        if threshold:  # each begins where the one before has ended
            name = f"{network}_delta_{threshold:g}_tuned"
            before = tuned(name, start=before, share=0.5, delta=threshold)
            yield row(f"{threshold:g}", "yes", before, **options)


def _dense_cycles(model: Path, folder: Path, config: str) -> float:
    """Cycles of a step in which hardly any element is zero, so that nothing is skipped: the same
    layers with drawn weights on drawn inputs."""
    rng = np.random.default_rng(0)
    network = read_model(model, model.with_name("calibrate.npz")).parts[0].network
    layers = []
    for layer in network.layers:
        w_h = None if layer.w_h is None else rng.normal(size=layer.w_h.shape) / layer.units**0.5
        w_x = rng.normal(size=layer.w_x.shape) / layer.inputs**0.5
        layers.append(replace(layer, w_x=w_x, w_h=w_h))
    drawn = folder.with_name(f"{folder.name}.onnx")
    onnx.save(float_model(replace(network, layers=tuple(layers))), drawn)
    (entry,) = network.io["inputs"]
    sizes = {"batch": 1, "time": 48, "feature": network.layers[0].inputs}
    x = rng.uniform(0.5, 2, [sizes[axis] for axis in entry["axes"]])
    inputs = folder.with_name(f"{folder.name}_inputs.npz")
    write_npz(inputs, {entry["name"]: x.astype(np.float32)})
    compile_model(drawn, inputs, folder, config=config)
    return simulate(folder, inputs).cycles_per_step


def sent_share(summary: CompileSummary) -> float:
    """The share of all elements that are sent, on the calibration inputs."""
    each = [one for part in summary.parts for one in part.activity.sent or ()]
    return float(
        np.concatenate(
            [half.reshape(-1) for one in each for half in one if half is not None]
        ).mean()
    )


_PRUNING = (
    ("structure", "{structure}"),
    ("density", "{density_percent:g} %"),
    ("kept", "{kept_percent:.1f} %"),
    ("quality", "{quality:.4f}"),
    ("cycles a step", "{cycles_per_step:,.1f}"),
    ("utilization", "{utilization_percent:.1f} %"),
    ("image, bits", "{image_bits:,}"),
    ("LUT4, predicted", "{luts:,}"),
)
_DELTA = (
    ("threshold", "{threshold}"),
    ("fine-tuned", "{tuned}"),
    ("sent", "{sent_percent:.1f} %"),
    ("quality", "{quality:.4f}"),
    ("cycles a step", "{cycles_per_step:,.1f}"),
    ("faster than the dense pass", "{speedup:.2f} x"),
)


def table(rows: list[dict[str, Any]], columns: tuple[tuple[str, str], ...], command: str) -> Any:
    """Rows as a table of docs/results."""
    for row in rows:
        for name in ("density", "kept", "utilization"):
            if row.get(name) is not None:
                row[f"{name}_percent"] = round(100 * row[name], 6)
    names = ("sparnn", "verilator", "torch")
    return {
        "provenance": {
            "command": command,
            "date": datetime.date.today().isoformat(),
            "versions": ", ".join(f"{one} {importlib.metadata.version(one)}" for one in names),
        },
        "columns": [{"title": title, "text": text} for title, text in columns],
        "rows": rows,
    }


def _kept(given: argparse.Namespace, name: str) -> Kept:
    """What an earlier run has measured, with ``--keep``."""
    if not given.keep:
        return None
    if not given.json.is_file():
        return []
    tables = json.loads(given.json.read_text(encoding="utf-8"))["tables"]
    return list(tables.get(name, {"rows": []})["rows"])


def _write(file: Path, name: str, found: Any) -> None:
    """Put a table into the file, in the place of one of that name."""
    kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"tables": {}}
    kept["tables"][name] = found
    file.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sparnn.gen.bench.training", description=__doc__
    )
    parser.add_argument("curve", choices=("pruning", "delta"))
    parser.add_argument("network", help="a folder of examples/ that examples/tune.py knows")
    parser.add_argument("--count", type=int, default=20, help="sequences that the Verilog runs")
    parser.add_argument(
        "--keep", action="store_true", help="take what was fine-tuned and measured before"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("build/training"))
    parser.add_argument("--json", type=Path, default=RESULTS)
    given = parser.parse_args()
    try:
        given.output.mkdir(parents=True, exist_ok=True)
        rows, columns = {
            "pruning": (pruning_rows, _PRUNING),
            "delta": (delta_rows, _DELTA),
        }[given.curve]
        found = []
        name = f"{given.curve}_{given.network}"
        for row in rows(given.network, given.output, given.count, _kept(given, name)):
            found.append(row)  # each is written at once: the whole takes long
            if given.curve == "delta":
                row["speedup"] = found[0]["cycles_per_step"] / row["cycles_per_step"]
            command = f"python -m sparnn.gen.bench.training {given.curve} {given.network}"
            _write(
                given.json,
                name,
                table(found, columns, f"{command} --count {given.count}"),
            )
    except (SparnnError, OSError, ValueError, RuntimeError) as error:
        print(f"sparnn: error: {error}", file=sys.stderr)
        return 2
    print(f"written to {given.json}; `make tables` puts it into the pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
