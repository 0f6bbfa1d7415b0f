"""Components to Verilog text, each distinct one once."""

import gc
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from amaranth.back import rtlil, verilog
from amaranth.lib import wiring

__all__ = ["modules_verilog"]


def modules_verilog(parts: Iterable[tuple[wiring.Component, str]]) -> str:
    """Components that place one another by these module names, each once, as one text.

    Yosys sees all of them at once: half of its time is its start.
    """
    with _without_zeroes(), _without_collection():
        texts = [rtlil.convert(component, name=name, emit_src=False) for component, name in parts]
    text = verilog._convert_rtlil_text("\n".join(texts), strip_internal_attrs=True)
    return _with_loops(text)


@contextmanager
def _without_collection() -> Iterator[None]:
    """No search for garbage: Amaranth makes millions of objects and throws few away, so that a
    quarter of its time would go into it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _without_zeroes() -> Iterator[None]:
    """Amaranth writes no initial values of memories that are all zero.

    It would write every bit of them, and Yosys a line for every word: most of the time that the
    Verilog of a machine takes, and most of its text. :func:`_with_loops` puts a loop there.
    """
    emit = rtlil.ModuleEmitter.emit_memory

    def emit_memory(self: Any, cell_idx: int, cell: Any) -> None:
        if any(cell.init):
            emit(self, cell_idx, cell)

    rtlil.ModuleEmitter.emit_memory = emit_memory
    try:
        yield
    finally:
        rtlil.ModuleEmitter.emit_memory = emit


#: A memory, its attributes before it, and what follows.
_MEMORY = re.compile(
    r"(?P<attributes>(?:  \(\*.*\*\)\n)*)"
    r"  reg (?P<width>\[\d+:0\] )?(?P<name>\\\S+ |[^\\ ]+) ?\[(?P<last>\d+):0\];\n"
    r"(?!  initial begin\n    (?P=name)\[)"
)


def _with_loops(text: str) -> str:
    """Zero every memory that has no initial values, but for large ones: those have none at all
    (hdl/sparse/lane/lane_memory.py)."""

    def loop(match: re.Match[str]) -> str:
        if 'ram_style = "huge"' in match["attributes"]:
            return match[0]
        number = next(numbers)
        width = int(match["width"][1:].split(":")[0]) + 1 if match["width"] else 1
        return (
            f"{match[0]}"
            f"  initial begin : zero_{number}\n"
            f"    integer i;\n"
            f"    for (i = 0; i <= {match['last']}; i = i + 1) {match['name']}[i] = {width}'d0;\n"
            f"  end\n"
        )

    numbers = iter(range(1 << 20))
    return _MEMORY.sub(loop, text)
