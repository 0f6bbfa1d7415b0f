"""Takes the carry input off the first cell of a carry chain."""

from collections.abc import Mapping
from typing import Any

__all__ = ["disconnect_first_carry"]

#: INIT1 of the cell that feeds a chain: the carry out is A1, whatever the carry in.
_FEED = "0x00AA"


def disconnect_first_carry(netlist: Mapping[str, Any]) -> None:
    """Change a netlist (Yosys' JSON) in place: what feeds a carry chain has no carry in.

    Yosys' mapping leaves that pin open, abc9 ties it to a constant, and nextpnr refuses a carry in
    that no carry cell drives.
    """
    for module in netlist["modules"].values():
        for cell in module["cells"].values():
            if cell["type"] == "CCU2" and cell["parameters"].get("INIT1") == _FEED:
                cell["connections"].pop("CIN", None)
