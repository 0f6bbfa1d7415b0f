"""The mapped netlist of a design as Verilog that simulates: cells and their models."""

import re
from collections.abc import Iterable
from pathlib import Path

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.emit import VERILOG
from sparnn.gen.targets import Target, find_target
from sparnn.hdl.emit import TOP_MODULE
from sparnn.sim.verilator.cache import kept, key_of

from .mapping import synthesize
from .yosys import yosys_share, yosys_version

__all__ = ["netlist_file", "netlist_verilog"]

_MODELS = Path(__file__).parents[1] / "targets" / "models"
_MODULE = re.compile(r"^module \\?([^\s(#]+).*?\bendmodule\b", re.MULTILINE | re.DOTALL)
_SPECIFY = re.compile(r"^\s*specify\b.*?^\s*endspecify\b", re.MULTILINE | re.DOTALL)

#: It knows no defaults of ports, warns of models that start memories by <=, and takes bits of a
#: vector that follow from others for a loop.
_FOR_VERILATOR = (
    "`define NO_ICE40_DEFAULT_ASSIGNMENTS\n"
    "/* verilator lint_off INITIALDLY */\n"
    "/* verilator lint_off UNOPTFLAT */\n"
)


def netlist_verilog(verilog: str, top: str, target: Target) -> str:
    """The design after synthesis, with a simulation model of every cell that it uses.

    The models are those of Yosys' share folder, except for what is in gen/targets/models: cells
    that Yosys has as black boxes. Delays are left out.

    Raises
    ------
    SparnnError: Yosys is missing or fails; a cell has no model.
    """
    # Flat: Yosys 0.69 ends in an assertion where it keeps the blocks of some small machines apart.
    result = synthesize(verilog, top, target, flat=True, netlist=False)
    netlist = result.verilog.read_text(encoding="utf-8")
    head, models = _models(target)
    wanted = set(result.cells)
    without = sorted(wanted - set(models))
    if without:
        raise SparnnError(
            f"--netlist {target.name}: there are no simulation models of {', '.join(without)}"
        )
    chosen: dict[str, str] = {}
    while wanted:
        name = wanted.pop()
        chosen[name] = models[name]
        wanted |= _instances(models[name], models) - set(chosen)
    used = [chosen[name] for name in sorted(chosen)]
    return "\n".join([_FOR_VERILATOR, head, netlist, *used, ""])


def netlist_file(folder: Path, target: str) -> Path:
    """:func:`netlist_verilog` of a compiled folder's machine, in a file that is kept.

    Raises
    ------
    SparnnError: as there; the family is unknown; the file cannot be read.
    """
    family = find_target(target)
    verilog = folder / VERILOG
    try:
        text = verilog.read_text(encoding="utf-8")
    except OSError as error:
        raise SparnnError(
            f"{verilog} cannot be read ({error.strerror}): compile the model again"
        ) from None
    result = netlist_verilog(text, TOP_MODULE, family)

    def make(folder: Path) -> None:
        (folder / "netlist.v").write_text(result, encoding="utf-8")

    return kept("netlist", key_of(result, yosys_version()), make) / "netlist.v"


def _models(target: Target) -> tuple[str, dict[str, str]]:
    """What stands before the models, and the models by name."""
    head = ""
    found: dict[str, str] = {}
    for file in target.models:
        text = _expanded(yosys_share() / file)
        head += text[: text.index("\nmodule ")] + "\n"
        found |= _modules(text)
    assert _MODELS.is_dir()  # some families have no file there, so a wrong folder would not show
    own = _MODELS / f"{target.name}.v"
    if own.is_file():
        found |= _modules(own.read_text(encoding="utf-8"))
    return head, found


def _expanded(file: Path) -> str:
    """A file with what it includes, without delays."""
    text = file.read_text(encoding="utf-8")
    text = re.sub(
        r'^`include "(\w+\.vh)"$',
        lambda match: _expanded(file.parent / match[1]),
        text,
        flags=re.MULTILINE,
    )
    return _SPECIFY.sub("", text)


def _modules(text: str) -> dict[str, str]:
    return {match[1]: match[0] for match in _MODULE.finditer(text)}


def _instances(text: str, known: Iterable[str]) -> set[str]:
    """Modules that a text places, of the known ones."""
    words = set(re.findall(r"^\s*\\?(\S+)\s", text, re.MULTILINE))
    return words & set(known)
