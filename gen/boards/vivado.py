"""Scripts of Vivado that make a board's bitstream: of a machine behind a UART, and of one beside
the processor of a Zynq-7000."""

from pathlib import Path

from sparnn.hdl.board.top import BOARD_MODULE
from sparnn.hdl.bus.table import ADDRESS_BITS
from sparnn.hdl.bus.top import BUS_MODULE, VLNV

from . import SYSTEM_BOARDS
from .board import SerialBoard

__all__ = ["BITSTREAM", "REGISTERS", "ZYNQ_SCRIPT", "serial_script", "zynq_script"]

BITSTREAM = "sparnn.bit"
ZYNQ_SCRIPT = "vivado_zynq.tcl"
#: Where the processor of a Zynq sees the registers.
REGISTERS = 0x43C0_0000

_TEMPLATES = Path(__file__).parent / "templates"


def serial_script(board: SerialBoard) -> str:
    """From the board's top to its bitstream."""
    return _filled(
        "vivado_serial.tcl.in",
        TITLE=board.title,
        PART=board.part.part,
        TOP=BOARD_MODULE,
        CONSTRAINTS=board.target.constraints,
        BITSTREAM=BITSTREAM,
    )


def zynq_script() -> str:
    """The text of vivado_zynq.tcl: for a folder with ``--bus axi``, all boards with a Zynq-7000."""
    rows = [
        f"{board.name} {{{board.part.part} {board.files} {board.machine_mhz:g}}}"
        for board in SYSTEM_BOARDS.values()
    ]
    vendor, library, name, version = VLNV
    return _filled(
        "vivado_zynq.tcl.in",
        BITSTREAM=BITSTREAM,
        SCRIPT=ZYNQ_SCRIPT,
        NAMES=", ".join(SYSTEM_BOARDS),
        DEFAULT=next(iter(SYSTEM_BOARDS)),
        BOARDS=" \\\n    ".join(["", *rows]).lstrip(" "),
        MODULE=BUS_MODULE,
        VENDOR=vendor,
        LIBRARY=library,
        NAME=name,
        VERSION=version,
        VLNV=":".join(VLNV),
        REGISTERS=f"{REGISTERS:#x}",
        WINDOW=f"{(1 << ADDRESS_BITS) // 1024}K",
    )


def _filled(template: str, **values: str) -> str:
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text
