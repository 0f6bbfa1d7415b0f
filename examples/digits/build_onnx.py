"""Plain ONNX graphs of the digit classifiers, built from arrays.

Every graph is ``x -> Transpose -> LSTM | GRU | RNN -> (Y_h) -> Squeeze -> Gemm -> logits``
with ``x`` [batch, 8, 8] (row by row, batch first) and ``logits`` [batch, 10].
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["OPSET", "classifier", "onnx_gates"]

OPSET = 17
IR_VERSION = 8

# PyTorch stacks its gates i,f,g,o (LSTM) and r,z,n (GRU); ONNX wants i,o,f,c and z,r,h.
_GATE_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}


def onnx_gates(op, array):
    """Reorder the gate blocks of a PyTorch parameter [gates * hidden, ...] into ONNX's order."""
    order = _GATE_ORDER[op]
    if array.shape[0] % len(order):
        raise ValueError(
            f"{op} parameter has {array.shape[0]} rows, not a multiple of {len(order)} gates"
        )
    blocks = np.split(array, len(order))
    return np.concatenate([blocks[i] for i in order])


def classifier(op, params, *, activation=None, name="digits"):
    """A one-layer recurrent classifier as a checked ModelProto.

    Parameters
    ----------
    op : "LSTM", "GRU" (built with linear_before_reset = 1, PyTorch's convention) or "RNN".
    params : dict of float32 arrays in PyTorch's layout: weight_ih [gates*H, 8],
        weight_hh [gates*H, H], bias_ih, bias_hh [gates*H], head_weight [10, H], head_bias [10].
    activation : "Tanh" or "Relu", for RNN only.

    Raises
    ------
    ValueError : an unknown op, or an activation given to anything but RNN.
    """
    if op not in _GATE_ORDER:
        raise ValueError(f"op {op!r} is none of {sorted(_GATE_ORDER)}")
    if (activation is not None) != (op == "RNN"):
        raise ValueError(
            f"activation={activation!r} with op={op!r}: RNN takes one, the others none"
        )
    hidden = params["weight_hh"].shape[1]
    steps = inputs = 8
    biases = [onnx_gates(op, params[name]) for name in ("bias_ih", "bias_hh")]
    initializers = {
        "W": onnx_gates(op, params["weight_ih"])[None],
        "R": onnx_gates(op, params["weight_hh"])[None],
        "B": np.concatenate(biases)[None],
        "head_weight": params["head_weight"],
        "head_bias": params["head_bias"],
        "direction_axis": np.array([0], np.int64),
    }
    attributes = {"hidden_size": hidden, "direction": "forward"}
    if op == "GRU":
        attributes["linear_before_reset"] = 1
    if op == "RNN":
        attributes["activations"] = [activation]
    nodes = [
        helper.make_node("Transpose", ["x"], ["x_by_step"], "transpose", perm=[1, 0, 2]),
        helper.make_node(
            op, ["x_by_step", "W", "R", "B"], ["", "last_hidden"], op.lower(), **attributes
        ),
        helper.make_node("Squeeze", ["last_hidden", "direction_axis"], ["features"], "squeeze"),
        helper.make_node(
            "Gemm", ["features", "head_weight", "head_bias"], ["logits"], "head", transB=1
        ),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", steps, inputs])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [
            numpy_helper.from_array(np.ascontiguousarray(value), key)
            for key, value in initializers.items()
        ],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="sparnn examples/digits",
    )
    onnx.checker.check_model(model, full_check=True)
    return model
