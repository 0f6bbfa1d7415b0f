"""A tiny exploration: killed in the middle, gone on with, and measured on its Verilog."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from support.onnx_builder import Graph

SPACE = """
[grid]
lanes = [1, 2, 3]
chunk = [16, 32]
weight_bits = [6, 8]
"""


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    g = Graph(5)
    x = g.input("x", ["time", "batch", 4])
    y, _ = g.recurrent("RNN", x, 4, 5, bias=True)
    g.output(g.squeeze(y, 1), "y")
    onnx.save(g.model(), tmp_path / "model.onnx")
    rng = np.random.default_rng(7)
    samples = rng.normal(size=(9, 2, 4)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=samples)
    np.savez(
        tmp_path / "data.npz", x=samples, target=float_outputs(tmp_path / "model.onnx", samples)
    )
    (tmp_path / "space.toml").write_text(SPACE)
    files = ["model.onnx", "--calibrate", "x.npz", "--space", "space.toml", "-o", "found"]
    return [sys.executable, "-m", "sparnn.gen.cli", "explore", *files]


def float_outputs(model: Path, samples: np.ndarray) -> np.ndarray:
    (y,) = ort.InferenceSession(model).run(None, {"x": samples})
    return y


def results(folder: Path, kind: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob(f"found/{kind}/*.json")}


def test_a_killed_run_goes_on(arguments: list[str], tmp_path: Path) -> None:
    with subprocess.Popen(
        arguments, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True
    ) as first:
        end = time.monotonic() + 120
        while not results(tmp_path, "models") and time.monotonic() < end:
            time.sleep(0.02)
        os.killpg(first.pid, signal.SIGKILL)
    before = results(tmp_path, "models")
    assert before
    again = [*arguments, "--simulate", "1", "--workers", "1", "--json", "found.json"]
    again += ["--data", "data.npz", "--metric", "mse"]
    done = subprocess.run(
        again, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    after = results(tmp_path, "models")
    assert len(after) == 6  # placements; three lanes of one post unit are a machine too
    assert before.items() <= after.items()
    (found,) = json.loads((tmp_path / "found.json").read_text())
    assert found["points"] == 12
    assert found["simulated"] == 1
    assert found["bit_exact"]
    (error,) = found["errors"]["cycles"]
    assert abs(error) < 0.5  # a network of 45 weights waits more than it multiplies
    assert len(results(tmp_path, "evaluated")) == 2  # bits of weights alone matter to the outputs
    quality = {one["point"]["values"]["weight_bits"]: one["quality"] for one in found["front"]}
    assert 0 < quality[8] < quality[6]
    page = (tmp_path / "found" / "explore.html").read_text()
    assert "<th>mse</th>" in page
    for one in found["front"]:
        assert one["command"] in page
        assert (tmp_path / one["command"].split("--config ")[1].split()[0]).is_file()
    # The command is followed once.
    words = found["front"][0]["command"].split()[1:]
    subprocess.run(
        [sys.executable, "-m", "sparnn.gen.cli", *words],
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=True,
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler answers there"),
        (["--calibrate", "x.npz"], "1 models and --calibrate 2 times"),
    ],
)
def test_refusals(arguments: list[str], tmp_path: Path, more: list[str], said: str) -> None:
    done = subprocess.run(
        [*arguments, *more], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("lanes = [3]\npost_units = [2]", "no point of the space is a machine for this network"),
        ("lanes = [64]\nweight_bits = [16]\nactivation_bits = [16]", "holds the network on ulx3s"),
    ],
)
def test_no_point_holds_the_network(
    arguments: list[str], tmp_path: Path, space: str, said: str
) -> None:
    (tmp_path / "space.toml").write_text(f"[grid]\n{space}\n")
    done = subprocess.run(
        arguments, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_search_goes_on(arguments: list[str], tmp_path: Path) -> None:
    """So many trials, of the grid's points, from the journal where there is one."""
    for trials in (4, 30):
        run = [*arguments, "--trials", str(trials), "--workers", "1", "--json", "found.json"]
        done = subprocess.run(
            run, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        (found,) = json.loads((tmp_path / "found.json").read_text())
        assert found["points"] + sum(found["failed"].values()) <= min(12, trials)
    assert found["points"] > 4
    both = subprocess.run(
        [*arguments, "--trials", "4", "--points", "4"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert both.returncode == 2
    assert "leave one out" in both.stderr
