"""Pin and clock constraints of the boards, from amaranth-boards.

`python -m sparnn.gen.boards.constraints` writes them into constraints/ of a checkout.
"""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparnn.gen.errors import SparnnError

from . import SERIAL_BOARDS
from .board import Pin, SerialBoard

__all__ = ["Site", "constraints", "main", "sites"]


@dataclass(frozen=True)
class Site:
    """Where a port of the top goes, and how the pin is set."""

    location: str
    attributes: Mapping[str, str]


def sites(board: SerialBoard) -> dict[str, Site]:
    """Port of the top -> pin of the package.

    Raises
    ------
    SparnnError: amaranth-boards is not installed.
    """
    module, name = board.platform.split(":")
    try:
        platform = getattr(importlib.import_module(module), name)()
    except ImportError:
        raise SparnnError(
            f"the pins of {board.name} come from amaranth-boards, which is not installed: "
            "pip install 'sparnn[synth]'"
        ) from None
    if board.extra:
        platform.add_resources(getattr(platform, board.extra))
    return {port: _site(platform, pin) for port, pin in board.ports().items()}


def _site(platform: Any, pin: Pin) -> Site:
    resource = platform.lookup(pin.resource, pin.number)
    attributes = dict(resource.attrs)
    described = resource.ios[0]
    if pin.part:
        (part,) = [one for one in resource.ios if one.name == pin.part]
        attributes |= part.attrs
        described = part.ios[0]
    (location,) = described.map_names(platform._conn_pins, resource)
    return Site(location, {key: str(value) for key, value in attributes.items()})


def constraints(board: SerialBoard) -> str:
    """The text of the board's constraints file, in the format of its family's tools."""
    lines = {"ecp5": _lpf, "ice40": _pcf, "gowin": _cst, "xilinx7": _xdc}[board.family](
        board, sites(board)
    )
    sign = "//" if board.family == "gowin" else "#"
    head = f"{sign} {board.title}. From amaranth-boards by python -m sparnn.gen.boards.constraints."
    return "\n".join([head, *lines, ""])


def _lpf(board: SerialBoard, where: Mapping[str, Site]) -> list[str]:
    lines = ["BLOCK ASYNCPATHS;", "BLOCK RESETPATHS;"]
    for port, site in where.items():
        settings = " ".join(f"{key}={value}" for key, value in site.attributes.items())
        lines.append(f'LOCATE COMP "{port}" SITE "{site.location}";')
        if settings:
            lines.append(f'IOBUF PORT "{port}" {settings};')
    return [*lines, f'FREQUENCY PORT "clock" {board.clock_mhz:g} MHZ;']


def _pcf(board: SerialBoard, where: Mapping[str, Site]) -> list[str]:
    lines = []
    for port, site in where.items():
        pull_up = "-pullup yes " if site.attributes.get("PULLUP") == "1" else ""
        lines.append(f"set_io {pull_up}{port} {site.location}")
    return [*lines, f"set_frequency clock {board.clock_mhz:g}"]


def _cst(board: SerialBoard, where: Mapping[str, Site]) -> list[str]:
    lines = []
    for port, site in where.items():
        lines.append(f'IO_LOC "{port}" {site.location};')
        settings = " ".join(f"{key}={value}" for key, value in site.attributes.items())
        if settings:
            lines.append(f'IO_PORT "{port}" {settings};')
    return lines


def _xdc(board: SerialBoard, where: Mapping[str, Site]) -> list[str]:
    lines = []
    for port, site in where.items():
        lines.append(f"set_property PACKAGE_PIN {site.location} [get_ports {port}]")
        lines += [
            f"set_property {key} {value} [get_ports {port}]"
            for key, value in site.attributes.items()
        ]
    period = 1000 / board.clock_mhz
    return [*lines, f"create_clock -name clock -period {period:.3f} [get_ports clock]"]


def main() -> int:
    """Write constraints/<board>/ below the folder this runs in."""
    for board in SERIAL_BOARDS.values():
        folder = Path("constraints") / board.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / board.target.constraints).write_text(constraints(board), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
