"""Components to Verilog text, each distinct one once."""

import re
from collections.abc import Iterable

from amaranth.back import verilog
from amaranth.lib import wiring

__all__ = ["modules_verilog"]


def modules_verilog(parts: Iterable[tuple[wiring.Component, str]]) -> str:
    """Components that place one another by these module names, each once, as one text."""
    return "\n".join(
        _fold_zeroes(
            verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True)
        )
        for component, name in parts
    )


#: A memory's initial block: one assignment per entry, all of them zero.
_ZEROES = re.compile(
    r"  initial begin\n"
    r"    (?P<name>\S+ ?)\[0\] = (?P<zero>\d+'[dh]0+);\n"
    r"(?:    (?P=name)\[\d+\] = (?P=zero);\n)*"
    r"  end\n"
)


#: What stands before the initial block of a memory that has no initial values.
_HUGE = re.compile(r'\(\* ram_style = "huge" \*\)\n(?:  \(\*.*\*\)\n)*  reg .*;\n$')


def _fold_zeroes(text: str) -> str:
    """Write a zeroed memory as a loop: a line per entry would be most of the file.

    A large memory (hdl/sparse/lane/lane_memory.py) has no initial values.
    """

    def loop(match: re.Match[str]) -> str:
        if _HUGE.search(text[max(0, match.start() - 500) : match.start()]):
            return ""
        name, zero = match["name"], match["zero"]
        last = match[0].rstrip().rsplit("[", 1)[1].split("]")[0]
        return (
            f"  initial begin : zero_{match.start()}\n"
            f"    integer i;\n"
            f"    for (i = 0; i <= {last}; i = i + 1) {name}[i] = {zero};\n"
            f"  end\n"
        )

    return _ZEROES.sub(loop, text)
