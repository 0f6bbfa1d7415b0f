"""The memories of a design, read from its Verilog."""

import re

__all__ = ["memories"]


def memories(verilog: str, top: str) -> list[tuple[int, int, int]]:
    """(words, bits, copies) of every memory array of a design."""
    modules: dict[str, tuple[list[tuple[int, int]], list[str]]] = {}
    for match in re.finditer(
        r"^module \\?([^\s(]+).*?^endmodule", verilog, re.MULTILINE | re.DOTALL
    ):
        body = match[0]
        arrays = [
            (int(words) + 1, int(bits) + 1)
            for bits, words in re.findall(
                r"^\s*reg (?:signed )?\[(\d+):0\] \S+ +\[(\d+):0\];", body, re.MULTILINE
            )
        ]
        modules[match[1]] = (arrays, re.findall(r"^  \\?(\S+) +\\?\S+ +\($", body, re.MULTILINE))
    found: list[tuple[int, int, int]] = []

    def visit(name: str, copies: int) -> None:
        arrays, inside = modules[name]
        found.extend((words, bits, copies) for words, bits in arrays)
        for child in dict.fromkeys(inside):
            if child in modules:
                visit(child, copies * inside.count(child))

    visit(top, 1)
    return found
