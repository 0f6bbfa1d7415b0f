"""Keeps the results of long tools, named by the hash of everything that they follow from."""

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from sparnn.sim.verilate import cache_folder

from .errors import SparnnError

__all__ = ["kept", "key_of"]


def key_of(*parts: str | bytes) -> str:
    """The hash of a sequence of texts."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:32]


def kept(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder of that key; ``make`` fills it where it is not there yet.

    One process makes it, others wait. Nothing is kept of what fails.

    Raises
    ------
    SparnnError: the cache cannot be written; whatever ``make`` raises.
    """
    results = cache_folder() / kind
    folder = results / key
    try:
        results.mkdir(parents=True, exist_ok=True)
        lock = (results / f"{key}.lock").open("w")
    except OSError as error:
        raise SparnnError(
            f"the cache {results} cannot be written ({error.strerror or error}): set SPARNN_CACHE "
            "to a writable folder"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=results, prefix="new-") as aside:
                made = Path(aside) / "made"
                made.mkdir()
                make(made)
                shutil.move(made, folder)
    return folder
