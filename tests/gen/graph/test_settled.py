"""Loops that carry weights, sequences and counts along, as tf2onnx and jax2onnx write them."""

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from support.onnx_cells_unrolled import UNITS, looped

from sparnn.gen.errors import SparnnError
from sparnn.gen.graph.inputs import drawn
from sparnn.gen.graph.recognize import recognized

WEIGHT, OUTPUT = "held_weight", "gave_weight"


def carried(
    kind: str, *, first: int = 0, limit: str = "length", counted: bool = True
) -> ModelProto:
    """A `Loop` whose states are, beside the cell's, one weight, the sequence, its length and a
    count of the steps that begins with ``first``; it goes on while that is less than ``limit``.
    counted: the loop is given the count too."""
    model = looped("Loop", kind)
    (loop,) = (node for node in model.graph.node if node.op_type == "Loop")
    (body,) = (attribute.g for attribute in loop.attribute if attribute.name == "body")
    weights = {tensor.name for tensor in model.graph.initializer}
    weight = next(name for node in body.node for name in node.input if name in weights)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int32), name)
        for name, value in (("first", first), ("one", 1), ("three", 3))
    )
    names = {weight: WEIGHT, "x": "held_x"}
    for node in body.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
        if node.op_type == "Gather":
            node.input[1] = "count"

    def add(op: str, inputs: list[str], output: str, **more: int) -> NodeProto:
        return helper.make_node(op, inputs, [output], **more)

    body.node.extend(
        [
            add("Add", ["count", "one"], "next"),
            add("Identity", [WEIGHT], "same_weight"),
            add("Cast", ["number"], "number_real", to=TensorProto.FLOAT),
            add("Cast", [loop.input[0]], "length_real", to=TensorProto.FLOAT),
            add("Less", ["number_real", "length_real"], "in_time"),
            add("Cast", ["next"], "next_real", to=TensorProto.FLOAT),
            add("Cast", [limit], "limit_real", to=TensorProto.FLOAT),
            add("Less", ["next_real", "limit_real"], "in_count"),
            add("And", ["in_count", "in_time"], "goes_on"),
        ]
    )
    held = {
        WEIGHT: (weight, "same_weight", TensorProto.FLOAT),
        "held_x": ("x", "held_x", TensorProto.FLOAT),
        "length": (loop.input[0], "length", TensorProto.INT64),
        "count": ("first", "next", TensorProto.INT32),
    }
    states, scans = list(body.output[1:-1]), body.output[-1]
    del body.output[:]
    body.output.append(helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []))
    body.output.extend(states)
    outputs = list(loop.output)
    del loop.output[-1]
    for name, (source, result, element) in held.items():
        loop.input.append(source)
        loop.output.append(OUTPUT if name == WEIGHT else f"gave_{name}")
        body.input.append(helper.make_tensor_value_info(name, element, None))
        body.output.append(helper.make_tensor_value_info(result, element, None))
    body.output.append(scans)
    loop.output.append(outputs[-1])
    if not counted:
        loop.input[0], loop.input[1] = "", "always"
        body.node[-1].op_type = "Identity"
        del body.node[-1].input[1:]
        model.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    model.graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, None))
    return model


def left(model: ModelProto) -> list[str]:
    kinds = ("GRU", "LSTM", "Loop", "RNN")
    return [node.op_type for node in model.graph.node if node.op_type in kinds]


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("kind", ["gru", "gru_before", "lstm", "rnn"])
def test_what_is_carried_is_read_from_outside(kind: str, counted: bool) -> None:
    """`recognized` itself compares the two models, the weight that the loop gives among them."""
    model = carried(kind, counted=counted)
    made, notes, _ = recognized(model, [drawn(model)])
    assert left(made) == [kind.split("_")[0].upper()]
    assert len(notes) == 1


@pytest.mark.parametrize("counted", [True, False])
def test_a_loop_that_may_end_early_is_left(counted: bool) -> None:
    """Over 4 and 7 steps it gives 3, over 2 steps 2 where it is counted."""
    model = carried("gru", limit="three", counted=counted)
    made, notes, _ = recognized(model, [drawn(model)])
    assert left(made) == ["Loop"]
    assert not notes


def test_a_count_that_begins_later_is_not_the_number_of_the_step() -> None:
    model = carried("gru", first=1)
    small = drawn(model, 4)
    made, notes, _ = recognized(model, [small])
    assert left(made) == ["Loop"]
    assert not notes


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_gates_that_read_their_own_part_of_a_step(kind: str) -> None:
    """The product with the sequence stands before the loop, which splits it, as Keras's GRU."""
    model = looped("Loop", kind)
    (loop,) = (node for node in model.graph.node if node.op_type == "Loop")
    (body,) = (attribute.g for attribute in loop.attribute if attribute.name == "body")
    step = next(node.output[0] for node in body.node if node.op_type == "Gather")
    product = next(node for node in body.node if node.input[0] == step)
    product.op_type = "Identity"
    del product.input[1:], product.attribute[:]
    (x,) = (value for value in model.graph.input if value.name == "x")
    gates = {"gru": 3, "lstm": 4}[kind]
    x.type.tensor_type.shape.dim[2].dim_value = gates * UNITS
    made, _, _ = recognized(model, [drawn(model)])
    assert left(made) == [kind.upper()]


def test_as_many_steps_as_sequences_is_another_network() -> None:
    """A loop that goes as often as the batch is large: the same where both are 4 and 7."""
    model = carried("gru")
    count = next(node for node in model.graph.node if node.op_type == "Slice")
    for place, first in ((1, 1), (2, 2)):
        name = f"place{first}"
        model.graph.initializer.append(numpy_helper.from_array(np.array([first]), name))
        count.input[place] = name
    with pytest.raises(SparnnError, match="compute something else"):
        recognized(model, [drawn(model)])
