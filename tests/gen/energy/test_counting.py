"""Accesses that Verilog counts, against a slow and obvious count."""

import numpy as np
import pytest

from sparnn.gen.bench.eie import prepare
from sparnn.gen.bench.energy import BANK_BYTES, energy_points
from sparnn.gen.bench.masr import MASR_BITS
from sparnn.gen.bench.workload import masr_workload
from sparnn.gen.energy.account import kind_of
from sparnn.gen.energy.counting import counting_verilog
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.dense.presets import dense_preset
from sparnn.gen.machines.verilog import kept_verilog

STEPS, HIDDEN, LANES = 3, 128, 4
WORKLOAD = {"hidden": HIDDEN, "steps": STEPS, "seed": 2}


def test_refused():
    with pytest.raises(SparnnError, match="no dispatcher or control"):
        counting_verilog("module sparnn(clk);\n  input clk;\nendmodule\n")


def test_dense_machine():
    """Its memories are found, those among them that are read in the same cycle."""
    config = dense_preset("dense64")
    _, accesses = counting_verilog(kept_verilog(config))
    found = {one.name: one for one in accesses.memories}
    weights = found["sparnn_vector_lane:weights"]
    assert (weights.words, weights.width) == (config.weight_depth, 64)
    assert kind_of(weights.name) == "weights"
    copy = found["sparnn_vector_lane:x"]
    assert not copy.clocked
    assert kind_of(copy.name) == "activations"


@pytest.mark.parametrize(("name", "block"), [("eie", 1), ("eie, blocks of 4 rows", 4)])
def test_counts(name, block):
    """EIE: what it walks follows from weights and activations, and so does what it reads."""
    (point,) = energy_points(LANES, [name], stored_steps=0, **WORKLOAD)
    assert point.bit_exact
    assert point.block == block
    counts = {row["memory"].partition(":")[2]: row for row in point.memories}
    comparison = prepare(masr_workload(directions=2, **WORKLOAD, block=block), WORKLOAD["seed"])
    assert point.useful_macs == comparison.trace.useful_macs
    looked_up = 0
    for _, x, outputs in comparison.alone():
        hidden = np.vstack([np.zeros((1, HIDDEN)), outputs[:-1]])
        used = np.hstack([x, hidden]) != 0
        looked_up += LANES * used.sum()
    # Both banks are read once for each column, and perhaps once more at the end of each pass.
    for bank in ("pointers_even", "pointers_odd"):
        fresh = STEPS * counts[bank]["fresh"]
        assert 0.9 * looked_up < fresh <= looked_up + 2 * 2 * STEPS * LANES
        assert counts[bank]["fresh"] <= counts[bank]["reads"]
    # Every new hidden state is written once, in each direction.
    assert STEPS * counts["activations"]["writes"] == 2 * STEPS * HIDDEN
    assert counts["matrix"]["copies"] == LANES
    # Memory energy adds up.
    for node, kinds in point.memory_pj.items():
        assert sum(kinds.values()) <= point.ungated_pj[node]


def test_banks_and_slices():
    """Weights and activations are read for pairs alone, once each, and all banks are counted."""
    name = "ours, banks and slices"
    (point,) = energy_points(LANES, [name], stored_steps=0, post_units=2, **WORKLOAD)
    assert point.bit_exact
    rows = {row["memory"].partition(":")[2]: row for row in point.memories}
    for memory in ("weights", "activations"):
        assert STEPS * rows[memory]["reads"] == point.useful_macs
    assert rows["weights"]["copies"] in (2 * LANES, 4 * LANES, 8 * LANES)
    assert rows["weights"]["words"] * rows["weights"]["width"] <= 8 * BANK_BYTES
    assert (rows["activations"]["copies"], rows["activations"]["width"]) == (2 * LANES, MASR_BITS)
