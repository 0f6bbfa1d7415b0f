"""Moves registers into ECP5's block RAMs and multipliers, which Yosys leaves outside.

A block RAM of speed grade 6 gives its data 5.7 ns after the clock, a multiplier takes 3.6 ns from
operand to product. Both have registers of their own. A register is moved where all its bits lie
directly behind or before one port and share clock and enable; it must start at zero and have no
reset, except that behind a multiplier, whose own may be reset where it has no enable.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["absorb_registers"]

_MULTIPLIER_BITS = 18
_PRODUCT_BITS = 36
_RAM_BITS = 18

Cell = dict[str, Any]
Bit = int | str
#: Clock, enable ("1" for none) and reset ("0" for none).
Control = tuple[Bit, Bit, Bit]


def absorb_registers(netlist: Mapping[str, Any]) -> None:
    """Change a netlist (Yosys' JSON) in place."""
    for module in netlist["modules"].values():
        _Module(module).absorb()


class _Module:
    def __init__(self, module: Mapping[str, Any]) -> None:
        self._cells: dict[str, Cell] = module["cells"]
        self._sinks: dict[Bit, list[tuple[str, str]]] = {}
        self._drivers: dict[Bit, str] = {}
        for name, cell in self._cells.items():
            for port, bits in cell["connections"].items():
                for bit in bits:
                    if cell.get("port_directions", {}).get(port) == "output":
                        self._drivers[bit] = name
                    else:
                        self._sinks.setdefault(bit, []).append((name, port))
        for port in module["ports"].values():
            for bit in port["bits"]:
                self._sinks.setdefault(bit, []).append(("", ""))

    def absorb(self) -> None:
        cells = list(self._cells.items())
        # First where it gains most: a register between the two goes to the block RAM.
        for name, cell in cells:
            if cell["type"] == "DP16KD":
                self._block_ram(name, cell)
        for name, cell in cells:
            if cell["type"] == "MULT18X18D":
                self._operands(name, cell)
                self._product(name, cell)

    # Kinds of port ---------------------------------------------------------------------------

    def _block_ram(self, name: str, cell: Cell) -> None:
        # As wide as 36 bits both halves of the output are what port B reads.
        wide = _number(cell, "DATA_WIDTH_B") == 36
        for sides in ("AB",) if wide else ("A", "B"):
            ports = [f"DO{side}{k}" for side in sides for k in range(_RAM_BITS)]
            clock = "CLKB" if wide else f"CLK{sides}"
            if any(_text(cell, f"REGMODE_{side}", "NOREG") != "NOREG" for side in sides):
                continue
            if _text(cell, f"{clock}MUX", clock) != clock or not self._no_reset(cell, sides):
                continue

            def moved(control: Control, cell: Cell = cell, sides: str = sides) -> None:
                for side in sides:
                    cell["parameters"][f"REGMODE_{side}"] = "OUTREG"
                    self._connect(cell, name, f"OCE{side}", control[1])

            self._behind(cell, ports, cell["connections"].get(clock, [""])[0], moved)

    def _no_reset(self, cell: Cell, sides: str) -> bool:
        return all(cell["connections"].get(f"RST{side}", ["0"])[0] in ("0", "x") for side in sides)

    def _operands(self, name: str, cell: Cell) -> None:
        # Both or none: nextpnr knows no delays of a multiplier with one registered operand.
        registers = [self._registers_before(cell, side) for side in "AB"]
        if not all(registers):
            return
        for number, side in enumerate("AB"):
            found = registers[number]
            control = _control(next(iter(found.values())))
            self._clocked(name, cell, f"REG_INPUT{side}", number, control)
            for k in range(_MULTIPLIER_BITS):
                port = f"{side}{k}"
                bit = cell["connections"][port][0]
                if bit in found:
                    self._sinks[bit].remove((name, port))
                    self._connect(cell, name, port, found[bit]["connections"]["DI"][0])
            for bit in found:
                self._drop(bit)

    def _registers_before(self, cell: Cell, side: str) -> dict[Bit, Cell]:
        """Bit -> register of an operand whose bits all come from registers of one control."""
        bits = {cell["connections"][f"{side}{k}"][0] for k in range(_MULTIPLIER_BITS)} - {"0"}
        found = {bit: self._cells.get(self._drivers.get(bit, ""), {}) for bit in bits}
        if not all(map(_plain, found.values())):
            return {}
        return found if len({_control(register) for register in found.values()}) == 1 else {}

    def _product(self, name: str, cell: Cell) -> None:
        ports = [f"P{k}" for k in range(_PRODUCT_BITS)]

        def moved(control: Control) -> None:
            self._clocked(name, cell, "REG_OUTPUT", 2, control)

        self._behind(cell, ports, None, moved, resets=True)

    # Moves -----------------------------------------------------------------------------------

    def _behind(
        self,
        cell: Cell,
        ports: Iterable[str],
        clock: Bit | None,
        moved: Callable[[Control], None],
        *,
        resets: bool = False,
    ) -> None:
        """Where each used bit feeds one register alone, the cell drives what they drove."""
        registers: dict[str, str] = {}
        for port in ports:
            bit = cell["connections"].get(port, ["x"])[0]
            sinks = self._sinks.get(bit, [])
            if not sinks:
                continue
            register, pin = sinks[0]
            found = self._cells.get(register, {})
            if len(sinks) > 1 or pin != "DI" or not _plain(found, resets):
                return
            registers[port] = register
        controls = {_control(self._cells[register]) for register in registers.values()}
        if len(controls) != 1 or (clock is not None and clock != next(iter(controls))[0]):
            return
        moved(controls.pop())
        for port, register in registers.items():
            cell["connections"][port] = list(self._cells[register]["connections"]["Q"])
            self._remove(register)

    def _clocked(self, name: str, cell: Cell, register: str, number: int, control: Control) -> None:
        for kind, net in zip(("CLK", "CE", "RST"), control, strict=True):
            cell["parameters"][f"{register}_{kind}"] = f"{kind}{number}"
            self._connect(cell, name, f"{kind}{number}", net)
        cell["parameters"]["GSR"] = "DISABLED"

    def _connect(self, cell: Cell, name: str, port: str, bit: Bit) -> None:
        cell["connections"][port] = [bit]
        cell["port_directions"][port] = "input"
        self._sinks.setdefault(bit, []).append((name, port))

    def _drop(self, bit: Bit) -> None:
        """Remove the register of a bit that nobody reads any more."""
        if not self._sinks.get(bit):
            self._remove(self._drivers[bit])

    def _remove(self, register: str) -> None:
        for port, bits in self._cells[register]["connections"].items():
            for bit in bits:
                if port != "Q":
                    self._sinks[bit].remove((register, port))
        del self._cells[register]


def _number(cell: Cell, parameter: str) -> int:
    value = cell["parameters"].get(parameter, 0)
    return int(value, 2) if isinstance(value, str) else int(value)


def _text(cell: Cell, parameter: str, default: str) -> str:
    """A parameter; Yosys puts a space behind those that could be numbers."""
    return str(cell.get("parameters", {}).get(parameter, default)).rstrip()


def _plain(register: Cell, resets: bool = False) -> bool:
    """A rising-edge register that starts at zero and is never reset; if ``resets``, it may be, at
    the clock, where it has no enable."""
    reset = register.get("connections", {}).get("LSR", ["0"])[0]
    if resets and _text(register, "CEMUX", "1") == "1":
        reset = "0" if _text(register, "SRMODE", "LSR_OVER_CE") == "LSR_OVER_CE" else reset
    return (
        register.get("type") == "TRELLIS_FF"
        and _text(register, "REGSET", "RESET") == "RESET"
        and _text(register, "CLKMUX", "CLK") == "CLK"
        and _text(register, "CEMUX", "1") in ("1", "CE")
        and _text(register, "LSRMUX", "LSR") == "LSR"
        and reset == "0"
    )


def _control(register: Cell) -> Control:
    connections = register["connections"]
    enable = connections["CE"][0] if _text(register, "CEMUX", "1") == "CE" else "1"
    return connections["CLK"][0], enable, connections.get("LSR", ["0"])[0]
