"""Places of block RAMs and multipliers: which, and that nextpnr takes them."""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import pytest

from sparnn.gen.synth.floorplan import groups, with_floorplan
from sparnn.gen.synth.tools import find_nextpnr
from sparnn.gen.targets import TARGETS

ECP5 = TARGETS["ecp5"]
DEVICE = ECP5.default_device


def block_rams(clusters: int, lanes: int) -> list[str]:
    """Names as a machine has them: three block RAMs a lane and a post unit, two of all."""
    names = ["dut.core.store.words.0.0", "dut.core.dispatcher.program.0.0"]
    for cluster in range(clusters):
        prefix = f"dut.core.cluster{cluster}.core."
        for memory in ("table", "rows", "parameters"):
            names.append(f"{prefix}post.{memory}.0.0")
            names += [f"{prefix}lane{lane}.{memory}.0.0" for lane in range(lanes)]
    return names


def multipliers(clusters: int, lanes: int) -> list[str]:
    """One of each lane and four of each post unit."""
    names = []
    for cluster in range(clusters):
        prefix = f"dut.core.cluster{cluster}.core."
        names += [f"{prefix}lane{lane}.product" for lane in range(lanes)]
        names += [f"{prefix}post.product{number}" for number in range(4)]
    return names


def netlist(names: list[str], products: Sequence[str] = ()) -> bytes:
    """What Yosys would write of nothing but these; each lane's multiplier with a reset of its own,
    beside one of all."""
    cell = {"parameters": {}, "port_directions": {}, "connections": {}, "hide_name": 0}
    cells = {name: cell | {"type": "DP16KD", "attributes": {"keep": "1"}} for name in names}
    for number, name in enumerate(products, 2):
        cells[name] = cell | {
            "type": "MULT18X18D",
            "attributes": {"keep": "1"},
            "port_directions": {"RST0": "input", "RST2": "input"},
            "connections": {"RST0": [1], "RST2": [number if "lane" in name else 1]},
        }
    module = {"attributes": {"top": "1"}, "ports": {}, "cells": cells, "netnames": {}}
    return json.dumps({"creator": "test", "modules": {"top": module}}).encode()


def places(text: bytes) -> dict[str, str]:
    cells = json.loads(text)["modules"]["top"]["cells"]
    return {name: cell["attributes"].get("BEL", "") for name, cell in cells.items()}


def position(place: str) -> tuple[int, int]:
    """Column and line."""
    found = re.match(r"X(\d+)/Y(\d+)/(EBR|MULT18_)", place)
    assert found, place
    return int(found[1]), int(found[2])


def test_lanes_in_their_order_with_the_post_unit_between() -> None:
    found = groups(block_rams(2, 4))
    assert list(found) == [
        None,
        *[(0, lane) for lane in (0, 1, 1.5, 2, 3)],
        *[(1, lane) for lane in (0, 1, 1.5, 2, 3)],
    ]
    assert all(len(names) == 3 for key, names in found.items() if key is not None)
    assert found[1, 1.5] == [
        f"dut.core.cluster1.core.post.{memory}.0.0" for memory in ("parameters", "rows", "table")
    ]


def test_what_is_no_machine_or_does_not_fit_is_left_to_nextpnr() -> None:
    for names in (["store.words.0.0"], block_rams(5, 16)):
        text = netlist(names)
        assert with_floorplan(text, ECP5, DEVICE) == text


def test_a_small_machine_lies_close_together_in_the_middle() -> None:
    found = places(with_floorplan(netlist(block_rams(1, 16)), ECP5, DEVICE))
    columns, lines = zip(*(position(place) for place in found.values()), strict=True)
    assert min(columns) >= 40
    assert max(columns) <= 82
    assert set(lines) == {22, 46, 70}


@pytest.mark.parametrize(("clusters", "lanes"), [(4, 16), (14, 3), (1, 60), (1, 1), (2, 5)])
def test_each_lane_lies_in_one_row_and_nextpnr_takes_it(
    clusters: int, lanes: int, tmp_path: Path
) -> None:
    names, products = block_rams(clusters, lanes), multipliers(clusters, lanes)
    text = with_floorplan(netlist(names, products), ECP5, DEVICE)
    found = places(text)
    assert len(set(found.values())) == len(names) + len(products)
    multipliers_of = groups(products)
    for key, members in groups(names).items():
        if key is not None:
            columns, lines = zip(*(position(found[name]) for name in members), strict=True)
            assert len(set(lines)) == 1 or not key[1].is_integer()
            assert max(columns) - min(columns) <= 11  # sites are 2 to 5 apart, one may be taken
            # Their rows are 24 apart, and three of four sites can be taken.
            for column, line in (position(found[name]) for name in multipliers_of[key]):
                assert abs(column - mean(columns)) + abs(line - mean(lines)) <= 52

    (tmp_path / "netlist.json").write_bytes(text)
    done = subprocess.run(
        [
            *(find_nextpnr("nextpnr-ecp5")[0], "--json", "netlist.json", *DEVICE.pnr),
            *("--no-route", "--log", "nextpnr.log", "--quiet", "--timing-allow-fail"),
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    log = (tmp_path / "nextpnr.log").read_text()
    assert done.returncode == 0, log
    assert f"Placed {len(names) + len(products)} cells based on constraints." in log
