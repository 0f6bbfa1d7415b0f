"""The module of LiteX, as far as can be seen without LiteX: its ports are the machine's."""

import ast

from sparnn.gen.output.litex import litex_module
from sparnn.hdl.bus.axi_lite import AXI_LITE
from sparnn.hdl.bus.axi_read import axi_read_ports
from sparnn.hdl.bus.axi_write import axi_write_ports
from sparnn.hdl.bus.geometry import MemoryGeometry


def test_ports_are_those_of_the_verilog():
    geometry = MemoryGeometry(data_bits=128)
    text = litex_module(geometry)
    assert "@" not in text.replace("@property", "")
    tables = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            tables[node.targets[0].id] = ast.literal_eval(node.value)
    assert (tables["DATA_BITS"], tables["ADDRESS_BITS"], tables["WINDOW_BITS"]) == (128, 32, 12)
    ports = set()
    for prefix, channels in (("s_axi", tables["_LITE"]), ("m_axi", tables["_FULL"])):
        for channel, fields in channels.items():
            ports |= {f"{prefix}_{channel}{name}" for name in ("valid", "ready", *fields)}
    master = axi_read_ports(geometry) | axi_write_ports(geometry)
    assert ports == {f"s_axi_{name}" for name in AXI_LITE} | {f"m_axi_{name}" for name in master}
