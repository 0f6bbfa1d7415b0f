"""Places block RAMs by lane before nextpnr does.

nextpnr's placer gives each block RAM the nearest free site, one after the other; with nearly all of
them taken the last ones come to lie anywhere, and with them what they are wired to. A machine's
block RAMs have an order, though: lane after lane, cluster after cluster, a post unit among its
lanes, what belongs to all in the middle. Here they are laid out in that order, in the middle of the
device and about as wide as high, so that each lane's lie side by side (docs/fpga.md: what it
gives).
"""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import SparnnError
from .programs import find_nextpnr
from .synth_cache import kept, key_of
from .targets import Device, Target

__all__ = ["groups", "with_floorplan"]

#: Sites a row may be wider than needed, so that a lane need not be split at its end.
_MARGIN = 2

_SITE = re.compile(r"X(\d+)/Y(\d+)/")
#: Cluster, and lane in it.
_Unit = tuple[int, float] | None
_PLACE = re.compile(r"\bcluster(\d+)\.(?:.*\blane(\d+)\b)?")


def with_floorplan(netlist: bytes, target: Target, device: Device) -> bytes:
    """The netlist (Yosys' JSON, flattened), its block RAMs with places.

    It is the same where it has no lanes, and where it has more block RAMs than the device:
    nextpnr says how many.

    Raises
    ------
    SparnnError: nextpnr is missing, or places no block RAMs on this device.
    """
    design: dict[str, Any] = json.loads(netlist)
    cells = {
        name: cell
        for module in design["modules"].values()
        if module["attributes"].get("top")
        for name, cell in module["cells"].items()
        if cell["type"] in target.bram
    }
    units = groups(list(cells))
    if not units.keys() - {None} or len(cells) > device.capacity["bram"]:
        return netlist
    for name, site in _places(units, _rows(target, device)).items():
        cells[name]["attributes"]["BEL"] = site
    return json.dumps(design).encode()


def _places(units: Mapping[_Unit, Sequence[str]], rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """A site for each block RAM."""
    count = sum(len(names) for names in units.values())
    left = _region(count, rows)
    spare = sum(len(row) for row in left) - count
    places = {}
    # What is of no cluster: into the middle.
    for number, name in enumerate(units.get(None, ())):
        row = left[(len(left) - number % 2) // 2]
        places[name] = row.pop(len(row) // 2)
    # A cluster fills one row or several, its lanes dealt to them; the next one comes back.
    clusters = len({unit[0] for unit in units if unit is not None})
    height = max(1, len(left) // clusters)
    bands = [left[first : first + height] for first in range(0, len(left), height)]
    for band in bands[1::2]:
        for row in band:
            row.reverse()
    for unit, names in units.items():
        if unit is None:
            continue
        free = max(len(row) for row in bands[0])
        over = sum(len(row) for row in bands[0])
        if free < len(names) and over <= spare and len(bands) > 1:
            spare -= over
            bands.pop(0)
        row = max(bands[0], key=len)
        for name in names:
            if not row:
                if not any(bands[0]):
                    bands.pop(0)
                row = max(bands[0], key=len)
            places[name] = row.pop(0)
    return places


def _region(count: int, rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The middle of the device's sites: at least so many, in as many rows as make it square."""
    columns, lines = zip(*(_at(row[0]) for row in rows), strict=True)
    width = _at(rows[0][-1])[0] - columns[0]
    pitch = (lines[-1] - lines[0]) / max(1, len(rows) - 1)

    def oblong(number: int) -> float:
        ratio = -(-count // number) / len(rows[0]) * width / (number * pitch or width)
        return max(ratio, 1 / ratio)

    number = min(
        (n for n in range(1, len(rows) + 1) if sum(map(len, rows[:n])) >= count), key=oblong
    )
    top = (len(rows) - number) // 2
    taken = []
    for row in rows[top : top + number]:
        wide = min(len(row), -(-count // number) + _MARGIN)
        first = (len(row) - wide) // 2
        taken.append(list(row[first : first + wide]))
    return taken


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


def _rows(target: Target, device: Device) -> list[list[str]]:
    """The device's sites of block RAMs by row, from left to right.

    nextpnr tells: it places as many cells as there are sites, and writes where.
    """
    assert target.pnr is not None
    program, version = find_nextpnr(target.pnr)
    kind = next(iter(target.bram))
    cell = {"type": kind, "parameters": {}, "port_directions": {}, "connections": {}}
    cells = {
        f"ram{number}": cell | {"hide_name": 0, "attributes": {"keep": "1"}}
        for number in range(int(device.capacity["bram"]))
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
            raise SparnnError(
                f"{target.pnr} tells no places of block RAMs on {device.title}: {said}"
            )

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
