"""`sparnn bench sharp` by the cycle model: its figures and its refusals."""

import json
import subprocess
from collections.abc import Callable

import pytest

Sparnn = Callable[..., subprocess.CompletedProcess[str]]


def test_points(sparnn: Sparnn) -> None:
    done = sparnn(
        *("bench", "sharp", "--macs", "1024", "4096", "--hidden", "64", "100"),
        *("--model", "--json", "-"),
    )
    assert done.returncode == 0, done.stderr
    points = json.loads(done.stdout)
    assert [(one["macs"], one["hidden"]) for one in points] == [
        (1024, 64),
        (1024, 100),
        (4096, 64),
        (4096, 100),
    ]
    for one in points:
        assert one["cycles"] == one["model_cycles"]
        true = 8 * one["hidden"] ** 2 * one["steps"]
        assert one["utilization"] == pytest.approx(true / (one["macs"] * one["cycles"]))
        assert 0.5 < one["utilization"] < 1 or one["macs"] == 4096


def test_unknown_size(sparnn: Sparnn) -> None:
    done = sparnn("bench", "sharp", "--macs", "5", "--hidden", "64", "--model")
    assert done.returncode == 2
    assert "no machine of 5 MAC units" in done.stderr
