"""Finds the programs of the open flow: a native one on PATH, else the packaged one."""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

from sparnn.gen.errors import SparnnError

__all__ = ["find_nextpnr", "find_tool"]


def find_tool(name: str) -> str:
    """Path of a program: on PATH, else `yowasp-NAME` or NAME beside this Python.

    Raises
    ------
    SparnnError: it is nowhere.
    """
    beside = Path(sys.executable).parent
    candidates = (
        shutil.which(name),
        beside / f"yowasp-{name}",
        shutil.which(f"yowasp-{name}"),
        beside / name,
    )
    for found in candidates:
        if found is not None and Path(found).is_file():
            return str(found)
    raise SparnnError(f"{name} is not installed: pip install 'sparnn[synth]', or put it on PATH")


def find_nextpnr(name: str) -> tuple[str, str]:
    """Path and version of a nextpnr.

    Raises
    ------
    SparnnError: it is nowhere.
    """
    try:
        program = find_tool(name)
    except SparnnError:
        raise SparnnError(
            f"place and route needs {name}: install it with pip install yowasp-{name}, put {name} "
            f"on PATH, or use --no-pnr"
        ) from None
    if Path(program).name == f"yowasp-{name}":
        return program, f"yowasp-{name} {importlib.metadata.version(f'yowasp-{name}')}"
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return program, (done.stdout + done.stderr).strip()
