"""Compilation of the digit classifiers; their Verilog is what tests/sim/test_runner.py is for."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.onnx_builder import single

from sparnn.gen.compile import compile_model
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines import emit
from sparnn.gen.network.model import GATES, FloatLayer, FloatNetwork
from sparnn.gen.network.run import run_network
from sparnn.gen.network.to_onnx import float_model
from sparnn.gen.onnx.reader import import_onnx
from sparnn.gen.output.manifest import sha256
from sparnn.hdl.errors import ConfigurationError
from sparnn.sim.errors import SimulationError
from sparnn.sim.host.packets import sequence_packets
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.reference import run_reference
from sparnn.sim.verilator.hardware import load_program

DIGITS = Path(__file__).parents[3] / "examples" / "digits"
TB = ("Makefile", "sparnn_tb.v", "test_sparnn.py", "said.hex", "answered.hex")
FILES = {
    "estimate.json",
    "image.bin",
    "manifest.json",
    "model.onnx",
    "network.npz",
    "program.json",
    "sparnn.h",
    "sparnn.v",
}


@pytest.fixture(autouse=True)
def _no_verilog(monkeypatch):
    monkeypatch.setattr(emit, "kept_verilog", lambda config: f"// {config}\n")


def compile_digits(output, name="rnn_tanh", **options):
    return compile_model(DIGITS / f"{name}.onnx", DIGITS / "calibrate.npz", output, **options)


@pytest.fixture(scope="module")
def calibration():
    with np.load(DIGITS / "calibrate.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_folder(tmp_path):
    summary = compile_digits(tmp_path / "out", "lstm")
    folder = tmp_path / "out"
    assert {path.name for path in folder.iterdir() if path.is_file()} == FILES
    benches = {f"tb/{path.name}" for path in (folder / "tb").iterdir()}
    assert benches == {f"tb/{name}" for name in TB}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["files"] == {
        name: sha256(folder / name) for name in (FILES | benches) - {"manifest.json"}
    }
    assert manifest["options"]["model"]["sha256"] == sha256(DIGITS / "lstm.onnx")
    assert manifest["reference"] == "model.onnx"
    assert str(tmp_path) not in (folder / "manifest.json").read_text()
    network = IntegerNetwork.load(folder / "network.npz")
    program = load_program(folder)
    assert manifest["max_steps"] == program.max_steps >= 64
    assert [len(layer.neurons) for layer in program.layers] == [
        layer.units for layer in network.layers
    ]
    text = "\n".join(summary.lines())
    assert "machine        8 lanes" in text
    assert "64 units" in text


def test_the_same_bytes_again(tmp_path):
    compile_digits(tmp_path / "a")
    compile_digits(tmp_path / "b")
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_pruned(tmp_path):
    compile_digits(tmp_path / "out", prune=0.6)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["reference"] == "reference.onnx"
    assert (tmp_path / "out" / "model.onnx").read_bytes() == (DIGITS / "rnn_tanh.onnx").read_bytes()
    onnx.checker.check_model(onnx.load(tmp_path / "out" / "reference.onnx"), full_check=True)
    layer = manifest["layers"][0]
    assert layer["non_zero_weights"] <= 0.41 * layer["weights"]


def test_widths_and_lanes(tmp_path):
    compile_digits(tmp_path / "out", lanes=3, weight_bits=5, activation_bits=11)
    config = json.loads((tmp_path / "out" / "manifest.json").read_text())["config"]
    assert (config["lanes"], config["weight_bits"], config["activation_bits"]) == (3, 5, 11)


def test_split_scales(tmp_path):
    for name, options in (("masr", {"config": "masr"}), ("option", {"split_scales": True})):
        summary = compile_digits(tmp_path / name, "rnn_relu", **options)
        assert json.loads((tmp_path / name / "manifest.json").read_text())["config"]["split_scales"]
        assert all(
            layer.split for layer in IntegerNetwork.load(tmp_path / name / "network.npz").layers
        )
        assert "with split scales" in "\n".join(summary.lines())
    compile_digits(tmp_path / "without", "rnn_relu", config="masr", split_scales=False)
    network = IntegerNetwork.load(tmp_path / "without" / "network.npz")
    assert not any(layer.split for layer in network.layers)


def test_a_file_is_taken_as_it_is(tmp_path):
    (tmp_path / "small.toml").write_text("lanes = 2\nweight_depth = 64\n")
    with pytest.raises(SparnnError, match="has weight_depth = 64; raise weight_depth to"):
        compile_digits(tmp_path / "out", config=str(tmp_path / "small.toml"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"lanes": 2000}, ConfigurationError),
        ({"config": "nothing"}, SparnnError),
        ({"prune": 1.0}, SparnnError),
        ({"config": "dense64", "split_scales": True}, SparnnError),
    ],
)
def test_refused(tmp_path, options, error):
    with pytest.raises(error):
        compile_digits(tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def test_room_for_long_sequences(tmp_path):
    """Backwards a sequence is never split: a run has room for what is asked for, or the machine
    from a file has not."""
    model, samples = tmp_path / "m.onnx", tmp_path / "x.npz"
    onnx.save(single(direction="bidirectional"), model)
    rng = np.random.default_rng(0)
    np.savez(samples, x=rng.normal(size=(70, 2, 5)).astype(np.float32))

    def longest(**options):
        summary = compile_model(model, samples, tmp_path / "out", **options)
        return summary.parts[0].placement

    usual, asked = longest(lanes=1), longest(lanes=1, steps=3000)
    assert 70 <= usual.program.max_steps < 3000 <= asked.program.max_steps
    with pytest.raises(SimulationError, match=r"compile with --steps 5000"):
        sequence_packets(asked.program, 0, np.zeros((5000, 5), int))
    file = tmp_path / "machine.toml"
    needs = {name: value for name, value in asdict(usual.config).items() if name != "parity"}
    file.write_text("".join(f"{name} = {value}\n" for name, value in needs.items()))
    assert longest(config=str(file), steps=70).config == usual.config
    with pytest.raises(SparnnError, match=r"--steps 3000: the machine's store_depth = "):
        longest(config=str(file), steps=3000)


def test_bad_inputs(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"nothing")
    with pytest.raises(SimulationError, match=r"x\.npz cannot be read"):
        compile_model(DIGITS / "lstm.onnx", tmp_path / "x.npz", tmp_path / "out")
    with pytest.raises(SparnnError, match=r"x\.npz: cannot be read as an ONNX model"):
        compile_model(tmp_path / "x.npz", DIGITS / "calibrate.npz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", sorted(DIGITS.glob("*.onnx")), ids=lambda path: path.stem)
def test_exported_float_network_is_the_model(tmp_path, path, calibration):
    network = import_onnx(path)
    onnx.save(float_model(network), tmp_path / "again.onnx")
    original = run_reference(path, DIGITS / "calibrate.npz", network.io)
    again = run_reference(tmp_path / "again.onnx", DIGITS / "calibrate.npz", network.io)
    assert set(original) == set(again)
    for name, values in original.items():
        np.testing.assert_allclose(again[name], values, rtol=1e-4, atol=1e-5)


def float_layer(rng, kind, inputs, units, **other):
    gates = len(GATES[kind])
    hidden = kind != "linear"
    return FloatLayer(
        **{
            "name": f"{kind}{units}",
            "kind": kind,
            "activation": "",
            "w_x": rng.normal(size=(gates, units, inputs)),
            "w_h": rng.normal(size=(gates, units, units)) if hidden else None,
            "b_x": rng.normal(size=(gates, units)),
            "b_h": rng.normal(size=(gates, units)) * hidden,
            **other,
        }
    )


def test_exported_states_and_axes(tmp_path):
    rng = np.random.default_rng(1)
    layers = (
        float_layer(rng, "lstm", 3, 4, initial_h=rng.normal(size=4), initial_c=rng.normal(size=4)),
        float_layer(rng, "gru", 4, 5),
        float_layer(rng, "rnn", 5, 2, activation="identity"),
        float_layer(rng, "linear", 2, 6, activation="relu", last_only=True),
    )
    io = {
        "inputs": [
            {"name": "x", "role": "x", "layer": 0, "axes": ["feature", "batch", "time"]},
            {"name": "h", "role": "initial_h", "layer": 1, "axes": ["direction", "feature"]},
        ],
        "outputs": [
            {"name": "a", "layer": 0, "what": "sequence", "axes": ["batch", "time", "feature"]},
            {"name": "b", "layer": 1, "what": "last", "axes": ["direction", "batch", "feature"]},
            {"name": "y", "layer": 3, "what": "last", "axes": ["feature", "batch"]},
        ],
    }
    network = FloatNetwork(layers, io)
    x, h = rng.normal(size=(3, 7, 9)), rng.normal(size=(1, 5))
    np.savez(tmp_path / "x.npz", x=x, h=h)
    onnx.save(float_model(network), tmp_path / "m.onnx")
    got = run_reference(tmp_path / "m.onnx", tmp_path / "x.npz", io)
    initial = {("initial_h", 1): np.repeat(h, 7, axis=0)}
    traces = run_network(network, x.transpose(1, 2, 0), initial)
    for name, expected in (
        ("a", traces[0].h),
        ("b", traces[1].h[np.newaxis, :, -1]),
        ("y", traces[3].h[:, -1].T),
    ):
        np.testing.assert_allclose(got[name], expected, rtol=1e-3, atol=1e-4)
