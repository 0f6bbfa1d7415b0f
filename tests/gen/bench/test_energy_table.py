"""Tables of energies from points."""

import pytest

from sparnn.gen.bench.energy_table import delta_table, energy_tables, together
from sparnn.gen.energy.account import KINDS
from sparnn.gen.energy.cacti import NODES


def point(design, scale):
    kinds = dict.fromkeys(KINDS, 0.0) | {"weights": 60.0 * scale, "pointers": 40.0 * scale}
    total = {str(node): 100.0 * scale for node in NODES}
    return {
        "design": design,
        "lanes": 4,
        "seed": 0,
        "steps": 10,
        "bit_exact": True,
        "cycles": 500,
        "useful_macs": 1000,
        "memory_pj": {str(node): kinds for node in NODES},
        "ungated_pj": {node: 2 * pj for node, pj in total.items()},
        "banked_pj": {node: pj / 2 for node, pj in total.items()},
        "sliced_pj": {node: pj / 4 for node, pj in total.items()},
        "memories": [],
    }


POINTS = [point("eie", 4), point("ours", 1), point("dense pass", 40), point("ese", 8)]


def test_memories():
    """Ratios are of EIE's energy by the same count; the last column names another."""
    tables = energy_tables(POINTS)
    eie, ours = tables["memory"]["rows"][:2]
    assert (eie["eie45"], ours["eie45"]) == (1, 0.25)
    assert ours["mac45"] == 100 * 10 / 1000
    assert (ours["under_ese"], ours["under_dense"]) == (8, 40)
    variant = tables["variants"]["rows"][1]
    assert variant["banked45_eie"] == 0.25
    assert variant["sliced45_plain"] == 25 / 400


def test_deltas():
    """Kinds without energy have no column; what is saved is over the dense pass."""
    points = [
        {
            **dict.fromkeys(("network", "macs", "width", "sparsity", "steps", "seed"), 0),
            "design": design,
            "bit_exact": True,
            "cycles_per_step": 10.0,
            "macs_of_a_dense_step": 50,
            "step_pj": {str(node): scale for node in NODES},
            "kinds_pj": dict.fromkeys(KINDS, 0.0) | {"weights": scale},
        }
        for design, scale in (("dense pass", 1000.0), ("deltas", 250.0))
    ]
    table = delta_table(points)
    assert [row["less"] for row in table["rows"]] == [1, 4]
    assert [row["mac"] for row in table["rows"]] == [20, 5]
    titles = [one["title"] for one in table["columns"]]
    assert "weights, nJ" in titles
    assert "masks, nJ" not in titles


def test_together():
    """Clock pins count by the lanes' cycles, changes by useful MACs; memories are varied alone."""
    logic = [
        {
            "design": design,
            "clock_gates": gated,
            "mac_pj": {"internal": 1.0, "wires": 2.0},
            "lane_cycle_pj": {"clock": clock},
        }
        for design, gated, clock in (
            ("eie", False, 1.0),
            ("ours", False, 2.0),
            ("eie", True, 0.5),
            ("ours", True, 0.25),
        )
    ]
    eie, ours = together(POINTS, logic)["rows"]
    assert ours["free_clock"] == 2.0 * 4 * 500 / 1000
    assert ours["free_all"] == pytest.approx(1 + 3 + 4)
    assert ours["free_of_eie"] == pytest.approx(8 / (4 + 3 + 2))
    assert ours["gated_of_eie"] == pytest.approx(4.5 / (4 + 3 + 1))
    assert ours["half"] == pytest.approx(4.0 / (2 + 3 + 1))
    assert ours["best"] == pytest.approx(3.75 / 5)
    assert eie["free_of_eie"] == eie["half"] == 1
