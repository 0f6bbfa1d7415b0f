"""Recurrent layers in the branches of `If`, which scalars and sizes decide."""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import sparnn
from sparnn.gen.errors import SparnnError
from sparnn.gen.graph.check import check_model
from sparnn.gen.graph.read import read_model

UNITS, INPUTS = 4, 3
FLOAT = TensorProto.FLOAT


def branch(name: str, *, sized: bool) -> onnx.GraphProto:
    """A GRU of weights of its own; with `sized` behind a question about the sequence's length."""
    nodes = [
        helper.make_node(
            "GRU",
            ["x", f"{name}_w", f"{name}_r"],
            [f"{name}_y"],
            hidden_size=UNITS,
            linear_before_reset=1,
        )
    ]
    out = helper.make_tensor_value_info(f"{name}_y", FLOAT, None)
    body = helper.make_graph(nodes, name, [], [out])
    if not sized:
        return body
    twice = [
        helper.make_node("Add", ["x", "x"], [f"{name}_x2"]),
        helper.make_node("GRU", [f"{name}_x2", f"{name}_w", f"{name}_r"], [f"{name}_z"],
                         hidden_size=UNITS, linear_before_reset=1),
    ]  # fmt: skip
    other = helper.make_graph(
        twice, f"{name}2", [], [helper.make_tensor_value_info(f"{name}_z", FLOAT, None)]
    )
    asking = [
        helper.make_node("Shape", ["x"], [f"{name}_shape"]),
        helper.make_node("Gather", [f"{name}_shape", "two"], [f"{name}_size"]),
        helper.make_node("Equal", [f"{name}_size", "inputs"], [f"{name}_ask"]),
        helper.make_node(
            "If", [f"{name}_ask"], [f"{name}_out"], then_branch=body, else_branch=other
        ),
    ]
    result = helper.make_tensor_value_info(f"{name}_out", FLOAT, None)
    return helper.make_graph(asking, f"{name}_asks", [], [result])


def model(folder: Path, *, condition: str = "rate") -> Path:
    rng = np.random.default_rng(1)
    weights = {"two": np.array(2), "inputs": np.array(INPUTS), "wanted": np.array(16000)}
    for name in ("a", "b"):
        weights[f"{name}_w"] = rng.normal(size=(1, 3 * UNITS, INPUTS)).astype(np.float32)
        weights[f"{name}_r"] = rng.normal(size=(1, 3 * UNITS, UNITS)).astype(np.float32)
    nodes = []
    if condition == "data":  # whether the signal is loud, which no one knows before
        weights["wanted"] = np.array(0, np.float32)
        nodes.append(helper.make_node("ReduceSum", ["x"], ["rate_"], keepdims=0))
    else:
        nodes.append(helper.make_node("Identity", ["rate"], ["rate_"]))
    nodes += [
        helper.make_node("Equal", ["rate_", "wanted"], ["same"]),
        helper.make_node("If", ["same"], ["h"], name="choice",
                         then_branch=branch("a", sized=True), else_branch=branch("b", sized=False)),
        helper.make_node("Squeeze", ["h", "two_axes"], ["y"]),
    ]  # fmt: skip
    weights["two_axes"] = np.array([1])
    inputs = [helper.make_tensor_value_info("x", FLOAT, ["time", "batch", "features"])]
    if condition == "rate":
        inputs.append(helper.make_tensor_value_info("rate", TensorProto.INT64, []))
    graph = helper.make_graph(
        nodes,
        "branches",
        inputs,
        [helper.make_tensor_value_info("y", FLOAT, ["time", "batch", UNITS])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "m.onnx")
    return folder / "m.onnx"


@pytest.mark.parametrize("rate", [16000, 8000])
def test_the_branch_of_the_samples_is_taken(rate: int, tmp_path: Path) -> None:
    path = model(tmp_path)
    x = np.random.default_rng(2).normal(size=(5, 6, INPUTS)).astype(np.float32)
    samples = tmp_path / "x.npz"
    np.savez(samples, x=x, rate=np.array(rate))
    lines = check_model(path, samples)
    assert f"fixed          rate is {rate}, a constant" in lines
    assert len(read_model(path, samples).parts) == 1
    made = sparnn.compile(path, calibrate=str(samples), lanes=1, activation_bits=12)
    assert any(line.startswith("fixed          rate") for line in made.summary.lines())
    (y,) = sparnn.InferenceSession(made).run(None, {"x": x})
    original = onnxruntime.InferenceSession(path)
    (wanted,) = original.run(None, {"x": x, "rate": np.array(rate)})
    assert np.abs(y - wanted).max() < 0.05
    (other,) = original.run(None, {"x": x, "rate": np.array(24000 - rate)})
    assert np.abs(y - other).max() > 0.2


def test_what_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SparnnError, match=r"'choice' .* depends on rate; give sample inputs that"):
        check_model(model(tmp_path))
    path = model(tmp_path, condition="data")
    np.savez(tmp_path / "x.npz", x=np.ones((5, 6, INPUTS), np.float32))
    with pytest.raises(SparnnError, match=r"'choice' .* depends on x; export the model with fixed"):
        check_model(path, tmp_path / "x.npz")


def test_without_onnxscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SparnnError, match=r"pip install 'sparnn\[branches\]'"):
        check_model(model(tmp_path))
