"""Places block RAMs by lane before nextpnr does, where they fill the device.

nextpnr's placer finds each block RAM the nearest free site, one after the other. With nearly all of
them taken the last ones come to lie anywhere, and with them what they are wired to. A machine's
block RAMs have an order, though: lane after lane, cluster after cluster, a post unit among its
lanes, what belongs to all in the middle. Laid along the rows of sites in that order, forwards and
backwards in turn, each lane's lie side by side (docs/fpga.md: what it gives).
"""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import SparnnError
from .programs import find_nextpnr
from .synth_cache import kept, key_of
from .targets import Device, Target

__all__ = ["groups", "with_floorplan"]

#: Below this share of the sites nextpnr does as well by itself.
_CROWDED = 0.75

_SITE = re.compile(r"X(\d+)/Y(\d+)/")
_PLACE = re.compile(r"\bcluster(\d+)\.(?:.*\blane(\d+)\b)?")


def with_floorplan(netlist: bytes, target: Target, device: Device) -> bytes:
    """The netlist (Yosys' JSON, flattened), its block RAMs with places where they are crowded.

    Raises
    ------
    SparnnError: nextpnr is missing, or places no block RAMs on this device.
    """
    available = int(device.capacity["bram"])
    count = sum(netlist.count(b'"type": "%s"' % kind.encode()) for kind in target.bram)
    if not _CROWDED * available < count <= available:
        return netlist
    design: dict[str, Any] = json.loads(netlist)
    cells = {
        name: cell
        for module in design["modules"].values()
        if module["attributes"].get("top")
        for name, cell in module["cells"].items()
        if cell["type"] in target.bram
    }
    for name, site in _places(list(cells), _rows(target, device)).items():
        cells[name]["attributes"]["BEL"] = site
    return json.dumps(design).encode()


def _places(names: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """A site for each block RAM; every row is passed from its other end than the one before it."""
    left = [list(row) for row in rows]
    spare = sum(len(row) for row in left) - len(names)
    places = {}
    units = groups(names)
    # What is of no cluster: into the middle of the device.
    middle = [left[len(left) // 2], left[(len(left) - 1) // 2]]
    for number, name in enumerate(units.pop(None, [])):
        row = middle[number % 2]
        places[name] = row.pop(len(row) // 2)
    for row in left[1::2]:
        row.reverse()
    for unit in units.values():
        # A lane lies in one row, as long as there are sites to leave free at a row's end.
        if len(left[0]) < len(unit) and len(left[0]) <= spare:
            spare -= len(left.pop(0))
        for name in unit:
            if not left[0]:
                left.pop(0)
            places[name] = left[0].pop(0)
    return places


def groups(names: Sequence[str]) -> dict[tuple[int, float] | None, list[str]]:
    """Names of a machine's cells by (cluster, lane), in the order in which these shall lie.

    What is of a cluster but of none of its lanes lies between them. None: what is of no cluster.
    """
    lanes = 1 + max(
        (int(one[2]) for name in names if (one := _PLACE.search(name)) and one[2]), default=0
    )
    found: dict[tuple[int, float] | None, list[str]] = {}
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
    rows: dict[int, list[tuple[int, str]]] = {}
    for one in placed["modules"]["top"]["cells"].values():
        site = one["attributes"].get("NEXTPNR_BEL", "")
        at = _SITE.match(site)
        if one["type"] == kind and at:
            rows.setdefault(int(at[2]), []).append((int(at[1]), site))
    return [[site for _, site in sorted(rows[y])] for y in sorted(rows)]
