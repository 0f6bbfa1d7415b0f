"""RNNoise as published, whole: three parts on the machine, two concatenations on the host."""

import runpy
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from sparnn.gen.compile import compile_model
from sparnn.sim.runner import simulate

RNNOISE = Path(__file__).parents[2] / "examples" / "rnnoise"
MODEL = RNNOISE / "rnnoise.onnx"
FRAMES = 12
#: The least machine that holds it, so that its simulation is built fast.
MACHINE = """
lanes = 2
max_v = 1
columns = 160
mask_depth = 16384
weight_depth = 65536
parameter_depth = 1024
store_depth = 16384
reset_first = 1
cell_functions = 1
"""


def test_the_file_is_what_the_weights_give() -> None:
    build = runpy.run_path(str(RNNOISE / "build_onnx.py"))["rnnoise"]
    with np.load(RNNOISE / "weights.npz") as weights:
        made = onnxruntime.InferenceSession(build(weights).SerializeToString())
    with np.load(RNNOISE / "input.npz") as file:
        feeds = {"x": file["x"][:FRAMES]}
    for one, other in zip(
        made.run(None, feeds), onnxruntime.InferenceSession(MODEL).run(None, feeds), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.deep
@pytest.mark.xdist_group("rnnoise")
def test_gains_of_speech_in_noise(tmp_path: Path) -> None:
    """Bit exact, and near the float network from end to end."""
    (tmp_path / "m.toml").write_text(MACHINE)
    compile_model(
        MODEL, RNNOISE / "calibrate.npz", tmp_path / "out", config=str(tmp_path / "m.toml")
    )
    with np.load(RNNOISE / "input.npz") as file:
        x = file["x"][60 : 60 + FRAMES]
    np.savez(tmp_path / "x.npz", x=x)
    report = simulate(tmp_path / "out", tmp_path / "x.npz", output=tmp_path / "y.npz")
    assert report.bit_exact, report.first_mismatch
    gains, vad = onnxruntime.InferenceSession(MODEL).run(["gains", "vad"], {"x": x})
    with np.load(tmp_path / "y.npz") as given:
        assert np.abs(given["gains"] - gains).mean() < 0.01
        assert np.abs(given["vad"] - vad).max() < 0.05
