"""Places block RAMs and multipliers by lane before nextpnr does.

nextpnr's placer gives each of them the nearest free site, one after the other; with nearly all of
them taken the last ones come to lie anywhere, and with them what they are wired to. A machine's
have an order, though: lane after lane, a post unit among its lanes, what belongs to all in the
middle. Here each cluster's block RAMs get an oblong of their own, about as wide as high, each
lane's side by side, and its multipliers the sites nearest to them (what it gives is in
docs/notes/fpga-clock.md).
"""

import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from sparnn.gen.errors import SparnnError
from sparnn.gen.targets import Device, Target
from sparnn.hdl.common.numbers import ceil_div
from sparnn.sim.verilator.cache import kept, key_of

from .tools import find_nextpnr

__all__ = ["groups", "with_floorplan"]

#: Sites by which a cluster may be wider than needed, so that a lane need not be split at its end.
_MARGIN = 2

#: Wires for each of clocks, enables and resets in a block of four multipliers.
_DSP_WIRES = 4

_SITE = re.compile(r"X(\d+)/Y(\d+)/")
#: Cluster, and lane in it.
_Unit = tuple[int, float] | None
#: Sites by the cell's name.
_Places = dict[str, str]
_PLACE = re.compile(r"\bcluster(\d+)\.(?:.*\blane(\d+)\b)?")


def with_floorplan(netlist: bytes, target: Target, device: Device) -> bytes:
    """The netlist (Yosys' JSON, flattened), its block RAMs and multipliers with places.

    It is the same where it has no lanes, and where it has more of either than the device: nextpnr
    says how many.

    Raises
    ------
    SparnnError: nextpnr is missing, or places none of them on this device.
    """
    design: dict[str, Any] = json.loads(netlist)
    cells: dict[str, Any] = {}
    for module in design["modules"].values():
        if module["attributes"].get("top"):
            cells = module["cells"]
    rams, multipliers = (
        groups([name for name, cell in cells.items() if cell["type"] in kinds])
        for kinds in (target.bram, target.dsp)
    )
    for units, kind in ((rams, "bram"), (multipliers, "dsp")):
        if sum(map(len, units.values())) > device.capacity[kind]:
            return netlist
    if not rams.keys() - {None}:
        return netlist
    places = _ram_places(rams, _rows(target, device, "bram"))
    if multipliers:
        sites = [site for row in _rows(target, device, "dsp") for site in row]
        places |= _multiplier_places(cells, multipliers, sites, rams, places)
    for name, site in places.items():
        cells[name]["attributes"]["BEL"] = site
    return json.dumps(design).encode()


def _ram_places(units: Mapping[_Unit, Sequence[str]], rows: Sequence[Sequence[str]]) -> _Places:
    """A site for each block RAM."""
    count = sum(len(names) for names in units.values())
    number = len({unit[0] for unit in units if unit is not None})
    left, high = _region(count, number, rows)
    spare = sum(len(row) for row in left) - count
    places = {}
    # What is of no cluster: into the middle.
    for index, name in enumerate(units.get(None, ())):
        row = left[(len(left) - index % 2) // 2]
        places[name] = row.pop(len(row) // 2)
    # A lane's lie in one row of its cluster's oblong, a post unit's in all of them.
    blocks = _blocks(left, high, number // high)
    cluster = 0
    for unit, names in units.items():
        if unit is None:
            continue
        rest = sum(len(row) for row in blocks[0])
        ends = unit[0] != cluster or max(map(len, blocks[0])) < len(names)
        if ends and rest <= spare and len(blocks) > 1:
            spare -= rest
            blocks.pop(0)
        cluster = unit[0]
        row = max(blocks[0], key=len)
        for name in names:
            if not any(blocks[0]):
                blocks.pop(0)
            if not row or not unit[1].is_integer():
                row = max(blocks[0], key=len)
            places[name] = row.pop(0)
    return places


def _region(
    count: int, clusters: int, rows: Sequence[Sequence[str]]
) -> tuple[list[list[str]], int]:
    """The middle of the device's sites, at least so many, and of how many clusters it is high.

    It has as many rows, and as many clusters above each other, as make a cluster about square.
    """
    columns, lines = zip(*(_at(row[0]) for row in rows), strict=True)
    width = (_at(rows[0][-1])[0] - columns[0]) / len(rows[0])
    pitch = (lines[-1] - lines[0]) / max(1, len(rows) - 1) or width

    def oblong(shape: tuple[int, int]) -> float:
        number, high = shape
        ratio = ceil_div(count, number) * high / clusters * width / (number / high * pitch)
        return max(ratio, 1 / ratio)

    number, high = min(
        (
            (number, high)
            for number in range(1, len(rows) + 1)
            for high in range(1, number + 1)
            if sum(map(len, rows[:number])) >= count and clusters % high == 0
        ),
        key=oblong,
    )
    top = (len(rows) - number) // 2
    taken = []
    for row in rows[top : top + number]:
        wide = min(len(row), ceil_div(count, number) + _MARGIN * clusters // high)
        first = (len(row) - wide) // 2
        taken.append(list(row[first : first + wide]))
    return taken, high


def _blocks(rows: Sequence[list[str]], high: int, wide: int) -> list[list[list[str]]]:
    """Rows of sites cut into so many oblongs; each lies beside the one before it."""

    def cut(whole: Sequence[Any], parts: int) -> list[list[Any]]:
        ends = [len(whole) * part // parts for part in range(parts + 1)]
        return [list(whole[start:end]) for start, end in pairwise(ends)]

    blocks = []
    for index, band in enumerate(cut(rows, high)):
        turned = [row[::-1] if index % 2 else row for row in band]
        blocks += [list(block) for block in zip(*(cut(row, wide) for row in turned), strict=True)]
    return blocks


def _multiplier_places(
    cells: Mapping[str, Any],
    units: Mapping[_Unit, Sequence[str]],
    sites: Sequence[str],
    rams: Mapping[_Unit, Sequence[str]],
    places: _Places,
) -> _Places:
    """A site for each multiplier: the nearest to the middle of its unit's block RAMs that can have
    it. Post units come first, so that theirs lie side by side. What finds none, and what is of no
    cluster, is left to nextpnr."""
    free = sorted(sites)
    used: dict[tuple[str, tuple[int, int]], set[int | str]] = defaultdict(set)
    found = {}
    known = [unit for unit in units if unit is not None and unit in rams]
    for unit in sorted(known, key=lambda unit: unit[1].is_integer()):
        columns, lines = zip(*(_at(places[name]) for name in rams[unit]), strict=True)
        middle = sum(columns) / len(columns), sum(lines) / len(lines)
        for name in units[unit]:
            nets = _control_nets(cells[name])
            for site in sorted(free, key=partial(_distance, middle)):
                block = _dsp_block(site)
                together = {kind: used[kind, block] | nets[kind] for kind in nets}
                if max(map(len, together.values())) <= _DSP_WIRES:
                    used |= {(kind, block): wires for kind, wires in together.items()}
                    free.remove(site)
                    found[name] = site
                    break
    return found


def _control_nets(cell: Mapping[str, Any]) -> dict[str, set[int | str]]:
    """The nets of a multiplier's clocks, enables and resets."""
    return {
        kind: {
            bit
            for port, bits in cell["connections"].items()
            if re.fullmatch(kind + r"\d", port)
            for bit in bits
        }
        for kind in ("CLK", "CE", "RST")
    }


def _distance(middle: tuple[float, float], site: str) -> float:
    return sum(abs(a - b) for a, b in zip(middle, _at(site), strict=True))


def _dsp_block(site: str) -> tuple[int, int]:
    """The block of a multiplier's site: its column is the block's and its number in it."""
    column, line = _at(site)
    return column - int(site[-1]), line


def groups(names: Sequence[str]) -> dict[_Unit, list[str]]:
    """Names of a machine's cells by (cluster, lane), in the order in which these shall lie.

    What is of a cluster but of none of its lanes lies between them. None: what is of no cluster.
    """
    lanes = 1 + max(
        (int(one[2]) for name in names if (one := _PLACE.search(name)) and one[2]), default=0
    )
    found: dict[_Unit, list[str]] = {}
    for name in sorted(names):
        one = _PLACE.search(name)
        key = (int(one[1]), float(one[2] or lanes // 2 - 0.5)) if one else None
        found.setdefault(key, []).append(name)
    return dict(sorted(found.items(), key=lambda item: item[0] or (-1, 0)))


def _rows(target: Target, device: Device, resource: str) -> list[list[str]]:
    """The device's sites of ``resource``, "bram" or "dsp", by row, from left to right.

    nextpnr tells: it places as many cells as there are sites, and writes where.
    """
    assert target.pnr is not None
    program, version = find_nextpnr(target.pnr)
    kind = next(iter(getattr(target, resource)))
    cell = {"type": kind, "parameters": {}, "port_directions": {}, "connections": {}}
    cells = {
        f"cell{number}": cell | {"hide_name": 0, "attributes": {"keep": "1"}}
        for number in range(int(device.capacity[resource]))
    }
    module = {"attributes": {"top": "1"}, "ports": {}, "cells": cells, "netnames": {}}
    netlist = json.dumps({"creator": "sparnn", "modules": {"top": module}})
    arguments = [
        *("--json", "netlist.json", *device.pnr, "--no-route", "--quiet"),
        *("--timing-allow-fail", "--write", "placed.json"),
    ]

    def make(folder: Path) -> None:
        (folder / "netlist.json").write_text(netlist, encoding="utf-8")
        done = subprocess.run(
            [program, *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode or not (folder / "placed.json").is_file():
            said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            raise SparnnError(f"{target.pnr} tells no places of {kind} on {device.title}: {said}")

    folder = kept("sites", key_of(version, netlist, *arguments), make)
    placed = json.loads((folder / "placed.json").read_text(encoding="utf-8"))
    rows: dict[int, list[str]] = {}
    for one in placed["modules"]["top"]["cells"].values():
        if one["type"] == kind:
            site = one["attributes"]["NEXTPNR_BEL"]
            rows.setdefault(_at(site)[1], []).append(site)
    return [sorted(rows[y], key=_at) for y in sorted(rows)]


def _at(site: str) -> tuple[int, int]:
    """Column and line of a site: X4/Y22/EBR0."""
    found = _SITE.match(site)
    assert found is not None, site
    return int(found[1]), int(found[2])
