"""The trained digits networks: accuracy of the integers, and the Verilog on held-out images."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from sparnn.gen.compile import compile_model
from sparnn.sim.golden.run import run_golden
from sparnn.sim.runner import simulate

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
DATA = DIGITS / "test.npz"
#: Images that the Verilog runs; the golden model, which it equals, runs all of them.
IMAGES = 64


def accuracy(logits):
    with np.load(DATA) as data:
        labels = data["labels"]
    assert len(labels) >= 300
    return float(np.mean(logits.argmax(axis=1) == labels))


def float_accuracy(model):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with np.load(DATA) as data:
        (logits,) = session.run(["logits"], {"x": data["x"]})
    return accuracy(logits)


@pytest.mark.parametrize(
    ("name", "reference", "points"),
    [
        ("lstm", "lstm", 0.01),
        ("lstm_torch_export_dynamo", "lstm", 0.01),
        pytest.param("gru", "gru", 0.01, marks=pytest.mark.deep),
        pytest.param("rnn_relu", "rnn_relu", 0.01, marks=pytest.mark.deep),
        ("lstm_pruned60", "lstm", 0.02),
    ],
)
def test_accuracy_at_eight_bits(name, reference, points, tmp_path):
    compile_model(DIGITS / f"{name}.onnx", DIGITS / "calibrate.npz", tmp_path / "out", lanes=1)
    run_golden(tmp_path / "out", DATA, tmp_path / "y.npz")
    with np.load(tmp_path / "y.npz") as outputs:
        integers = accuracy(outputs["logits"])
    assert integers >= float_accuracy(DIGITS / f"{reference}.onnx") - points


# The other networks of tests/examples run on the same Verilog.
@pytest.mark.xdist_group("examples")
@pytest.mark.parametrize(
    "name",
    ["lstm", *(pytest.param(one, marks=pytest.mark.deep) for one in ("gru", "lstm_pruned60"))],
)
def test_verilog(name, machine_file, tmp_path):
    compile_model(
        DIGITS / f"{name}.onnx",
        DIGITS / "calibrate.npz",
        tmp_path / "out",
        config=str(machine_file),
    )
    with np.load(DATA) as data:
        np.savez(tmp_path / "x.npz", x=data["x"][:IMAGES])
        labels = data["labels"][:IMAGES]
    report = simulate(tmp_path / "out", tmp_path / "x.npz", output=tmp_path / "y.npz")
    assert report.bit_exact, report.first_mismatch
    assert report.sequences == IMAGES
    with np.load(tmp_path / "y.npz") as outputs:
        assert np.mean(outputs["logits"].argmax(axis=1) == labels) > 0.9
