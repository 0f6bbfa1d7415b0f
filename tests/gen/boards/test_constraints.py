"""constraints/: what the generator writes, and what amaranth says of the same pins."""

import importlib
import re
from pathlib import Path

import pytest

from sparnn.gen.boards import SERIAL_BOARDS, SerialBoard
from sparnn.gen.boards.constraints import constraints, sites

EACH = pytest.mark.parametrize("board", SERIAL_BOARDS.values(), ids=list(SERIAL_BOARDS))


@EACH
def test_the_folder_holds_what_is_generated(board: SerialBoard, checkout: Path) -> None:
    """After a change: .venv/bin/python -m sparnn.gen.boards.constraints."""
    file = checkout / "constraints" / board.name / board.target.constraints
    assert file.read_text(encoding="utf-8") == constraints(board)


@EACH
def test_every_port_has_a_pin_of_its_own(board: SerialBoard) -> None:
    found = sites(board)
    assert len({site.location for site in found.values()}) == len(found)


@EACH
def test_amaranth_says_the_same(board: SerialBoard) -> None:
    """The pins of a design that amaranth itself builds from the same resources."""
    module, name = board.platform.split(":")
    for port, pin in board.ports().items():
        platform = getattr(importlib.import_module(module), name)()
        if pin.part:
            every = {one.name: "-" for one in platform.lookup(pin.resource, pin.number).ios}
            wire = getattr(platform.request(pin.resource, pin.number, dir=every), pin.part)
        else:
            wire = platform.request(pin.resource, pin.number, dir="-")
        site = sites(board)[port]
        (about,) = wire.io.metadata
        assert about.name == site.location
        assert {key: str(value) for key, value in about.attrs.items()} == dict(site.attributes)
        assert wire.invert[0] == (port.removeprefix("light_").removesuffix("_pin") in board.low)


def test_formats() -> None:
    """One line of each format, by hand."""
    assert 'LOCATE COMP "uart_tx" SITE "L4";' in constraints(SERIAL_BOARDS["ulx3s"])
    assert 'FREQUENCY PORT "clock" 25 MHZ;' in constraints(SERIAL_BOARDS["ulx3s"])
    assert "set_io -pullup yes uart_rx 6\n" in constraints(SERIAL_BOARDS["icebreaker"])
    assert 'IO_LOC "clock" 52;' in constraints(SERIAL_BOARDS["tang_nano_9k"])
    xdc = constraints(SERIAL_BOARDS["arty_a7_35"])
    assert "set_property PACKAGE_PIN E3 [get_ports clock]" in xdc
    assert re.search(r"create_clock .* -period 10\.000 \[get_ports clock\]", xdc)
