"""Energies of memories between CACTI's figures."""

import json

import pytest

from sparnn.gen.energy.account import memory_energy, sliced
from sparnn.gen.energy.cacti import BITS, BYTES, NODES, TABLE
from sparnn.gen.energy.counting import PortCounts
from sparnn.gen.energy.memories import access_energy, banked_energy
from sparnn.gen.errors import SparnnError

ROWS = json.loads(TABLE.read_text(encoding="utf-8"))["rows"]


@pytest.mark.parametrize(
    "row", ROWS[:: len(ROWS) // 40], ids=lambda row: str(list(row.values())[:4])
)
def test_figures_of_the_table(row):
    """Where CACTI has a figure, it is that."""
    words = 8 * row["bytes"] // row["bits"]
    found = access_energy(words, row["bits"], ports=row["ports"], node=row["nm"])
    assert found.read_pj == pytest.approx(row["read_pj"])
    assert found.write_pj == pytest.approx(row["write_pj"])
    assert found.leakage_mw == pytest.approx(row["leakage_mw"])


def test_between():
    """A size between two costs what lies between, and so does a width."""
    low, middle, high = (
        access_energy(words, 32, ports="one", node=45).read_pj for words in (512, 700, 1024)
    )
    assert low < middle < high
    narrow, between, wide = (
        access_energy(81920 // bits, bits, ports="one", node=45).read_pj for bits in (32, 40, 64)
    )
    assert between == pytest.approx(narrow + (wide - narrow) / 4)


def test_wide_words_lie_beside_each_other():
    one = access_energy(256, 128, ports="two", node=32)
    three = access_energy(256, 384, ports="two", node=32)
    assert three.read_pj == pytest.approx(3 * one.read_pj)


def test_banks():
    """An access wakes one bank, and all of them leak."""
    whole = access_energy(4096, 8, ports="one", node=45)
    quarter = access_energy(1024, 8, ports="one", node=45)
    banked = banked_energy(4096, 8, ports="one", node=45, bank_bytes=1024)
    assert banked.read_pj == quarter.read_pj < whole.read_pj
    assert banked.leakage_mw == pytest.approx(4 * quarter.leakage_mw)


@pytest.mark.parametrize(
    ("words", "width", "node", "said"),
    [
        (7, 64, 45, f"{BYTES[0]} to {BYTES[-1]} bytes"),
        (BYTES[-1] + 1, 8, 45, "divide it into banks"),
        (1024, 8, 28, f"{NODES[0]}, {NODES[1]}, {NODES[2]} nm"),
    ],
)
def test_outside(words, width, node, said):
    with pytest.raises(SparnnError, match=said):
        access_energy(words, width, ports="one", node=node)


def test_sums():
    """Reads and writes of all copies; of flip-flops nothing; a memory that is only read has one
    port."""
    weights = PortCounts("sparnn_lane.pairs", "weights", 512, BITS[0], True, 4, 300, 200, 0)
    store = PortCounts("sparnn.core.store", "values", 512, BITS[0], True, 1, 50, 50, 10)
    queue = PortCounts("sparnn_lane.sums", "sums", 8, 20, False, 4, 9, 9, 9)
    found = memory_energy([weights, store, queue], 45)
    one, two = (access_energy(512, 8, ports=ports, node=45) for ports in ("one", "two"))
    assert [(each.kind, each.counts) for each in found] == [("weights", weights), ("store", store)]
    assert found[0].pj == pytest.approx(200 * one.read_pj)
    assert found[1].pj == pytest.approx(50 * two.read_pj + 10 * two.write_pj)
    assert found[0].leakage_mw == pytest.approx(4 * one.leakage_mw)
    ungated = memory_energy([weights], 45, gated=False)
    assert ungated[0].pj == pytest.approx(300 * one.read_pj)


def test_slices():
    """A pair reads one element of a word; a word that arrives is written into all slices."""
    weights = PortCounts("sparnn_lane.pairs", "weights", 512, 10, True, 4, 300, 200, 0)
    copy = PortCounts("sparnn_lane.pairs", "activations", 64, 80, True, 4, 300, 120, 30)
    same, slices = sliced([weights, copy], 10)
    assert same == weights
    assert (slices.width, slices.copies, slices.fresh, slices.writes) == (10, 32, 200, 240)
