"""The machine on its bus as a module of LiteX."""

from pathlib import Path

from sparnn.hdl.bus.geometry import MemoryGeometry
from sparnn.hdl.bus.table import ADDRESS_BITS

__all__ = ["LITEX", "litex_module"]

LITEX = "sparnn_litex.py"

_TEMPLATE = Path(__file__).parent / "templates" / "bus" / f"{LITEX}.in"


def litex_module(geometry: MemoryGeometry) -> str:
    """The text of sparnn_litex.py, for a machine with AXI4-Lite registers and an AXI4 master."""
    text = _TEMPLATE.read_text(encoding="utf-8")
    values = {
        "WINDOW_BITS": ADDRESS_BITS,
        "DATA_BITS": geometry.data_bits,
        "ADDRESS_BITS": geometry.address_bits,
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text
