"""What is said of cells as loose operators, of exporters' faults, and of where the work lies."""

import numpy as np
import onnx
import pytest
from onnx import helper
from support.onnx_builder import Graph, single

from sparnn.gen.graph.cells import export_warnings, loose_cell
from sparnn.gen.graph.cut import cut
from sparnn.gen.graph.write import placement_lines


def gru_step(g: Graph, x: str, h: str, weights: list[str]) -> str:
    """nn.GRUCell as PyTorch's exporter writes it."""
    w_ih, w_hh, b_ih, b_hh = weights
    left = g.add("Gemm", [x, w_ih, b_ih], transB=1)
    right = g.add("Gemm", [h, w_hh, b_hh], transB=1)
    r_x, z_x, n_x = g.add("Split", [left], 3, axis=1)
    r_h, z_h, n_h = g.add("Split", [right], 3, axis=1)
    r = g.add("Sigmoid", [g.add("Add", [r_x, r_h])])
    z = g.add("Sigmoid", [g.add("Add", [z_x, z_h])])
    n = g.add("Tanh", [g.add("Add", [n_x, g.add("Mul", [r, n_h])])])
    return g.add("Add", [n, g.add("Mul", [z, g.add("Sub", [h, n])])])


def unrolled(steps: int) -> onnx.ModelProto:
    g = Graph(opset=12)
    weights = [g.weights(18, 4), g.weights(18, 6), g.weights(18), g.weights(18)]
    h = g.input("h0", ["batch", 6])
    for step in range(steps):
        h = gru_step(g, g.input(f"x{step}", ["batch", 4]), h, weights)
    g.output(h, "h")
    return g.model()


def test_an_unrolled_cell_is_named() -> None:
    """Where it is not recognized; the others are in test_recognize."""
    said = loose_cell(unrolled(5))
    assert "the cell of a GRU as single operators, unrolled over 5 steps" in said
    assert "nn.GRU on the whole sequence instead of nn.GRUCell" in said
    assert "of one step" in loose_cell(unrolled(1))


def walked(body: onnx.GraphProto) -> onnx.ModelProto:
    """A `Scan` with this body, the step of a GRU."""
    body.input.reverse()
    scan = helper.make_node("Scan", ["h", "x"], ["last"], "walk", body=body, num_scan_inputs=1)
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("h", [1, 6]), ("x", ["t", 1, 4]), ("last", [1, 6]))
    ]
    graph = helper.make_graph([scan], "g", values[:2], values[2:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)])


def test_a_cell_in_a_loop_is_named() -> None:
    said = loose_cell(walked(unrolled(1).graph))
    assert "Scan 'walk' goes through the steps of a GRU" in said
    assert "export it with the operator GRU" in said


@pytest.mark.parametrize(
    ("operator", "said"), [("Where", "run each sequence without them"), ("Elu", "or train with")]
)
def test_a_cell_that_does_more_is_no_cell_of_onnx(operator: str, said: str) -> None:
    """The operator GRU instead of it would be another network."""
    body = unrolled(1).graph
    body.node.add(op_type=operator)
    found = loose_cell(walked(body))
    assert f"of a GRU with the operators {operator}, which are no part of" in found
    assert said in found
    assert "operator GRU" not in found


def test_layers_between_the_steps_are_named() -> None:
    model = unrolled(5)
    for _ in range(5):
        model.graph.node.add(op_type="LayerNormalization")
    found = loose_cell(model)
    assert "unrolled over 5 steps, with the operators LayerNormalization" in found
    assert "operator GRU" not in found


def test_other_models_hold_no_loose_cells() -> None:
    g = Graph()
    x = g.input("x", ["batch", 4])
    for _ in range(3):
        x = g.add("Tanh", [g.add("Gemm", [x, g.weights(4, 4)])])
    g.output(g.add("Sigmoid", [x]), "y")
    assert loose_cell(g.model()) == ""
    assert loose_cell(single("LSTM")) == ""


def test_a_gru_that_pytorch_wrote_wrongly() -> None:
    model = single("GRU", linear_before_reset=0)
    assert export_warnings(model) == []
    model.producer_name = "pytorch"
    (said,) = export_warnings(model)
    assert "pytorch issue 189225" in said
    # The advice: the attribute set in the file.
    (node,) = [node for node in model.graph.node if node.op_type == "GRU"]
    kept = [a for a in node.attribute if a.name != "linear_before_reset"]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("linear_before_reset", 1)])
    assert export_warnings(model) == []


def test_an_input_that_nothing_reads() -> None:
    """Lengths of sequences that the exporter dropped would make another network of the file."""
    model = single("LSTM")
    model.graph.input.append(
        helper.make_tensor_value_info("lengths", onnx.TensorProto.INT32, ["batch"])
    )
    (said,) = export_warnings(model)
    assert "graph input 'lengths' is read by nothing" in said


def test_shares_of_the_multiplications() -> None:
    """A product of 10 by 6 in front of a GRU of 6 inputs and 8 units, another behind it."""
    g = Graph()
    x = g.input("x", ["time", "batch", 10])
    front = g.add("Softmax", [g.add("MatMul", [x, g.weights(10, 6)])], axis=2)
    y, _ = g.recurrent("GRU", front, 6, 8)
    g.output(g.add("Softmax", [g.squeeze(y, 1)], axis=2), "y")
    feeds = [{"x": np.zeros((4, 2, 10), np.float32)}]
    found = cut(g.model(), feeds)
    own = 4 * 2 * (10 * 6), 4 * 2 * (24 * (6 + 8))
    assert sorted(found.products.values()) == sorted(own)
    said = "\n".join(placement_lines(found))
    assert f"{100 * own[1] / sum(own):.3g} % of the multiplications" in said
    assert f"{100 * own[0] / sum(own):.3g} % of the multiplications" in said
