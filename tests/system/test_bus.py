"""The machine behind AXI and AXI-Stream: the benches of tests/system/benches, in one shape each.

benches/bus_crossings.py has them in all shapes (`make cocotb`).
"""

import pytest
from support.benches import run_bench
from support.small_network import CONFIG, write_bench

from sparnn.hdl.bus.geometry import MemoryGeometry
from sparnn.hdl.bus.top import BUS_MODULE, Bus, BusMachine, bus_verilog

SOURCES = ("sparnn.v", "sparnn_bus.v")


@pytest.mark.parametrize(
    ("bus", "bench", "count"), [(Bus.AXI, "bus_bench", 13), (Bus.AXI_STREAM, "stream_bench", 7)]
)
def test_bench(tmp_path, bus, bench, count):
    write_bench(tmp_path)
    top = BusMachine(CONFIG, bus, MemoryGeometry(data_bits=64))
    (tmp_path / "sparnn_bus.v").write_text(bus_verilog(top))
    assert len(run_bench(tmp_path, bench, BUS_MODULE, SOURCES)) == count
