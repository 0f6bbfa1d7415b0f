"""The machine behind AXI: the bench tests/system/benches/bus_bench.py, in one shape.

benches/bus_crossings.py has all shapes, and AXI-Stream (`make cocotb`).
"""

from support.benches import run_bench
from support.small_network import CONFIG, write_bench

from sparnn.hdl.bus.geometry import MemoryGeometry
from sparnn.hdl.bus.top import BUS_MODULE, Bus, BusMachine, bus_verilog


def test_jobs(tmp_path):
    write_bench(tmp_path)
    top = BusMachine(CONFIG, Bus.AXI, MemoryGeometry(data_bits=64))
    (tmp_path / "sparnn_bus.v").write_text(bus_verilog(top))
    tests = run_bench(tmp_path, "bus_bench", BUS_MODULE, ("sparnn.v", "sparnn_bus.v"))
    assert len(tests) == 14
