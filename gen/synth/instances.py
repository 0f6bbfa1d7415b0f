"""The modules of a design, how often each stands in it, and what each places."""

import re
from collections import Counter
from collections.abc import Iterator

__all__ = ["instances"]

_MODULE = re.compile(r"^module \\?([^\s(]+).*?^endmodule", re.MULTILINE | re.DOTALL)
_INSTANCE = re.compile(r"^  \\?(\S+) +\\?(\S+) +\($", re.MULTILINE)


def instances(verilog: str, top: str) -> Iterator[tuple[str, int, list[tuple[str, str]], str]]:
    """Of each module below and with ``top``: its name, its copies in the design, (name, module) of
    what it places, and its text. What it places may be a module that the text does not hold."""
    bodies = {match[1]: match[0] for match in _MODULE.finditer(verilog)}
    inside = {
        module: [(name, kind) for kind, name in _INSTANCE.findall(body) if kind != "module"]
        for module, body in bodies.items()
    }
    copies: Counter[str] = Counter()

    def visit(module: str, number: int) -> None:
        copies[module] += number
        for child, often in Counter(kind for _, kind in inside[module]).items():
            if child in bodies:
                visit(child, number * often)

    visit(top, 1)
    for module, number in copies.items():
        yield module, number, inside[module], bodies[module]
