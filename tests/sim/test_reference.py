"""The float reference, and the whole golden run on a compiled folder."""

import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.run import golden_sequences, load_compiled, output_integers, run_golden
from sparnn.sim.network.arrays import load_inputs, read_npz
from sparnn.sim.network.network import IntegerLayer, IntegerNetwork
from sparnn.sim.reference import compare, run_reference

UNITS, INPUTS, STEPS = 4, 3, 5
WEIGHTS = np.random.default_rng(5).integers(-127, 128, (UNITS, INPUTS + UNITS))
F_X, F_PRE, F_H = 7, 12, 7


def build_folder(folder: Path, batch) -> dict:
    """An RNN with weights in units of 1/128, as ONNX and in integers."""
    folder.mkdir()
    real = (WEIGHTS / 128).astype(np.float32)
    shape = [STEPS, batch, INPUTS]
    graph = helper.make_graph(
        [helper.make_node("RNN", ["in", "W", "R", "", "", "h0"], ["Y", "Y_h"], hidden_size=UNITS)],
        "g",
        [
            helper.make_tensor_value_info("in", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("h0", TensorProto.FLOAT, [1, batch, UNITS]),
        ],
        [
            helper.make_tensor_value_info("Y", TensorProto.FLOAT, [STEPS, 1, batch, UNITS]),
            helper.make_tensor_value_info("Y_h", TensorProto.FLOAT, [1, batch, UNITS]),
        ],
        [
            onnx.numpy_helper.from_array(real[None, :, :INPUTS], "W"),
            onnx.numpy_helper.from_array(real[None, :, INPUTS:], "R"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    rows = (1, UNITS)
    half = (np.full(rows, 16384), np.full(rows, 14 + 7 + F_X - F_PRE), np.zeros(rows, int))
    layer = IntegerLayer(
        "rnn", "rnn", "tanh", WEIGHTS[None, :, :INPUTS], WEIGHTS[None, :, INPUTS:], *half, *half,
        F_X, F_PRE, 0, F_H, 8,
    )  # fmt: skip
    IntegerNetwork((layer,), 8, 8).save(folder / "network.npz")
    feature = ["direction", "batch", "feature"]
    io = {
        "inputs": [
            {"name": "in", "role": "x", "layer": 0, "axes": ["time", "batch", "feature"], "f": 7},
            {"name": "h0", "role": "initial_h", "layer": 0, "axes": feature, "f": 7},
        ],
        "outputs": [
            {"name": "Y", "layer": 0, "what": "sequence", "axes": ["time", *feature], "f": 7},
            {"name": "Y_h", "layer": 0, "what": "state_h", "axes": feature, "f": 7},
        ],
    }
    (folder / "manifest.json").write_text(json.dumps({"io": io}))
    return io


@pytest.fixture
def inputs(tmp_path):
    rng = np.random.default_rng(6)
    path = tmp_path / "x.npz"
    x = rng.uniform(-0.9, 0.9, (STEPS, 6, INPUTS)).astype(np.float32)
    np.savez(path, **{"in": x, "h0": rng.uniform(-0.9, 0.9, (1, 6, UNITS)).astype(np.float32)})
    return path


@pytest.mark.parametrize("batch", ["batch", 1, 6])
def test_golden_run_is_near_the_reference(tmp_path, inputs, batch):
    folder = tmp_path / "compiled"
    io = build_folder(folder, batch)
    run_golden(folder, inputs, tmp_path / "y.npz")
    ours = read_npz(tmp_path / "y.npz")
    reference = run_reference(folder / "model.onnx", inputs, io)
    assert {n: a.shape for n, a in reference.items()} == {n: a.shape for n, a in ours.items()}
    assert np.array_equal(reference["Y"][-1], reference["Y_h"])
    figures = compare(reference, ours)
    assert figures["max_abs_error"] < 0.05
    assert figures["sqnr_db"] > 30


def test_traces_hold_what_the_outputs_are_made_of(tmp_path, inputs):
    io = build_folder(tmp_path / "compiled", "batch")
    manifest, network = load_compiled(tmp_path / "compiled")
    assert manifest == {"io": io}
    traces = golden_sequences(network, io, load_inputs(inputs, io, network.input_sizes))
    assert len(traces) == 6
    integers = output_integers(io, traces[0])
    assert integers["Y"].shape == (STEPS, UNITS)
    assert np.array_equal(integers["Y"][-1], integers["Y_h"])
    assert 0 < traces[0].useful_macs <= STEPS * WEIGHTS.size


@pytest.mark.parametrize(
    ("section", "index", "change", "message"),
    [
        ("inputs", 1, {"role": "initial_c"}, "the network has no initial_c in layer 0"),
        ("inputs", 0, {"f": 6}, "another format"),
        ("inputs", 0, {"axes": ["time", "row"]}, "known are"),
        ("outputs", 0, {"f": 6}, "another format"),
        ("outputs", 0, {"layer": 1}, "has no layer 1"),
        ("outputs", 0, {"axes": None}, "is damaged"),
        ("outputs", 0, {"name": 3}, "is damaged"),
    ],
)
def test_manifests_of_other_networks_are_refused(tmp_path, section, index, change, message):
    folder = tmp_path / "compiled"
    io = build_folder(folder, "batch")
    io[section][index] |= change
    (folder / "manifest.json").write_text(json.dumps({"io": io}))
    with pytest.raises(SimulationError, match=message):
        load_compiled(folder)


def test_folders_that_were_not_compiled_are_refused(tmp_path, inputs):
    with pytest.raises(SimulationError, match=r"has no manifest\.json: give a folder"):
        run_golden(tmp_path, inputs, tmp_path / "y.npz")
    folder = tmp_path / "compiled"
    io = build_folder(folder, "batch")
    for text in ("", "[]", "{}", "\N{NO-BREAK SPACE}{", '{"io": {"inputs": [], "outputs": []}}'):
        (folder / "manifest.json").write_text(text, encoding="utf-8")
        with pytest.raises(SimulationError, match=r"manifest\.json is damaged"):
            run_golden(folder, inputs, tmp_path / "y.npz")
    (folder / "manifest.json").write_text(json.dumps({"io": io}))
    (folder / "network.npz").unlink()
    with pytest.raises(SimulationError, match=r"network\.npz is not a file"):
        run_golden(folder, inputs, tmp_path / "y.npz")
    assert not (tmp_path / "y.npz").exists()


def test_models_that_cannot_run_are_refused(tmp_path, inputs, capfd):
    folder = tmp_path / "compiled"
    io = build_folder(folder, "batch")
    model = folder / "model.onnx"
    whole = model.read_bytes()
    one_input = {**io, "inputs": io["inputs"][:1]}
    np.savez(tmp_path / "x1.npz", x=np.zeros((STEPS, 2, INPUTS)))
    with pytest.raises(SimulationError, match="takes the inputs"):
        run_reference(model, tmp_path / "x1.npz", one_input)
    np.savez(tmp_path / "x2.npz", **{"in": np.zeros((STEPS, 2, 9)), "h0": np.zeros((1, 2, UNITS))})
    with pytest.raises(SimulationError, match=r"cannot run .* on these inputs"):
        run_reference(model, tmp_path / "x2.npz", io)
    model.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SimulationError, match="cannot load"):
        run_reference(model, inputs, io)
    model.unlink()
    with pytest.raises(SimulationError, match="is not a file: give the ONNX model"):
        run_reference(model, inputs, io)
    assert capfd.readouterr().err == ""


def test_compare():
    reference = {"a": np.array([3.0, 4.0]), "b": np.array([[0.0]])}
    ours = {"a": np.array([3.0, 4.5]), "b": np.array([[0.0]])}
    figures = compare(reference, ours)
    assert figures["max_abs_error"] == 0.5
    assert figures["sqnr_db"] == pytest.approx(10 * math.log10(25 / 0.25))
    assert compare(reference, reference) == {"max_abs_error": 0.0, "sqnr_db": None}
    zero = {"a": np.zeros(2), "b": np.zeros((1, 1))}
    assert compare(zero, ours)["sqnr_db"] is None
    with pytest.raises(SimulationError, match="must be the same"):
        compare(reference, {"a": ours["a"]})
    with pytest.raises(SimulationError, match="has the shape"):
        compare(reference, ours | {"a": np.zeros((1, 2))})
    with pytest.raises(SimulationError, match="holds NaN or infinities"):
        compare(reference | {"b": np.array([[np.inf]])}, ours)
