"""`sparnn evaluate`: a metric of a compiled model in real numbers, in integers and in Verilog."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.gen.compile import compile_model
from sparnn.gen.errors import SparnnError
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.features import Fitted, scaled_features
from sparnn.gen.quantize.quantize import Quantized
from sparnn.gen.quantize.sensitivity import Sensitive, sensitivity
from sparnn.sim.golden.run import load_compiled
from sparnn.sim.golden.saturation import TensorSaturation
from sparnn.sim.host_model import HostModel
from sparnn.sim.network.arrays import check_inputs, read_npz, sequences_of, write_npz
from sparnn.sim.reference import compare, run_reference
from sparnn.sim.session.golden import golden_part
from sparnn.sim.session.session import InferenceSession
from sparnn.sim.session.whole import Whole, graph_feeds
from sparnn.sim.threads import one_thread

from .layers import LayerQuality, layer_quality, part_network, rounded_model
from .metrics import Metric, find_metric

__all__ = ["BACKENDS", "Evaluation", "compiled_folder", "evaluate", "layers_of"]

Arrays = Mapping[str, npt.NDArray[Any]]

#: What a model may be run as, the nearest to the original first.
BACKENDS = ("float", "pruned", "quantized", "golden", "verilator")


@dataclass(frozen=True)
class Result:
    """One backend. sqnr_db: of its outputs against the float ones; None where they are equal."""

    backend: str
    value: float
    sqnr_db: float | None


@dataclass(frozen=True)
class Evaluation:
    """What was evaluated.

    Members
    -------
    metric: by which. results: of each backend.
    layers: of each part its layers, in their order. tensors: with ``sensitivity``.
    """

    metric: Metric
    results: tuple[Result, ...]
    layers: tuple[LayerQuality, ...]
    tensors: tuple[Sensitive, ...]

    def lines(self) -> list[str]:
        """For people."""
        lines = []
        first = self.results[0]
        for one in self.results:
            text = (
                f"{one.backend:<14} {self.metric.name} {one.value:.6g} {self.metric.unit}".rstrip()
            )
            if one is not first:
                text += f", {one.value - first.value:+.4g}"
            if one.sqnr_db is not None:
                text += f"; output {one.sqnr_db:.1f} dB"
            lines.append(text)
        lines += [f"layer          {one.line()}" for one in self.layers]
        worst = min(self.layers, key=lambda one: one.sqnr_db)
        lines.append(f"most is lost   up to {worst.layer}: {worst.sqnr_db:.1f} dB")
        return lines + [f"alone          {one.line()}" for one in self.tensors]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "metric": self.metric.name,
            "results": [asdict(one) for one in self.results],
            "layers": [one.as_dict() for one in self.layers],
            "sensitivity": [one.as_dict() for one in self.tensors],
        }


@one_thread()
def evaluate(
    folder: Path,
    data: Path,
    metric: str,
    *,
    backends: Sequence[str] = ("float", "golden"),
    tensors: bool = False,
) -> Evaluation:
    """Evaluate a compiled folder; of a graph that was cut all of it, the host's pieces included.

    Parameters
    ----------
    data: an npz file with the model's inputs and what the metric compares with.
    metric: see :func:`~sparnn.gen.evaluate.metrics.find_metric`.
    backends: of :data:`BACKENDS`. pruned and quantized are in real numbers, with the pruned weights
        and with weights of the compiled bits.
    tensors: quantize every tensor alone as well.

    Raises
    ------
    SparnnError, SimulationError: something that the user has to change.
    """
    unknown = [name for name in backends if name not in BACKENDS]
    if unknown or not backends:
        raise SparnnError(f"--backends {' '.join(unknown)}: use some of {', '.join(BACKENDS)}")
    measure = find_metric(metric)
    runs = _Runs(Path(folder))
    arrays = {name: np.asarray(array) for name, array in read_npz(data).items()}
    feeds = runs.feeds(arrays, str(data))
    reference = runs.outputs("float", feeds)
    results = []
    for name in BACKENDS:
        if name not in backends:
            continue
        outputs = reference if name == "float" else runs.outputs(name, feeds)
        sqnr = None if name == "float" else compare(reference, outputs)["sqnr_db"]
        results.append(Result(name, measure.of(outputs, arrays), sqnr))
    known = runs.known(feeds)
    layers = [one for part in runs.parts for one in layer_quality(part, known[part])]
    alone = [one for part in runs.parts for one in _alone(part, known[part])] if tensors else []
    return Evaluation(measure, tuple(results), tuple(layers), tuple(alone))


@contextmanager
def compiled_folder(
    model: Path,
    calibrate: Path | None,
    *,
    config: str | None = None,
    prune: float | None = None,
    prune_rows: int | None = None,
) -> Iterator[Path]:
    """The folder itself, or one that a model is compiled into and that goes afterwards.

    Raises
    ------
    SparnnError: a model without sample inputs, or a folder with options of a model.
    """
    if model.is_dir():
        if any(one is not None for one in (calibrate, config, prune, prune_rows)):
            raise SparnnError(
                f"{model} is compiled already: leave out --calibrate, --config, --prune and "
                "--prune-rows, or give the model"
            )
        yield model
        return
    if calibrate is None:
        raise SparnnError(
            f"{model} is a model, which is compiled first: give sample inputs as --calibrate X.npz"
        )
    with tempfile.TemporaryDirectory(prefix="sparnn-") as place:
        out = Path(place) / "out"
        compile_model(model, calibrate, out, config=config, prune=prune, prune_rows=prune_rows)
        yield out


def layers_of(folder: Path, data: Path) -> tuple[list[LayerQuality], list[TensorSaturation]]:
    """Every layer's signal to noise on some inputs, and what saturates there."""
    runs = _Runs(Path(folder))
    feeds = runs.feeds(read_npz(data), str(data))
    layers, saturated = [], []
    for part, known in runs.known(feeds).items():
        layers += layer_quality(part, known)
        saturated += golden_part(part, known)[1]
    return layers, saturated


class _Runs:
    """A compiled folder, as each backend runs it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.whole = Whole.of(folder)
        self.parts = [folder] if self.whole is None else self.whole.parts
        self.session = InferenceSession(folder)

    def feeds(self, arrays: Arrays, where: str) -> dict[str, npt.NDArray[Any]]:
        """The model's inputs among some arrays."""
        names = [tensor.name for tensor in self.session.get_inputs()]
        if len(names) == 1 and names[0] not in arrays and "x" in arrays:
            return {names[0]: arrays["x"]}
        missing = [name for name in names if name not in arrays]
        if missing:
            raise SparnnError(f"{where} holds {sorted(arrays)} and no input {missing[0]!r}; add it")
        return {name: arrays[name] for name in names}

    def outputs(self, backend: str, feeds: Arrays) -> dict[str, npt.NDArray[Any]]:
        """All outputs of the model."""
        if backend == "float":
            return self._float(feeds)
        if backend in ("golden", "verilator"):
            session = InferenceSession(
                self.folder, "golden" if backend == "golden" else "verilator"
            )
            names = [tensor.name for tensor in session.get_outputs()]
            return dict(zip(names, session.run(None, feeds), strict=True))
        models: dict[Path, bytes] = {}
        for part in self.parts:
            if backend == "quantized":
                models[part] = rounded_model(part)
                continue
            manifest, _ = load_compiled(part)
            reference = manifest.get("reference", "model.onnx")
            if reference == "model.onnx":
                raise SparnnError(f"{self.folder} was compiled without --prune: leave out pruned")
            models[part] = (part / reference).read_bytes()
        return self._parts(feeds, models)

    def _float(self, feeds: Arrays) -> dict[str, npt.NDArray[Any]]:
        if self.whole is None:
            return self._reference(self.folder, feeds, self.folder / "model.onnx")
        model = HostModel(self.whole.model, str(self.whole.model))
        several = graph_feeds(feeds, self.whole.inputs, "the data")
        return self.whole.joined([model.run(one, self.whole.outputs) for one in several])

    def _parts(self, feeds: Arrays, models: Mapping[Path, bytes]) -> dict[str, npt.NDArray[Any]]:
        """The parts as other models, the host's pieces as they are."""
        with tempfile.TemporaryDirectory(prefix="sparnn-evaluate-") as name:
            files = {}
            for number, (part, content) in enumerate(models.items()):
                files[part] = Path(name) / f"{number}.onnx"
                files[part].write_bytes(content)

            def run(part: Path, known: Arrays) -> Arrays:
                return self._reference(part, known, files[part])

            if self.whole is None:
                return dict(run(self.folder, feeds))
            several = graph_feeds(feeds, self.whole.inputs, "the data")
            return self.whole.joined([self.whole.run(one, run) for one in several])

    @staticmethod
    def _reference(part: Path, known: Arrays, model: Path) -> dict[str, npt.NDArray[Any]]:
        manifest, _ = load_compiled(part)
        io = manifest["io"]
        names = {entry["name"] for entry in io["inputs"]}
        with tempfile.TemporaryDirectory(prefix="sparnn-evaluate-") as name:
            file = Path(name) / "inputs.npz"
            write_npz(file, {k: v for k, v in known.items() if k in names}, level=1)
            return dict(run_reference(model, file, io))

    def known(self, feeds: Arrays) -> dict[Path, Arrays]:
        """What each part reads, of the first set of inputs."""
        if self.whole is None:
            return {self.folder: feeds}
        found: dict[Path, Arrays] = {}

        def run(part: Path, known: Arrays) -> Arrays:
            found[part] = dict(known)
            manifest, _ = load_compiled(part)
            own = {entry["name"] for entry in manifest["io"]["inputs"]}
            session = InferenceSession(part)
            names = [tensor.name for tensor in session.get_outputs()]
            given = {name: array for name, array in known.items() if name in own}
            return dict(zip(names, session.run(None, given), strict=True))

        self.whole.run(graph_feeds(feeds, self.whole.inputs, "the data")[0], run)
        return found


def _alone(part: Path, known: Arrays) -> list[Sensitive]:
    """Every tensor of a part quantized alone."""
    manifest, integers = load_compiled(part)
    network = part_network(part)
    names = {entry["name"] for entry in network.io["inputs"]}
    own = {name: array for name, array in known.items() if name in names}
    arrays = check_inputs(own, f"part {part.name}", network.io, network.input_sizes)
    sequences = sequences_of(arrays, network.io)
    calibrate(network, sequences)  # refuses what the network cannot be fed
    if any(entry.get("scale") is not None for entry in manifest["io"]["inputs"]):
        network, sequences = scaled_features(network, sequences)
    return sensitivity(Fitted(network, sequences, Quantized(integers, manifest["io"], ())))
