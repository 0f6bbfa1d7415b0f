"""Builds ONNX graphs with random weights, and inputs for them.

Weights are drawn so that activations stay in a useful range.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

__all__ = ["GATE_COUNT", "Graph", "feeds_for", "gemm", "single"]

GATE_COUNT = {"LSTM": 4, "GRU": 3, "RNN": 1}
Shape = Sequence[int | str]


class Graph:
    """Builds a model node by node; tensors are named by what made them."""

    def __init__(self, seed: int = 0, opset: int = 17, dtype: Any = np.float32):
        self.random = np.random.default_rng(seed)
        self.opset, self.dtype = opset, dtype
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.functions: list[Any] = []
        self.domains: list[Any] = []

    def elem(self) -> int:
        return int(helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype)))

    def input(self, name: str, shape: Shape, elem: int | None = None) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, elem or self.elem(), list(shape)))
        return name

    def output(self, tensor: str, name: str | None = None) -> None:
        if name is not None:
            self.nodes.append(helper.make_node("Identity", [tensor], [name], f"to_{name}"))
        info = helper.make_tensor_value_info(name or tensor, self.elem(), None)
        self.outputs.append(info)

    def const(self, array: Any, name: str | None = None) -> str:
        name = name or f"const{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weights(self, *shape: int, scale: float | None = None, name: str | None = None) -> str:
        scale = 1.5 / np.sqrt(shape[-1]) if scale is None else scale
        return self.const((self.random.normal(size=shape) * scale).astype(self.dtype), name)

    def add(self, op: str, inputs: Sequence[str], outputs: int = 1, **attrs: Any) -> Any:
        """A node; returns its output's name, or a list where it has several."""
        index = len(self.nodes)
        names = [f"{op.lower()}{index}_{i}" for i in range(outputs)]
        self.nodes.append(
            helper.make_node(op, list(inputs), names, f"{op.lower()}{index}", **attrs)
        )
        return names[0] if outputs == 1 else names

    def ints(self, *values: int) -> str:
        return self.const(np.array(values, np.int64))

    def squeeze(self, x: str, *axes: int) -> str:
        if self.opset < 13:
            return self.add("Squeeze", [x], axes=list(axes))
        return self.add("Squeeze", [x, self.ints(*axes)])

    def unsqueeze(self, x: str, *axes: int) -> str:
        if self.opset < 13:
            return self.add("Unsqueeze", [x], axes=list(axes))
        return self.add("Unsqueeze", [x, self.ints(*axes)])

    def recurrent(
        self,
        op: str,
        x: str,
        inputs: int,
        units: int,
        *,
        bias: bool = True,
        initial_h: str = "",
        initial_c: str = "",
        peepholes: bool = False,
        outputs: int = 2,
        scale: float | None = None,
        **attrs: Any,
    ) -> list[str]:
        """LSTM, GRU or RNN: the names of Y, Y_h (and Y_c). ``scale``: of the weights."""
        gates = GATE_COUNT[op]
        directions = 2 if attrs.get("direction") == "bidirectional" else 1
        if op == "GRU":
            attrs.setdefault("linear_before_reset", 1)
        names = [
            x,
            self.weights(directions, gates * units, inputs, scale=scale),
            self.weights(directions, gates * units, units, scale=scale),
            self.weights(directions, 2 * gates * units, scale=0.3) if bias else "",
            "",
            initial_h,
            initial_c,
            self.weights(directions, 3 * units, scale=0.7) if peepholes else "",
        ]
        while not names[-1]:
            names.pop()
        result = self.add(op, names, outputs, hidden_size=units, **attrs)
        return [result] if outputs == 1 else result

    def model(self, *, check: bool = True) -> ModelProto:
        graph = helper.make_graph(self.nodes, "test", self.inputs, self.outputs, self.initializers)
        opsets = [helper.make_opsetid("", self.opset), *self.domains]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=8, functions=self.functions
        )
        if check:
            model = onnx.shape_inference.infer_shapes(model)
        for output in model.graph.output:
            output.type.tensor_type.shape.SetInParent()  # the checker wants a shape
        if check:
            onnx.checker.check_model(model)
        return model


def single(
    op: str = "LSTM",
    *,
    seed: int = 0,
    inputs: int = 5,
    units: int = 7,
    steps: int | str = "time",
    batch: int | str = "batch",
    opset: int = 17,
    dtype: Any = np.float32,
    check: bool = True,
    **options: Any,
) -> ModelProto:
    """One recurrent node, x [time, batch, inputs], outputs Y as `y` and Y_h as `y_h`."""
    g = Graph(seed, opset, dtype)
    x = g.input("x", [steps, batch, inputs])
    y, y_h, *_ = g.recurrent(op, x, inputs, units, **options)
    g.output(y, "y")
    g.output(y_h, "y_h")
    return g.model(check=check)


def gemm(g: Graph, x: str, inputs: int, units: int) -> str:
    return g.add("Gemm", [x, g.weights(units, inputs), g.weights(units)], transB=1)


def feeds_for(
    model: ModelProto, *, steps: int = 6, batch: int = 3, seed: int = 0
) -> dict[str, np.ndarray[Any, Any]]:
    """Random inputs for a model; open sizes named `time` and `batch` take the given ones."""
    random = np.random.default_rng(seed)
    constants = {t.name for t in model.graph.initializer}
    feeds = {}
    for info in model.graph.input:
        if info.name in constants:
            continue
        tensor = info.type.tensor_type
        open_sizes = {"time": steps, "batch": batch}
        shape = [open_sizes.get(d.dim_param, d.dim_value) for d in tensor.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        feeds[info.name] = random.normal(size=shape).astype(dtype)
    return feeds
