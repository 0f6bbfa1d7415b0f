"""The smaller networks of examples/ in integers: as good as their READMEs say, or nearly."""

from pathlib import Path

import numpy as np
import pytest

import sparnn
from sparnn.gen.evaluate.metrics import find_metric

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def without_verilog(monkeypatch: pytest.MonkeyPatch) -> None:
    """The integers alone: `make zoo` runs the Verilog of all of them."""
    monkeypatch.setattr("sparnn.gen.compile.compile.kept_verilog", lambda config: "")


@pytest.mark.parametrize(
    ("model", "bits", "metric", "count", "least"),
    [
        ("motions/gru_pruned.onnx", 8, "accuracy", 20, 0.9),
        ("languages/lstm.onnx", 8, "accuracy", 60, 0.75),
        ("keywords/gru.onnx", 8, "accuracy", 25, 0.7),
        ("spoken/gru.onnx", 8, "accuracy", 25, 0.8),
        ("denoiser/gru.onnx", 8, f"{EXAMPLES}/denoiser/judge.py:quality", 4, 7.5),
    ],
)
def test_quality(model: str, bits: int, metric: str, count: int, least: float) -> None:
    file = EXAMPLES / model
    samples = file.with_name("calibrate.npz")
    compiled = sparnn.compile(file, calibrate=samples, lanes=1, weight_bits=bits, activation_bits=8)
    session = sparnn.InferenceSession(compiled)
    letters = model.startswith("languages")
    assert session.get_inputs()[0].type == ("tensor(int64)" if letters else "tensor(float)")
    with np.load(file.with_name("test.npz")) as opened:
        data = {name: array[:: max(1, len(array) // count)] for name, array in opened.items()}
    feeds = {one.name: data[one.name] for one in session.get_inputs()}
    outputs = dict(
        zip([one.name for one in session.get_outputs()], session.run(None, feeds), strict=True)
    )
    assert find_metric(metric).of(outputs, data) >= least
