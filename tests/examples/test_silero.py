"""The LSTM of silero-vad: speech probabilities of the integers, and the Verilog on first frames."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sparnn.gen.compile import compile_model
from sparnn.sim.golden.run import run_golden
from sparnn.sim.runner import simulate

SILERO = Path(__file__).parents[2] / "examples" / "silero"
#: That the Verilog runs.
FRAMES = 64


def compared(hidden):
    """What examples/silero/compare.py says about a hidden sequence."""
    done = subprocess.run(
        [sys.executable, str(SILERO / "compare.py"), str(hidden), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("bits", "most"), [(8, 0.05), (10, 0.03)])
def test_speech_probabilities(bits, most, tmp_path):
    compile_model(
        SILERO / "lstm.onnx",
        SILERO / "calibrate.npz",
        tmp_path / "out",
        lanes=1,
        activation_bits=bits,
    )
    run_golden(tmp_path / "out", SILERO / "input.npz", tmp_path / "h.npz")
    result = compared(tmp_path / "h.npz")
    assert result["frames"] >= 300
    assert result["max_abs_difference"] < most
    assert result["decisions_changed"] == 0


@pytest.mark.xdist_group("examples")
def test_verilog(machine_file, tmp_path):
    """On the first frames; the golden model, which it equals, runs all of them above."""
    compile_model(
        SILERO / "lstm.onnx",
        SILERO / "calibrate.npz",
        tmp_path / "out",
        config=str(machine_file),
    )
    with np.load(SILERO / "input.npz") as data:
        np.savez(tmp_path / "x.npz", x=data["x"][:FRAMES])
    report = simulate(tmp_path / "out", tmp_path / "x.npz")
    assert report.bit_exact, report.first_mismatch
    assert report.steps == FRAMES


@pytest.mark.parametrize("shape", [(453, 64), (10, 128)])
def test_compare_refuses_other_shapes(shape, tmp_path):
    np.savez(tmp_path / "h.npz", y=np.zeros(shape, np.float32))
    done = subprocess.run(
        [sys.executable, str(SILERO / "compare.py"), str(tmp_path / "h.npz")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "the reference needs (453, 1, 128)" in done.stderr
