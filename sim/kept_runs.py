"""Keeps what long simulations gave, so that a measurement that was stopped goes on where it was."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import SimulationError
from .hardware import DriverRun, run_driver
from .verilate import cache_folder

__all__ = ["kept_run"]


def kept_run(
    binary: Path, words: npt.NDArray[np.uint32], expected: int, options: Mapping[str, object]
) -> tuple[npt.NDArray[np.uint32], DriverRun, str | None]:
    """:func:`~sparnn.sim.hardware.run_driver`, once for the same program, input and options.

    A simulation is a function of these: a driver's folder is named by the hash of all that it is
    built from (:mod:`~sparnn.sim.verilate`). Seconds are those of the run that was made. Nothing is
    kept of a run that was given up.

    Raises
    ------
    SimulationError
        As run_driver; the cache cannot be written.
    """
    digest = hashlib.sha256()
    for part in (binary.parent.name, repr((expected, sorted(options.items())))):
        digest.update(part.encode() + b"\0")
    digest.update(words.astype("<u4").tobytes())
    folder = cache_folder() / "runs" / digest.hexdigest()[:32]
    if folder.is_dir():
        report = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        answer = np.fromfile(folder / "answer.bin", "<u4").astype(np.uint32)
        return answer, DriverRun(**report), None
    answer, run, problem = run_driver(binary, words, expected, options)
    if problem is None:
        _keep(folder, answer, run)
    return answer, run, problem


def _keep(folder: Path, answer: npt.NDArray[np.uint32], run: DriverRun) -> None:
    """Write aside, then rename."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix="new-"))
        try:
            answer.astype("<u4").tofile(aside / "answer.bin")
            (aside / "run.json").write_text(json.dumps(asdict(run)) + "\n", encoding="utf-8")
            with suppress(OSError):  # another process had the same to do
                aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise SimulationError(
            f"the cache {folder.parent} cannot be written ({error.strerror or error}): set "
            "SPARNN_CACHE to a writable folder"
        ) from error
