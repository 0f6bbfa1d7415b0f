"""Areas of a Verilog text: ECP5 primitives and standard cells, from Yosys (the `synth` extra).

Lanes and clusters stay modules of their own, so that each is synthesized once.

Standard cells: memories become macros that are counted in bits and not in cells. What a memory
compiler would not make becomes flip-flops and logic: memories that are read in the same cycle,
without a write port, or of fewer than :data:`SMALLEST_MACRO` bits.
"""

import json
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sparnn.gen.targets import TARGETS
from sparnn.sim.verilator.cache import kept, key_of

from .mapping import synthesize as synthesize_cells
from .yosys import run_yosys, yosys_version

__all__ = ["MACRO_UM2_PER_BIT", "SMALLEST_MACRO", "Area", "Macro", "synthesize"]

SMALLEST_MACRO = 512
"""Bits below which a memory is made of flip-flops."""

MACRO_UM2_PER_BIT = 7.16
"""Area of a bit of SRAM at 0.18 µm, periphery included: EIE's 128 KB of weights take 469,412 µm² at
45 nm (arXiv 1602.01528, table II, from CACTI), 0.448 µm² per bit, times (180 / 45)²."""

_KEPT = "sparnn_lane sparnn_cluster"
_TOP = "sparnn"


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
    lut, ff, dsp, bram: as `sparnn synth --target ecp5` counts them, by block.
    logic_area: of all standard cells, µm² for the OSU library.
    macros: memories beside them.
    """

    lut: int
    ff: int
    dsp: int
    bram: int
    logic_area: float
    macros: tuple[Macro, ...]


def synthesize(verilog: str, liberty: Path) -> Area:
    """Synthesize a machine's Verilog for ECP5 and for standard cells; the same work is done once.

    Raises
    ------
    SparnnError: Yosys is not installed or does not get through.
    """
    ecp5 = TARGETS["ecp5"]
    text = _ZEROES.sub("", verilog)
    cells = ecp5.count(synthesize_cells(text, _TOP, ecp5, netlist=False).cells)
    key = key_of(text, liberty.read_bytes(), Path(__file__).read_bytes(), yosys_version())
    folder = kept("cells", key, lambda folder: _standard_cells(folder, text, liberty))
    standard = json.loads((folder / "area.json").read_text(encoding="utf-8"))
    return Area(
        lut=int(cells["lut"]),
        ff=int(cells["ff"]),
        dsp=int(cells["dsp"]),
        bram=int(cells["bram"]),
        logic_area=float(standard["logic_area"]),
        macros=tuple(Macro(**macro) for macro in standard["macros"]),
    )


def _standard_cells(folder: Path, verilog: str, liberty: Path) -> None:
    """Writes ``area.json``: the logic's area and the macros."""
    with tempfile.TemporaryDirectory(prefix="sparnn-synthesis-") as name:
        work = Path(name)
        (work / "sparnn.v").write_text(verilog)
        (work / "macro.v").write_text(_MACRO)
        read = ["read_verilog sparnn.v", f"setattr -mod -set keep_hierarchy 1 {_KEPT}"]
        run_yosys(
            [
                *read,
                "read_verilog macro.v",
                f"synth -flatten -top {_TOP} -run begin:fine",
                "write_json coarse.json",
                "write_rtlil coarse.il",
            ],
            work,
            "Synthesizing for standard cells: memories",
        )
        modules = json.loads((work / "coarse.json").read_text())["modules"]
        copies = _copies(modules)
        macros, chosen = [], []
        for module, content in modules.items():
            for cell, memory in content["cells"].items():
                if memory["type"] != "$mem_v2" or not _is_macro(memory["parameters"]):
                    continue
                words, width = (int(memory["parameters"][key], 2) for key in ("SIZE", "WIDTH"))
                macros.append(Macro(cell, words, width, copies[module]))
                chosen.append(f"chtype -set sram_macro {module}/{_escaped(cell)}")
        run_yosys(
            [
                "read_rtlil coarse.il",
                *chosen,
                f"synth -flatten -top {_TOP} -run fine:check",
                f"dfflibmap -liberty {_quoted(liberty)}",
                f"abc -liberty {_quoted(liberty)}",
                "opt_clean -purge",
                f"tee -q -o cells.json stat -json -liberty {_quoted(liberty)}",
            ],
            work,
            "Synthesizing for standard cells: logic",
        )
        # The total of a design counts each copy of a module.
        logic = json.loads((work / "cells.json").read_text())["design"]["area"]
    found = {"logic_area": float(logic), "macros": [asdict(macro) for macro in macros]}
    (folder / "area.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


#: Ports of Yosys' memory cell; widths do not matter to what follows.
_MACRO = """(* blackbox *) module sram_macro(
  input RD_CLK, input RD_EN, input RD_ARST, input RD_SRST, input RD_ADDR, output RD_DATA,
  input WR_CLK, input WR_EN, input WR_ADDR, input WR_DATA);
endmodule
"""


#: That a memory starts as zeros costs no area, but time in Yosys, by the square of its words,
#: and a store may have 131,072.
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
