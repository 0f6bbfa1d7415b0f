"""What `sparnn bitstream` writes for boards whose bitstream takes Vivado: the whole project."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from sparnn.gen.boards.board import Board, SerialBoard, SystemBoard
from sparnn.gen.boards.check import lane_machine
from sparnn.gen.boards.constraints import constraints
from sparnn.gen.boards.vivado import BITSTREAM, ZYNQ_SCRIPT, serial_script, zynq_script
from sparnn.gen.errors import SparnnError
from sparnn.gen.output.folder import check_replaceable, written_aside
from sparnn.gen.output.manifest import MANIFEST, file_hashes, manifest_text
from sparnn.hdl.board.top import BOARD_MODULE, board_verilog
from sparnn.hdl.bus.top import BUS_MODULE
from sparnn.hdl.host.protocol import identity
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.progress import progress
from sparnn.sim.verilator.hardware import load_program

__all__ = ["ProjectReport", "serial_project", "zynq_project"]


@dataclass(frozen=True)
class ProjectReport:
    """A project for Vivado. ``command``: what makes the bitstream. ``load``: what loads it."""

    board: Board
    output: str
    mhz: float
    command: str
    load: str

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"board          {self.board.name}, {self.board.part.title}, machine at "
            f"{self.mhz:g} MHz",
            f"written        {self.output}: a project, as its bitstream takes Vivado",
            f"make it with   {self.command}",
            f"load it with   {self.load}",
        ]


def serial_project(
    folder: Path, board: SerialBoard, output: Path, *, mhz: float | None, baud: int | None
) -> ProjectReport:
    """The board's top with the machine, its pins, and the script.

    Raises
    ------
    SparnnError, ConfigurationError, SimulationError: the folder holds no such machine, or the board
        cannot make the clock.
    """
    check_replaceable(output)
    config = lane_machine(load_program(Path(folder)), folder)
    top = board.top(mhz, baud)
    with progress(f"Writing Verilog of {config.lanes} lanes"):
        verilog = board_verilog(config, top)
    texts = {
        f"{BOARD_MODULE}.v": verilog,
        board.target.constraints: constraints(board),
        "project.tcl": serial_script(board),
    }
    with written_aside(output) as work:
        for name, text in texts.items():
            (work / name).write_text(text, encoding="utf-8")
        _write_manifest(work, board, config, {"mhz": mhz, "baud": baud})
    return ProjectReport(
        board,
        str(output),
        float(top.plan.output_mhz),
        f"vivado -mode batch -source {output / 'project.tcl'}",
        board.flash,
    )


def zynq_project(folder: Path, board: SystemBoard, output: Path) -> ProjectReport:
    """The machine behind its bus, and the script that puts it beside the processor.

    Raises
    ------
    SparnnError, SimulationError: the folder holds no such machine, or not behind AXI.
    """
    check_replaceable(output)
    config = lane_machine(load_program(Path(folder)), folder, with_memory=True)
    sources = [Path(folder) / "sparnn.v", Path(folder) / f"{BUS_MODULE}.v"]
    if not all(file.is_file() for file in sources) or "m_axi_araddr" not in sources[1].read_text(
        encoding="utf-8"
    ):
        raise SparnnError(
            f"--board {board.name}: the machine stands on the processor's bus, and {folder} was "
            "not compiled with --bus axi: compile the model again"
        )
    with written_aside(output) as work:
        for file in sources:
            shutil.copyfile(file, work / file.name)
        (work / ZYNQ_SCRIPT).write_text(zynq_script(), encoding="utf-8")
        _write_manifest(work, board, config, {})
    return ProjectReport(
        board,
        str(output),
        board.machine_mhz,
        f"vivado -mode batch -source {output / ZYNQ_SCRIPT} -tclargs {board.name}",
        f"PYNQ: Overlay('{BITSTREAM}')",
    )


def _write_manifest(
    work: Path, board: Board, config: MachineConfig, options: dict[str, float | None]
) -> None:
    text = manifest_text(
        command="bitstream",
        options={"board": board.name, **options},
        config=config,
        files=file_hashes(work),
        sections={"identity": identity(config)},
    )
    (work / MANIFEST).write_text(text, encoding="utf-8")
