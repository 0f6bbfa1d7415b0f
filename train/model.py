"""An ONNX file whose parts for the machine are trained, and written back."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, helper

from sparnn.gen.errors import SparnnError
from sparnn.gen.graph.model import reads
from sparnn.gen.graph.read import ReadModel, read_model
from sparnn.gen.network.to_onnx import float_model
from sparnn.gen.quantize.deltas import DeltaChoice
from sparnn.sim.network.arrays import write_npz

from .module import FakeQuantized

__all__ = ["Model", "load"]

#: The operator set from which the nodes of a part that was trained mean the same.
_OPSET = 13


class Model:
    """What :func:`load` gives.

    Members
    -------
    parts: a module for each part of the model that the machine computes.
    """

    def __init__(self, path: Path, read: ReadModel, parts: Sequence[FakeQuantized]):
        self.path, self.parts = path, tuple(parts)
        self._read = read

    @property
    def module(self) -> FakeQuantized:
        """The only part.

        Raises
        ------
        SparnnError: there are several.
        """
        if len(self.parts) > 1:
            raise SparnnError(
                f"{self.path} has {len(self.parts)} parts for the machine: take one of `parts`"
            )
        return self.parts[0]

    def sequences(
        self, inputs: Path | str | Mapping[str, npt.ArrayLike], part: int = 0
    ) -> list[npt.NDArray[Any]]:
        """What a part reads of other inputs of the model, [steps, inputs] of each sequence: the
        host's pieces before it are run. ``inputs``: an npz file, or arrays by name."""
        if isinstance(inputs, Path | str):
            return [one.x for one in read_model(self.path, Path(inputs)).parts[part].sequences]
        with tempfile.TemporaryDirectory(prefix="sparnn-") as place:
            file = Path(place) / "inputs.npz"
            arrays = {name: np.asarray(array) for name, array in inputs.items()}
            write_npz(file, arrays, level=1)
            return self.sequences(file, part)

    def proto(self) -> ModelProto:
        """The model with the weights as they are now."""
        if self._read.cut is None:
            return _sized_as(float_model(self.module.network), self._read.model)
        graph = self._read.cut.graph
        own = {number for part in self._read.cut.parts for number in part.nodes}
        nodes = [node for number, node in enumerate(graph.nodes) if number not in own]
        weights = list(graph.weights.values())
        known = {name for node in graph.nodes for name in (*node.input, *node.output)}
        for number, module in enumerate(self.parts):
            prefix = _unused(f"trained{number}_", known)  # a file may be trained several times
            part = _renamed(float_model(module.network).graph, prefix, module)
            nodes += part.node
            weights += part.initializer
        read = {name for node in nodes for name in reads(node)} | set(graph.outputs)
        weights = [tensor for tensor in weights if tensor.name in read]
        whole = helper.make_graph(
            _sorted(nodes, {value.name for value in graph.inputs} | {w.name for w in weights}),
            graph.graph.name or "graph",
            graph.inputs,
            list(graph.graph.output),
            weights,
        )
        model = helper.make_model(whole, opset_imports=graph.model.opset_import)
        model.ir_version = graph.model.ir_version
        return model

    def save(self, path: Path | str) -> None:
        """Write :meth:`proto` as an ONNX file."""
        model = self.proto()
        onnx.checker.check_model(model)
        Path(path).write_bytes(model.SerializeToString(deterministic=True))


def _sized_as(model: ModelProto, original: ModelProto) -> ModelProto:
    """The model with the sizes that the original's inputs and outputs have in its file."""
    for own, others in (
        (model.graph.input, original.graph.input),
        (model.graph.output, original.graph.output),
    ):
        types = {value.name: value.type for value in others}
        for value in own:
            value.type.CopyFrom(types[value.name])
    return model


def load(
    path: Path | str,
    calibrate: Path | str,
    *,
    weight_bits: int = 8,
    activation_bits: int = 8,
    split_scales: bool = False,
    delta: float | DeltaChoice | None = None,
) -> Model:
    """Read an ONNX file for training; see :class:`FakeQuantized`.

    Parameters
    ----------
    calibrate: an npz file with sample inputs of the model.

    Raises
    ------
    SparnnError: the file cannot be read, or holds nothing for the machine.
    """
    path = Path(path)
    read = read_model(path, Path(calibrate))
    if read.cut is not None:
        _check(path, read)
    parts = [
        FakeQuantized(
            part.network,
            part.sequences,
            weight_bits=weight_bits,
            activation_bits=activation_bits,
            split_scales=split_scales,
            delta=delta,
        )
        for part in read.parts
    ]
    return Model(path, read, parts)


def _check(path: Path, read: ReadModel) -> None:
    """Raise SparnnError where what was trained could not be written back."""
    assert read.cut is not None
    opset = max(o.version for o in read.cut.graph.model.opset_import if o.domain in ("", "ai.onnx"))
    if opset < _OPSET:
        raise SparnnError(
            f"{path} has the operator set {opset}: what is trained can be written back from "
            f"{_OPSET} on, so export the model with that"
        )
    for part in read.parts:
        if any(entry["role"] == "lengths" for entry in part.network.io["inputs"]):
            raise SparnnError(
                f"{path} reads the lengths of its sequences: train it with sequences of equal "
                "length, without them"
            )


def _unused(prefix: str, names: set[str]) -> str:
    """The prefix, longer where names begin with it."""
    while any(name.startswith(prefix) for name in names):
        prefix = f"again_{prefix}"
    return prefix


def _renamed(graph: onnx.GraphProto, prefix: str, module: FakeQuantized) -> onnx.GraphProto:
    """The graph with names of its own for all that stands between its inputs and outputs."""
    io = module.network.io
    outside = {entry["name"] for entry in (*io["inputs"], *io["outputs"])} | {""}

    def name(old: str) -> str:
        return old if old in outside else prefix + old

    for node in graph.node:
        node.input[:] = [name(one) for one in node.input]
        node.output[:] = [name(one) for one in node.output]
    for tensor in graph.initializer:
        tensor.name = name(tensor.name)
    return graph


def _sorted(nodes: Sequence[onnx.NodeProto], known: set[str]) -> list[onnx.NodeProto]:
    """Nodes in an order in which each comes after what it reads."""
    made = {name for node in nodes for name in node.output if name}
    left, found = list(nodes), []
    waiting: Mapping[int, set[str]] = {id(n): {r for r in reads(n) if r in made} for n in left}
    while left:
        ready = [node for node in left if waiting[id(node)] <= known]
        assert ready, "the graph has a circle"
        for node in ready:
            known.update(node.output)
        found += ready
        left = [node for node in left if not any(node is one for one in ready)]
    return found
