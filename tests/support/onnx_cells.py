"""ONNX models with cells beyond the defaults; all of them are supported."""

from collections.abc import Callable

import numpy as np
from onnx import ModelProto
from support.onnx_builder import Graph, single

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


def _lengths() -> ModelProto:
    """sequence_lens that say what is so anyway."""
    g = Graph(32)
    x = g.input("x", [6, 3, 4])
    names = [x, g.weights(1, 20, 4), g.weights(1, 20, 5), "", g.const(np.full(3, 6, np.int32))]
    g.output(g.add("LSTM", names, hidden_size=5))
    return g.model()


def _two_directions() -> ModelProto:
    """Peepholes forwards and backwards, and initial states that they see."""
    g = Graph(34)
    c0 = g.input("c0", [2, "batch", 5])
    x = g.input("x", ["time", "batch", 4])
    y, _ = g.recurrent("LSTM", x, 4, 5, direction="bidirectional", peepholes=True, initial_c=c0)
    g.output(y)
    return g.model()


def _no_peepholes() -> ModelProto:
    """Peepholes that are all zero: any machine has an LSTM without them."""
    g = Graph(33)
    x = g.input("x", ["time", "batch", 4])
    none = g.const(np.zeros((1, 15), np.float32))
    names = [x, g.weights(1, 20, 4), g.weights(1, 20, 5), *[""] * 4, none]
    g.output(g.add("LSTM", names, hidden_size=5))
    return g.model()


CELLS: dict[str, Callable[[], ModelProto]] = {
    "hard_lstm": lambda: single(activations=["HardSigmoid", "Tanh", "Tanh"]),
    "hard_lstm_steep": lambda: single(
        activations=["HardSigmoid", "Tanh", "Tanh"], activation_alpha=[0.7], activation_beta=[0.3]
    ),
    "hard_gru": lambda: single("GRU", activations=["HardSigmoid", "Tanh"]),
    "hard_gru_reset_first": lambda: single(
        "GRU", linear_before_reset=0, activations=["HardSigmoid", "Tanh"]
    ),
    "hard_rnn": lambda: single(
        "RNN", activations=["HardSigmoid"], activation_alpha=[-0.4], activation_beta=[0.6]
    ),
    "hard_directions": lambda: single(
        direction="bidirectional",
        activations=["HardSigmoid", "Tanh", "Tanh", "Sigmoid", "Tanh", "Tanh"],
    ),
    "affine_rnn": lambda: single(
        "RNN", activations=["Affine"], activation_alpha=[0.6], activation_beta=[-0.2]
    ),
    "scaled_tanh_rnn": lambda: single(
        "RNN", activations=["ScaledTanh"], activation_alpha=[1.0], activation_beta=[0.6]
    ),
    "scaled_tanh_gru": lambda: single(
        "GRU",
        activations=["Sigmoid", "ScaledTanh"],
        activation_alpha=[1.0],
        activation_beta=[0.5],
    ),
    "coupled_gates": lambda: single(input_forget=1),
    "coupled_hard_gates": lambda: single(
        input_forget=1, activations=["HardSigmoid", "Tanh", "Tanh"]
    ),
    "clip_beyond_the_ends": lambda: single(clip=12.0),
    "clip_hard": lambda: single("RNN", activations=["HardSigmoid"], clip=2.5),
    "clip_lstm": lambda: single(clip=0.5),
    "clip_gru": lambda: single("GRU", clip=0.3),
    "clip_gru_reset_first": lambda: single("GRU", linear_before_reset=0, clip=0.3),
    "clip_rnn": lambda: single("RNN", clip=0.4),
    "function_relu_lstm": lambda: single(activations=["Sigmoid", "Relu", "Relu"]),
    "function_relu_candidate": lambda: single(activations=["Sigmoid", "Relu", "Tanh"]),
    "function_affine_lstm": lambda: single(
        activations=["Sigmoid", "Affine", "Tanh"], activation_alpha=[0.6], activation_beta=[-0.2]
    ),
    "function_sigmoid_lstm": lambda: single(activations=["Sigmoid"] * 3),
    "function_relu_gru": lambda: single("GRU", activations=["Sigmoid", "Relu"]),
    "function_relu_gru_reset_first": lambda: single(
        "GRU", linear_before_reset=0, activations=["Sigmoid", "Relu"]
    ),
    "function_hard_lstm": lambda: single(activations=["HardSigmoid", "HardSigmoid", "Relu"]),
    "function_hard_gru_reset_first": lambda: single(
        "GRU", linear_before_reset=0, activations=["HardSigmoid", "HardSigmoid"]
    ),
    "function_directions": lambda: single(
        direction="bidirectional",
        activations=["Sigmoid", "Relu", "Relu", "Sigmoid", "Tanh", "Tanh"],
    ),
    "gates_relu_lstm": lambda: single(activations=["Relu", "Tanh", "Tanh"], scale=0.15),
    "gates_all_relu_directions": lambda: single(
        direction="bidirectional", activations=["Relu"] * 6, scale=0.15
    ),
    "gates_of_two_kinds": lambda: single(
        direction="bidirectional",
        activations=["Relu", "Tanh", "Relu", "Sigmoid", "Tanh", "Tanh"],
        scale=0.15,
    ),
    "gates_tanh_lstm": lambda: single(activations=["Tanh", "HardSigmoid", "Relu"]),
    "lengths": _lengths,
    "peepholes": lambda: single(peepholes=True),
    "peepholes_hard": lambda: single(
        peepholes=True, activations=["HardSigmoid", "Tanh", "Tanh"], activation_alpha=[0.4]
    ),
    "peepholes_directions": _two_directions,
    "peepholes_coupled": lambda: single(peepholes=True, input_forget=1),
    "peepholes_of_zero": _no_peepholes,
    "reset_first": lambda: single("GRU", linear_before_reset=0),
    "reset_first_one_unit": lambda: single("GRU", linear_before_reset=0, inputs=1, units=1),
    "reset_first_stacked": lambda: _reset_first(False),
    "reset_first_states": lambda: _reset_first(True),
}
