"""Reads of a Liberty file what energies need: pins, functions, capacitances, power tables."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sparnn.gen.errors import SparnnError

__all__ = ["Cell", "Library", "Pin", "PowerTable", "read_liberty"]

_TOKEN = re.compile(r'"[^"]*"|[{}();:,]|[^\s{}();:,"]+')
_SKIPPED = re.compile(r"/\*.*?\*/|\\\n", re.DOTALL)


@dataclass
class _Group:
    """A group of the file: ``kind (arguments) { … }``."""

    kind: str
    arguments: tuple[str, ...]
    values: dict[str, str] = field(default_factory=dict)
    groups: list["_Group"] = field(default_factory=list)

    def of(self, kind: str) -> Iterator["_Group"]:
        return (one for one in self.groups if one.kind == kind)


@dataclass(frozen=True)
class PowerTable:
    """Energy of a transition in femtojoules, over slews in ns and loads in fF; one of both may be
    missing. values: [slew][load]."""

    slews: tuple[float, ...]
    loads: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    def at(self, slew: float, load: float) -> float:
        """Bilinear; the ends are not left."""
        (i, u), (j, v) = _place(self.slews, slew), _place(self.loads, load)
        rows = [self.values[i], self.values[min(i + 1, len(self.values) - 1)]]
        low, high = ((1 - v) * row[j] + v * row[min(j + 1, len(row) - 1)] for row in rows)
        return (1 - u) * low + u * high


def _place(axis: Sequence[float], value: float) -> tuple[int, float]:
    """Index below a value, and how far it is to the next."""
    if len(axis) < 2:
        return 0, 0.0
    index = min(max(bisect_right(axis, value) - 1, 0), len(axis) - 2)
    share = (value - axis[index]) / (axis[index + 1] - axis[index])
    return index, min(max(share, 0.0), 1.0)


@dataclass(frozen=True)
class Pin:
    """A pin. capacitance: fF. function: of an output, in Verilog. powers: of each case that the
    file tells apart, rising and falling energy."""

    name: str
    is_output: bool
    capacitance: float
    function: str
    powers: tuple[tuple[PowerTable, PowerTable], ...]

    def transition(self, slew: float, load: float = 0.0) -> float:
        """Mean energy of one transition in femtojoules, over all cases and both directions."""
        if not self.powers:
            return 0.0
        total = sum(rise.at(slew, load) + fall.at(slew, load) for rise, fall in self.powers)
        return total / (2 * len(self.powers))


@dataclass(frozen=True)
class Cell:
    """A standard cell. leakage: nW. clock, data, state: of a flip-flop, its clock pin, what it
    takes and the names of its state and the inverse. gate: of a clock gate, which has a clock pin
    too, its enable and its output."""

    name: str
    area: float
    leakage: float
    pins: Mapping[str, Pin]
    clock: str = ""
    data: str = ""
    state: tuple[str, ...] = ()
    gate: tuple[str, ...] = ()


@dataclass(frozen=True)
class Library:
    """voltage: V. wire: fF of a net's wires by its fanout."""

    name: str
    voltage: float
    cells: Mapping[str, Cell]
    wire: Mapping[int, float]

    def wire_load(self, fanout: int) -> float:
        """Capacitance of the wires of a net; linear beyond the table."""
        if not self.wire or not fanout:
            return 0.0
        most = max(self.wire)
        if fanout > most:
            return self.wire[most] * fanout / most
        return self.wire[min(one for one in self.wire if one >= fanout)]


def read_liberty(path: Path, *, wires: str = "") -> Library:
    """A library.

    Parameters
    ----------
    wires: name of the wire load model; none for a name that the file does not have.

    Raises
    ------
    SparnnError: the file cannot be read, or is none.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        top = _parse(iter(_TOKEN.findall(_SKIPPED.sub(" ", text))))
        return _library(next(top.of("library")), wires)
    except (OSError, StopIteration, IndexError, KeyError, ValueError) as error:
        raise SparnnError(f"{path} cannot be read as a Liberty file ({error!r})") from None


def _library(library: _Group, wires: str) -> Library:
    scale = _capacitance_scale(library)
    templates = {one.arguments[0]: one for one in library.groups if one.kind.endswith("_template")}
    cells = {one.arguments[0]: _cell(one, scale, templates) for one in library.of("cell")}
    wire: dict[int, float] = {}
    for model in library.of("wire_load"):
        if model.arguments[0] == wires:
            unit = float(model.values["capacitance"]) * scale
            for pair in model.values.get("fanout_length", "").split(";"):
                fanout, length = pair.split(",")
                wire[int(fanout)] = float(length) * unit
    return Library(library.arguments[0], float(library.values.get("nom_voltage", 1)), cells, wire)


def _capacitance_scale(library: _Group) -> float:
    """fF of the file's unit; energies of its tables are in this unit times V²."""
    amount, unit = library.values.get("capacitive_load_unit", "1,pf").split(",")[:2]
    return float(amount) * {"ff": 1.0, "pf": 1000.0}[unit.lower()]


def _parse(tokens: Iterator[str]) -> _Group:
    """All groups up to the closing brace."""
    here = _Group("", ())
    for token in tokens:
        if token == "}":
            return here
        if token == ";":
            continue
        sign = next(tokens)
        if sign == ":":
            value = next(tokens)
            here.values[token] = value.strip('"')
            continue
        if sign != "(":
            continue
        arguments = []
        for part in iter(lambda: next(tokens), ")"):
            if part != ",":
                arguments.append(part.strip('"'))
        following = next(tokens, ";")
        if following == "{":
            group = _parse(tokens)
            group.kind, group.arguments = token, tuple(arguments)
            here.groups.append(group)
        else:
            text = ",".join(arguments)
            if token == "fanout_length" and token in here.values:
                text = f"{here.values[token]};{text}"
            here.values[token] = text
    return here


def _cell(group: _Group, scale: float, templates: Mapping[str, _Group]) -> Cell:
    pins = {}
    for pin in group.of("pin"):
        powers = []
        for power in pin.of("internal_power"):
            tables = {one.kind: _table(one, scale, templates) for one in power.groups}
            both = tables.get("power")
            rise, fall = tables.get("rise_power", both), tables.get("fall_power", both)
            if rise is not None and fall is not None:
                powers.append((rise, fall))
        pins[pin.arguments[0]] = Pin(
            pin.arguments[0],
            pin.values.get("direction") == "output",
            float(pin.values.get("capacitance", 0)) * scale,
            _verilog(pin.values.get("function", "")),
            tuple(powers),
        )
    state = next(group.of("ff"), None)
    if "clock_gating_integrated_cell" in group.values:
        clock, *gate = (
            next((pin.arguments[0] for pin in group.of("pin") if mark in pin.values), "")
            for mark in ("clock_gate_clock_pin", "clock_gate_enable_pin", "clock_gate_out_pin")
        )
        area, leakage = (
            float(group.values.get(name, 0)) for name in ("area", "cell_leakage_power")
        )
        return Cell(group.arguments[0], area, leakage, pins, clock=clock, gate=tuple(gate))
    return Cell(
        group.arguments[0],
        float(group.values.get("area", 0)),
        float(group.values.get("cell_leakage_power", 0)),
        pins,
        *(
            ()
            if state is None
            else (
                state.values["clocked_on"],
                _verilog(state.values["next_state"]),
                state.arguments,
            )
        ),
    )


def _table(group: _Group, scale: float, templates: Mapping[str, _Group]) -> PowerTable:
    """Slews first, whatever the file's order."""
    rows = _rows(group.values["values"])
    template = templates.get(group.arguments[0])
    first = template.values.get("variable_1", "") if template else ""
    axes = [
        _numbers(group.values.get(name) or (template.values.get(name, "") if template else ""))
        for name in ("index_1", "index_2")
    ]
    count = len(axes[0]) if axes[0] else 1
    flat = [scale * value for value in rows]
    width = max(1, len(flat) // count)
    values = [tuple(flat[place : place + width]) for place in range(0, len(flat), width)]
    loads_first = "capacitance" in first
    slews, loads = (axes[1], axes[0]) if loads_first else (axes[0], axes[1])
    found = tuple(zip(*values, strict=True)) if loads_first else tuple(values)
    return PowerTable(slews, tuple(scale * load for load in loads), found)


def _rows(text: str) -> list[float]:
    return [float(number) for number in re.split(r"[,\s]+", text) if number]


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(_rows(text))


def _verilog(function: str) -> str:
    """A function in Verilog: two terms beside each other are a product."""
    tokens = re.findall(r"[A-Za-z_]\w*|[01]|[!()&*|+^']", function)
    text = ""
    for before, token in zip(["", *tokens], tokens, strict=False):
        ends = re.fullmatch(r"\w+|[)']", before) is not None
        if ends and re.fullmatch(r"\w+|[(!]", token):
            text += " & "
        if token == "'":
            raise SparnnError(f"the function {function!r} of a Liberty file is not understood")
        text += {"!": "~", "*": " & ", "+": " | ", "&": " & ", "|": " | ", "^": " ^ "}.get(
            token, token
        )
    return text
