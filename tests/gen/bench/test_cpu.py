"""`bench cpu`: outputs are compared before anything is timed."""

from pathlib import Path

import numpy as np
import pytest

from sparnn.gen.bench import cpu
from sparnn.gen.bench.cpu_torch import torch_runs
from sparnn.gen.errors import SparnnError

DIGITS = Path(__file__).parents[3] / "examples" / "digits"


def test_a_fixed_number_of_steps_is_one_point_for_each_engine():
    points = cpu.measure_cpu(DIGITS / "lstm.onnx", DIGITS / "calibrate.npz", threads=(1,), calls=10)
    assert {point.steps for point in points} == {8}
    assert [point.numbers for point in points if point.engine == "onnxruntime"] == [
        "float32",
        "int8",
    ]
    for point in points:
        assert 0 < point.median_us <= point.p99_us
        assert point.ours_us > 0
        assert (point.difference == 0) == (
            point.engine == "onnxruntime" and point.numbers == "float32"
        )


def test_other_outputs_are_not_timed(monkeypatch):
    def engines(model, feeds, threads):
        for factor in (1.0, 1.001):
            yield "onnxruntime", "float32", lambda feeds, factor=factor: [factor * np.ones(3)]

    monkeypatch.setattr(cpu, "_engines", engines)
    with pytest.raises(SparnnError, match=r"differs by 0\.001 from ONNX Runtime"):
        cpu.measure_cpu(DIGITS / "lstm.onnx", DIGITS / "calibrate.npz", threads=(1,), calls=10)


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        ("digits/lstm.onnx", ["float32", "int8"]),
        ("digits/gru.onnx", ["float32", "int8"]),
        ("vowels/rnn.onnx", ["float32"]),
        ("rnnoise/rnnoise.onnx", []),  # its GRUs reset before the product
    ],
)
def test_torch_computes_what_onnx_runtime_does(model, kinds):
    pytest.importorskip("torch")
    path = DIGITS.parent / model
    feeds, _ = cpu._feeds(path, path.with_name("calibrate.npz"), 5)
    expected = next(cpu._engines(path, feeds, 1))[2](feeds)
    found = torch_runs(path, feeds, 1)
    assert [numbers for numbers, _ in found] == kinds
    for numbers, run in found:
        assert cpu._difference(run(feeds), expected) < (1e-5 if numbers == "float32" else 0.1)
