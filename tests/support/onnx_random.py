"""Random chains of layers as ONNX models."""

from typing import Any

import numpy as np
from onnx import ModelProto
from support.onnx_builder import Graph

__all__ = ["random_model"]


def random_model(seed: int) -> ModelProto:
    """A random chain of one to four layers with random plumbing, supported by the importer."""
    random = np.random.default_rng(seed)
    g = Graph(seed)
    size = int(random.integers(1, 9))
    batch_first = bool(random.integers(2))
    x = g.input("x", ["batch", "time", size] if batch_first else ["time", "batch", size])
    y = g.add("Transpose", [x], perm=[1, 0, 2]) if batch_first else x
    if random.random() < 0.3:  # a layer before the first recurrent one
        new = int(random.integers(1, 9))
        y = g.add("MatMul", [y, g.weights(size, new)])
        y = g.add(str(random.choice(["Relu", "Tanh", "Identity"])), [y])
        size = new
    last = ""
    for _ in range(int(random.integers(1, 3))):
        op, units = str(random.choice(["LSTM", "GRU", "RNN"])), int(random.integers(1, 9))
        options: dict[str, Any] = {"bias": bool(random.integers(2))}
        if op == "RNN":
            options["activations"] = [str(random.choice(["Tanh", "Relu", "Sigmoid"]))]
        y, last = g.recurrent(op, y, size, units, **options)
        y, size = g.squeeze(y, 1), units
    form = random.integers(4)
    if form == 0:
        y = g.squeeze(last, 0)
    elif form == 1:
        y = g.add("Gather", [y, g.const(np.array(-1))], axis=0)
    elif form == 2:
        y = g.add("Transpose", [y], perm=[1, 0, 2])
    for _ in range(int(random.integers(0, 3))):
        units = int(random.integers(1, 9))
        y = g.add("Add", [g.add("MatMul", [y, g.weights(size, units)]), g.weights(units)])
        y = g.add(str(random.choice(["Relu", "Tanh", "Sigmoid", "Identity"])), [y])
        size = units
    g.output(y, "y")
    return g.model()
