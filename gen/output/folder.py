"""Writes an output folder whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sparnn.gen.errors import SparnnError

from .manifest import read_manifest

__all__ = ["check_replaceable", "written_aside"]


def check_replaceable(output: Path) -> None:
    """Refuse an output that would destroy something else.

    Raises
    ------
    SparnnError: it exists and is neither an empty folder nor one that sparnn wrote.
    """
    if not output.exists() and not output.is_symlink():
        return
    if output.is_symlink() or not output.is_dir():
        raise SparnnError(f"-o {output} exists and is not a folder; name another one")
    if not any(output.iterdir()):
        return
    try:
        read_manifest(output)
    except SparnnError:
        raise SparnnError(
            f"-o {output} holds files that sparnn did not write; name another folder or empty it"
        ) from None


@contextmanager
def written_aside(output: Path) -> Iterator[Path]:
    """A new folder beside ``output`` that takes its place at the end, or vanishes on an error.

    Raises
    ------
    SparnnError: see :func:`check_replaceable`.
    """
    output = output.absolute()
    check_replaceable(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    aside = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    previous = output.with_name(f".{output.name}.{os.getpid()}.old")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        if output.exists():
            output.replace(previous)
        try:
            aside.replace(output)
        except OSError:
            if previous.exists():
                previous.replace(output)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if output.exists():
            shutil.rmtree(previous, ignore_errors=True)
