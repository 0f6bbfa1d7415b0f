"""ONNX models with cells beyond the defaults; all of them are supported."""

from collections.abc import Callable

from onnx import ModelProto
from support.onnx_graphs import Graph, single

__all__ = ["CELLS"]


def _reset_first(states: bool) -> ModelProto:
    """Two GRUs that reset first between other layers."""
    g = Graph(31)
    x = g.input("x", ["time", "batch", 4])
    y = g.squeeze(g.recurrent("LSTM", x, 4, 6)[0], 1)
    h0 = g.input("h0", [1, "batch", 5]) if states else ""
    y = g.squeeze(g.recurrent("GRU", y, 6, 5, linear_before_reset=0, initial_h=h0)[0], 1)
    y, y_h = g.recurrent("GRU", y, 5, 7, linear_before_reset=0, bias=False)
    last = g.squeeze(y_h, 0)
    g.output(g.add("Gemm", [last, g.weights(3, 7), g.weights(3)], transB=1), "logits")
    if states:
        g.output(y, "y")
    return g.model()


CELLS: dict[str, Callable[[], ModelProto]] = {
    "reset_first": lambda: single("GRU", linear_before_reset=0),
    "reset_first_one_unit": lambda: single("GRU", linear_before_reset=0, inputs=1, units=1),
    "reset_first_stacked": lambda: _reset_first(False),
    "reset_first_states": lambda: _reset_first(True),
}
