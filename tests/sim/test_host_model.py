"""Models that the host runs in ONNX Runtime."""

import numpy as np
from onnx import TensorProto
from support.onnx_builder import Graph

from sparnn.sim.host_model import HostModel


def test_float16_behind_a_transpose() -> None:
    """ONNX Runtime 1.32 ends the process over this model with all of its optimizers."""
    g = Graph(opset=17)
    x = g.input("x", ["batch", "time", 6])
    turned = g.add("Transpose", [g.add("Cast", [x], to=TensorProto.FLOAT16)], perm=[1, 0, 2])
    weights = np.linspace(-1, 1, 24).reshape(6, 4).astype(np.float16)
    y = g.add("MatMul", [turned, g.const(weights)])
    g.output(g.add("Cast", [y], to=TensorProto.FLOAT), "y")
    x_values = np.ones((2, 3, 6), np.float32)
    got = HostModel(g.model().SerializeToString(), "the model").run({"x": x_values}, ["y"])["y"]
    want = np.broadcast_to(weights.astype(np.float32).sum(0), (3, 2, 4))
    np.testing.assert_allclose(got, want, atol=1e-2)
