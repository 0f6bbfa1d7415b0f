"""The ONNX graph of the vowel network, built from arrays, with batch norms folded away.

``x -> Transpose -> RNN (bidirectional, ReLU) -> ReduceSum -> RNN -> ReduceSum -> MatMul -> Add``:
directions are summed, as in MASR, and every frame has logits of its own.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["INPUTS", "OPSET", "SPEAKERS", "fold_batch_norm", "network"]

OPSET = 17
IR_VERSION = 8
INPUTS, SPEAKERS = 12, 9


def fold_batch_norm(weight, bias, scale, shift):
    """A layer that reads ``scale * x + shift`` as one that reads x (MASR, section IV-A).

    Parameters
    ----------
    weight : [..., rows, columns]; bias : [..., rows]; scale (K0), shift (K1) : [columns].

    Returns
    -------
    weight : K0 multiplied in, so zeros stay zeros. bias : with ``weight @ K1`` added.
    """
    return weight * scale, bias + weight @ shift


def network(layers, head_weight, head_bias, *, name="vowels"):
    """The network as a checked ModelProto, float32.

    Parameters
    ----------
    layers : one dict per bidirectional layer with W [2, units, inputs], R [2, units, units] and
        B [2, 2 * units], forward direction first, in ONNX's layout.
    head_weight : [SPEAKERS, units]; head_bias : [SPEAKERS].
    """
    nodes = [helper.make_node("Transpose", ["x"], ["x_by_frame"], "by_frame", perm=[1, 0, 2])]
    tensors = {"direction_axis": np.array([1], np.int64)}
    value = "x_by_frame"
    for number, layer in enumerate(layers):
        for key in ("W", "R", "B"):
            tensors[f"{key}{number}"] = layer[key].astype(np.float32)
        nodes += [
            helper.make_node(
                "RNN",
                [value, f"W{number}", f"R{number}", f"B{number}"],
                [f"both{number}"],
                f"rnn{number}",
                hidden_size=layer["R"].shape[1],
                direction="bidirectional",
                activations=["Relu", "Relu"],
            ),
            helper.make_node(
                "ReduceSum",
                [f"both{number}", "direction_axis"],
                [f"sum{number}"],
                f"sum{number}",
                keepdims=0,
            ),
        ]
        value = f"sum{number}"
    tensors["head_weight"] = np.ascontiguousarray(head_weight.T, np.float32)
    tensors["head_bias"] = head_bias.astype(np.float32)
    nodes += [
        helper.make_node("MatMul", [value, "head_weight"], ["scores"], "head"),
        helper.make_node("Add", ["scores", "head_bias"], ["logits_by_frame"], "head_bias_added"),
        helper.make_node("Transpose", ["logits_by_frame"], ["logits"], "by_batch", perm=[1, 0, 2]),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "time", INPUTS])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "time", SPEAKERS])],
        [
            numpy_helper.from_array(np.ascontiguousarray(array), key)
            for key, array in tensors.items()
        ],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="sparnn examples/vowels",
    )
    onnx.checker.check_model(model, full_check=True)
    return model
