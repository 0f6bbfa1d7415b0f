"""What the scales of a network's weights are worth: for each matrix or row, for each sign or both.

No hardware runs for this: a network is quantized in different ways and run in the golden model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.network.prune import prune
from sparnn.gen.network.run import named_output
from sparnn.gen.network.run import run_network as run_float
from sparnn.gen.onnx.reader import import_onnx
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.formats import sqnr_db
from sparnn.gen.quantize.quantize import quantize
from sparnn.gen.quantize.weight_rows import quantize_rows
from sparnn.sim.aliases import FloatArray
from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.run import quantize_sequence
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.arrays import load_inputs, read_npz
from sparnn.sim.progress import progress

__all__ = [
    "SCHEMES",
    "Classification",
    "ScalePoint",
    "classification",
    "load_network",
    "scale_points",
    "skewed",
]

#: Activations of the networks that are run.
_ACTIVATION_BITS = 10

#: Scheme -> the values that weights [gates, units, columns] have after quantization. The machine
#: has ``row`` and, on those with split scales, ``row split``; ``matrix split`` is MASR's.
SCHEMES: dict[str, Callable[[FloatArray, int], FloatArray]] = {
    "matrix": lambda weights, bits: _rounded(weights, bits, (0, 1, 2), False),
    "matrix split": lambda weights, bits: _rounded(weights, bits, (0, 1, 2), True),
    "row": lambda weights, bits: quantize_rows(weights, bits).values,
    "row split": lambda weights, bits: quantize_rows(weights, bits, split=True).values,
    "row split freely": lambda weights, bits: _rounded(weights, bits, (2,), True),
}


@dataclass(frozen=True)
class ScalePoint:
    """Weights of one width with one kind of scale.

    weights_db: signal to quantization noise of all weights. Of the schemes that the machine has,
    on inputs that were not calibrated on: output_db, the network's output against the float
    network; right: share of the labels found; both None where they were not measured.
    """

    scheme: str
    weight_bits: int
    weights_db: float
    output_db: float | None = None
    right: float | None = None


@dataclass(frozen=True, eq=False)
class Classification:
    """Sequences to classify, and the labels; see :func:`classification`."""

    sample: Sequence[InputSequence]
    sequences: Sequence[InputSequence]
    labels: npt.NDArray[np.int64]


def classification(network: FloatNetwork, calibration: Path, test: Path) -> Classification:
    """Sample inputs, and ``x``, ``labels`` and perhaps ``lengths`` of a test file.

    Raises
    ------
    SparnnError, SimulationError: a file that does not fit the network.
    """
    arrays = read_npz(test)
    if not {"x", "labels"} <= set(arrays) or len(arrays["x"]) != len(arrays["labels"]):
        raise SparnnError(
            f"--test {test} must hold x, [sequences, steps, features], and as many labels; it "
            f"holds {', '.join(f'{name} {value.shape}' for name, value in arrays.items())}"
        )
    lengths = arrays.get("lengths", np.full(len(arrays["x"]), arrays["x"].shape[1]))
    return Classification(
        load_inputs(calibration, network.io, network.input_sizes),
        [
            InputSequence(x[:length].astype(np.float64), {})
            for x, length in zip(arrays["x"], lengths, strict=True)
        ],
        arrays["labels"],
    )


def scale_points(
    network: FloatNetwork, bits: Sequence[int], task: Classification | None = None
) -> list[ScalePoint]:
    """Every scheme at every width."""
    matrices = [m for layer in network.layers for m in (layer.w_x, layer.w_h) if m is not None]
    exact = np.concatenate([matrix.reshape(-1) for matrix in matrices])
    points = []
    with progress("Quantizing", len(bits) * len(SCHEMES)) as advance:
        for width in bits:
            for name, scheme in SCHEMES.items():
                values = [scheme(matrix, width).reshape(-1) for matrix in matrices]
                point = ScalePoint(name, width, sqnr_db(exact, np.concatenate(values)))
                if task is not None and name in ("row", "row split"):
                    db, right = _run(network, task, width, name == "row split")
                    point = replace(point, output_db=db, right=right)
                points.append(point)
                advance(1)
    return points


def _run(
    network: FloatNetwork, task: Classification, bits: int, split: bool
) -> tuple[float, float]:
    ranges = calibrate(network, task.sample)
    quantized = quantize(network, ranges, bits, _ACTIVATION_BITS, split_scales=split)
    (entry,) = quantized.io["outputs"]
    exact, values, right = [], [], 0
    for sequence, label in zip(task.sequences, task.labels, strict=True):
        floats = named_output(run_float(network, sequence.x[np.newaxis]), entry)[0]
        trace = run_network(quantized.network, quantize_sequence(quantized.network, sequence).x)
        output = np.ldexp(trace.output(entry["layer"], entry["what"]), -entry["f"])
        exact.append(floats.reshape(-1))
        values.append(output.reshape(-1))
        right += int(output.reshape(-1, output.shape[-1]).mean(axis=0).argmax() == label)
    db = sqnr_db(np.concatenate(exact), np.concatenate(values))
    return db, right / len(task.labels)


def _rounded(weights: FloatArray, bits: int, shared: tuple[int, ...], split: bool) -> FloatArray:
    """With one scale over the axes ``shared``, or with one for either sign."""
    top = float((1 << (bits - 1)) - 1)
    positive = weights.max(axis=shared, keepdims=True)
    negative = -weights.min(axis=shared, keepdims=True)
    if not split:
        positive = negative = np.maximum(positive, negative)
    steps = np.where(weights > 0, positive, negative) / top
    return np.rint(weights / np.where(steps > 0, steps, 1.0)) * steps


def skewed(network: FloatNetwork, skew: float, density: float) -> FloatNetwork:
    """The network with its positive weights made smaller, pruned by magnitude to a density."""
    layers = tuple(
        replace(
            layer,
            **{
                name: np.where(weights > 0, skew * weights, weights)
                for name in ("w_x", "w_h")
                if (weights := getattr(layer, name)) is not None
            },
        )
        for layer in network.layers
    )
    return prune(replace(network, layers=layers), 1 - density)


def load_network(model: Path) -> FloatNetwork:
    """Like :func:`~sparnn.gen.onnx.reader.import_onnx`, of models with one output.

    Raises
    ------
    SparnnError: the model has several.
    """
    network = import_onnx(model)
    if len(network.io["outputs"]) != 1:
        names = ", ".join(entry["name"] for entry in network.io["outputs"])
        raise SparnnError(f"{model} has the outputs {names}: only a model with one is classified")
    return network
