"""Keeps what long simulations gave, so that a measurement that was stopped goes on where it was."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .cache import kept, key_of
from .hardware import DriverRun, run_driver

__all__ = ["kept_run"]


class _RunError(Exception):
    """A run that is not kept: what :func:`run_driver` gave."""


def kept_run(
    binary: Path, words: npt.NDArray[np.uint32], expected: int, options: Mapping[str, object]
) -> tuple[npt.NDArray[np.uint32], DriverRun, str | None]:
    """:func:`~sparnn.sim.verilator.hardware.run_driver`, once for the same program, input and
    options.

    A simulation is a function of these: a driver's folder is named by the hash of all that it is
    built from (:mod:`~sparnn.sim.verilator.verilate`). Seconds are those of the run that was made.
    Nothing is kept of a run that was given up.

    Raises
    ------
    SimulationError
        As run_driver; the cache cannot be written.
    """

    def make(folder: Path) -> None:
        answer, run, problem = run_driver(binary, words, expected, options)
        if problem is not None:
            raise _RunError(answer, run, problem)
        answer.astype("<u4").tofile(folder / "answer.bin")
        (folder / "run.json").write_text(json.dumps(asdict(run)) + "\n", encoding="utf-8")

    named = {name: value for name, value in options.items() if name != "--memory"}
    what = repr((expected, sorted(named.items())))
    memory = Path(str(options["--memory"])).read_bytes() if "--memory" in options else b""
    key = key_of(binary.parent.name, what, words.astype("<u4").tobytes(), memory)
    try:
        folder = kept("runs", key, make)
    except _RunError as error:
        answer, run, problem = error.args
        return answer, run, problem
    answer = np.fromfile(folder / "answer.bin", "<u4").astype(np.uint32)
    report = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return answer, DriverRun(**report), None
