"""Results that stay: one JSON file for each piece of work, named by the hash of what it is of."""

import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

from sparnn.gen.errors import SparnnError
from sparnn.sim.verilator.cache import sources

__all__ = ["Store", "code_digest"]

_VERSION = 2
#: Of names of files that are being written.
_ASIDE = ".new-"


def code_digest() -> str:
    """Of all of sparnn's own source: results of other code are not taken for this one's."""
    return sources("hdl", "sim", "gen")


class Store:
    """A folder of results. Several processes and machines may share it: a file appears whole.

    Parameters
    ----------
    campaign: what its results are of, a word. what: all that they depend on beside a piece of work.

    Raises
    ------
    SparnnError: the folder holds something else, or results of another version.
    """

    def __init__(self, folder: Path, campaign: str, what: dict[str, Any]) -> None:
        self.folder = folder
        self._what = what | {"version": _VERSION}
        head = folder / f"{campaign}.json"
        if head.is_file():
            try:
                found = json.loads(head.read_text(encoding="utf-8"))
            except ValueError:
                found = None
            if not isinstance(found, dict) or found.get("version") != _VERSION:
                raise SparnnError(f"{folder} holds results of another version: name a new folder")
            return
        if folder.is_dir() and any(not one.name.startswith(_ASIDE) for one in folder.iterdir()):
            raise SparnnError(f"{folder} is not empty and has no {head.name}: name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        _write(head, {"version": _VERSION})

    def key(self, kind: str, content: Any) -> str:
        """The name of a piece of work, which depends on the code and the network too."""
        text = json.dumps([kind, self._what, content], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def get(self, kind: str, key: str) -> Any | None:
        """What is there; None where it is not, or where a file is damaged."""
        try:
            found = json.loads((self.folder / kind / f"{key}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return found["result"] if isinstance(found, dict) and found.get("of") == key else None

    def put(self, kind: str, key: str, content: Any) -> None:
        folder = self.folder / kind
        folder.mkdir(exist_ok=True)
        _write(folder / f"{key}.json", {"of": key, "result": content})


def _write(path: Path, content: Any) -> None:
    # A plain file, which others may read where the folder is shared by several users.
    aside = path.with_name(f"{_ASIDE}{os.getpid()}-{uuid.uuid4().hex}")
    try:
        aside.write_text(json.dumps(content, indent=1), encoding="utf-8")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
