"""The model that V is chosen by: bounds that any array keeps."""

from dataclasses import replace

import numpy as np
import pytest

from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.cycles import sparse
from sparnn.sim.cycles.sparse import HalfRows, estimate_cycles, follow, output_latency


def half(present, active, config, v_log2, chunks=1):
    """Neurons and columns dealt in turn."""
    units = config.post_units
    group = np.arange(len(present)) % (config.lanes >> v_log2)
    slice_ = np.arange(present.shape[1]) // units % (1 << v_log2)
    return HalfRows.of(present, active, group, slice_, 1 << v_log2, chunks, 1)


def machine(**options):
    return SparseConfig(**({"lanes": 16, "post_units": 4, "max_v": 4} | options))


def drawn(seed, rows=64, columns=64, density=0.5):
    rng = np.random.default_rng(seed)
    present = (rng.random((rows, columns)) < density).astype(np.int64)
    return present, rng.random((40, columns)) < density


@pytest.mark.parametrize("v_log2", [0, 1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_not_below_the_fullest_lane_or_the_collectors(seed, v_log2):
    config = machine()
    present, active = drawn(seed)
    rows = half(present, active, config, v_log2)
    work = np.zeros((16 >> v_log2, 1 << v_log2))
    np.add.at(work, rows.group, rows.pairs[4:].mean(axis=0))
    cycles = estimate_cycles([rows], config, v_log2)
    # Lanes may have been a little ahead when the steps that count began.
    assert cycles >= 0.95 * max(work.max(), len(present) / config.post_units)
    assert cycles < 2 * work.max() + len(present)


def test_dense_work_is_all_there_is():
    """Enough work in each row, and all lanes alike: nothing is lost but the ends of halves."""
    config = machine()
    present, active = np.ones((64, 256), np.int64), np.ones((40, 256), bool)
    cycles = estimate_cycles([half(present, active, config, 0)], config, 0)
    assert cycles == pytest.approx(64 * 256 / 16, rel=0.03)


def test_a_hidden_half_waits_for_the_state_before_it():
    """Hardly any work: a step is as long as the tail, however many lanes there are."""
    config = machine()
    present, active = np.ones((4, 4), np.int64), np.ones((40, 4), bool)
    alone = half(present, active, config, 0)
    assert estimate_cycles([alone, alone], config, 0) > 30
    assert estimate_cycles([alone], config, 0) < 15


@pytest.mark.parametrize(
    ("kind", "activation", "values", "first", "step"),
    [("rnn", "relu", 1, 66, 37), ("rnn", "tanh", 1, 73, 44), ("lstm", "identity", 4, 93, 61)],
)
def test_one_neuron_takes_what_the_pipeline_takes(kind, activation, values, first, step):
    """As simulated: one lane, one neuron, one input, so that every stage waits for the one before;
    a value to the host takes two cycles, and a step one more."""
    config = SparseConfig(lanes=1, post_units=1, max_v=1)
    rows = HalfRows(np.full((24, 1, 1), float(values)), np.zeros(1, int), values, values, 1)
    last = replace(rows, latency=output_latency(kind, activation), pace=3.0)
    time = follow([rows, last], config, 0)
    assert (time.first, time.step) == (pytest.approx(first, abs=3), step)


def test_scan_limits_empty_rows():
    config = machine()
    present, active = np.zeros((64, 64), np.int64), np.ones((40, 64), bool)
    cycles = estimate_cycles([half(present, active, config, 0, chunks=8)], config, 0)
    assert cycles >= 64 / 16 * 8


@pytest.mark.parametrize("width", [4, 8])
def test_blocks_of_rows_take_what_a_row_takes(width):
    """As long as the collector keeps up, which takes the rows one by one."""
    config = machine(width=width, queue_depth=2 * width, masks=0)
    blocks, active = np.ones((64, 256), np.int64), np.ones((40, 256), bool)
    group = np.arange(64) % 16
    slice_ = np.zeros(256, int)
    rows = HalfRows.of(blocks, active, group, slice_, 1, 8, width, blocks=True)
    assert estimate_cycles([rows], config, 0) == pytest.approx(64 * 256 / 16, rel=0.03)
    few = HalfRows.of(blocks[:, :16], active[:, :16], group, slice_[:16], 1, 1, width, blocks=True)
    assert estimate_cycles([few], config, 0) == pytest.approx(64 / 4 * width, rel=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_longer_queues_do_not_cost(seed):
    present, active = drawn(seed, density=0.3)
    short, long = (
        estimate_cycles([half(present, active, one, 2)] * 2, one, 2)
        for one in (machine(queue_depth=2), machine(queue_depth=32))
    )
    assert long <= short


@pytest.mark.parametrize(
    ("lanes", "posts", "v_log2"),
    [(1, 1, 0), (2, 1, 0), (4, 2, 1), (8, 1, 3), (8, 2, 0), (16, 4, 1)],
)
@pytest.mark.parametrize("gates", [1, 1.3, 4])
def test_lanes_one_by_one_take_the_same(monkeypatch, lanes, posts, v_log2, gates):
    """To the last digit: also where a word of positions is not full, and a word is a fraction."""
    config = machine(lanes=lanes, post_units=posts, max_v=1 << v_log2, queue_depth=4)
    halves = []
    for seed, rows in ((lanes, 37), (9, 22)):
        present, active = drawn(seed, rows=rows, columns=24, density=0.4)
        found = half(present, active, config, v_log2)
        halves.append(replace(found, gates=gates if halves else 2))  # fractions of the last half
    waits = [None, 1]
    cycles = []
    for few in (0, 1 << 20):
        monkeypatch.setattr(sparse, "_FEW", few)
        cycles.append(estimate_cycles(halves, config, v_log2, waits))
    assert cycles[0] == cycles[1]
