"""The float reference: the original model in ONNX Runtime. It judges the quantization only."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sparnn.sim.aliases import AnyFloatArray, Io

from .errors import SimulationError
from .host_model import HostModel
from .network.arrays import read_inputs

__all__ = ["compare", "run_reference"]


def run_reference(model_path: Path, inputs: Path, io: Io) -> dict[str, AnyFloatArray]:
    """Run the original model on an input file.

    Parameters
    ----------
    model_path
        The ONNX file; a compiled folder holds a copy as `model.onnx`.
    inputs
        An npz file, as for `arrays.load_inputs`.
    io
        The layout, as in the manifest.

    Returns
    -------
    The outputs that `io` names, in the model's layout. The whole batch is run at once, or element
    by element where the model's batch axis has the fixed size 1.

    Raises
    ------
    SimulationError
        The input file does not fit, or ONNX Runtime cannot load or run the model.
    """
    arrays = read_inputs(inputs, io)
    model = HostModel(model_path, str(model_path))
    if set(model.inputs) != set(arrays):
        raise SimulationError(
            f"{model_path} takes the inputs {sorted(model.inputs)} and the manifest names "
            f"{sorted(arrays)}: compile the model again"
        )
    feeds: dict[str, AnyFloatArray] = dict(arrays)
    names = [entry["name"] for entry in io["outputs"]]
    axes = {entry["name"]: list(entry["axes"]) for entry in (*io["inputs"], *io["outputs"])}
    batches = {name: axes[name].index("batch") for name in feeds if "batch" in axes[name]}
    count = max((feeds[name].shape[axis] for name, axis in batches.items()), default=1)
    fixed = any(model.shapes[name][axis] == 1 for name, axis in batches.items())
    if count == 1 or not fixed:
        return model.run(feeds, names)
    without = [name for name in names if "batch" not in axes[name]]
    if without:
        raise SimulationError(
            f"{inputs} holds {count} sequences, but output {without[0]!r} has no batch axis: "
            "feed one at a time"
        )
    single = [
        model.run(
            {
                name: array.take([element], batches[name]) if name in batches else array
                for name, array in feeds.items()
            },
            names,
        )
        for element in range(count)
    ]
    return {n: np.concatenate([one[n] for one in single], axes[n].index("batch")) for n in names}


def compare(
    reference: Mapping[str, AnyFloatArray], ours: Mapping[str, AnyFloatArray]
) -> dict[str, float | None]:
    """How far our outputs are from the reference, over all outputs together.

    Returns
    -------
    `max_abs_error`, and `sqnr_db` = 10 log10(Σ reference² / Σ error²); None where either sum is 0.

    Raises
    ------
    SimulationError
        The outputs differ in names or shapes, or hold values that are not finite.
    """
    if set(reference) != set(ours) or not reference:
        raise SimulationError(
            f"the reference has the outputs {sorted(reference)} and ours are {sorted(ours)}: "
            "they must be the same, at least one"
        )
    largest = signal = noise = 0.0
    for name, expected in reference.items():
        wanted, got = np.asarray(expected, np.float64), np.asarray(ours[name], np.float64)
        if wanted.shape != got.shape:
            raise SimulationError(
                f"output {name!r} has the shape {wanted.shape} in the reference and {got.shape} "
                "in ours: compile the model again"
            )
        if not (np.isfinite(wanted).all() and np.isfinite(got).all()):
            raise SimulationError(
                f"output {name!r} holds NaN or infinities: the float model overflows on these "
                "inputs, give smaller ones"
            )
        error = wanted - got
        largest = max(largest, float(np.abs(error).max(initial=0)))
        signal += float((wanted**2).sum())
        noise += float((error**2).sum())
    sqnr = 10 * (math.log10(signal) - math.log10(noise)) if signal > 0 and noise > 0 else None
    return {"max_abs_error": largest, "sqnr_db": sqnr}
