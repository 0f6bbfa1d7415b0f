"""Models that run backwards or in both directions, and batch norms and factors between layers."""

from collections.abc import Callable

import numpy as np
from onnx import ModelProto
from support.onnx_builder import Graph, gemm

__all__ = ["DIRECTIONS"]


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
    g.output(gemm(g, last, 6, 3), "y")
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
    y = g.add("Mul", [gemm(g, g.add("Mul", [y_h, g.weights(5)]), 5, 2), g.weights(2)])
    g.output(g.add("Tanh", [y]), "y")
    return g.model()


DIRECTIONS: dict[str, Callable[[], ModelProto]] = {
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
    "masr": _masr,
    "affine": _affine,
}
