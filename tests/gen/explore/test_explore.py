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

from sparnn.gen.explore.models import model_points
from sparnn.gen.explore.page import write_page
from sparnn.gen.explore.run import Exploration, model_digest
from sparnn.gen.explore.space import Point

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
        (["--scheduler", "tls://127.0.0.1:9"], "no Dask scheduler answers there"),
        (["--calibrate", "x.npz"], "1 models and --calibrate 2 times"),
        (["model.onnx", "--calibrate", "x.npz"], "two models are called model"),
        (["--metric", "mse"], "--metric mse: there is nothing to evaluate; name --data as well"),
        (["--data", "x.npz", "--metric", "mad"], "--metric mad: use one of accuracy"),
        (["--data", "x.npz", "--metric", "mse"], "x.npz: the data hold ['x'] and no target"),
        (["--points", "3", "--trials", "3"], "leave one out"),
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
        (f"rows = {list(range(64, 1024))}\ncolumns = {list(range(64, 1200))}", "1,090,560 points"),
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
    (tmp_path / "found" / "optuna.journal").write_text("no journal\n")
    broken = subprocess.run(
        run, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert broken.returncode == 2
    assert "optuna.journal cannot be read: remove it" in broken.stderr


def test_a_model_that_cannot_be_read(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("no model")
    done = subprocess.run(
        arguments, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert "model.onnx" in done.stderr
    assert "no point of the space" not in done.stderr
    assert not (tmp_path / "found").exists()


def test_weights_beside_the_model(tmp_path: Path) -> None:
    """Results are of the weights, wherever they are."""
    g = Graph(5)
    x = g.input("x", ["time", "batch", 4])
    y, _ = g.recurrent("RNN", x, 4, 50)
    g.output(g.squeeze(y, 1), "y")
    model, weights = tmp_path / "model.onnx", tmp_path / "weights.bin"
    onnx.save(g.model(), model, save_as_external_data=True, location=weights.name)
    before, text = model_digest(model), model.read_bytes()
    assert model_digest(model) == before
    content = weights.read_bytes()
    weights.write_bytes(content[:-4] + content[4:8])
    assert model_digest(model) != before
    assert model.read_bytes() == text


def test_a_corrected_metric_is_evaluated(arguments: list[str], tmp_path: Path) -> None:
    """What a metric of one's own gave is not taken for what it gives after a change."""
    metric = tmp_path / "own.py"
    run = [*arguments, "--points", "2", "--workers", "1", "--json", "found.json"]
    run += ["--data", "data.npz", "--metric", "own.py:share"]
    for text, status in (("wrong", 2), ("0.25", 0), ("0.5", 0)):
        metric.write_text(f"def share(outputs, data):\n    return {text}\n")
        done = subprocess.run(
            run, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == status, done.stderr
        if status:
            assert "share fails (NameError" in done.stderr
        else:
            (found,) = json.loads((tmp_path / "found.json").read_text())
            assert {one["quality"] for one in found["front"]} == {float(text)}


def test_dense_machines(arguments: list[str], tmp_path: Path) -> None:
    """Those whose kind was measured have areas, whether or not a board takes them."""
    values = {"lanes": 4, "width": 4, "banks": 1}
    values |= {"gate_depth": 16, "operand_stage": 1, "post_stages": 2}
    good, other = (
        Point("dense", tuple(sorted((values | more).items())), prune)
        for more, prune in (({}, 0.5), ({"gate_depth": 0}, 0.0))
    )
    files = tmp_path / "model.onnx", tmp_path / "x.npz"
    (found,) = model_points(*files, "ulx3s", [good])
    assert found["short"] == ""
    assert found["mac_units"] == 16
    assert 1000 < found["lut"] < 20000
    assert found["energy_nj"] > 0
    (found,) = model_points(*files, "ulx3s", [other])
    assert found["reason"] == "no machine with gate_depth = 0 was measured on Lattice ECP5"


def test_points_without_a_measurement(tmp_path: Path) -> None:
    """They are told with their reason, in the lines, the JSON and the page."""
    values = {"lut": 5, "memory_bits": 8, "energy_nj": 1.0, "bram": 1, "short": ""}
    points = [
        {"point": Point("sparse", (("lanes", lanes),)).as_dict(), **values}
        | {"cycles_per_step": 9.0 + lanes, "first_cycles": 9.0, "steady_cycles": 9.0 + lanes}
        for lanes in (1, 2)
    ]
    measured = {"cycles_per_step": 11.0, "steps": 2, "sequences": 1, "bit_exact": True}
    commands = {0: "sparnn compile a", 1: "sparnn compile b"}
    failed = {"reason": "it hangs"}
    one = Exploration(
        "m.onnx", "ulx3s", points, [0], {}, {0: failed, 1: measured}, {1: {"lut": 4}}, commands
    )
    lines = "\n".join(one.lines())
    assert "not simulated  1 of these, the first: it hangs" in lines
    assert "not synthesized" not in lines
    (beside,) = one.as_dict()["measured_beside"]
    assert beside["simulated"] == measured
    assert beside["command"] == "sparnn compile b"
    page = write_page(one, tmp_path / "page.html").read_text()
    assert "it hangs" in page
    assert "Measured beside them" in page
    assert "sparnn compile b" in page
