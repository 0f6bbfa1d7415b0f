"""Vivado's scripts in a real Tcl, with stubs of Vivado's commands that note the calls."""

import re
from pathlib import Path

import pytest

from sparnn.gen.boards import SERIAL_BOARDS, SYSTEM_BOARDS
from sparnn.gen.boards.vivado import ZYNQ_SCRIPT, serial_script, zynq_script
from sparnn.hdl.bus.geometry import MemoryGeometry
from sparnn.hdl.bus.top import VLNV, Bus, bus_ports

vivado = pytest.importorskip("support.vivado", reason="this Python has no tkinter, hence no Tcl")

#: Pins of the machine's cell, and its buses.
OWN = ({"aclk", "aresetn", "irq"}, set(bus_ports(Bus.AXI, 1, MemoryGeometry())))


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / ZYNQ_SCRIPT
    file.write_text(zynq_script(), encoding="utf-8")
    return file


@pytest.mark.parametrize("board", SYSTEM_BOARDS.values(), ids=list(SYSTEM_BOARDS))
def test_the_system_is_whole(script, board) -> None:
    """Every pin of every cell is joined, once, and the machine is the component of this version."""
    run = vivado.Vivado(OWN)
    run.run(script, board.name)
    joined = set(run.driven) | set(run.driven.values())
    for cell in run.cells:
        for kind in run._pins(cell):
            assert {f"{cell}/{pin}" for pin in kind} <= joined, cell
    assert run.cells["sparnn"] == ":".join(VLNV)
    assert run.driven["sparnn/s_axi"] == "control/M00_AXI"
    assert run.driven["memory/S00_AXI"] == "sparnn/m_axi"
    assert run.driven["sparnn/aclk"] == "ps/FCLK_CLK0"
    (packed,) = run.called("ipx::package_project")
    assert packed[packed.index("-vendor") + 1] == VLNV[0]
    named = {arguments[0]: arguments[1] for arguments in run.called("set_property")}
    assert (named["name"], named["version"]) == VLNV[2:]
    assert all(board.part.part in one for one in run.called("create_project"))
    assert any("50" in one[1].split() for one in run.called("set_property") if one[0] == "-dict")
    assert len(run.called("note_copy")) == 2


def test_refusals(script) -> None:
    with pytest.raises(vivado.tkinter.TclError, match="none is unknown; the boards are pynq_z2"):
        vivado.Vivado(OWN).run(script, "none")
    with pytest.raises(vivado.tkinter.TclError, match="slower than its clock"):
        vivado.Vivado(OWN, slack="-0.2").run(script)


def test_a_board_with_a_uart(tmp_path) -> None:
    board = SERIAL_BOARDS["arty_a7_35"]
    file = tmp_path / "project.tcl"
    file.write_text(serial_script(board), encoding="utf-8")
    assert not re.search("@[A-Z]+@", file.read_text(encoding="utf-8"))
    run = vivado.Vivado(OWN)
    run.run(file)
    order = [call[0] for call in run.calls]
    assert order.index("synth_design") < order.index("route_design") < len(order) - 1
    assert order[-1] == "write_bitstream"
    assert ("read_xdc", str(tmp_path / "sparnn.xdc")) in run.calls
