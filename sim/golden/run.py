"""Runs the golden model on the sequences of an npz file: `sparnn golden`."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.sim.aliases import IntArray, Io
from sparnn.sim.errors import SimulationError
from sparnn.sim.network.arrays import (
    AXES,
    Sequence,
    assemble_outputs,
    load_inputs,
    quantize,
    write_npz,
)
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.progress import progress

from .layers import run_network
from .saturation import TensorSaturation, saturation
from .trace import NetworkTrace

__all__ = [
    "MANIFEST",
    "NETWORK",
    "QuantizedSequence",
    "golden_outputs",
    "golden_sequences",
    "load_compiled",
    "output_integers",
    "quantize_sequence",
    "read_manifest",
    "run_golden",
]


MANIFEST = "manifest.json"
NETWORK = "network.npz"


@dataclass(frozen=True, eq=False)
class QuantizedSequence:
    """What the machine is fed.

    Members
    -------
    x
        [steps, inputs], within the activation bits, format `f_x` of the first layer.
    initial
        Given initial states by (role, layer), [units]: `initial_h` in `f_out`, `initial_c` in
        `f_state`.
    saturated
        How many of these values were clamped.
    """

    x: IntArray
    initial: dict[tuple[str, int], IntArray]
    saturated: int


def run_golden(folder: Path, inputs: Path, output: Path) -> list[TensorSaturation]:
    """Run the golden model of a compiled folder and write the model's outputs.

    Returns
    -------
    What saturated.

    Parameters
    ----------
    folder
        What `sparnn compile` wrote; `manifest.json` and `network.npz` are read.
    inputs
        An npz file with the model's inputs, in its own layout.
    output
        The npz file to write, with the model's outputs by name, float32, in its own layout.

    Raises
    ------
    SimulationError
        The folder, the inputs or the output file are not usable.
    """
    manifest, network = load_compiled(folder)
    io = manifest["io"]
    sequences = load_inputs(inputs, io, network.input_sizes)
    outputs, saturated = golden_outputs(network, io, sequences)
    write_npz(output, outputs)
    return saturated


def golden_outputs(
    network: IntegerNetwork, io: Io, sequences: Iterable[Sequence], steps: int | None = None
) -> tuple[dict[str, npt.NDArray[np.float32]], list[TensorSaturation]]:
    """The model's outputs by the golden model, in its own layout, and what saturated. ``steps``:
    see `assemble_outputs`."""
    sequences = list(sequences)
    traces = golden_sequences(network, io, sequences)
    outputs = assemble_outputs(io, [output_integers(io, trace) for trace in traces], steps)
    return outputs, saturation(network, sequences, traces)


def load_compiled(folder: Path) -> tuple[dict[str, Any], IntegerNetwork]:
    """The manifest and the integer network of a compiled folder.

    Raises
    ------
    SimulationError
        One of the two is missing or damaged, or they do not belong together.
    """
    manifest = read_manifest(folder)
    network = IntegerNetwork.load(Path(folder) / NETWORK)
    try:
        _check_io(manifest["io"], network)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, error) from error
    return manifest, network


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a compiled folder.

    Raises
    ------
    SimulationError
        It is missing or damaged.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise SimulationError(
            f"{folder} has no {MANIFEST}: give a folder that sparnn compile has written"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict):
            raise TypeError("not an object")
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(folder, error) from error
    return manifest


def _damaged(folder: Path, error: Exception) -> SimulationError:
    return SimulationError(
        f"{Path(folder) / MANIFEST} is damaged ({type(error).__name__}: {error}): compile the "
        "model again"
    )


def _check_io(io: Io, network: IntegerNetwork) -> None:
    """Raise ValueError where the layout names what the network does not have."""
    for entry in io["inputs"]:
        key = (entry["role"], entry["layer"])
        if entry["role"] == "lengths":
            continue
        if key not in network.input_sizes:
            raise ValueError(f"the network has no {key[0]} in layer {key[1]}")
        if entry["f"] != _input_format(network, *key)[0]:
            raise ValueError(f"input {entry['name']} has another format than in {NETWORK}")
    if not io["outputs"]:
        raise ValueError("it names no outputs")
    for entry in io["outputs"]:
        if entry["layer"] not in range(len(network.layers)):
            raise ValueError(f"the network has no layer {entry['layer']}")
        layer = network.layers[entry["layer"]]
        shift = layer.sum_shift if entry["what"] in ("sequence", "step") else 0
        if entry["f"] != (layer.f_state if entry["what"] == "state_c" else layer.f_out - shift):
            raise ValueError(f"output {entry['name']} has another format than in {NETWORK}")
    for entry in (*io["inputs"], *io["outputs"]):
        axes = entry["axes"]
        if not isinstance(entry["name"], str) or len(set(axes)) < len(axes) or set(axes) - {*AXES}:
            raise ValueError(f"{entry['name']!r} has the axes {axes}, known are {list(AXES)}")


def quantize_sequence(network: IntegerNetwork, sequence: Sequence) -> QuantizedSequence:
    """A sequence in the formats and widths of the network's inputs."""
    layer = network.layers[0]
    x, saturated = quantize(sequence.x, layer.f_x, network.activation_bits)
    initial = {}
    for key, values in sequence.initial.items():
        initial[key], clamped = quantize(values, *_input_format(network, *key))
        saturated += clamped
    return QuantizedSequence(x, initial, saturated)


def _input_format(network: IntegerNetwork, role: str, index: int) -> tuple[int, int]:
    """Format and width of an input."""
    layer = network.layers[index]
    return {
        "x": (layer.f_x, network.activation_bits),
        "initial_h": (layer.f_out, layer.out_bits),
        "initial_c": (layer.f_state, 16),
    }[role]


def golden_sequences(
    network: IntegerNetwork, io: Io, sequences: Iterable[Sequence]
) -> list[NetworkTrace]:
    """Run the golden model on each sequence, with a progress bar.

    Parameters
    ----------
    network
        The network.
    io
        The layout, as in the manifest: every output that it names is checked to exist.
    sequences
        As `load_inputs` gives them.

    Raises
    ------
    SimulationError
        A sequence or the layout does not fit the network.
    """
    sequences = list(sequences)
    recurrent = sum(layer.has_hidden for layer in network.layers)
    traces = []
    with progress("Golden model", total=recurrent * sum(len(s.x) for s in sequences)) as advance:
        for sequence in sequences:
            fed = quantize_sequence(network, sequence)
            trace = run_network(network, fed.x, fed.initial, advance)
            output_integers(io, trace)
            traces.append(trace)
    return traces


def output_integers(io: Io, trace: NetworkTrace) -> dict[str, IntArray]:
    """The model's outputs of one sequence as integers, for `assemble_outputs`.

    Raises
    ------
    SimulationError
        The layout names a tensor that the network does not have.
    """
    return {entry["name"]: trace.output(entry["layer"], entry["what"]) for entry in io["outputs"]}
