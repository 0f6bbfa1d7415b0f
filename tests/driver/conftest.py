"""A compiled network for all drivers."""

import numpy as np
import onnx
import pytest
from support.onnx_builder import Graph

from sparnn.gen.compile import compile_model

MACHINE = """
lanes = 4
post_units = 2
max_v = 2
weight_bits = 8
activation_bits = 10
columns = 32
store_depth = 64
"""


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """The folder of a GRU and a linear layer, with a C driver, and inputs [time, batch, 4]."""
    folder = tmp_path_factory.mktemp("driver")
    g = Graph(5)
    x = g.input("x", ["time", "batch", 4])
    y, _ = g.recurrent("GRU", x, 4, 6, bias=True, linear_before_reset=1)
    y = g.add("Add", [g.add("MatMul", [g.squeeze(y, 1), g.weights(6, 3)]), g.weights(3)])
    g.output(y, "y")
    onnx.save(g.model(), folder / "model.onnx")
    inputs = np.random.default_rng(7).normal(size=(9, 3, 4)).astype(np.float32)
    np.savez(folder / "x.npz", x=inputs)
    (folder / "machine.toml").write_text(MACHINE)
    compile_model(
        folder / "model.onnx",
        folder / "x.npz",
        folder / "out",
        config=str(folder / "machine.toml"),
        bus="axi",
    )
    return folder / "out", inputs
