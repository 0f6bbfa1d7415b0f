"""Cells that stand as operators become the recurrent nodes that they are, or are refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper
from support.onnx_builder import Graph
from support.onnx_cells_unrolled import INPUTS, UNITS, Cell, looped, unrolled

import sparnn
from sparnn.gen.errors import SparnnError
from sparnn.gen.graph import recognize
from sparnn.gen.graph.check import check_model
from sparnn.gen.graph.inputs import drawn
from sparnn.gen.graph.near import near
from sparnn.gen.graph.recognize import recognized
from sparnn.gen.graph.take import take
from sparnn.sim.host_model import HostModel

KINDS = ["gru", "gru_before", "lstm", "lstm_joined", "lstm_peepholes", "rnn"]


def operators(model: ModelProto) -> list[str]:
    return [n.op_type for n in model.graph.node if n.op_type in ("GRU", "LSTM", "RNN")]


def named(kind: str) -> str:
    return kind.split("_")[0].upper()


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_unrolled_cells(kind: str, given: bool) -> None:
    """`recognized` itself compares the two models."""
    model = unrolled(kind, given=given)
    made, notes, refused = recognized(model, [drawn(model)])
    assert operators(made) == [named(kind)]
    assert notes == [f"5 steps of {named(kind)} cells of {UNITS} units are one {named(kind)}"]
    assert not refused
    # Nothing of the steps is left.
    assert not {"Sigmoid", "Mul", "Gemm", "Gather"} & {n.op_type for n in made.graph.node}


def test_peepholes_are_those_of_the_node() -> None:
    """Also where the first step begins with zeros, from which nobody knows two of the three."""
    for given in (False, True):
        model = unrolled("lstm_peepholes", given=given)
        made, _, _ = recognized(model, [drawn(model)])
        (node,) = (n for n in made.graph.node if n.op_type == "LSTM")
        assert len(node.input) == 8
        (seen,) = (t for t in made.graph.initializer if t.name == node.input[7])
        assert onnx.numpy_helper.to_array(seen).all()
        assert take(model, [drawn(model)]).whole is not None


def test_a_projection_is_folded(tmp_path: Path) -> None:
    """h = P m from zeros on: an LSTM of m, whose recurrent weights are R P. From a given h nobody
    knows m: the host runs the first step, and one step alone is refused."""
    model = unrolled("lstm_projected")
    made, notes, _ = recognized(model, [drawn(model)])
    assert operators(made) == ["LSTM"]
    assert notes == [f"5 steps of LSTM cells of {UNITS} units are one LSTM"]
    model = unrolled("lstm_projected", given=True)
    _, notes, _ = recognized(model, [drawn(model)])
    assert notes == [f"4 steps of LSTM cells of {UNITS} units are one LSTM"]
    for name, model in (
        ("one step", unrolled("lstm_projected", 1, given=True)),
        ("in its body", looped("Scan", "lstm_projected")),
    ):
        onnx.save(model, tmp_path / "m.onnx")
        with pytest.raises(
            SparnnError, match=f"an LSTM.* {name}.*export it with the operator LSTM"
        ):
            check_model(tmp_path / "m.onnx")


@pytest.mark.parametrize("kind", ["gru", "lstm", "rnn"])
def test_casts_and_masks_that_change_nothing(kind: str) -> None:
    """As Keras 3 exports its layers with PyTorch behind it."""
    model = unrolled(kind)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type in ("Sigmoid", "Tanh", "Gather"):
            name = node.output[0]
            node.output[0] = f"{name}_own"
            kept = helper.make_node("Cast", [f"{name}_own"], [f"{name}_cast"], to=1)
            mask = helper.make_node("Where", ["always", f"{name}_cast", "nothing"], [name])
            model.graph.node.extend([node, kept, mask])
        else:
            model.graph.node.append(node)
    for name, value in (("always", np.array([True])), ("nothing", np.zeros(1, np.float32))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    made, _, _ = recognized(model, [drawn(model)])
    assert operators(made) == [named(kind)]


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_layers_and_directions(kind: str) -> None:
    model = unrolled(kind, layers=2)
    made, notes, _ = recognized(model, [drawn(model)])
    assert operators(made) == [named(kind)] * 2
    assert len(notes) == 2
    whole = take(model, [drawn(model)]).whole
    assert whole is not None
    assert len(whole.layers) == 2
    model = unrolled(kind, backwards=True)
    made, _, _ = recognized(model, [drawn(model)])
    (node,) = (n for n in made.graph.node if n.op_type == named(kind))
    assert {a.name: helper.get_attribute_value(a) for a in node.attribute}[
        "direction"
    ] == b"reverse"


@pytest.mark.parametrize("kind", ["gru", "lstm_joined"])
def test_one_step_of_a_stream(kind: str) -> None:
    model = unrolled(kind, 1, given=True)
    made, notes, _ = recognized(model, [drawn(model)])
    assert operators(made) == [named(kind)]
    assert notes == [f"one step of {named(kind)} cells of {UNITS} units are one {named(kind)}"]


@pytest.mark.parametrize("kind", ["gru_before", "lstm", "lstm_peepholes", "rnn"])
@pytest.mark.parametrize("op", ["Scan", "Loop"])
def test_bodies_of_loops(op: str, kind: str) -> None:
    model = looped(op, kind)
    made, notes, _ = recognized(model, [drawn(model)])
    assert operators(made) == [named(kind)]
    assert notes[0].startswith(op)
    assert op not in {n.op_type for n in made.graph.node}


@pytest.mark.parametrize("as_clip", [False, True])
@pytest.mark.parametrize("kind", ["gru", "gru_before", "lstm", "lstm_joined", "lstm_peepholes"])
def test_gates_of_hard_sigmoid(kind: str, as_clip: bool) -> None:
    """Also as ReLU6(x + 3) / 6, which Keras writes with a sixth in float32."""
    model, nodes = unrolled(kind), []
    numbers = {"three": 3, "zero": 0, "six": 6, "sixth": 1 / 6}
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.array(value, np.float32), name)
        for name, value in numbers.items()
    )
    for node in model.graph.node:
        if node.op_type != "Sigmoid":
            nodes.append(node)
            continue
        x, name = node.input[0], node.output[0]
        if as_clip:
            nodes += [
                helper.make_node("Add", [x, "three"], [f"{name}_3"]),
                helper.make_node("Clip", [f"{name}_3", "zero", "six"], [f"{name}_6"]),
                helper.make_node("Mul", [f"{name}_6", "sixth"], [name]),
            ]
        else:
            nodes.append(helper.make_node("HardSigmoid", [x], [name]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    made, _, _ = recognized(model, [drawn(model)])
    assert operators(made) == [named(kind)]
    (node,) = (n for n in made.graph.node if n.op_type == named(kind))
    activations = next(a.strings for a in node.attribute if a.name == "activations")
    assert activations[0] == b"HardSigmoid"


def test_gates_cut_by_slices_of_both_axes() -> None:
    """As tf2onnx writes x[:, a:b]."""
    model = unrolled("gru")
    nodes, ends = [], (1 << 31) - 1
    for node in model.graph.node:
        if node.op_type != "Split":
            nodes.append(node)
            continue
        for k, name in enumerate(node.output):
            places = {"starts": [0, k * UNITS], "ends": [ends, (k + 1) * UNITS], "axes": [0, 1]}
            inputs = [node.input[0]]
            for role, values in places.items():
                tensor = onnx.numpy_helper.from_array(np.array(values), f"{name}_{role}")
                model.graph.initializer.append(tensor)
                inputs.append(tensor.name)
            nodes.append(helper.make_node("Slice", inputs, [name]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    made, _, _ = recognized(model, [drawn(model)])
    assert operators(made) == ["GRU"]


@pytest.mark.parametrize("kind", ["gru", "lstm", "rnn"])
def test_weights_that_multiply_from_the_left(kind: str) -> None:
    """(W xᵀ)ᵀ + b, as jax.vmap leaves W x + b; gates are split before they are turned back."""
    model, nodes, gates = unrolled(kind), [], {"gru": 3, "lstm": 4, "rnn": 1}[kind]
    for node in model.graph.node:
        if node.op_type != "Gemm":
            nodes.append(node)
            continue
        x, w, b, name = *node.input, node.output[0]
        rows = [f"{name}_row{k}" for k in range(gates)]
        turned = [f"{row}_turned" for row in rows]
        nodes += [
            helper.make_node("Transpose", [x], [f"{name}_x"]),
            helper.make_node("Gemm", [w, f"{name}_x"], [f"{name}_w"]),
            helper.make_node("Split", [f"{name}_w"], rows, axis=0),
            *(
                helper.make_node("Transpose", [row], [column], perm=[1, 0])
                for row, column in zip(rows, turned, strict=True)
            ),
            helper.make_node("Concat", turned, [f"{name}_sum"], axis=1),
            helper.make_node("Add", [f"{name}_sum", b], [name]),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    made, _, _ = recognized(model, [drawn(model)])
    assert operators(made) == [kind.upper()]


def test_a_scan_that_goes_backwards() -> None:
    model = looped("Scan", "gru", backwards=True)
    made, _, _ = recognized(model, [drawn(model)])
    assert operators(made) == ["GRU"]


def test_weights_of_one_step_that_differ_make_two_nodes() -> None:
    g = Graph(opset=12)
    cells = [Cell(g, "gru"), Cell(g, "gru")]
    states = [g.input("h0", ["batch", UNITS])]
    x = g.input("x", ["batch", 4, INPUTS])
    for t in range(4):
        states = cells[t // 2].step(g.add("Gather", [x, g.const(t)], axis=1), states)
    g.output(states[0], "h")
    model = g.model()
    made, _, _ = recognized(model, [drawn(model)])
    assert operators(made) == ["GRU", "GRU"]


def test_a_gate_that_no_cell_has_is_left(tmp_path: Path) -> None:
    """σ(a) · tanh(b) alone, and a GRU whose candidate has a gate of its own squared."""
    g = Graph(opset=12)
    x = g.input("x", ["batch", INPUTS])
    left = g.add("Sigmoid", [g.add("MatMul", [x, g.weights(INPUTS, UNITS)])])
    right = g.add("Tanh", [g.add("MatMul", [x, g.weights(INPUTS, UNITS)])])
    product = g.add("Mul", [left, right])
    g.output(g.add("MatMul", [g.add("Mul", [product, left]), g.weights(UNITS, 2)]), "y")
    model = g.model()
    made, notes, _ = recognized(model, [drawn(model)])
    assert not notes
    assert not operators(made)


@pytest.mark.parametrize("kind", ["gru", "rnn"])
def test_a_decoder_that_reads_its_output_is_refused(kind: str, tmp_path: Path) -> None:
    g = Graph(opset=12)
    cell, head = Cell(g, kind, 2), g.weights(UNITS, 2)
    states = [g.input("h0", ["batch", UNITS])]
    for _ in range(3):
        states = cell.step(g.add("MatMul", [states[0], head]), states)
    g.output(g.add("MatMul", [states[0], head]), "y")
    onnx.save(g.model(), tmp_path / "m.onnx")
    # The first step of an RNN looks like any layer with tanh.
    count = 3 if kind == "gru" else 2
    with pytest.raises(SparnnError, match=rf"{count} steps of cells: what a step reads depends on"):
        check_model(tmp_path / "m.onnx")


def test_layers_with_tanh_are_no_decoder(tmp_path: Path) -> None:
    g = Graph(opset=12)
    x = g.input("x", ["batch", UNITS])
    for _ in range(3):
        x = g.add("Tanh", [g.add("MatMul", [x, g.weights(UNITS, UNITS)])])
    g.output(x, "y")
    onnx.save(g.model(), tmp_path / "m.onnx")
    with pytest.raises(SparnnError, match="the model holds no LSTM, GRU or RNN node"):
        check_model(tmp_path / "m.onnx")


def test_what_onnx_runtime_does_not_run_is_not_called_a_model_without_cells(tmp_path: Path) -> None:
    """As Keras's layers are exported by PyTorch with a ReduceMax of axes that are not there."""
    g = Graph(opset=12)
    x = g.input("x", ["batch", 4])
    g.output(g.add("Tanh", [g.add("MatMul", [g.add("Reshape", [x, g.ints(3, 5)]), x])]), "y")
    onnx.save(g.model(check=False), tmp_path / "m.onnx")
    with pytest.raises(SparnnError, match="ONNX Runtime cannot"):
        check_model(tmp_path / "m.onnx")


def test_what_the_checker_refuses_is_not_called_a_model_without_cells(tmp_path: Path) -> None:
    """As Paddle2ONNX writes SimpleRNN: nodes before what they read."""
    model = unrolled("rnn")
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes[::-1])
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(SparnnError, match=r"not a valid ONNX model .*topologically sorted"):
        check_model(tmp_path / "m.onnx")


def test_what_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = unrolled("gru")
    made, notes, _ = recognized(model, [drawn(model)])
    (weight,) = (t for t in made.graph.initializer if t.name.endswith("_R"))
    array = onnx.numpy_helper.to_array(weight).copy()
    array[0, 0, 0] += 0.1
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    monkeypatch.setattr(recognize, "rolled", lambda *_: (made, notes, []))
    with pytest.raises(SparnnError, match=r"compute something else: 5 steps of GRU .* differs"):
        recognized(model, [drawn(model)])


def test_compiled_and_compared(tmp_path: Path) -> None:
    """From the file with its operators to the integers, beside ONNX Runtime."""
    model = unrolled("lstm")
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    x = np.random.default_rng(0).normal(size=(6, 5, INPUTS)).astype(np.float32)
    made = sparnn.compile(path, calibrate={"x": x}, lanes=1, activation_bits=12)
    assert any(line.startswith("recognized     5 steps of LSTM") for line in made.summary.lines())
    wanted = HostModel(path, "the model").run({"x": x}, ["y", "h"])
    session = sparnn.InferenceSession(made)
    for name, array in zip(("y", "h"), session.run(["y", "h"], {"x": x}), strict=True):
        assert np.abs(array - wanted[name]).max() < 0.05
    assert check_model(path)[1].startswith("recognized     5 steps of LSTM cells")


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1.001])
def test_outputs_that_are_no_numbers_are_not_near(wrong: float) -> None:
    wanted = np.array([1.0, -0.5])
    assert near(wanted, wanted + 1e-6)
    assert not near(wanted, np.array([wrong, -0.5]))
    assert not near(wanted, wanted[:1])
    assert near(np.array([np.nan, 1.0]), np.array([np.nan, 1.0]))
