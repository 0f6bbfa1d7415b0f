"""What ``--json FILE`` of every command does: ``-`` prints it."""

import json
import sys
from pathlib import Path

from sparnn.gen.errors import SparnnError

__all__ = ["check_json", "write_json"]


def check_json(json_file: str | None) -> None:
    """Refuse before a long run what could not be written after it.

    Raises
    ------
    SparnnError: it is a folder, or lies in none.
    """
    if json_file is None or json_file == "-":
        return
    file = Path(json_file)
    if file.is_dir():
        raise SparnnError(f"--json {file} is a folder: name a file in it")
    if not file.parent.is_dir():
        raise SparnnError(f"--json {file}: the folder {file.parent} does not exist: create it")


def write_json(content: object, json_file: str | None) -> None:
    """Write it aside and rename, so that a reader never finds half a file; nothing for None."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    if json_file == "-":
        sys.stdout.write(text)
    elif json_file is not None:
        file = Path(json_file)
        aside = file.with_name(f"{file.name}.new")
        aside.write_text(text, encoding="utf-8")
        aside.replace(file)
