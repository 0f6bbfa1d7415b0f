"""Multiplications of a graph's nodes: how much of the work a cut gives to the machine."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from sparnn.gen.errors import SparnnError

from .host import Arrays, evaluate
from .model import Graph

__all__ = ["products"]

Shapes = Mapping[str, tuple[int, ...]]


def _attribute(node: NodeProto, name: str, default: int) -> int:
    return next((a.i for a in node.attribute if a.name == name), default)


def _recurrent(node: NodeProto, shapes: Shapes) -> int:
    x, w, r = (shapes[name] for name in node.input[:3])
    return x[0] * x[1] * (prod(w) + prod(r))


def _convolution(node: NodeProto, shapes: Shapes) -> int:
    return prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])


def _transposed(node: NodeProto, shapes: Shapes) -> int:
    return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])


def _matmul(node: NodeProto, shapes: Shapes) -> int:
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _gemm(node: NodeProto, shapes: Shapes) -> int:
    read = shapes[node.input[0]]
    return prod(shapes[node.output[0]]) * read[0 if _attribute(node, "transA", 0) else 1]


#: Operators that multiply by weights, and how often, from the shapes of what they read and give.
_COUNTED: Mapping[str, Callable[[NodeProto, Shapes], int]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "GRU": _recurrent,
    "Gemm": _gemm,
    "LSTM": _recurrent,
    "MatMul": _matmul,
    "RNN": _recurrent,
}


def products(graph: Graph, feeds: Sequence[Arrays]) -> dict[int, int]:
    """Node -> its multiplications by weights on the first sample inputs; empty where ONNX Runtime
    cannot say the shapes. What stands in the bodies of control flow is not counted."""
    counted = [
        number
        for number, node in enumerate(graph.nodes)
        if node.op_type in _COUNTED and number not in graph.fixed
    ]
    wanted = {
        name
        for number in counted
        for name in (*graph.nodes[number].input[:3], *graph.nodes[number].output[:1])
        if name and name not in graph.weights
    }
    given = {value.name for value in graph.inputs}
    try:
        found = evaluate(graph.model, feeds[:1], sorted(wanted - given))[0] if wanted else {}
    except SparnnError:
        return {}
    arrays: dict[str, npt.NDArray[Any]] = {name: np.asarray(feeds[0][name]) for name in given}
    shapes = {name: array.shape for name, array in (arrays | found).items()}
    shapes |= {name: tuple(tensor.dims) for name, tensor in graph.weights.items()}
    nodes = {number: graph.nodes[number] for number in counted}
    return {number: _COUNTED[node.op_type](node, shapes) for number, node in nodes.items()}
