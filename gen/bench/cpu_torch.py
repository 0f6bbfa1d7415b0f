"""ONNX files in PyTorch, for `sparnn bench cpu`: a traced module of torch's own layers.

PyTorch reads no ONNX. A graph of recurrent operators, products and what stands around them is
rebuilt of `torch.nn.LSTM`, `GRU` and `RNN` with the file's weights, as a user would have trained
it, and traced, so that no Python runs between the layers.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = ["torch_runs"]

#: Of each cell the gates in ONNX's order by which torch orders them.
_ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
_ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}
#: Attributes of recurrent operators that torch has, or that say what is so by default.
_KNOWN = {"direction", "hidden_size", "activations", "linear_before_reset", "layout"}

Values = dict[str, Any]
Run = Callable[[Mapping[str, Any]], Sequence[np.ndarray[Any, Any]]]


def torch_runs(model: Path, feeds: Mapping[str, Any], threads: int) -> list[tuple[str, Run]]:
    """Numbers, and a function that runs the model once: in float32 and in int8. None where torch is
    not installed, or has not what the graph asks for, such as GRUs that reset before the product.

    ``threads`` holds for all of the process.
    """
    try:
        import torch
    except ImportError:
        return []
    graph = onnx.load(model).graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    try:
        steps = [_step(torch, node, constants) for node in graph.node]
    except _MissingError:
        return []
    inputs = [one.name for one in graph.input if one.name in feeds]
    outputs = [one.name for one in graph.output]

    class Whole(torch.nn.Module):
        """The graph, node after node."""

        def __init__(self) -> None:
            super().__init__()
            modules = [one for one, _ in steps if one is not None]
            self.layers = torch.nn.ModuleList(modules)

        def forward(self, *given: Any) -> tuple[Any, ...]:
            values: Values = dict(zip(inputs, given, strict=True))
            layers = iter(self.layers)
            for module, run in steps:
                run(values, None if module is None else next(layers))
            return tuple(values[name] for name in outputs)

    torch.set_num_threads(threads)
    example = tuple(torch.from_numpy(feeds[name]) for name in inputs)
    with warnings.catch_warnings(), torch.no_grad():
        # Both are deprecated for compilers of graphs, and are what runs without one; a trace also
        # warns of each size that it fixes.
        warnings.simplefilter("ignore")
        found = [("float32", Whole().eval())]
        kinds = {torch.nn.LSTM, torch.nn.GRU}
        if any(type(one) in kinds for one in found[0][1].layers):
            small = torch.ao.quantization.quantize_dynamic(found[0][1], kinds, dtype=torch.qint8)
            found.append(("int8", small))
        traced = [(numbers, torch.jit.trace(one, example)) for numbers, one in found]
    return [(numbers, _run(torch, one, inputs)) for numbers, one in traced]


class _MissingError(Exception):
    """Torch has no such layer."""


def _run(torch: Any, traced: Any, inputs: Sequence[str]) -> Run:
    def run(feeds: Mapping[str, Any]) -> list[np.ndarray[Any, Any]]:
        with torch.no_grad():
            found = traced(*(torch.from_numpy(feeds[name]) for name in inputs))
        return [one.numpy() for one in found]

    return run


def _step(
    torch: Any, node: onnx.NodeProto, constants: Mapping[str, Any]
) -> tuple[Any, Callable[[Values, Any], None]]:
    """The layer of a node, None where it has none, and what computes its outputs."""
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    if node.op_type in _ORDER:
        return _recurrent(torch, node, attributes, constants)
    weights = {
        name: torch.from_numpy(constants[name].copy()) for name in node.input if name in constants
    }

    def operands(values: Values) -> list[Any]:
        return [weights[name] if name in weights else values[name] for name in node.input]

    def product(x: Any, w: Any, *bias: Any) -> Any:
        made = x @ (w.t() if attributes.get("transB") else w)
        return made + bias[0] if bias else made

    functions: Mapping[str, Callable[..., Any]] = {
        "Transpose": lambda x: x.permute(attributes["perm"]),
        "Squeeze": lambda x, axes: x.squeeze(int(axes[0])),
        "ReduceSum": lambda x, axes: x.sum(int(axes[0]), keepdim=bool(attributes["keepdims"])),
        "Gemm": product,
        "MatMul": product,
        "Add": torch.add,
        "Concat": lambda *parts: torch.cat(parts, attributes["axis"]),
        "Tanh": torch.tanh,
        "Sigmoid": torch.sigmoid,
        "Relu": torch.relu,
    }
    if node.op_type not in functions or set(attributes) & {"alpha", "beta", "transA"}:
        raise _MissingError

    def run(values: Values, _: Any) -> None:
        values[node.output[0]] = functions[node.op_type](*operands(values))

    return None, run


def _recurrent(
    torch: Any, node: onnx.NodeProto, attributes: Mapping[str, Any], constants: Mapping[str, Any]
) -> tuple[Any, Callable[[Values, Any], None]]:
    kind, size = node.op_type, attributes["hidden_size"]
    direction = attributes.get("direction", b"forward").decode()
    named = [one.decode() for one in attributes.get("activations", ())]
    options = {}
    if kind == "RNN":
        if len(set(named)) > 1 or not set(named) <= {"Relu", "Tanh"}:
            raise _MissingError
        options["nonlinearity"] = (named or ["Tanh"])[0].lower()
    elif named and named[: len(_ACTIVATIONS[kind])] != _ACTIVATIONS[kind]:
        raise _MissingError
    if (
        (kind == "GRU" and not attributes.get("linear_before_reset"))
        or direction == "reverse"
        or attributes.get("layout")
        or set(attributes) - _KNOWN
        or len([name for name in node.input[4:] if name])
    ):
        raise _MissingError
    w, r, b = (constants[name] for name in node.input[1:4])
    module = getattr(torch.nn, kind)(w.shape[2], size, bidirectional=len(w) == 2, **options)

    def by_gate(values: Any) -> Any:
        gates = np.split(values, len(_ORDER[kind]))
        return torch.from_numpy(np.concatenate([gates[k] for k in _ORDER[kind]]))

    with torch.no_grad():
        for number in range(len(w)):
            end = "_l0" + "_reverse" * number
            bias_x, bias_h = np.split(b[number], 2)
            for name, values in (
                ("weight_ih", w[number]),
                ("weight_hh", r[number]),
                ("bias_ih", bias_x),
                ("bias_hh", bias_h),
            ):
                getattr(module, name + end).copy_(by_gate(values))

    def run(values: Values, layer: Any) -> None:
        y, states = layer(values[node.input[0]])
        y = y.unflatten(2, (len(w), size)).transpose(1, 2)
        found = [y, *(states if kind == "LSTM" else [states])]
        values.update(zip(node.output, found, strict=False))

    return module, run
