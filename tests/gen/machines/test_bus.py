"""`--bus`: what is written, and what is refused."""

import json

import pytest

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines import emit as module
from sparnn.gen.machines.bus import bus_choice
from sparnn.gen.machines.emit import emit
from sparnn.hdl.errors import ConfigurationError

FILES = {
    *("sparnn_bus.v", "sparnn_regs.h", "sparnn_regs.rdl", "registers.md"),
    *("sparnn_bus.xml", "sparnn.core"),
}
PACKAGES = {"axi": {"sparnn_litex.py", "vivado_zynq.tcl"}}


@pytest.mark.parametrize(("bus", "bits"), [("axi", 128), ("axi-stream", None), ("wishbone", None)])
def test_emit(tmp_path, monkeypatch, bus, bits):
    monkeypatch.setattr(module, "kept_verilog", lambda config: "module sparnn; endmodule\n")
    emit(tmp_path / "plain", lanes=1)
    emit(tmp_path / "bus", lanes=1, bus=bus, bus_bits=bits)
    plain, around = (
        json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("plain", "bus")
    )
    assert around["options"]["bus"] == bus
    assert around["options"].get("bus_bits") == (bits or (64 if bus == "wishbone" else None))
    assert set(around["files"]) == {"sparnn.v", "sparnn.h"} | FILES | PACKAGES.get(bus, set())
    assert around["files"]["sparnn.v"] == plain["files"]["sparnn.v"]
    verilog = (tmp_path / "bus" / "sparnn_bus.v").read_text()
    ports = verilog[verilog.index("module sparnn_bus(") :].split(";")[0]
    assert ("s_axi_awaddr" in ports) == (bus != "wishbone")
    assert ("m_axi_araddr" in ports) == ("s_axis_tdata" not in ports) == (bus != "axi-stream")
    assert "  sparnn " in verilog  # the machine is placed


@pytest.mark.parametrize(
    ("name", "bits", "message"),
    [
        ("pci", None, "--bus pci is unknown: use one of axi, axi-stream, wishbone"),
        ("axi-stream", 64, "--bus axi-stream reads no memory"),
        (None, 64, "--bus-bits 64 needs a bus"),
        ("axi", 48, "data_bits = 48"),
    ],
)
def test_refused(name, bits, message):
    with pytest.raises((SparnnError, ConfigurationError), match=message):
        bus_choice(name, bits)
