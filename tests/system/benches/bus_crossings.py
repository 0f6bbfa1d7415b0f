"""All crossings of the buses' benches: data widths, shapes of bursts, idle and stalled channels.

`make cocotb` runs it; `make test` takes tests/system/test_bus.py, one shape each.
"""

from dataclasses import replace

import pytest
from support.benches import run_bench
from support.small_network import CONFIG, write_bench

from sparnn.hdl.bus.geometry import MemoryGeometry
from sparnn.hdl.bus.top import BUS_MODULE, Bus, BusMachine, bus_verilog
from sparnn.hdl.dense.config import DenseConfig

SLOW = {"SPARNN_SLOW": "1"}
SOURCES = ("sparnn.v", "sparnn_bus.v")
GEOMETRIES = {
    "32": MemoryGeometry(data_bits=32, burst=256, outstanding=2),
    "64": MemoryGeometry(data_bits=64, burst=16, outstanding=4),
    "128": MemoryGeometry(data_bits=128, burst=4, outstanding=8, address_bits=40),
    "256": MemoryGeometry(data_bits=256, burst=1, outstanding=1),
    "512": MemoryGeometry(data_bits=512, burst=64, outstanding=2, address_bits=64),
}
#: A machine that takes four words at once.
DENSE = DenseConfig(
    lanes=8, width=8, banks=4, slices=1, columns=32, store_depth=256, gate_depth=16, link_words=4
)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_jobs(tmp_path, name):
    write_bench(tmp_path)
    top = BusMachine(CONFIG, Bus.AXI, GEOMETRIES[name])
    (tmp_path / "sparnn_bus.v").write_text(bus_verilog(top))
    run_bench(tmp_path, "bus_bench", BUS_MODULE, SOURCES, parameters=SLOW)


def test_four_words_at_once(tmp_path):
    write_bench(tmp_path, DENSE)
    top = BusMachine(DENSE, Bus.AXI, GEOMETRIES["128"])
    (tmp_path / "sparnn_bus.v").write_text(bus_verilog(top))
    tests = (
        "results_equal|two_jobs|streams_take|what_goes|soft_reset|reset_in|memory_errors|counters"
    )
    run_bench(tmp_path, "bus_bench", BUS_MODULE, SOURCES, tests=tests)


def test_wishbone(tmp_path):
    write_bench(tmp_path)
    top = BusMachine(CONFIG, Bus.WISHBONE, GEOMETRIES["32"])
    (tmp_path / "sparnn_bus.v").write_text(bus_verilog(top))
    run_bench(tmp_path, "bus_bench", BUS_MODULE, SOURCES)


@pytest.mark.parametrize("bus", [Bus.AXI, Bus.WISHBONE])
def test_weights_from_memory(tmp_path, bus):
    """Jobs, states and weights through one master."""
    config = replace(CONFIG, stream_bits=64, mask_depth=512, weight_depth=512)
    write_bench(tmp_path, config)
    top = BusMachine(config, bus, GEOMETRIES["64"])
    (tmp_path / "sparnn_bus.v").write_text(bus_verilog(top))
    tests = "results_equal|two_jobs|streams_take|soft_reset|reset_in"
    run_bench(tmp_path, "bus_bench", BUS_MODULE, SOURCES, tests=tests)


def test_streams(tmp_path):
    write_bench(tmp_path)
    (tmp_path / "sparnn_bus.v").write_text(bus_verilog(BusMachine(CONFIG, Bus.AXI_STREAM)))
    run_bench(tmp_path, "stream_bench", BUS_MODULE, SOURCES, parameters=SLOW)


@pytest.mark.parametrize("machine", [CONFIG, DENSE], ids=["sparse", "dense"])
def test_parity(machine, tmp_path):
    """Bits that flip in the machine's memories."""
    config = replace(machine, parity=1)
    write_bench(tmp_path, config)
    top = BusMachine(config, Bus.AXI, GEOMETRIES["64"])
    (tmp_path / "sparnn_bus.v").write_text(bus_verilog(top))
    run_bench(tmp_path, "parity_bench", BUS_MODULE, SOURCES, inside=True)
