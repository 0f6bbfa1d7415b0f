"""`bench cpu`: outputs are compared before anything is timed."""

from pathlib import Path

import numpy as np
import pytest

from sparnn.gen.bench import cpu
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
    def engines(model, threads):
        for factor in (1.0, 1.001):
            yield "onnxruntime", "float32", lambda feeds, factor=factor: [factor * np.ones(3)]

    monkeypatch.setattr(cpu, "_engines", engines)
    with pytest.raises(SparnnError, match=r"differs by 0\.001 from ONNX Runtime"):
        cpu.measure_cpu(DIGITS / "lstm.onnx", DIGITS / "calibrate.npz", threads=(1,), calls=10)
