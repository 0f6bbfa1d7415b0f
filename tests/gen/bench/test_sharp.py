"""`sparnn bench sharp` by the cycle model: its figures and its refusals."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sparnn.gen.bench.padding_table import padding_table

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


@pytest.mark.deep
def test_several_workers_say_the_same(sparnn: Sparnn) -> None:
    sizes = ("--macs", "1024", "4096", "--hidden", "64")
    command = ("bench", "sharp", *sizes, "--model", "--json", "-")
    alone, several = (sparnn(*command, *more) for more in ((), ("--workers", "2")))
    assert several.returncode == 0, several.stderr
    points = [json.loads(one.stdout) for one in (alone, several)]
    assert points[0] == sorted(points[1], key=lambda one: one["macs"])


def test_unknown_size(sparnn: Sparnn) -> None:
    done = sparnn("bench", "sharp", "--macs", "5", "--hidden", "64", "--model")
    assert done.returncode == 2
    assert "no machine of 5 MAC units" in done.stderr


def test_schedules_are_compared_and_drawn(sparnn: Sparnn, tmp_path: Path) -> None:
    plot = tmp_path / "schedules.svg"
    done = sparnn(
        *("bench", "schedules", "--macs", "1024", "--hidden", "64", "--steps", "5"),
        *("--json", "-", "--plot", str(plot)),
    )
    assert done.returncode == 0, done.stderr
    cycles = {one["schedule"]: one["cycles"] for one in json.loads(done.stdout)}
    assert list(cycles) == ["sequential", "batch", "intergate", "unfolded", "epur"]
    assert cycles["unfolded"] == min(cycles.values())
    assert cycles["intergate"] < cycles["sequential"]
    assert "<svg" in plot.read_text()


def test_padding_is_drawn(sparnn: Sparnn, tmp_path: Path) -> None:
    plot = tmp_path / "padding.svg"
    done = sparnn(
        *("bench", "padding", "--macs", "1024", "--hidden", "64", "100", "--steps", "5"),
        *("--json", "-", "--plot", str(plot)),
    )
    assert done.returncode == 0, done.stderr
    gains = [one["gain"] for one in json.loads(done.stdout)]
    assert gains[0] == 1
    assert gains[1] > 1.05
    assert "<svg" in plot.read_text()


def test_directions_and_blocks(sparnn: Sparnn) -> None:
    """Two directions cost less than twice one; a quarter of the blocks less than all of them."""

    def cycles(*options: str) -> int:
        done = sparnn(
            *("bench", "sharp", "--macs", "1024", "--hidden", "128", "--model", "--json", "-"),
            *options,
        )
        assert done.returncode == 0, done.stderr
        return int(json.loads(done.stdout)[0]["cycles"])

    dense = cycles()
    assert dense < cycles("--directions", "2") < 2 * dense
    assert cycles("--density", "0.25") < 0.8 * dense


def test_padding_table() -> None:
    points = [
        {"macs": 1024, "hidden": hidden, "gain": gain} for hidden, gain in ((64, 1.0), (100, 1.2))
    ]
    (row,) = padding_table(points, "2026-01-01")["rows"]
    assert (row["size"], row["units"]) == ("1K", 100)
    assert (round(row["most"]), round(row["mean"])) == (20, 10)
