"""Metrics of compiled models in every backend, whole graphs included, and where they lose."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from support.onnx_builder import Graph

from sparnn.gen.cli.main import main
from sparnn.gen.compile import compile_model
from sparnn.gen.errors import SparnnError
from sparnn.gen.evaluate.evaluate import evaluate
from sparnn.gen.evaluate.metrics import find_metric

DIGITS = Path(__file__).parents[3] / "examples" / "digits"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits") / "out"
    compile_model(DIGITS / "gru.onnx", DIGITS / "calibrate.npz", folder, lanes=1, prune=0.2)
    return folder


def test_accuracy_from_float_to_golden(digits: Path) -> None:
    every = ("float", "pruned", "quantized", "golden")
    found = evaluate(digits, DIGITS / "test.npz", "accuracy", backends=every, tensors=True)
    values = {one.backend: one for one in found.results}
    assert list(values) == list(every)
    assert values["float"].value == pytest.approx(0.9778, abs=1e-4)
    assert values["golden"].value > 0.9
    # Pruning costs more than quantization: the others are as far from the float model.
    for name in ("quantized", "golden"):
        assert values[name].sqnr_db == pytest.approx(values["pruned"].sqnr_db, abs=1)
    names = [one.layer for one in found.layers]
    assert names[0] == "input"
    assert len(names) == 3
    assert all(one.sqnr_db > 30 for one in found.layers)
    assert {one.tensor for one in found.tensors} == {"x", "weights", "h"}
    assert any(line.startswith("most is lost") for line in found.lines())


def test_command(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(DIGITS / "test.npz")]
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", str(digits), *data, "--json", "-"])
    assert stopped.value.code == 0
    report = json.loads(capsys.readouterr().out)
    assert [one["backend"] for one in report["results"]] == ["float", "golden"]
    for wrong, said in (
        (["--metric", "wer"], "use one of accuracy, mse, sisdr, cer"),
        (["--backends", "rtl"], "use some of float, pruned, quantized, golden, verilator"),
        (["--metric", "mse"], "no target"),
        (["--metric", "none.py:f"], "there is no file none.py"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["evaluate", str(digits), *data, *wrong])
        assert stopped.value.code == 2
        assert said in capsys.readouterr().err


def test_command_on_a_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model, data = str(DIGITS / "rnn_relu.onnx"), ["--data", str(DIGITS / "test.npz")]
    samples = ["--calibrate", str(DIGITS / "calibrate.npz")]
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", model, *data, *samples, "--config", "tiny", "--prune", "0.1"])
    assert stopped.value.code == 0
    assert "golden         accuracy" in capsys.readouterr().out
    (tmp_path / "out").mkdir()
    for wrong, said in (
        ([model], "give sample inputs as --calibrate"),
        ([str(tmp_path / "out"), *samples], "is compiled already: leave out --calibrate"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["evaluate", *wrong, *data])
        assert stopped.value.code == 2
        assert said in capsys.readouterr().err


def test_whole_graphs_and_a_metric_of_ones_own(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.input("x", ["time", "batch", 5])
    y = graph.add(
        "GRU",
        [graph.add("Softmax", [x], axis=2), graph.weights(1, 18, 5), graph.weights(1, 18, 6)],
        2,
        hidden_size=6,
        linear_before_reset=1,
    )[0]
    graph.output(graph.add("Softmax", [y], axis=3), "p")
    model = graph.model()
    onnx.save(model, tmp_path / "m.onnx")
    samples = np.random.default_rng(0).normal(size=(12, 4, 5)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=samples)
    compile_model(tmp_path / "m.onnx", tmp_path / "x.npz", tmp_path / "out", lanes=1)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (exact,) = session.run(None, {"x": samples})
    np.savez(tmp_path / "d.npz", x=samples, target=exact)
    found = evaluate(
        tmp_path / "out", tmp_path / "d.npz", "mse", backends=["float", "quantized", "golden"]
    )
    assert [one.backend for one in found.results] == ["float", "quantized", "golden"]
    assert found.results[0].value < 1e-12 < found.results[1].value < found.results[2].value < 1e-5
    assert len(found.layers) == 2
    (tmp_path / "own.py").write_text(
        "def worst(outputs, data):\n    return abs(outputs['p'] - data['target']).max()\n"
    )
    metric = f"{tmp_path / 'own.py'}:worst"
    (one,) = evaluate(tmp_path / "out", tmp_path / "d.npz", metric, backends=["golden"]).results
    assert 1e-6 < one.value < 1e-2
    (tmp_path / "own.py").write_text("def worst(outputs, data):\n    return data['nothing']\n")
    with pytest.raises(SparnnError, match="worst fails"):
        evaluate(tmp_path / "out", tmp_path / "d.npz", metric)


def test_metrics() -> None:
    rng = np.random.default_rng(1)
    wanted = rng.normal(size=(20, 1, 3))
    noisy = {"y": 5 * (wanted + 0.1 * rng.normal(size=wanted.shape))}
    assert find_metric("sisdr").of(noisy, {"target": wanted}) == pytest.approx(20, abs=2)
    assert find_metric("mse").of({"y": wanted + 2}, {"y": wanted}) == pytest.approx(4)
    # Blank is 0; what repeats without a blank between is one character.
    path = np.array([0, 1, 1, 0, 1, 2, 2, 3])
    scores = {"y": np.eye(4)[path][:, np.newaxis]}
    assert find_metric("cer").of(scores, {"labels": np.array([[1, 1, 2, 3]])}) == 0
    assert find_metric("cer").of(scores, {"labels": np.array([[1, 2, 3, -1]])}) == 1 / 3
    with pytest.raises(SparnnError, match="has the shape"):
        find_metric("mse").of({"y": wanted}, {"target": wanted[1:]})
    with pytest.raises(SparnnError, match="classes"):
        find_metric("accuracy").of({"y": wanted}, {"labels": np.zeros(3)})
