"""Keeps what long tools and simulations gave, named by the hash of everything that it follows from.

It lies in a cache of the user: $SPARNN_CACHE, else $XDG_CACHE_HOME/sparnn, else ~/.cache/sparnn.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from sparnn.sim.errors import SimulationError

__all__ = ["cache_folder", "drop_old", "kept", "key_of", "sources"]

_ROOT = Path(__file__).resolve().parents[2]


def cache_folder() -> Path:
    """Where everything is kept."""
    own = os.environ.get("SPARNN_CACHE", "")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(shared) if shared else Path.home() / ".cache") / "sparnn"


def key_of(*parts: str | bytes) -> str:
    """The hash of a sequence of texts."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:32]


@cache
def sources(*rooms: str) -> str:
    """The hash of sparnn's own source in these folders, for what follows from it."""
    digest = hashlib.sha256()
    for room in rooms:
        for path in sorted((_ROOT / room).rglob("*")):
            if path.suffix in {".py", ".cpp", ".h", ".json"}:
                digest.update(f"{path.relative_to(_ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def kept(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder of that key; ``make`` fills it where it is not there yet.

    It is made aside, then renamed: one process makes it, others wait. Nothing is kept of what
    fails. The folder's time is that of its last use.

    Raises
    ------
    SimulationError: the cache cannot be written.
    Exception: whatever ``make`` raises.
    """
    results = cache_folder() / kind
    folder = results / key
    try:
        results.mkdir(parents=True, exist_ok=True)
        with (results / f"{key}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                with tempfile.TemporaryDirectory(dir=results, prefix="new-") as aside:
                    made = Path(aside) / "made"
                    made.mkdir()
                    make(made)
                    made.rename(folder)
            os.utime(folder)
    except OSError as error:
        raise SimulationError(
            f"the cache {results} cannot be written ({error.strerror or error}): set SPARNN_CACHE "
            "to a writable folder"
        ) from error
    return folder


def drop_old(results: Path, most: int) -> None:
    """Remove what was used longest ago, but for so many folders and those of the last hour."""
    used: list[tuple[float, Path]] = []
    for path in results.iterdir():
        with suppress(FileNotFoundError):  # another process has finished it, or dropped it
            if path.is_dir():
                used.append((path.stat().st_mtime, path))
    for time_used, path in sorted(used, reverse=True)[most:]:
        if time.time() - time_used > 3600:
            shutil.rmtree(path, ignore_errors=True)
