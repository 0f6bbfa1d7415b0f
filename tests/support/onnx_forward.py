"""Models of one direction: the forms in which exporters write layers, steps, weights and shapes."""

from collections.abc import Callable

import numpy as np
from onnx import ModelProto, TensorProto, helper
from support.onnx_builder import Graph, gemm, single

__all__ = ["FORWARD"]


def _classifier(op: str) -> ModelProto:
    g = Graph(1)
    x = g.add("Transpose", [g.input("x", ["batch", "time", 4])], perm=[1, 0, 2])
    _, y_h = g.recurrent(op, x, 4, 6)
    g.output(gemm(g, g.squeeze(y_h, 0), 6, 3), "logits")
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
    h = g.add("Tanh", [gemm(g, last, 6, 5)])
    g.output(gemm(g, h, 5, 2), "y")
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
    g.output(gemm(g, y, 6, 2), "y")
    return g.model()


def _slice_old_opset() -> ModelProto:
    g = Graph(5, opset=9)
    x = g.input("x", ["time", "batch", 4])
    y = g.squeeze(g.recurrent("LSTM", x, 4, 6)[0], 1)
    y = g.add("Slice", [y], starts=[-1], ends=[2**31 - 1], axes=[0])
    y = g.add("Dropout", [g.add("Flatten", [y], axis=2)], ratio=0.5)
    g.output(gemm(g, y, 6, 2), "y")
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
    g.output(gemm(g, g.add("Flatten", [y]), 6, 2), "y")
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


def _dead_code() -> ModelProto:
    g = Graph(20)
    y, _ = g.recurrent("LSTM", g.input("x", ["time", "batch", 4]), 4, 6)
    g.add("Softmax", [y])
    g.output(y)
    return g.model()


FORWARD: dict[str, Callable[[], ModelProto]] = {
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
}
