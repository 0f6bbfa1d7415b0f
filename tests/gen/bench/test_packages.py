"""The component for other tools, in the eyes of those tools: schema, PeakRDL, FuseSoC."""

import pytest

from sparnn.gen.bench.packages import (
    component_registers,
    peakrdl_registers,
    run_fusesoc,
    schema_errors,
)
from sparnn.gen.errors import SparnnError
from sparnn.gen.output.fusesoc import FUSESOC, fusesoc_core
from sparnn.gen.output.ipxact import IPXACT, ipxact_component
from sparnn.gen.output.registers import system_rdl
from sparnn.hdl.bus.geometry import MemoryGeometry
from sparnn.hdl.bus.table import registers
from sparnn.hdl.bus.top import Bus

BUSES = pytest.mark.parametrize("bus", list(Bus))


@BUSES
def test_component_is_valid_and_has_peakrdls_registers(bus, tmp_path):
    component = tmp_path / IPXACT
    component.write_text(ipxact_component(bus, 2, MemoryGeometry()), encoding="utf-8")
    assert schema_errors(component) == []
    rdl = tmp_path / "sparnn_regs.rdl"
    rdl.write_text(system_rdl(bus), encoding="utf-8")
    found = component_registers(component)
    assert len(found) == len(list(registers(bus.jobs)))
    assert found == peakrdl_registers(rdl, tmp_path)


def test_an_invalid_component_is_seen(tmp_path):
    component = tmp_path / IPXACT
    text = ipxact_component(Bus.AXI, 1, MemoryGeometry())
    component.write_text(text.replace("ipxact:register", "ipxact:registre"), encoding="utf-8")
    assert schema_errors(component)


def test_fusesoc_takes_the_core(tmp_path):
    """Both targets are set up; what they run is in docs/results, by the module's own command."""
    (tmp_path / "tb").mkdir()
    for name in ("sparnn.v", "sparnn_bus.v", "image.bin"):
        (tmp_path / name).touch()
    for name in ("sparnn_tb.v", "said.hex", "answered.hex"):
        (tmp_path / "tb" / name).touch()
    (tmp_path / FUSESOC).write_text(fusesoc_core(bench=True), encoding="utf-8")
    run_fusesoc(tmp_path, "sim", setup_only=True)
    (tmp_path / FUSESOC).write_text(fusesoc_core(bench=False), encoding="utf-8")
    run_fusesoc(tmp_path, "lint", setup_only=True)
    with pytest.raises(SparnnError, match="fusesoc run --target sim"):
        run_fusesoc(tmp_path, "sim", setup_only=True)
