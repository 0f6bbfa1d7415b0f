"""Yosys, as the Python library `pyosys` brings it: the one place that starts it."""

import importlib.metadata
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sparnn.gen.errors import SparnnError
from sparnn.sim.progress import progress

__all__ = ["run_yosys", "yosys_share", "yosys_version"]

_RUNNER = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.stdin.read().splitlines():
    libyosys.run_pass(command, design)
"""


def run_yosys(commands: Sequence[str], folder: Path, title: str) -> str:
    """Run Yosys commands in a folder; its log, which is also kept there as ``yosys.log``.

    In a process of its own: Yosys ends the process on an error, and keeps its memory.

    Raises
    ------
    SparnnError: it is missing or fails.
    """
    _location()
    with progress(title):
        done = subprocess.run(
            [sys.executable, "-c", _RUNNER],
            input="\n".join(commands),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
        said = errors[-1] if errors else "Yosys stopped without a word"
        raise SparnnError(f"synthesis fails: {said}")
    (folder / "yosys.log").write_text(done.stdout, encoding="utf-8")
    return done.stdout


def yosys_share() -> Path:
    """Yosys' share folder: simulation models of the families' cells.

    Raises
    ------
    SparnnError: Yosys is missing.
    """
    return _location().parent / "share"


def yosys_version() -> str:
    """The version of pyosys, part of what results are kept by."""
    try:
        return importlib.metadata.version("pyosys")
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _location() -> Path:
    spec = importlib.util.find_spec("pyosys")
    if spec is None or spec.origin is None:
        raise SparnnError(
            "synthesis needs Yosys, pyosys is not installed: pip install 'sparnn[synth]'"
        )
    return Path(spec.origin)
