"""The vowel network: folded batch norms, sparsity, and accuracy in ONNX Runtime."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from sparnn.gen.compile import compile_model
from sparnn.sim.golden.run import run_golden
from sparnn.sim.runner import simulate

VOWELS = Path(__file__).parents[2] / "examples" / "vowels"


def build_onnx():
    spec = importlib.util.spec_from_file_location("vowels_build_onnx", VOWELS / "build_onnx.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def speakers(model):
    """Share of the held-out utterances whose speaker is found, and all hidden states."""
    graph = onnx.load(model)
    graph.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in ("both0", "sum0", "both1", "sum1")
    )
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    with np.load(VOWELS / "test.npz") as data:
        x, lengths, labels = data["x"], data["lengths"], data["labels"]
    right, states = 0, [[], [], [], []]
    for one, length, label in zip(x, lengths, labels, strict=True):
        logits, *hidden = session.run(None, {"x": one[np.newaxis, :length]})
        right += int(logits[0].mean(axis=0).argmax() == label)
        for kept, values in zip(states, hidden, strict=True):
            kept.append(values.reshape(-1))
    zeros = [float((np.concatenate(values) == 0).mean()) for values in states]
    return right / len(labels), zeros


@pytest.mark.parametrize("name", ["rnn", "rnn_pruned33"])
def test_accuracy_and_sparsity(name):
    accuracy, (own1, passed1, own2, passed2) = speakers(VOWELS / f"{name}.onnx")
    assert accuracy >= 0.98
    assert min(own1, own2) >= 0.75
    assert min(passed1, passed2) >= 0.6


def found(logits, labels):
    """Share of the utterances, [n, frames, speakers], whose speaker is found."""
    return float(np.mean(logits.mean(axis=1).argmax(axis=1) == labels))


@pytest.mark.deep
def test_integers_on_all_utterances(tmp_path):
    """Eight bits cost at most two points of a hundred on the held-out utterances."""
    out = tmp_path / "out"
    compile_model(VOWELS / "rnn_pruned33.onnx", VOWELS / "calibrate.npz", out, lanes=1)
    with np.load(VOWELS / "test.npz") as data:
        x, lengths, labels = data["x"], data["lengths"], data["labels"]
    right = 0.0
    for length in np.unique(lengths):
        here = lengths == length
        np.savez(tmp_path / "x.npz", x=x[here, :length])
        run_golden(out, tmp_path / "x.npz", tmp_path / "y.npz")
        with np.load(tmp_path / "y.npz") as outputs:
            right += found(outputs["logits"], labels[here]) * here.sum()
    accuracy, _ = speakers(VOWELS / "rnn_pruned33.onnx")
    assert right / len(labels) >= accuracy - 0.02


# The other networks of tests/examples run on the same Verilog.
@pytest.mark.xdist_group("examples")
def test_verilog(machine_file, tmp_path):
    out = tmp_path / "out"
    compile_model(
        VOWELS / "rnn_pruned33.onnx", VOWELS / "calibrate.npz", out, config=str(machine_file)
    )
    report = simulate(out, VOWELS / "input.npz", output=tmp_path / "y.npz")
    assert report.bit_exact, report.first_mismatch
    with np.load(tmp_path / "y.npz") as outputs, np.load(VOWELS / "input.npz") as data:
        assert report.sequences == len(data["labels"]) >= 40
        assert found(outputs["logits"], data["labels"]) >= 0.95


def test_kept_weights():
    tensors = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(VOWELS / "rnn_pruned33.onnx").graph.initializer
    }
    for name in ("W0", "R0", "W1", "R1"):
        for direction in tensors[name]:
            assert np.mean(direction != 0) == pytest.approx(0.33, abs=0.002)


def test_folding():
    """The layer after a batch norm, and the folded one without it; zeros stay where they are."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(2, 5, 7)) * (rng.random((2, 5, 7)) < 0.4)
    bias, scale, shift = rng.normal(size=(2, 5)), rng.normal(size=7), rng.normal(size=7)
    folded, folded_bias = build_onnx().fold_batch_norm(weight, bias, scale, shift)
    x = rng.normal(size=7)
    np.testing.assert_allclose(folded @ x + folded_bias, weight @ (scale * x + shift) + bias)
    np.testing.assert_array_equal(folded == 0, weight == 0)
