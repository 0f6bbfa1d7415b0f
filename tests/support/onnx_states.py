"""Models whose states are given, constant, expanded, or read at the end."""

from collections.abc import Callable

import numpy as np
from onnx import ModelProto, helper
from support.onnx_builder import Graph

__all__ = ["STATES"]


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


def _cell_state() -> ModelProto:
    g = Graph(26)
    y, _, y_c = g.recurrent("LSTM", g.input("x", ["time", "batch", 4]), 4, 6, outputs=3)
    g.output(y, "y")
    g.output(g.squeeze(y_c, 0), "c")
    return g.model()


STATES: dict[str, Callable[[], ModelProto]] = {
    "states_given": _states_given,
    "states_constant": _states_constant,
    "states_expanded": _states_expanded,
    "states_sliced": _states_sliced,
    "cell_state": _cell_state,
}
