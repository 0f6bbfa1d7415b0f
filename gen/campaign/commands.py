"""Pieces of work that are commands: what repeats one by hand is what a campaign runs."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

__all__ = ["command_result"]

#: Of what a command that failed said, the last so many characters are kept.
_SAID = 4000


def command_result(command: Sequence[str]) -> dict[str, Any]:
    """The JSON object that a command prints as its last line; ``failure``: what it said, where it
    ended with another status than 0."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failure": (done.stdout + done.stderr)[-_SAID:].strip() or "it said nothing"}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
