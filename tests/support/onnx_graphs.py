"""ONNX graphs with random weights, as exporters write them: for tests of the importer and beyond.

`SUPPORTED` maps names to functions without arguments that return a model. Weights are drawn so that
activations stay in a useful range.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

__all__ = ["GATE_COUNT", "SUPPORTED", "Graph", "feeds_for", "single"]

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
        **attrs: Any,
    ) -> list[str]:
        """LSTM, GRU or RNN: the names of Y, Y_h (and Y_c)."""
        gates = GATE_COUNT[op]
        directions = 2 if attrs.get("direction") == "bidirectional" else 1
        if op == "GRU":
            attrs.setdefault("linear_before_reset", 1)
        names = [
            x,
            self.weights(directions, gates * units, inputs),
            self.weights(directions, gates * units, units),
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


def _gemm(g: Graph, x: str, inputs: int, units: int) -> str:
    return g.add("Gemm", [x, g.weights(units, inputs), g.weights(units)], transB=1)


def _classifier(op: str) -> ModelProto:
    g = Graph(1)
    x = g.add("Transpose", [g.input("x", ["batch", "time", 4])], perm=[1, 0, 2])
    _, y_h = g.recurrent(op, x, 4, 6)
    g.output(_gemm(g, g.squeeze(y_h, 0), 6, 3), "logits")
    return g.model()


def _stacked() -> ModelProto:
    g = Graph(2)
    x = g.input("x", ["time", "batch", 4])
    y = g.squeeze(g.recurrent("LSTM", x, 4, 6)[0], 1)
    y = g.squeeze(g.recurrent("GRU", y, 6, 5, bias=False)[0], 1)
    y, y_h = g.recurrent("RNN", y, 5, 8, activations=["Relu"])
    g.output(y)
    g.output(y_h)
    return g.model()


def _linear_around() -> ModelProto:
    g = Graph(3)
    x = g.input("x", ["time", "batch", 4])
    a = g.add("Add", [g.weights(9), g.add("MatMul", [x, g.weights(4, 9)])])
    y = g.squeeze(g.recurrent("LSTM", g.add("Relu", [a]), 9, 6)[0], 1)
    b = g.add("Add", [g.add("MatMul", [y, g.weights(6, 3)]), g.weights(1, 1, 3)])
    g.output(g.add("Sigmoid", [b]), "y")
    return g.model()


def _gather_last(index: int, steps: int | str) -> ModelProto:
    g = Graph(4)
    x = g.add("Transpose", [g.input("x", ["batch", steps, 4])], perm=[1, 0, 2])
    y = g.squeeze(g.recurrent("GRU", x, 4, 6, outputs=1)[0], 1)
    y = g.add("Transpose", [y], perm=[1, 0, 2])
    last = g.add("Gather", [y, g.const(np.array(index))], axis=1)
    h = g.add("Tanh", [_gemm(g, last, 6, 5)])
    g.output(_gemm(g, h, 5, 2), "y")
    return g.model()


def _gather_by_shape() -> ModelProto:
    g = Graph(4)
    x = g.input("x", ["time", "batch", 4])
    y = g.squeeze(g.recurrent("RNN", x, 4, 6)[0], 1)
    steps = g.add("Gather", [g.add("Shape", [y]), g.const(np.array(0))], axis=0)
    index = g.add("Sub", [steps, g.const(np.array(1))])
    g.output(g.add("Gather", [y, index], axis=0), "y")
    return g.model()


def _slice_last() -> ModelProto:
    g = Graph(5)
    x = g.input("x", ["time", "batch", 4])
    y = g.recurrent("LSTM", x, 4, 6)[0]
    y = g.add("Slice", [y, g.ints(-1), g.ints(2**63 - 1), g.ints(0)])
    y = g.add("Reshape", [y, g.ints(-1, 6)])
    g.output(_gemm(g, y, 6, 2), "y")
    return g.model()


def _slice_old_opset() -> ModelProto:
    g = Graph(5, opset=9)
    x = g.input("x", ["time", "batch", 4])
    y = g.squeeze(g.recurrent("LSTM", x, 4, 6)[0], 1)
    y = g.add("Slice", [y], starts=[-1], ends=[2**31 - 1], axes=[0])
    y = g.add("Dropout", [g.add("Flatten", [y], axis=2)], ratio=0.5)
    g.output(_gemm(g, y, 6, 2), "y")
    return g.model()


def _states_given() -> ModelProto:
    g = Graph(6)
    x = g.input("x", ["time", "batch", 4])
    h0, c0 = g.input("h0", [1, "batch", 6]), g.input("c0", ["batch", 6])
    c0 = g.unsqueeze(c0, 0)
    y, y_h = g.recurrent("LSTM", x, 4, 6, initial_h=h0, initial_c=c0)
    y, y_h = g.recurrent("GRU", g.squeeze(y, 1), 6, 5, initial_h=g.input("g0", [1, "batch", 5]))
    g.output(y)
    g.output(g.squeeze(y_h, 0), "last")
    return g.model()


def _states_constant() -> ModelProto:
    g = Graph(7)
    x = g.input("x", ["time", 1, 4])
    h0, c0 = g.weights(1, 1, 6, scale=0.5), g.weights(1, 1, 6, scale=2)
    y, y_h = g.recurrent("LSTM", x, 4, 6, initial_h=h0, initial_c=c0)
    g.output(y)
    g.output(y_h)
    return g.model()


def _states_expanded() -> ModelProto:
    """A learned initial state, expanded along the batch, and a zero of computed shape."""
    g = Graph(8)
    x = g.input("x", ["batch", "time", 4])
    batch = g.add("Gather", [g.add("Shape", [x]), g.const(np.array(0))], axis=0)
    shape = g.add("Concat", [g.ints(1), g.unsqueeze(batch, 0), g.ints(6)], axis=0)
    h0 = g.add("Expand", [g.weights(1, 1, 6, scale=0.5), shape])
    c0 = g.add("ConstantOfShape", [shape], value=helper.make_tensor("v", 1, [1], [0.0]))
    x = g.add("Transpose", [x], perm=[1, 0, 2])
    _, y_h = g.recurrent("LSTM", x, 4, 6, initial_h=h0, initial_c=c0)
    g.output(y_h)
    return g.model()


def _states_sliced() -> ModelProto:
    """Two layers as PyTorch exports them: slices of one zero tensor [layers, batch, units]."""
    g = Graph(9)
    x = g.input("x", ["time", "batch", 6])
    batch = g.add("Gather", [g.add("Shape", [x]), g.const(np.array(1))], axis=0)
    shape = g.add("Concat", [g.ints(2), g.unsqueeze(batch, 0), g.ints(6)], axis=0)
    zeros = g.add("ConstantOfShape", [shape])
    y = x
    for layer in (0, 1):
        h0 = g.add("Slice", [zeros, g.ints(layer), g.ints(layer + 1), g.ints(0)])
        y = g.squeeze(g.recurrent("LSTM", y, 6, 6, initial_h=h0, initial_c=h0)[0], 1)
    g.output(y)
    return g.model()


def _gemm_options() -> ModelProto:
    g = Graph(10)
    _, y_h = g.recurrent("RNN", g.input("x", ["time", "batch", 4]), 4, 6)
    y = g.add("Transpose", [g.squeeze(y_h, 0)], perm=[1, 0])
    c = g.const(np.array([[0.7]], np.float32))
    y = g.add("Gemm", [y, g.weights(6, 3), c], transA=1, alpha=0.5, beta=-2.0)
    g.output(y, "y")
    return g.model()


def _matmul_left() -> ModelProto:
    g = Graph(11)
    _, y_h = g.recurrent("RNN", g.input("x", ["time", "batch", 4]), 4, 6)
    y = g.add("Transpose", [g.squeeze(y_h, 0)], perm=[1, 0])
    y = g.add("Add", [g.add("MatMul", [g.weights(3, 6), y]), g.weights(3, 1)])
    g.output(y, "y")
    return g.model()


def _no_batch() -> ModelProto:
    g = Graph(12)
    x = g.unsqueeze(g.input("x", ["time", 4]), 1)
    y = g.recurrent("GRU", x, 4, 6)[0]
    y = g.add("Reshape", [y, g.ints(-1, 6)])
    g.output(g.add("Add", [g.add("MatMul", [y, g.weights(6, 2)]), g.weights(2)]), "y")
    return g.model()


def _streaming() -> ModelProto:
    """One step per call: x has no time axis."""
    g = Graph(13)
    x = g.unsqueeze(g.input("x", ["batch", 4]), 0)
    h0 = g.input("h0", [1, "batch", 6])
    y, y_h = g.recurrent("GRU", x, 4, 6, initial_h=h0)
    g.output(g.squeeze(y, 0, 1), "y")
    g.output(y_h, "h")
    return g.model()


def _fixed_shapes() -> ModelProto:
    g = Graph(14)
    x = g.add("Reshape", [g.input("x", [1, 8, 4]), g.ints(8, 1, 4)])
    y = g.recurrent("LSTM", x, 4, 6)[0]
    y = g.add("Squeeze", [y])
    y = g.add("Gather", [y, g.ints(7)], axis=0)
    g.output(_gemm(g, g.add("Flatten", [y]), 6, 2), "y")
    return g.model()


def _half_weights() -> ModelProto:
    g = Graph(15)
    x = g.input("x", ["time", "batch", 4])
    names = [
        g.add(
            "Cast", [g.const(g.random.normal(size=s).astype(np.float16) / 2)], to=TensorProto.FLOAT
        )
        for s in ((1, 24, 4), (1, 24, 6), (1, 48))
    ]
    g.output(g.add("LSTM", [x, *names], hidden_size=6), "y")
    return g.model()


def _computed_weights() -> ModelProto:
    """Weights that a constant expression makes: gates sliced and joined, scaled, dequantized."""
    g = Graph(16)
    x = g.input("x", ["time", "batch", 4])
    w = g.weights(24, 4)
    parts = [g.add("Slice", [w, g.ints(6 * i), g.ints(6 * i + 6), g.ints(0)]) for i in (0, 3, 1, 2)]
    w = g.unsqueeze(g.add("Concat", parts, axis=0), 0)
    r = g.add("Mul", [g.weights(1, 24, 6), g.const(np.float32(0.5))])
    q = g.const(g.random.integers(-128, 128, (6, 3)).astype(np.int8))
    head = g.add("DequantizeLinear", [q, g.const(np.float32(0.01))])
    y = g.squeeze(g.recurrent("LSTM", x, 4, 6)[0], 1)
    y = g.squeeze(g.add("LSTM", [g.add("MatMul", [y, g.weights(6, 4)]), w, r], hidden_size=6), 1)
    g.output(g.add("MatMul", [y, head]), "y")
    return g.model()


def _plumbing() -> ModelProto:
    g = Graph(17)
    x = g.add("Identity", [g.input("x", ["batch", 4, "time"])])
    x = g.add("Transpose", [x], perm=[2, 0, 1])
    x = g.add("Cast", [g.add("Dropout", [x])], to=TensorProto.FLOAT)
    y = g.recurrent("LSTM", x, 4, 6)[0]
    y = g.add("Transpose", [y], perm=[2, 0, 1, 3])
    y = g.add("Reshape", [y, g.ints(0, 0, -1)])
    shape = g.add("Shape", [y])
    y = g.add("Reshape", [g.unsqueeze(y, -1), shape])
    y = g.add("Slice", [y, g.ints(0), g.ints(2**31), g.ints(1), g.ints(1)])
    g.output(g.add("Transpose", [y], perm=[0, 2, 1]), "y")
    return g.model()


def _one_unit() -> ModelProto:
    g = Graph(18)
    x = g.input("x", ["time", "batch", 1])
    y = g.squeeze(g.recurrent("LSTM", x, 1, 1)[0], 1)
    y = g.add("Sigmoid", [g.add("MatMul", [y, g.weights(1, 1)])])
    g.output(g.squeeze(y, -1), "y")
    return g.model()


def _function() -> ModelProto:
    g = Graph(19)
    g.domains.append(helper.make_opsetid("local", 1))
    body = [helper.make_node("Transpose", ["a"], ["b"], perm=[1, 0, 2])]
    opset = [helper.make_opsetid("", 17)]
    g.functions.append(helper.make_function("local", "Swap", ["a"], ["b"], body, opset))
    x = g.input("x", ["batch", "time", 4])
    g.nodes.append(helper.make_node("Swap", [x], ["swapped"], "swap", domain="local"))
    g.output(g.recurrent("RNN", "swapped", 4, 6)[0], "y")
    return g.model()


def _cell_state() -> ModelProto:
    g = Graph(26)
    y, _, y_c = g.recurrent("LSTM", g.input("x", ["time", "batch", 4]), 4, 6, outputs=3)
    g.output(y, "y")
    g.output(g.squeeze(y_c, 0), "c")
    return g.model()


def _dead_code() -> ModelProto:
    g = Graph(20)
    y, _ = g.recurrent("LSTM", g.input("x", ["time", "batch", 4]), 4, 6)
    g.add("Softmax", [y])
    g.output(y)
    return g.model()


def _side_by_side(g: Graph, y: str) -> str:
    """[time, directions, batch, features] as PyTorch makes a sequence of it."""
    y = g.add("Transpose", [y], perm=[0, 2, 1, 3])
    return g.add("Reshape", [y, g.ints(0, 0, -1)])


def _bidirectional(op: str, head: str) -> ModelProto:
    """Two bidirectional layers; the head reads the last step, or the final states."""
    g = Graph(21)
    x = g.add("Transpose", [g.input("x", ["batch", "time", 4])], perm=[1, 0, 2])
    y = _side_by_side(g, g.recurrent(op, x, 4, 5, direction="bidirectional")[0])
    y, y_h = g.recurrent(op, y, 10, 3, direction="bidirectional")
    if head == "step":
        last = g.add("Gather", [_side_by_side(g, y), g.const(np.array(-1))], axis=0)
    else:
        parts = [g.add("Gather", [y_h, g.const(np.array(k))], axis=0) for k in (-2, -1)]
        last = g.add("Concat", parts, axis=1)
    g.output(_gemm(g, last, 6, 3), "y")
    return g.model()


def _bidirectional_outputs() -> ModelProto:
    g = Graph(22)
    x = g.input("x", ["time", "batch", 4])
    names = g.recurrent("LSTM", x, 4, 5, direction="bidirectional", outputs=3)
    for tensor, name in zip(names, ("y", "h", "c"), strict=True):
        g.output(tensor, name)
    return g.model()


def _bidirectional_states() -> ModelProto:
    """Initial h given for both directions, initial c constant."""
    g = Graph(23)
    x, h0 = g.input("x", ["time", 2, 4]), g.input("h0", [2, 2, 5])
    c0 = g.const(np.tile(g.random.normal(size=(2, 1, 5)), (1, 2, 1)).astype(np.float32))
    y = g.recurrent("LSTM", x, 4, 5, direction="bidirectional", initial_h=h0, initial_c=c0)[0]
    y = _side_by_side(g, y)
    g.output(g.add("Add", [g.add("MatMul", [y, g.weights(10, 3)]), g.weights(3)]), "y")
    return g.model()


def _summed(form: str) -> ModelProto:
    g = Graph(24)
    y = g.recurrent(
        "RNN", g.input("x", ["time", "batch", 4]), 4, 5, direction="bidirectional",
        activations=["Relu", "Relu"],
    )[0]  # fmt: skip
    if form == "reduce":
        y = g.add("ReduceSum", [y, g.ints(1)], keepdims=0)
    elif form == "view":  # as Deep Speech 2 is written in PyTorch
        y = g.add("Reshape", [_side_by_side(g, y), g.ints(0, 0, 2, -1)])
        y = g.add("ReduceSum", [y, g.ints(2)], keepdims=0)
    elif form == "split":
        y = g.squeeze(g.add("Add", g.add("Split", [y], 2, axis=1)), 1)
    else:
        y = _side_by_side(g, y)
        halves = [g.add("Slice", [y, g.ints(5 * k), g.ints(5 * k + 5), g.ints(2)]) for k in (0, 1)]
        y = g.add("Add", halves[::-1])
    y = g.recurrent("GRU", y, 5, 4)[0] if form != "view" else g.unsqueeze(y, 1)
    g.output(y, "y")
    return g.model()


def _reverse(last: bool) -> ModelProto:
    g = Graph(25)
    y, y_h = g.recurrent("LSTM", g.input("x", ["time", "batch", 4]), 4, 5, direction="reverse")
    y = g.squeeze(y, 1)
    if last:
        y = g.add("Gather", [y, g.const(np.array(-1))], axis=0)
    g.output(g.add("MatMul", [y, g.weights(5, 3)]), "y")
    g.output(y_h, "h")
    return g.model()


def _batch_norm(g: Graph, y: str, size: int) -> str:
    """Of a sequence [time, batch, features]: the features have to be on axis 1."""
    y = g.add("Transpose", [y], perm=[1, 2, 0])
    scale, shift, mean = (g.weights(size, scale=1.0) for _ in range(3))
    variance = g.const((0.2 + g.random.random(size)).astype(g.dtype))
    y = g.add("BatchNormalization", [y, scale, shift, mean, variance], epsilon=1e-3)
    return g.add("Transpose", [y], perm=[2, 0, 1])


def _masr() -> ModelProto:
    """Bidirectional ReLU RNNs, their directions added, batch norm between (arXiv 1908.08976)."""
    g = Graph(27)
    y, size = g.input("x", ["time", "batch", 4]), 4
    for units in (6, 5):
        options = {"direction": "bidirectional", "activations": ["Relu", "Relu"]}
        y = g.add("ReduceSum", [g.recurrent("RNN", y, size, units, **options)[0], g.ints(1)],
                  keepdims=0)  # fmt: skip
        y, size = _batch_norm(g, y, units), units
    y = g.add("Add", [g.add("MatMul", [y, g.weights(5, 3)]), g.weights(3)])
    g.output(_batch_norm(g, y, 3), "y")
    return g.model()


def _affine() -> ModelProto:
    """Factors and summands before, between and behind layers."""
    g = Graph(28)
    x = g.add("Div", [g.add("Sub", [g.input("x", ["time", "batch", 4]), g.weights(4)]),
                      g.const(np.float32(1.7))])  # fmt: skip
    y = _side_by_side(g, g.recurrent("GRU", x, 4, 3, direction="bidirectional")[0])
    y = g.add("Add", [g.weights(1, 1, 6), g.add("Mul", [y, g.weights(6)])])
    y = g.add("Sub", [g.const(np.float32(0.3)), _batch_norm(g, y, 6)])
    y_h = g.squeeze(g.recurrent("LSTM", y, 6, 5)[1], 0)
    y = g.add("Mul", [_gemm(g, g.add("Mul", [y_h, g.weights(5)]), 5, 2), g.weights(2)])
    g.output(g.add("Tanh", [y]), "y")
    return g.model()


SUPPORTED: dict[str, Callable[[], ModelProto]] = {
    "lstm": lambda: single("LSTM"),
    "gru": lambda: single("GRU"),
    "rnn": lambda: single("RNN"),
    "rnn_relu": lambda: single("RNN", activations=["Relu"]),
    "rnn_sigmoid": lambda: single("RNN", activations=["Sigmoid"]),
    "lstm_no_bias": lambda: single("LSTM", bias=False),
    "lstm_named_defaults": lambda: single(
        "LSTM", activations=["Sigmoid", "Tanh", "Tanh"], direction="forward", input_forget=0
    ),
    "gru_opset_7": lambda: single("GRU", opset=7),
    "gru_opset_22": lambda: single("GRU", opset=22),
    "lstm_one_step": lambda: single("LSTM", steps=1, batch=1, units=1, inputs=1),
    "classifier_lstm": lambda: _classifier("LSTM"),
    "classifier_gru": lambda: _classifier("GRU"),
    "classifier_rnn": lambda: _classifier("RNN"),
    "stacked": _stacked,
    "linear_around": _linear_around,
    "gather_last": lambda: _gather_last(-1, "time"),
    "gather_last_index": lambda: _gather_last(7, 8),
    "gather_by_shape": _gather_by_shape,
    "slice_last": _slice_last,
    "slice_old_opset": _slice_old_opset,
    "states_given": _states_given,
    "states_constant": _states_constant,
    "states_expanded": _states_expanded,
    "states_sliced": _states_sliced,
    "gemm_options": _gemm_options,
    "matmul_left": _matmul_left,
    "no_batch": _no_batch,
    "streaming": _streaming,
    "fixed_shapes": _fixed_shapes,
    "half_weights": _half_weights,
    "computed_weights": _computed_weights,
    "plumbing": _plumbing,
    "one_unit": _one_unit,
    "function": _function,
    "dead_code": _dead_code,
    "bidirectional_lstm": lambda: _bidirectional("LSTM", "step"),
    "bidirectional_gru": lambda: _bidirectional("GRU", "final"),
    "bidirectional_outputs": _bidirectional_outputs,
    "bidirectional_states": _bidirectional_states,
    "sum_reduce": lambda: _summed("reduce"),
    "sum_view": lambda: _summed("view"),
    "sum_split": lambda: _summed("split"),
    "sum_slices": lambda: _summed("slices"),
    "reverse": lambda: _reverse(False),
    "reverse_last": lambda: _reverse(True),
    "cell_state": _cell_state,
    "masr": _masr,
    "affine": _affine,
}


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
