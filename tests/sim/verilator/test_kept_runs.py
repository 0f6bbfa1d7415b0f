"""Kept simulations: one run of the same thing, another of anything else."""

from pathlib import Path

import numpy as np
import pytest

from sparnn.sim.errors import SimulationError
from sparnn.sim.verilator import kept_runs as module
from sparnn.sim.verilator.hardware import DriverRun
from sparnn.sim.verilator.kept_runs import kept_run

DRIVER = Path("builds", "0123", "driver")
WORDS = np.arange(6, dtype=np.uint32)


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """What is simulated: the answer counts the runs; a run that expects 13 words is given up."""
    made = []

    def run_driver(binary, words, expected, options):
        made.append((binary, words, expected, options))
        run = DriverRun(100, 0.5, 40)
        return np.array([len(made)], np.uint32), run, "no word" if expected == 13 else None

    monkeypatch.setattr(module, "run_driver", run_driver)
    monkeypatch.setenv("SPARNN_CACHE", str(tmp_path / "cache"))
    return made


def test_once(runs):
    for _ in range(2):
        answer, run, problem = kept_run(DRIVER, WORDS, 1, {"--mark": 3, "--watchdog": 9})
        assert answer.tolist() == [1]
        assert answer.dtype == np.uint32
        assert run == DriverRun(100, 0.5, 40)
        assert problem is None
    assert len(runs) == 1


def test_anything_else_is_another_run(runs):
    for arguments in (
        (DRIVER, WORDS, 1, {"--mark": 3}),
        (Path("builds", "4567", "driver"), WORDS, 1, {"--mark": 3}),
        (DRIVER, WORDS[:5], 1, {"--mark": 3}),
        (DRIVER, WORDS, 2, {"--mark": 3}),
        (DRIVER, WORDS, 1, {"--mark": 4}),
    ):
        kept_run(*arguments)
    assert len(runs) == 5


def test_a_run_that_was_given_up_is_not_kept(runs):
    for count in (1, 2):
        answer, _, problem = kept_run(DRIVER, WORDS, 13, {})
        assert (answer.tolist(), problem) == ([count], "no word")


def test_unwritable_cache(runs, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPARNN_CACHE", str(tmp_path / "file"))
    with pytest.raises(SimulationError, match="SPARNN_CACHE"):
        kept_run(DRIVER, WORDS, 1, {})
