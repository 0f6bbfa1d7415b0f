"""The machines that are looked at, and what is done to the network: a grid from a TOML file."""

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sparnn.gen.boards import BOARDS, Board
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.presets import structure
from sparnn.hdl.emit import MACHINES
from sparnn.hdl.machine import MachineConfig

__all__ = ["AREA_ONLY", "DEFAULT_SPACE", "Point", "Space", "read_space"]

#: Points that differ in nothing else are laid out once, with :data:`BITS`. Bits change cycles only
#: by the weights and activations that round to zero.
AREA_ONLY = frozenset({"lut_memory", "large_memory", "counters", "weight_bits", "activation_bits"})
BITS = {"weight_bits": 8, "activation_bits": 8}
#: What of a machine its outputs depend on.
NUMBERS = frozenset({"weight_bits", "activation_bits", "split_scales", "clip"})

_SECTIONS = {"machine", "board", "grid", "network"}
_NETWORK = ("prune", "rows", "delta")

DEFAULT_SPACE = """\
machine = "sparse"
board = "ulx3s"

[grid]
lanes = [1, 2, 4, 8, 16, 24, 32, 48, 64]
width = [1, 2, 4, 8]
masks = [0, 1]
chunk = [16, 32, 64]
post_units = [1, 2, 4]
weight_bits = [4, 6, 8, 10, 12]
activation_bits = [8, 10, 12, 16]
"""


@dataclass(frozen=True)
class Point:
    """One machine, and what is done to the network.

    Members
    -------
    values: parameters of the machine that are not its defaults.
    prune: share of the weights that become zero. rows: in which they do so together.
    delta: threshold of differences; None: the machine sees the activations themselves.
    """

    machine: str
    values: tuple[tuple[str, int], ...]
    prune: float = 0.0
    rows: int = 1
    delta: float | None = None

    def config(self) -> MachineConfig:
        """The machine. Raises ConfigurationError where there is none of these values."""
        values = dict(self.values)
        if self.delta is not None:
            values["delta"] = 1
        if self.machine == "sparse" and "lanes" in values:
            given = {
                name: values[name] for name in ("width", "post_units", "delta") if name in values
            }
            values = structure(values["lanes"], **given) | values
        return MACHINES[self.machine](**values)

    @property
    def placed_as(self) -> "Point":
        """The same for all points that one layout serves."""
        return self.with_bits(BITS["weight_bits"], BITS["activation_bits"])

    def with_bits(self, weights: int, activations: int) -> "Point":
        """The same for all points that differ in nothing but what changes areas alone."""
        bits = {"weight_bits": weights, "activation_bits": activations}
        kept = [pair for pair in self.values if pair[0] not in AREA_ONLY]
        values = tuple(sorted([*kept, *bits.items()]))
        return replace(self, values=values)

    @property
    def numbers_as(self) -> "Point":
        """The same for all points whose machines give the same outputs."""
        kept = tuple(pair for pair in self.values if pair[0] in NUMBERS)
        return replace(self, values=kept)

    def text(self) -> str:
        """For people."""
        said = [f"{name} = {value}" for name, value in self.values]
        if self.prune:
            blocks = f" in blocks of {self.rows} rows" if self.rows > 1 else ""
            said.append(f"pruned {self.prune:.0%}{blocks}")
        if self.delta is not None:
            said.append(f"delta {self.delta:g}")
        return ", ".join(said) or "the machine as it is by default"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"values": dict(self.values)}

    @staticmethod
    def of(content: Mapping[str, Any]) -> "Point":
        """From :meth:`as_dict`."""
        values = tuple(sorted(content["values"].items()))
        return Point(**dict(content) | {"values": values})


@dataclass(frozen=True)
class Space:
    """A grid.

    Members
    -------
    grid: parameter of the machine -> its values. prune, rows, delta: of the network.
    board: whose FPGA and clock areas and times are of.
    """

    machine: str
    board: Board
    grid: Mapping[str, tuple[int, ...]]
    prune: tuple[float, ...] = (0.0,)
    rows: tuple[int, ...] = (1,)
    delta: tuple[float | None, ...] = (None,)

    @property
    def size(self) -> int:
        own = len(self.prune) * len(self.rows) * len(self.delta)
        return own * math.prod(map(len, self.grid.values()))

    def points(self) -> Iterator[Point]:
        """All of them, in a fixed order; what is not pruned comes once for each of ``rows``."""
        return map(self.point, range(self.size))

    def point(self, number: int) -> Point:
        """One of them, by its place in that order."""
        names = sorted(self.grid)
        axes = (self.prune, self.rows, self.delta, *(self.grid[name] for name in names))
        chosen: list[Any] = []
        for axis in reversed(axes):
            number, place = divmod(number, len(axis))
            chosen.insert(0, axis[place])
        prune, rows, delta, *values = chosen
        pairs = tuple(zip(names, values, strict=True))
        return Point(self.machine, pairs, prune, rows if prune else 1, delta)


def read_space(path: Path | None) -> Space:
    """Read a space, :data:`DEFAULT_SPACE` where there is no file.

    Raises
    ------
    SparnnError: the file is not a space; says which line of it has to change.
    """
    name = "the built-in space" if path is None else str(path)
    try:
        text = DEFAULT_SPACE if path is None else path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        raise SparnnError(f"{name} cannot be read: {error}") from None
    return _space(name, content)


def _space(name: str, content: Mapping[str, Any]) -> Space:
    _known(name, content, _SECTIONS, "a space")
    machine = content.get("machine", "sparse")
    if not isinstance(machine, str) or machine not in MACHINES:
        raise SparnnError(f"{name}: machine = {machine!r} is none of {', '.join(MACHINES)}")
    board = content.get("board", "ulx3s")
    if not isinstance(board, str) or board not in BOARDS:
        raise SparnnError(f"{name}: board = {board!r} is none of {', '.join(BOARDS)}")
    ranges = MACHINES[machine].RANGES
    grid = {}
    grid_section, network = content.get("grid", {}), content.get("network", {})
    _known(name, grid_section, set(ranges), "[grid]")
    _known(name, network, set(_NETWORK), "[network]")
    for key, values in grid_section.items():
        grid[key] = _whole(name, f"[grid] {key}", values, *ranges[key])
    rows = _whole(name, "[network] rows", network.get("rows", [1]), 1, 1024)
    prune = _numbers(name, "[network] prune", network.get("prune", [0.0]), 0, 0.99)
    delta: tuple[float | None, ...] = (None,)
    if "delta" in network:
        if "delta" not in ranges:
            raise SparnnError(
                f"{name}: [network] delta: a {machine} machine has none; leave it out"
            )
        if "delta" in grid:
            raise SparnnError(
                f"{name}: [grid] delta: with [network] delta all machines have it; leave it out"
            )
        delta = _numbers(name, "[network] delta", network["delta"], 0, 1e6)
    return Space(machine, BOARDS[board], grid, prune, rows, delta)


def _whole(name: str, what: str, values: Any, low: float, high: float) -> tuple[int, ...]:
    numbers = _numbers(name, what, values, low, high)
    if any(value != int(value) for value in numbers):
        raise SparnnError(f"{name}: {what} = {values} has to be whole numbers")
    return tuple(int(value) for value in numbers)


def _known(name: str, section: Any, known: set[str], what: str) -> None:
    if not isinstance(section, Mapping):
        raise SparnnError(f"{name}: {what} has to be a table")
    for key in section:
        if key not in known:
            raise SparnnError(
                f"{name}: {key} is unknown in {what}; known: {', '.join(sorted(known))}"
            )


def _numbers(name: str, key: str, values: Any, low: float, high: float) -> tuple[float, ...]:
    values = values if isinstance(values, list) else [values]
    good = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    if not values or len(good) < len(values) or not all(low <= one <= high for one in good):
        raise SparnnError(
            f"{name}: {key} = {values} has to be one or more numbers from {low:g} to {high:g}"
        )
    return tuple(dict.fromkeys(good))
