"""What the importer refuses: one sentence that names the node, the value, and the way out."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from support.onnx_builder import Graph, single

from sparnn.gen.errors import SparnnError
from sparnn.gen.onnx.reader import network_of


def _poison(value: float) -> ModelProto:
    model = single()
    array = numpy_helper.to_array(model.graph.initializer[0]).copy()
    array[0, 3, 2] = value
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(array, "bad"))
    model.graph.node[0].input[1] = "bad"
    return model


def _after(op: str, **attrs: Any) -> ModelProto:
    """An operator after an LSTM."""
    g = Graph()
    y, _ = g.recurrent("LSTM", g.input("x", ["time", "batch", 4]), 4, 6)
    inputs = [y, y] if op in ("Mul", "Concat", "Add", "MatMul") else [y]
    g.output(g.add(op, inputs, **attrs), "y")
    return g.model()


def _built(build: Callable[[Graph, str, str], str], opset: int = 17, **options: Any) -> ModelProto:
    """A GRU, Y squeezed and Y_h squeezed handed to `build`, whose result is the output."""
    g = Graph(opset=opset)
    x = g.input("x", [options.pop("steps", "time"), "batch", 4])
    y, y_h = g.recurrent("GRU", x, 4, 6)
    g.output(build(g, g.squeeze(y, 1), g.squeeze(y_h, 0)), "y")
    return g.model()


def _inputs_changed(position: int, value: str, **extra: Any) -> ModelProto:
    """An LSTM with one more input at a position."""
    g = Graph()
    x = g.input("x", ["time", 3, 4])
    names = [x, g.weights(1, 24, 4), g.weights(1, 24, 6), "", "", "", "", ""]
    if value == "lens":
        names[position] = g.const(np.full(3, 5, np.int32))
    elif value == "peepholes":
        names[position] = g.weights(1, 17)
    elif value == "rows differ":
        names[position] = g.weights(1, 3, 6)
    elif value == "runtime weights":
        names[position] = g.input("w", [1, 24, 4])
    elif value == "short":
        names[position] = g.weights(1, 20, 4)
    elif value == "bias":
        names[position] = g.weights(1, 24)
    elif value == "integers":
        names[position] = g.const(np.ones((1, 24, 4), np.int32))
    elif value == "from x":
        names[position] = x
    while not names[-1]:
        names.pop()
    g.output(g.add("LSTM", names, 2, hidden_size=6)[0], "y")
    return g.model(check=False)


def _encoder_decoder() -> ModelProto:
    g = Graph()
    y, y_h = g.recurrent("RNN", g.input("x", ["time", "batch", 4]), 4, 6)
    g.output(g.recurrent("RNN", g.squeeze(y, 1), 6, 6, initial_h=y_h)[0], "y")
    return g.model()


def _cell_read() -> ModelProto:
    g = Graph()
    c = g.recurrent("LSTM", g.input("x", ["time", "batch", 4]), 4, 6, outputs=3)[2]
    g.output(g.add("MatMul", [g.squeeze(c, 0), g.weights(6, 2)]), "y")
    return g.model()


def _directions(build: Callable[[Graph, str, str], str]) -> ModelProto:
    """A bidirectional GRU whose Y and Y_h are handed to `build`."""
    g = Graph()
    y, y_h = g.recurrent("GRU", g.input("x", ["time", "batch", 4]), 4, 6, direction="bidirectional")
    g.output(build(g, y, y_h), "y")
    return g.model()


def _unused_input() -> ModelProto:
    model = single()
    model.graph.input.append(helper.make_tensor_value_info("rate", TensorProto.FLOAT, [1]))
    return model


def _two_inputs() -> ModelProto:
    g = Graph()
    for name in ("a", "b"):
        g.output(g.recurrent("LSTM", g.input(name, ["time", "batch", 4]), 4, 6)[0])
    return g.model()


def _integer_input() -> ModelProto:
    g = Graph()
    tokens = g.input("tokens", ["time", "batch"], TensorProto.INT64)
    x = g.add("Gather", [g.weights(10, 4), tokens])
    g.output(g.recurrent("LSTM", x, 4, 6)[0], "y")
    return g.model()


def _linear_only() -> ModelProto:
    g = Graph()
    g.output(g.add("MatMul", [g.input("x", ["batch", 4]), g.weights(4, 2)]), "y")
    return g.model()


def _gemm(g: Graph, x: str, units: int = 2) -> str:
    return g.add("Gemm", [x, g.weights(units, 6), g.weights(units)], transB=1)


def _pre_and_post(g: Graph, y: str, y_h: str) -> str:
    a = _gemm(g, y_h)
    g.output(a, "before")
    return g.add("Relu", [a])


def _norm_of_batch(g: Graph, y: str, y_h: str) -> str:
    ones = [g.const(np.ones(3, np.float32)) for _ in range(4)]
    return g.add("BatchNormalization", [y, *ones])


def _residual(g: Graph, y: str, y_h: str) -> str:
    return g.add("Add", [y, g.add("MatMul", [y, g.weights(6, 6)])])


def _branches(g: Graph, y: str, y_h: str) -> str:
    g.output(_gemm(g, y_h), "other")
    return _gemm(g, y_h)


def _if(g: Graph, y: str, y_h: str) -> str:
    info = [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)]
    body = helper.make_graph([helper.make_node("Identity", [y], ["t"])], "b", [], info)
    return g.add("If", [g.const(np.array(True))], then_branch=body, else_branch=body)


def _custom(g: Graph, y: str, y_h: str) -> str:
    g.domains.append(helper.make_opsetid("com.microsoft", 1))
    g.nodes.append(helper.make_node("FusedGemm", [y], ["fused"], "fused", domain="com.microsoft"))
    return "fused"


def _zero_size() -> ModelProto:
    g = Graph()
    x = g.input("x", ["time", "batch", 0])
    names = [x, g.const(np.zeros((1, 24, 0), np.float32)), g.weights(1, 24, 6)]
    g.output(g.add("LSTM", names), "y")
    return g.model(check=False)


REFUSED: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "one direction": (
        lambda: _directions(lambda g, y, h: g.add("Gather", [h, g.const(np.array(1))], axis=0)),
        "'y' reads one direction of a bidirectional layer alone",
    ),
    "directions apart": (
        lambda: _directions(lambda g, y, h: g.add("MatMul", [y, g.weights(6, 2)])),
        "directions have an axis of their own; put them side by side",
    ),
    "directions swapped": (
        lambda: _directions(
            lambda g, y, h: g.add("Concat", list(reversed(g.add("Split", [y], 2, axis=1))), axis=3)
        ),
        r"\(Concat\): .* forward and the reverse direction of one layer, in this order",
    ),
    "directions interleaved": (
        lambda: _directions(
            lambda g, y, h: g.add(
                "Reshape", [g.add("Transpose", [y], perm=[0, 2, 3, 1]), g.ints(0, 0, -1)]
            )
        ),
        "reshapes .* keep batch, time and features apart",
    ),
    "final states added": (
        lambda: _directions(lambda g, y, h: g.add("ReduceSum", [h, g.ints(0)], keepdims=0)),
        "adds the final states of two directions",
    ),
    "sum over time": (
        lambda: _directions(lambda g, y, h: g.add("ReduceSum", [y, g.ints(0)], keepdims=0)),
        r"sums axes \[0\] .* only the two directions",
    ),
    "split features in two": (
        lambda: _built(lambda g, y, h: g.add("Split", [h], 2, axis=1)[0]),
        "only the two directions of a bidirectional layer can be split",
    ),
    "not text": (lambda: _direction(b"\xd5\x85"), "direction = "),
    "reset": (
        lambda: single("GRU", linear_before_reset=0, direction="reverse"),
        r"linear_before_reset = 0 .* retrain",
    ),
    "clip": (
        lambda: single("RNN", activations=["Relu"], clip=3.0),
        "clip = 3 is not supported",
    ),
    "activation_alpha": (lambda: single("RNN", activation_alpha=[0.3]), "activation_alpha"),
    "hidden_size": (
        lambda: _edit(single(), lambda n: setattr(n.attribute[0], "i", 9)),
        "hidden_size = 9, but R has 7 columns",
    ),
    "sequence_lens": (lambda: _inputs_changed(4, "lens"), "sequence_lens is not supported"),
    "peepholes": (lambda: _inputs_changed(7, "peepholes"), r"P has shape \[1, 17\], expected"),
    "state per sequence": (lambda: _inputs_changed(5, "rows differ"), "initial_h differs between"),
    "state from x": (lambda: _inputs_changed(5, "from x"), "which something else reads too"),
    "state from layer": (_encoder_decoder, "initial_h .* is computed inside the graph"),
    "run-time weights": (lambda: _inputs_changed(1, "runtime weights"), "W is not a constant"),
    "short W": (lambda: _inputs_changed(1, "short"), r"W has shape \[1, 20, 4\], expected"),
    "short B": (lambda: _inputs_changed(3, "bias"), r"B has shape \[1, 24\], expected \[1, 48\]"),
    "integer W": (lambda: _inputs_changed(1, "integers"), "has type int32; supported are float16"),
    "nan": (lambda: _poison(np.nan), r"W \(tensor 'bad'\) holds 1 values that are NaN or infinite"),
    "infinity": (lambda: _poison(np.inf), r"the first at index \[0, 3, 2\]"),
    "cell state read": (_cell_read, "reads the cell state Y_c .* cannot read; use Y or Y_h"),
    "unused input": (_unused_input, "graph input 'rate' is read by nothing"),
    "two inputs": (_two_inputs, "reads graph input 'b' beside layer"),
    "embedding": (_integer_input, "graph input 'tokens' has type int64"),
    "linear only": (_linear_only, "holds no LSTM, GRU or RNN"),
    "zero size": (_zero_size, "size 0 on axis 2"),
    "softmax": (lambda: _after("Softmax"), r"\(Softmax\): .* take the logits"),
    "concat": (lambda: _after("Concat", axis=3), r"\(Concat\): .* one chain"),
    "mul": (lambda: _after("Mul"), r"\(Mul\): multiplies two activations"),
    "add": (lambda: _after("Add"), "adds two activations"),
    "matmul": (lambda: _after("MatMul"), "multiplies two activations"),
    "relu": (lambda: _after("Relu"), r"follows layer 'lstm0'; the machine applies Relu only"),
    "narrowing": (
        lambda: _after("Cast", to=TensorProto.FLOAT16),
        "float32 to float16, which round",
    ),
    "old": (lambda: _version(6), "operator set 6; supported are 7 to"),
    "new": (lambda: _version(999), "operator set 999|not a valid ONNX model"),
    "residual": (lambda: _built(_residual), "adds two activations .* residual"),
    "branches": (lambda: _built(_branches), "which layer 'gemm.*' reads already"),
    "pre and post": (
        lambda: _built(_pre_and_post),
        "'before' reads layer .* before its bias or act",
    ),
    "two activations": (
        lambda: _built(lambda g, y, h: g.add("Tanh", [g.add("Relu", [_gemm(g, h)])])),
        "follows layer .* machine applies Tanh only directly after",
    ),
    "factor at the end": (
        lambda: _built(lambda g, y, h: g.add("Mul", [y, g.const(np.float32(2))])),
        "'y' is scaled or shifted after layer 'gru0'.* scale outside",
    ),
    "factor per step": (
        lambda: _built(lambda g, y, h: g.add("Mul", [y, g.weights(5, 1, 1)]), steps=5),
        r"the factor has shape \[5, 1, 1\].* only a constant for each feature",
    ),
    "batch norm of steps": (
        lambda: _built(_norm_of_batch),
        "normalizes axis 1 .* not the features",
    ),
    "from zero": (
        lambda: _built(lambda g, y, h: g.add("Div", [g.const(np.float32(1)), y])),
        "divides by an activation",
    ),
    "if": (lambda: _built(_if), r"\(If\): operators with a body are not supported"),
    "custom domain": (lambda: _built(_custom), "domain 'com.microsoft' are not supported"),
    "first step": (
        lambda: _built(lambda g, y, h: g.add("Gather", [y, g.const(np.array(0))], axis=0)),
        "selects index 0 .* only the last step",
    ),
    "fixed step of open time": (
        lambda: _built(lambda g, y, h: g.add("Gather", [y, g.const(np.array(7))], axis=0)),
        "selects index 7 .* only the last step",
    ),
    "one sequence": (
        lambda: _built(lambda g, y, h: g.add("Gather", [y, g.const(np.array(-1))], axis=1)),
        "not the time axis",
    ),
    "steps": (
        lambda: _built(lambda g, y, h: g.add("Slice", [y, g.ints(1), g.ints(2**31), g.ints(0)])),
        "slices axis 0 .* from 1",
    ),
    "reversed": (
        lambda: _built(
            lambda g, y, h: g.add("Slice", [y, g.ints(-1), g.ints(-99), g.ints(0), g.ints(-1)])
        ),
        "by -1; only the last step",
    ),
    "merge": (
        lambda: _built(lambda g, y, h: g.add("Reshape", [y, g.ints(-1, 6)])),
        r"reshapes \[\?, \?, 6\] to \[-1, 6\]",
    ),
    "split features": (
        lambda: _built(lambda g, y, h: g.add("Reshape", [h, g.ints(-1, 2, 3)])),
        "only adds or removes axes of size 1",
    ),
    "flatten": (
        lambda: _built(lambda g, y, h: g.add("Flatten", [y], axis=1)),
        "merges axes",
    ),
    "squeeze open": (lambda: _built(lambda g, y, h: g.add("Squeeze", [y])), "has no axes"),
    "training": (
        lambda: _built(
            lambda g, y, h: g.add("Dropout", [y, g.const(np.float32(0.5)), g.const(np.array(True))])
        ),
        "training_mode",
    ),
    "dropout mask": (
        lambda: _built(lambda g, y, h: g.add("Dropout", [y], 2)[1]),
        "does not come from a layer|an output that is not supported",
    ),
    "bias on batch": (
        lambda: _built(
            lambda g, y, h: g.add("Add", [g.add("MatMul", [h, g.weights(6, 2)]), g.weights(3, 1)])
        ),
        "one value per output feature",
    ),
    "contract batch": (
        lambda: _built(lambda g, y, h: g.add("MatMul", [g.weights(2, 3), h])),
        "batch axis elsewhere",
    ),
    "sequence of last": (
        lambda: _built(lambda g, y, h: g.recurrent("RNN", g.unsqueeze(h, 0), 6, 3)[0]),
        "reads only the last step of a sequence",
    ),
    "swapped": (
        lambda: _built(
            lambda g, y, h: g.recurrent("RNN", g.add("Transpose", [y], perm=[1, 0, 2]), 6, 3)[0]
        ),
        "is the batch axis elsewhere; check the Transpose",
    ),
    "batch matmul": (
        lambda: _built(lambda g, y, h: g.add("MatMul", [y, g.weights(3, 6, 2)])),
        "one matrix",
    ),
    "huge constant": (
        lambda: _built(
            lambda g, y, h: g.add("MatMul", [h, g.add("ConstantOfShape", [g.ints(6, 10**15)])])
        ),
        "makes a constant of shape",
    ),
    "random weights": (
        lambda: _built(
            lambda g, y, h: g.add("MatMul", [h, g.add("RandomNormal", [], shape=[6, 2])])
        ),
        r"\(RandomNormal\): this operator is not supported",
    ),
}


def _edit(model: ModelProto, change: Callable[[Any], None]) -> ModelProto:
    change(model.graph.node[0])
    return model


def _direction(value: bytes) -> ModelProto:
    model = single(direction="forward")
    for attribute in model.graph.node[0].attribute:
        if attribute.name == "direction":
            attribute.s = value
    return model


def _version(version: int) -> ModelProto:
    model = single()
    model.opset_import[0].version = version
    return model


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    build, message = REFUSED[name]
    with pytest.raises(SparnnError) as caught:
        network_of(build())
    text = str(caught.value)
    assert re.search(message, text), text
    assert "\n" not in text


def test_a_projection_that_the_exporter_left_out() -> None:
    """nn.LSTM with proj_size by PyTorch's newer exporter: ONNX Runtime does not run the file."""
    g = Graph()
    x = g.input("x", ["time", "batch", 4])
    shape = g.add("Concat", [g.ints(1), g.add("Slice", [g.add("Shape", [x]), g.ints(1), g.ints(2)]),
                             g.ints(10)], axis=0)  # fmt: skip
    zeros = g.add("Expand", [g.const(np.zeros((), np.float32)), shape])
    y, *_ = g.recurrent("LSTM", x, 4, 6, initial_c=zeros, outputs=3)
    g.output(y, "y")
    model = g.model(check=False)
    model.graph.value_info.append(
        helper.make_tensor_value_info(zeros, TensorProto.FLOAT, [1, "batch", 10])
    )
    with pytest.raises(SparnnError, match=r"initial_c .* has 10 features, but hidden_size is 6"):
        network_of(model)
