"""The tables of energy: each machine beside EIE on the layer that it ran."""

import pytest

from sparnn.gen.bench.energy_table import together


def memories(design, block, pj):
    totals = {"45": {"weights": pj}}
    return {"design": design, "block": block, "memory_pj": totals, "sliced_pj": totals} | {
        "lanes": 2,
        "steps": 1,
        "cycles": 10,
        "useful_macs": 10,
    }


def logic(design, clock_gates, changes, clock):
    return {"design": design, "clock_gates": clock_gates} | {
        "mac_pj": {"internal": changes, "wires": 0.0},
        "lane_cycle_pj": {"clock": clock},
    }


def test_each_beside_eie_on_its_layer():
    points = [
        memories("eie", 1, 100),
        memories("ours", 1, 10),
        memories("ours, 4 rows", 4, 10),
        memories("eie, blocks of 4 rows", 4, 200),
        memories("ours, no logic of it", 1, 10),
    ]
    gates = [
        logic(point["design"], gated, 1, 3 - gated)
        for point in points[:-1]
        for gated in (True, False)
    ]
    rows = together(points, gates)["rows"]
    # Memories a MAC, changes, and clock pins of two multipliers in each cycle of a MAC.
    assert [row["all"] for row in rows] == [10 + 1 + 4, 1 + 1 + 4, 1 + 1 + 4, 20 + 1 + 4]
    assert [row["of_eie"] for row in rows] == pytest.approx([1, 6 / 15, 6 / 25, 1])
    assert rows[2]["half"] == pytest.approx((0.5 + 5) / (10 + 5))
