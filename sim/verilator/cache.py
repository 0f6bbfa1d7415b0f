"""Keeps what long tools and simulations gave, named by the hash of everything that it follows from.

It lies in a cache of the user: $SPARNN_CACHE, else $XDG_CACHE_HOME/sparnn, else ~/.cache/sparnn.
"""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from sparnn.sim.errors import SimulationError

__all__ = ["cache_folder", "kept", "key_of"]


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
