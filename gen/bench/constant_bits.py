"""Bits of Verilog that no input can move, each in its module: what logic optimization proves.

A bit counts where Yosys, down at gates, finds a constant in its place: the upper zeros of a sum
that was widened, the gaps between counts, ports of no width.
"""

import json
import re
import tempfile
from pathlib import Path

from sparnn.gen.synth.yosys import run_yosys

__all__ = ["constant_bits", "declared"]

#: Names that Yosys gave to intermediate results: reading them again, it would not keep them.
_INNER = re.compile(r"\\\$(\w+) ")
_DECLARED = re.compile(
    r"^\s*(?:input|output|inout)?\s*(?:wire|reg)?\s*(?:signed)?\s*(?:\[(-?\d+):\d+\])?\s*"
    r"(\\\S+|[\w$.]+)\s*(?:=.*)?;$"
)
#: Gates, then whatever makes a gate's output a constant, again and again.
_ROUND = ("opt_expr -fine", "opt_merge", "opt_dff")
_COMMANDS = (
    "read_verilog renamed.v",
    "setattr -set keep 1 w:*",
    "hierarchy -auto-top",
    "proc -noopt",
    "opt_expr -fine",
    "techmap",
    *(_ROUND * 4),
    "opt_clean",
    "write_json bits.json",
)


def declared(line: str) -> tuple[str, int] | None:
    """The name that a line of Verilog declares and its width, None where it declares none; a
    memory is none."""
    match = _DECLARED.match(line)
    if match is None:
        return None
    return match[2].removeprefix("\\"), 1 if match[1] is None else int(match[1]) + 1


def constant_bits(verilog: str) -> frozenset[tuple[str, str, int]]:
    """Module, name and bit of each that is constant, whatever the module's inputs do.

    Raises
    ------
    SparnnError: Yosys is missing or fails.
    """
    with tempfile.TemporaryDirectory(prefix="sparnn-bits-") as name:
        folder = Path(name)
        (folder / "renamed.v").write_text(_INNER.sub(r"\\inner\1 ", verilog), encoding="utf-8")
        run_yosys(_COMMANDS, folder, "Looking for constants")
        modules = json.loads((folder / "bits.json").read_text(encoding="utf-8"))["modules"]
    return frozenset(
        (module, re.sub(r"^inner", "$", wire), bit)
        for module, content in modules.items()
        for wire, net in content["netnames"].items()
        for bit, value in enumerate(net["bits"])
        if isinstance(value, str)
    )
