"""EIE and ESE as whole arrays in Verilator: bit exact, and as fast as their schedules allow."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparnn.gen.bench.baseline import baseline_config, run_baseline
from sparnn.gen.bench.csc import encode_csc
from sparnn.gen.bench.eie import compare, memory_bits, prepare
from sparnn.gen.bench.workload import masr_workload
from sparnn.gen.errors import SparnnError
from sparnn.gen.synth import areas as synthesis
from sparnn.gen.synth import mapping as synth_yosys
from sparnn.gen.synth.areas import MACRO_UM2_PER_BIT, Macro, synthesize
from sparnn.hdl.baseline.array import baseline_verilog
from sparnn.sim.golden.layers import run_network
from sparnn.sim.network.network import IntegerNetwork

#: No figure rests on these cells: the published ones are not in any package that pip installs.
LIBERTY = Path(__file__).parents[2] / "support" / "five_cells.lib"
BITS = {"weight_bits": 10, "activation_bits": 10}


@pytest.fixture(scope="module")
def comparison():
    """Sizes that fit no array evenly; some groups of the larger array have no row at all."""
    return prepare(masr_workload(hidden=19, inputs=43, steps=6, seed=3), 3)


@pytest.mark.parametrize(
    ("design", "lanes", "changes"),
    [
        ("eie", 4, {"index_bits": 1}),  # one group, and padding
        ("eie", 32, {}),
        pytest.param(
            *("eie", 8, {"queue_depth": 1, "pipelined_broadcast": False, "entries_per_read": 1}),
            marks=pytest.mark.deep,
        ),
        ("ese", 8, {}),
    ],
)
def test_bit_exact(comparison, design, lanes, changes):
    layer = comparison.network.layers[0]
    config = baseline_config(layer, 6, lanes, design=design, **BITS, **changes)
    run = run_baseline(config, layer, comparison.x)
    np.testing.assert_array_equal(run.outputs, comparison.trace.layers[0].outputs)
    assert run.outputs.any()
    assert (run.padding > 0) == ("index_bits" in changes)
    # No faster than the element with the most stored multiplications of non-zero activations.
    image = encode_csc([layer.w_x[0], layer.w_h[0]], lanes, config.index_bits)
    # Loading takes a cycle for each beat: a group's matrices, pointers (a pair for each entry) and
    # parameters (both halves of 19 rows), behind two headers each. Twelve cycles of reset.
    rows = -(-image.entries.reshape(-1, 4).max(axis=1) // config.entries_per_read)
    beats = rows.sum() + len(rows) * (3 * 2 + (43 + 19) // 2 + 1) + 2 * 19
    assert run.driver.load_cycles == 11 + beats
    hidden = np.vstack([np.zeros((1, 19)), run.outputs[:-1]])
    used = np.hstack([comparison.x, hidden]) != 0
    if design == "ese":
        used[:] = True
    work = used @ np.diff(image.pointers).T  # [steps, elements]
    least = max(work.max(axis=1).sum(), used.sum())
    assert least <= run.cycles <= least + 6 * (80 + 40 * (changes.get("queue_depth") == 1))


@pytest.mark.deep
def test_linear_layer(comparison):
    """A layer without hidden half, step after step."""
    none = dict.fromkeys(("w_h", "mult_h", "shift_h", "bias_h"))
    recurrent = comparison.network.layers[0]
    layer = replace(recurrent, kind="linear", **none)
    forgetful = replace(recurrent, w_h=np.zeros_like(recurrent.w_h))
    expected = run_network(IntegerNetwork((forgetful,), 10, 10), comparison.x).layers[0].outputs
    config = baseline_config(layer, 6, 8, design="eie", **BITS)
    run = run_baseline(config, layer, comparison.x)
    np.testing.assert_array_equal(run.outputs, expected)


def test_only_relu_layers(comparison):
    layer = replace(comparison.network.layers[0], activation="tanh")
    with pytest.raises(SparnnError, match="activation tanh"):
        baseline_config(layer, 6, 8, design="eie", **BITS)
    layer = comparison.network.layers[0]
    split = replace(layer, factors_x=np.full((2, 1, 19), 2))
    for odd in (split, replace(layer, threshold=np.zeros(19, int))):
        with pytest.raises(SparnnError, match="without split scales and thresholds"):
            baseline_config(odd, 6, 8, design="eie", **BITS)


@pytest.mark.parametrize(("directions", "seed"), [(1, 3), (2, 3)])
def test_sums_without_a_scale_of_their_own(directions, seed):
    workload = masr_workload(hidden=19, inputs=43, steps=6, seed=seed, directions=directions)
    assert prepare(workload, seed).network.layers[-1].sum_shift == 0


@pytest.mark.deep
def test_compare():
    """All three on the same integers, and what is relative to EIE."""
    comparison = prepare(masr_workload(hidden=19, inputs=43, steps=6, seed=0, directions=2), 0)
    # The sums of two directions may have a scale of their own, each direction alone has not.
    assert comparison.network.layers[-1].sum_shift == 1
    points = list(compare(comparison, [4], areas=False))
    assert [point.design for point in points] == ["eie", "sparnn", "ese"]
    assert all(point.bit_exact for point in points)
    eie, ours, ese = points
    assert ese.cycles > eie.cycles
    assert ours.speedup_over_eie == pytest.approx(eie.cycles / ours.cycles)
    assert eie.speedup_over_eie is None
    for point in points:
        assert point.useful_macs == comparison.trace.useful_macs
        assert point.utilization == pytest.approx(point.useful_macs / (4 * point.cycles))


def test_memory_bits():
    macros = [
        Macro("matrix.matrix", 10, 112, 4),
        Macro("pointers.pointers_even", 9, 8, 4),
        Macro("scan.weight_masks", 5, 34, 2),
        Macro("scan.activation_masks", 5, 32, 2),
        Macro("core.store", 6, 40, 1),
        Macro("core.post.requantizer.memory.memory", 8, 37, 1),
    ]
    assert memory_bits(macros) == {
        "weights": 10 * 80 * 4,
        "masks_or_indices": 10 * 32 * 4 + 340,
        "pointers": 288,
        "activations": 320 + 240,
        "other": 296,
        "total": 4480 + 288 + 340 + 320 + 240 + 296,
    }


@pytest.mark.deep
def test_synthesis(comparison, monkeypatch):
    """Macros are the memories of the configuration, once per element; the rest is cells."""
    config = baseline_config(comparison.network.layers[0], 100, 8, design="eie", **BITS)
    area = synthesize(baseline_verilog(config), LIBERTY)
    macros = {macro.name.split(".")[0]: macro for macro in area.macros}
    assert macros["matrix"].bits == 8 * config.matrix_words * 112
    assert macros["activations"].bits == 8 * config.activation_depth * 10
    assert area.dsp == 8 + 2 * 2  # an element each; two in each group's requantizer
    # A multiplier, a queue and accumulators in each element; not a mistake of an order.
    assert 8 * 1e5 < area.logic_area < 8 * 1e6
    assert area.ff > 0
    assert area.lut > 0
    # The same again starts no tool.
    monkeypatch.setattr(synthesis, "run_yosys", None)
    monkeypatch.setattr(synth_yosys, "run_yosys", None)
    assert synthesize(baseline_verilog(config), LIBERTY) == area
    assert pytest.approx(469_412 / (128 * 8192) * 16, rel=1e-3) == MACRO_UM2_PER_BIT
