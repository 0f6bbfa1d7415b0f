"""Takes flip-flops' enables off wires that nothing drives."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

__all__ = ["disconnect_loose_pins"]

#: Enable, and data from outside of the slice, which nextpnr connects itself.
_PINS = ("CE", "M")


def disconnect_loose_pins(netlist: Mapping[str, Any]) -> None:
    """Change a netlist (Yosys' JSON) in place: a flip-flop's pin keeps no wire that is its alone.

    Mapped with ``abc9 -dff``, a flip-flop without enable has a wire at each pin that it does not
    use. nextpnr takes each of them for another enable, and puts one such flip-flop where two have
    room (docs/fpga.md).
    """
    for module in netlist["modules"].values():
        cells = module["cells"].values()
        used = Counter(
            bit for cell in cells for bits in cell["connections"].values() for bit in bits
        )
        used.update(bit for port in module["ports"].values() for bit in port["bits"])
        for cell in cells:
            if cell["type"] != "TRELLIS_FF":
                continue
            for pin in _PINS:
                bits = cell["connections"].get(pin, ())
                if bits and isinstance(bits[0], int) and used[bits[0]] == 1:
                    del cell["connections"][pin]
