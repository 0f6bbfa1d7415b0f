"""The memories of a design, read from its Verilog."""

import re

from .instances import instances

__all__ = ["ARRAY", "memories"]

ARRAY = re.compile(r"^\s*reg (?:signed )?\[(\d+):0\] (\S+) +\[(\d+):0\];", re.MULTILINE)
"""A memory array: last bit, name, last word."""


def memories(verilog: str, top: str) -> list[tuple[int, int, int]]:
    """(words, bits, copies) of every memory array of a design."""
    return [
        (int(words) + 1, int(bits) + 1, copies)
        for _, copies, _, body in instances(verilog, top)
        for bits, _, words in ARRAY.findall(body)
    ]
