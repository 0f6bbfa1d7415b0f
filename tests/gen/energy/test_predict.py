"""Accesses that are predicted from a placement, against those that its Verilog counts."""

from dataclasses import replace

import numpy as np
import pytest

from sparnn.gen.bench.sharp import dense_network
from sparnn.gen.energy.account import banks_together, memory_energy
from sparnn.gen.energy.counting import counting_verilog
from sparnn.gen.energy.predict import predicted, step_accesses, step_energy
from sparnn.gen.machines.backend import backend
from sparnn.gen.quantize.activity import Activity
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.emit import machine_verilog
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.golden.layers import run_network
from sparnn.sim.verilator.hardware import run_sequences

STEPS, UNITS, NODE = 8, 32, 45
SPARSE = {"lanes": 4, "post_units": 2, "max_v": 2, "chunk": 16, "columns": 32, "weight_depth": 1024}
MACHINES = [
    SparseConfig(**SPARSE),
    SparseConfig(**SPARSE, width=2, bank_bytes=512, sliced_copy=1),
    DenseConfig(),
]
#: Of what a kind of memories takes: how far a prediction may be off.
WITHIN = {"weights": 0.03, "masks": 0.03, "activations": 0.1}


@pytest.mark.parametrize("config", MACHINES, ids=["sparse", "divided", "dense"])
def test_predicted_energy(config, tmp_path):
    """In all within a tenth; of weights, masks and activations, which are most of it, nearer."""
    rng = np.random.default_rng(5)
    network = dense_network(rng, "lstm", UNITS)
    layer = network.layers[0]
    pruned = {
        name: getattr(layer, name) * (rng.random(getattr(layer, name).shape) < 0.5)
        for name in ("w_x", "w_h")
    }
    network = replace(network, layers=(replace(layer, **pruned),))
    x = rng.integers(-99, 100, (STEPS, UNITS)) * (rng.random((STEPS, UNITS)) < 0.6)
    trace = run_network(network, x)
    # What the hidden half reads: before the first step, zeros.
    hidden = np.vstack([np.zeros((1, UNITS)), trace.layers[0].outputs[:-1]])
    activity = Activity([x != 0, hidden != 0])
    placed = backend(config).place(network, config, fit=True, activity=activity)
    verilog, accesses = counting_verilog(machine_verilog(placed.config))
    (tmp_path / "sparnn.v").write_text(verilog)
    placed.image.astype("<u4").tofile(tmp_path / "image.bin")
    _, driver = run_sequences(tmp_path, placed.program, [(x, {})])
    counted = memory_energy(banks_together(accesses.counted(driver.counts)), NODE)
    step = step_accesses(placed, activity)
    expected = memory_energy(predicted(placed.config, step), NODE)

    def sums(energies, kind=""):
        return sum(one.pj for one in energies if not kind or one.kind == kind)

    for kind, within in WITHIN.items():
        assert STEPS * sums(expected, kind) == pytest.approx(sums(counted, kind), rel=within)
    assert STEPS * sums(expected) == pytest.approx(sums(counted), rel=0.1)
    assert step_energy(placed.config, [step, step], NODE) == pytest.approx(2 * sums(expected))
