"""`sparnn bitstream`: from a compiled folder to what a board loads, with open tools only."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparnn.gen.errors import SparnnError
from sparnn.gen.folder import check_replaceable, written_aside
from sparnn.gen.manifest import MANIFEST, file_hashes, manifest_text
from sparnn.hdl.board.top import BOARD_MODULE, board_verilog
from sparnn.hdl.protocol import identity
from sparnn.sim.hardware import load_program
from sparnn.sim.progress import progress

from . import find_board
from .board import Board
from .constraints import CONSTRAINTS, constraints
from .machine import lane_machine

__all__ = ["BitstreamReport", "bitstream", "utilization"]

_VERILOG = "sparnn_board.v"
_NETLIST = "netlist.json"
_REPORT = "nextpnr.json"


@dataclass(frozen=True)
class _Flow:
    """The tools of a family.

    Members
    -------
    synth: Yosys' command. pnr: nextpnr's program and options. pack: program and arguments.
    placed: what nextpnr writes. output: the bitstream.
    """

    synth: str
    pnr: tuple[str, ...]
    placed: str
    pack: tuple[str, ...]
    output: str


_FLOWS: Mapping[str, _Flow] = {
    "ecp5": _Flow(
        f"synth_ecp5 -abc9 -top {BOARD_MODULE} -json {_NETLIST}",
        ("nextpnr-ecp5", "--lpf", CONSTRAINTS["ecp5"], "--textcfg", "placed.config"),
        "placed.config",
        ("ecppack", "--compress", "--input", "placed.config", "--bit", "sparnn.bit"),
        "sparnn.bit",
    ),
    "ice40": _Flow(
        f"synth_ice40 -dsp -device u -top {BOARD_MODULE} -json {_NETLIST}",
        ("nextpnr-ice40", "--pcf", CONSTRAINTS["ice40"], "--asc", "placed.asc"),
        "placed.asc",
        ("icepack", "placed.asc", "sparnn.bin"),
        "sparnn.bin",
    ),
    "gowin": _Flow(
        f"synth_gowin -top {BOARD_MODULE} -json {_NETLIST}",
        (
            "nextpnr-himbaechel-gowin",
            "--vopt",
            f"cst={CONSTRAINTS['gowin']}",
            "--write",
            "placed.json",
        ),
        "placed.json",
        ("gowin_pack", "-d", "GW1N-9C", "-o", "sparnn.fs", "placed.json"),
        "sparnn.fs",
    ),
}

_PYOSYS = """
import sys
from pyosys import libyosys as yosys
design = yosys.Design()
for command in sys.argv[1:]:
    yosys.run_pass(command, design)
"""


@dataclass(frozen=True)
class BitstreamReport:
    """What `sparnn bitstream` made.

    Members
    -------
    board, output: name and file. machine_mhz: the clock it runs at. fmax_mhz: what the routed
        design reaches.
    used: resource -> (used, there are), as nextpnr names them.
    seconds: tool -> wall time.
    """

    board: str
    output: str
    machine_mhz: float
    fmax_mhz: float
    used: Mapping[str, tuple[int, int]]
    seconds: Mapping[str, float]
    flash: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "board": self.board,
            "output": self.output,
            "machine_mhz": self.machine_mhz,
            "fmax_mhz": self.fmax_mhz,
            "used": {name: list(pair) for name, pair in self.used.items()},
            "seconds": dict(self.seconds),
        }

    def lines(self) -> list[str]:
        """For people."""
        used = ", ".join(f"{name} {n} of {most}" for name, (n, most) in self.used.items() if n)
        spent = ", ".join(f"{name} {n:.0f} s" for name, n in self.seconds.items())
        return [
            f"board          {self.board}, machine at {self.machine_mhz:g} MHz",
            f"clock          {self.fmax_mhz:.1f} MHz reached after routing",
            f"resources      {used}",
            f"time           {spent}",
            f"written        {self.output}",
            f"load it with   {self.flash}",
        ]


def bitstream(
    folder: Path,
    board_name: str,
    output: Path,
    *,
    mhz: float | None = None,
    baud: int | None = None,
    seed: int = 1,
) -> BitstreamReport:
    """Make a board's bitstream for the machine of a compiled folder.

    Parameters
    ----------
    output: folder to write: the bitstream, the Verilog, the constraints, the logs, a report.
    mhz, baud: instead of the board's own.
    seed: of place and route.

    Raises
    ------
    SparnnError, ConfigurationError, SimulationError: the board is unknown or needs a vendor's
        program, a tool is missing, the machine does not fit, or it is too slow for its clock.
    """
    board = find_board(board_name)
    if board.family not in _FLOWS:
        raise SparnnError(
            f"--board {board.name}: a bitstream for it needs Vivado, which sparnn does not run; "
            f"run `sparnn synth DIR --target {board.family}` for its project script, and use "
            f"constraints/{board.name}/{CONSTRAINTS[board.family]}"
        )
    check_replaceable(output)
    config = lane_machine(load_program(Path(folder)), folder)
    text = constraints(board)
    top = board.top(mhz, baud)
    machine_mhz = float(top.plan.output_mhz)
    flow = _FLOWS[board.family]
    seconds: dict[str, float] = {}
    with written_aside(output) as work:
        with progress(f"Writing Verilog of {config.lanes} lanes"):
            (work / _VERILOG).write_text(board_verilog(config, top), encoding="utf-8")
        (work / CONSTRAINTS[board.family]).write_text(text, encoding="utf-8")
        seconds["synthesis"] = _synthesize(work, flow)
        seconds["place and route"] = _place(work, board, flow, machine_mhz, seed)
        used = utilization((work / "nextpnr.log").read_text(encoding="utf-8"))
        fmax = _fmax(work)
        if fmax < machine_mhz:
            raise SparnnError(
                f"--board {board.name}: the machine reaches {fmax:.1f} MHz, its clock is "
                f"{machine_mhz:g} MHz; choose a slower one with --mhz, or a smaller machine"
            )
        seconds["packing"] = _tool(work, flow.pack, "pack.log", "Packing the bitstream")
        for name in (flow.placed, _NETLIST):
            (work / name).unlink(missing_ok=True)
        report = BitstreamReport(
            board.name,
            str(Path(output) / flow.output),
            machine_mhz,
            fmax,
            used,
            seconds,
            board.flash,
        )
        manifest = manifest_text(
            command="bitstream",
            options={"board": board.name, "mhz": mhz, "baud": baud, "seed": seed},
            config=config,
            files=file_hashes(work),
            sections={"identity": identity(config), "report": report.as_dict()},
        )
        (work / MANIFEST).write_text(manifest, encoding="utf-8")
    return report


def _synthesize(work: Path, flow: _Flow) -> float:
    if importlib.util.find_spec("pyosys") is None:
        raise SparnnError("pyosys is not installed: pip install 'sparnn[synth]'")
    commands = [f"read_verilog {_VERILOG}", flow.synth]
    return _run(work, [sys.executable, "-c", _PYOSYS, *commands], "yosys.log", "Synthesizing")


def _place(work: Path, board: Board, flow: _Flow, mhz: float, seed: int) -> float:
    command = [
        *flow.pnr,
        *board.pnr,
        *("--json", _NETLIST, "--report", _REPORT, "--freq", f"{mhz:g}"),
        *("--seed", str(seed), "--timing-allow-fail"),
    ]
    try:
        return _tool(work, command, "nextpnr.log", "Placing and routing")
    except SparnnError:
        log = work / "nextpnr.log"
        said = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        over = {name: pair for name, pair in utilization(said).items() if pair[0] > pair[1]}
        if not over:
            raise
        missing = ", ".join(
            f"{used} {name} of {most} ({used - most} too many)"
            for name, (used, most) in over.items()
        )
        raise SparnnError(
            f"--board {board.name}: the machine does not fit: {missing}; compile a smaller network "
            f"or one with fewer weights (--prune, --weight-bits), or with --config {board.name}, "
            "or take a larger board"
        ) from None


def _tool(work: Path, command: Sequence[str], log: str, title: str) -> float:
    """Run a native program, or the packaged one."""
    name, *arguments = command
    beside = Path(sys.executable).parent
    for found in (shutil.which(name), beside / f"yowasp-{name}", beside / name):
        if found is not None and Path(found).is_file():
            return _run(work, [str(found), *arguments], log, title)
    raise SparnnError(f"{name} is not installed: pip install 'sparnn[synth]'")


def _run(work: Path, command: Sequence[str], log: str, title: str) -> float:
    started = time.monotonic()
    with progress(title), (work / log).open("wb") as file:
        done = subprocess.run(
            command, cwd=work, stdout=file, stderr=subprocess.STDOUT, env=os.environ, check=False
        )
    if done.returncode:
        said = (work / log).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        errors = [line for line in said if "ERROR" in line.upper()] or said or ["it says nothing"]
        raise SparnnError(f"{title.lower()} failed: {errors[0].strip()}")
    return time.monotonic() - started


_USED = re.compile(r"Info:\s+([A-Za-z]\w*):\s*(\d+)/\s*(\d+)\s+\d+%")


def utilization(log: str) -> dict[str, tuple[int, int]]:
    """Resource -> (used, there are) of a log of nextpnr, where any is used."""
    return {name: (int(used), int(most)) for name, used, most in _USED.findall(log) if int(used)}


def _fmax(work: Path) -> float:
    """Of the machine's clock, the slowest one in the report."""
    clocks = json.loads((work / _REPORT).read_text(encoding="utf-8"))["fmax"]
    if not clocks:
        raise SparnnError("nextpnr names no clock: this is a defect of sparnn")
    return float(min(one["achieved"] for one in clocks.values()))
