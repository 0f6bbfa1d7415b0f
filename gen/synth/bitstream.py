"""`sparnn bitstream`: from a compiled folder to what a board loads, with open tools where there are
any for its FPGA."""

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparnn.gen.boards import SerialBoard, SystemBoard, find_board
from sparnn.gen.boards.check import lane_machine
from sparnn.gen.boards.constraints import constraints
from sparnn.gen.errors import SparnnError
from sparnn.gen.output.folder import check_replaceable, written_aside
from sparnn.gen.output.manifest import MANIFEST, file_hashes, manifest_text
from sparnn.gen.targets import Device, Target
from sparnn.hdl.board.top import BOARD_MODULE, board_verilog
from sparnn.hdl.host.protocol import identity
from sparnn.sim.progress import progress
from sparnn.sim.verilator.hardware import load_program

from .mapping import synthesize
from .place_route import place_and_route
from .tools import find_tool
from .vivado import ProjectReport, serial_project, zynq_project

__all__ = ["BitstreamReport", "bitstream"]

_VERILOG = f"{BOARD_MODULE}.v"


@dataclass(frozen=True)
class BitstreamReport:
    """What `sparnn bitstream` made.

    Members
    -------
    board, output: name and file.
    machine_mhz: the clock it runs at.
    fmax_mhz: what the routed design reaches.
    used: resource -> (used, there are), as nextpnr names them.
    seconds: tool -> wall time, next to nothing where the cache has the result.
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
) -> BitstreamReport | ProjectReport:
    """Make a board's bitstream for the machine of a compiled folder; where that takes Vivado, the
    project that makes it there.

    Parameters
    ----------
    output: folder to write: the bitstream, the Verilog, the constraints, the logs, a report.
    mhz, baud: instead of the board's own.
    seed: of place and route.

    Raises
    ------
    SparnnError, ConfigurationError, SimulationError: the board is unknown, a tool is missing, the
        machine does not fit, or it is too slow for its clock.
    """
    board = find_board(board_name)
    target, part = board.target, board.part
    if isinstance(board, SystemBoard):
        return zynq_project(folder, board, output)
    assert isinstance(board, SerialBoard)
    if target.pnr is None or not target.pack:
        return serial_project(folder, board, output, mhz=mhz, baud=baud)
    check_replaceable(output)
    packer = find_tool(target.pack[0])  # before the long part
    config = lane_machine(load_program(Path(folder)), folder)
    pins = constraints(board)
    top = board.top(mhz, baud)
    machine_mhz = float(top.plan.output_mhz)
    seconds: dict[str, float] = {}
    with written_aside(output) as work:
        with progress(f"Writing Verilog of {config.lanes} lanes"):
            verilog = board_verilog(config, top)
        (work / _VERILOG).write_text(verilog, encoding="utf-8")
        (work / target.constraints).write_text(pins, encoding="utf-8")
        with _timed(seconds, "synthesis"):
            netlist = synthesize(verilog, BOARD_MODULE, target, part, flat=True)
        with _timed(seconds, "place and route"):
            routed = place_and_route(
                netlist.json, target, part, seed=seed, mhz=machine_mhz, constraints=pins, write=True
            )
        shutil.copyfile(routed.folder / "nextpnr.log", work / "nextpnr.log")
        if routed.fmax_mhz < machine_mhz:
            slow = f", on its slowest path {routed.path.title}" if routed.path else ""
            raise SparnnError(
                f"--board {board.name}: the machine reaches {routed.fmax_mhz:.1f} MHz{slow}, its "
                f"clock is {machine_mhz:g} MHz; choose a slower one with --mhz, or a smaller "
                f"machine"
            )
        with _timed(seconds, "packing"):
            _pack(work, packer, target, part, routed.folder / target.placed)
        report = BitstreamReport(
            board.name,
            str(Path(output) / target.bitstream),
            machine_mhz,
            routed.fmax_mhz,
            {name: pair for name, pair in routed.used.items() if pair[0]},
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


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[name] = time.monotonic() - started


def _pack(work: Path, packer: str, target: Target, part: Device, placed: Path) -> None:
    shutil.copyfile(placed, work / target.placed)
    arguments = [word.format(part=part.part) for word in target.pack[1:]]
    with progress("Packing the bitstream"):
        done = subprocess.run(
            [packer, *arguments],
            cwd=work,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    if done.returncode or not (work / target.bitstream).is_file():
        said = done.stdout.strip().splitlines() or ["nothing"]
        raise SparnnError(f"packing the bitstream fails, {target.pack[0]} says: {said[-1]}")
    (work / target.placed).unlink()
