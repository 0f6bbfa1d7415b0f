"""Areas of a Verilog text: ECP5 primitives and standard cells, from Yosys (the `synth` extra).

Lanes and clusters stay modules of their own, so that each is synthesized once.

Standard cells: memories become macros that are counted in bits and not in cells. What a memory
compiler would not make becomes flip-flops and logic: memories that are read in the same cycle,
without a write port, or of fewer than :data:`SMALLEST_MACRO` bits.
"""

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import SparnnError

__all__ = ["MACRO_UM2_PER_BIT", "SMALLEST_MACRO", "Area", "Macro", "synthesize"]

SMALLEST_MACRO = 512
"""Bits below which a memory is made of flip-flops."""

MACRO_UM2_PER_BIT = 7.16
"""Area of a bit of SRAM at 0.18 µm, periphery included: EIE's 128 KB of weights take 469,412 µm² at
45 nm (arXiv 1602.01528, table II, from CACTI), 0.448 µm² per bit, times (180 / 45)²."""

_KEPT = "sparnn_lane sparnn_cluster"
_TOP = "sparnn"
_LUTS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4}


@dataclass(frozen=True)
class Macro:
    """A memory that stands once in a lane, cluster or top, and ``copies`` times in the machine."""

    name: str
    words: int
    width: int
    copies: int

    @property
    def bits(self) -> int:
        """Of all copies."""
        return self.words * self.width * self.copies


@dataclass(frozen=True)
class Area:
    """What a whole machine takes.

    Members
    -------
    lut: LUT4s; a carry cell counts as two, a distributed memory of 16 words of 4 bits as four.
    logic_area: of all standard cells, µm² for the OSU library. macros: memories beside them.
    """

    lut: int
    ff: int
    dsp: int
    bram: int
    logic_area: float
    macros: tuple[Macro, ...]


def synthesize(verilog: str, liberty: Path) -> Area:
    """Synthesize a machine's Verilog for ECP5 and for standard cells.

    Raises
    ------
    SparnnError: Yosys is not installed or does not get through.
    """
    if importlib.util.find_spec("pyosys") is None:
        raise SparnnError(
            "Yosys is not installed in this Python: run "
            f"{sys.executable} -m pip install 'sparnn[synth]'"
        )
    with tempfile.TemporaryDirectory(prefix="sparnn-synthesis-") as name:
        folder = Path(name)
        (folder / "sparnn.v").write_text(_ZEROES.sub("", verilog))
        (folder / "macro.v").write_text(_MACRO)
        read = ["read_verilog sparnn.v", f"setattr -mod -set keep_hierarchy 1 {_KEPT}"]
        _yosys(
            folder,
            [*read, f"synth_ecp5 -abc9 -top {_TOP}", "tee -q -o ecp5.json stat -json"],
        )
        _yosys(
            folder,
            [
                *read,
                "read_verilog macro.v",
                f"synth -flatten -top {_TOP} -run begin:fine",
                "write_json coarse.json",
                "write_rtlil coarse.il",
            ],
        )
        modules = json.loads((folder / "coarse.json").read_text())["modules"]
        copies = _copies(modules)
        macros, chosen = [], []
        for module, content in modules.items():
            for cell, memory in content["cells"].items():
                if memory["type"] != "$mem_v2" or not _is_macro(memory["parameters"]):
                    continue
                words, width = (int(memory["parameters"][key], 2) for key in ("SIZE", "WIDTH"))
                macros.append(Macro(cell, words, width, copies[module]))
                chosen.append(f"chtype -set sram_macro {module}/{_escaped(cell)}")
        _yosys(
            folder,
            [
                "read_rtlil coarse.il",
                *chosen,
                f"synth -flatten -top {_TOP} -run fine:check",
                f"dfflibmap -liberty {_quoted(liberty)}",
                f"abc -liberty {_quoted(liberty)}",
                "opt_clean -purge",
                f"tee -q -o cells.json stat -json -liberty {_quoted(liberty)}",
            ],
        )
        ecp5 = json.loads((folder / "ecp5.json").read_text())["design"]["num_cells_by_type"]
        # The total of a design counts each copy of a module.
        logic = json.loads((folder / "cells.json").read_text())["design"]["area"]
    return Area(
        lut=sum(ecp5.get(name, 0) * weight for name, weight in _LUTS.items()),
        ff=ecp5.get("TRELLIS_FF", 0),
        dsp=ecp5.get("MULT18X18D", 0),
        bram=ecp5.get("DP16KD", 0),
        logic_area=float(logic),
        macros=tuple(macros),
    )


#: Ports of Yosys' memory cell; widths do not matter to what follows.
_MACRO = """(* blackbox *) module sram_macro(
  input RD_CLK, input RD_EN, input RD_ARST, input RD_SRST, input RD_ADDR, output RD_DATA,
  input WR_CLK, input WR_EN, input WR_ADDR, input WR_DATA);
endmodule
"""


#: That a memory starts as zeros costs no area, but minutes in Yosys where it is large.
_ZEROES = re.compile(r"  initial begin : zero_\d+\n    integer i;\n.*\n  end\n")


def _is_macro(parameters: dict[str, str]) -> bool:
    bits = int(parameters["SIZE"], 2) * int(parameters["WIDTH"], 2)
    clocked = set(parameters["RD_CLK_ENABLE"]) == {"1"}
    return clocked and int(parameters["WR_PORTS"], 2) > 0 and bits >= SMALLEST_MACRO


def _copies(modules: dict[str, Any]) -> dict[str, int]:
    """How often each module stands in the machine."""
    copies = {_TOP: 1}
    for parent in (_TOP, "sparnn_cluster"):  # a lane stands in a cluster, a cluster in the top
        for cell in modules[parent]["cells"].values():
            if cell["type"] in _KEPT.split():
                copies[cell["type"]] = copies.get(cell["type"], 0) + copies[parent]
    return copies


def _escaped(name: str) -> str:
    """For a selection: everything that could be a pattern becomes one."""
    return re.sub(r"[^\w.]", "?", name)


def _quoted(path: Path) -> str:
    return f'"{path}"'


def _yosys(folder: Path, commands: list[str]) -> None:
    # In a process of its own: Yosys writes to standard output and keeps its memory.
    script = (
        "import sys\nfrom pyosys import libyosys\ndesign = libyosys.Design()\n"
        "for command in sys.argv[1:]:\n    libyosys.run_pass(command, design)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *commands],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if "ERROR" in line or "Error" in line]
        raise SparnnError(f"Yosys stopped: {(lines or done.stdout.splitlines() or ['?'])[-1]}")
