"""Reads a model with its sample inputs: one network, or a graph that is cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
from onnx import ModelProto

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.onnx.reader import load_onnx, network_of
from sparnn.sim.errors import SimulationError
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.arrays import check_inputs, load_inputs, read_npz, sequences_of
from sparnn.sim.session.whole import graph_feeds

from .cut import Cut
from .host import evaluate
from .inputs import model_sizes
from .specialize import specialized
from .take import nearer, take

__all__ = ["ReadModel", "ReadPart", "read_model"]


@dataclass(frozen=True, eq=False)
class ReadPart:
    """A network for the machine, and the sample sequences that it is fed."""

    network: FloatNetwork
    sequences: Sequence[InputSequence]


@dataclass(frozen=True, eq=False)
class ReadModel:
    """A model. ``cut``: None where all of it is one network. For people: ``notes``, what its
    inputs were fixed to, and ``cells``, what was taken for the operators of cells."""

    model: ModelProto
    parts: tuple[ReadPart, ...]
    cut: Cut | None
    notes: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()


def read_model(path: Path, calibrate: Path) -> ReadModel:
    """Read a model whole, or cut it where the machine does not compute all of it.

    Parameters
    ----------
    calibrate: an npz file with sample inputs, in the model's layout.

    Raises
    ------
    SparnnError: the file cannot be read, or holds nothing for the machine.
    SimulationError: the sample inputs do not fit the model.
    """
    model = load_onnx(path)
    try:
        network = network_of(model)
    except SparnnError as error:
        whole = error
    else:
        sequences = load_inputs(calibrate, network.io, network.input_sizes)
        return ReadModel(model, (ReadPart(network, sequences),), None)
    try:
        model, arrays, notes = specialized(model, read_npz(calibrate))
    except SparnnError as error:
        raise SparnnError(f"{path}: {error}") from error
    feeds = graph_feeds(arrays, model_sizes(model), str(calibrate))
    try:
        taken = take(model, feeds)
    except SparnnError as error:
        raise SparnnError(f"{path}: {nearer(whole, error, model)}") from error
    tensors: Sequence[Mapping[str, npt.NDArray[Any]]] = feeds
    if taken.cut is not None:
        names = [value.name for part in taken.cut.parts for value in part.model.graph.input]
        tensors = evaluate(taken.cut.graph.model, feeds, list(dict.fromkeys(names)))
    parts = tuple(ReadPart(one, _sequences(one, tensors)) for one in taken.networks)
    return ReadModel(taken.model, parts, taken.cut, tuple(notes), taken.cells)


def _sequences(
    network: FloatNetwork, tensors: Sequence[Mapping[str, npt.NDArray[Any]]]
) -> list[InputSequence]:
    names = {entry["name"] for entry in network.io["inputs"]}
    found = []
    for known in tensors:
        own = {name: array for name, array in known.items() if name in names}
        try:
            checked = check_inputs(own, "the sample inputs", network.io, network.input_sizes)
        except SimulationError as error:
            raise SparnnError(f"before the recurrent layers: {error}") from error
        found += sequences_of(checked, network.io)
    return found
