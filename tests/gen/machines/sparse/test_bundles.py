"""Neurons that share the columns of their weights end in one block."""

from dataclasses import replace

import numpy as np
import pytest

from sparnn.gen.bench.random_networks import random_network
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.sparse.bundles import bundled, positions_of, whole_bundles
from sparnn.gen.machines.sparse.layout import lay_out
from sparnn.gen.machines.sparse.pack import pack_network
from sparnn.hdl.sparse.config import SparseConfig


def alike(rng, kinds, each, columns=64):
    """Masks of so many kinds, shuffled, and the kind of each neuron."""
    masks = rng.random((kinds, columns)) < 0.3
    kind = rng.permutation(np.arange(kinds).repeat(each))
    return masks[kind], kind


@pytest.mark.parametrize("size", [2, 4, 8])
def test_neurons_alike_are_found(size):
    rng = np.random.default_rng(size)
    present, kind = alike(rng, 6, size)
    bundles = bundled(present, size, 6)
    assert sorted(bundles.reshape(-1)) == list(range(6 * size))
    assert all(len(set(kind[bundle])) == 1 for bundle in bundles)


def test_bundles_lie_in_words_of_one_post_unit():
    units, size, post_units = 45, 4, 2
    count = whole_bundles(units, size, post_units)
    assert count == 10
    bundles = np.random.default_rng(0).permutation(units)[: count * size].reshape(count, size)
    order = positions_of(bundles, units, post_units)
    assert sorted(order) == list(range(units))
    place = np.argsort(order)
    for number, bundle in enumerate(bundles):
        cluster, first = number % post_units, number // post_units * size
        assert list(place[bundle]) == [(first + k) * post_units + cluster for k in range(size)]


def relu_layer(rng, present):
    """A layer of one row a neuron whose weights lie where they are said to."""
    config = SparseConfig(lanes=4, max_v=1)
    network = random_network(rng, config, layers=1, directions=False)
    units = len(present)
    rows = {f"{name}_x": np.ones((1, units), int) for name in ("mult", "shift", "bias")}
    layer = replace(
        network.layers[0], kind="linear", activation="relu", w_x=present[np.newaxis] * 3, w_h=None,
        mult_h=None, shift_h=None, bias_h=None, initial_h=None, initial_c=None, f_state=0,
        f_out=network.layers[0].f_pre, out_bits=16, **rows,
    )  # fmt: skip
    return replace(network, layers=(layer,))


def test_no_word_is_stored_for_nothing():
    """Rows that were pruned together, in any order: as many words as one of them has weights."""
    rng = np.random.default_rng(1)
    present, _ = alike(rng, 8, 4)
    network = relu_layer(rng, present)
    config = SparseConfig(lanes=4, max_v=1, width=4)
    for balance in (True, False):
        layout = lay_out(network, config, balance=balance)
        (loop,) = pack_network(network, layout, config)
        words = int(loop.weight_counts.sum())
        assert (words == np.count_nonzero(present) // 4) == balance


def test_too_many_lanes_a_row_without_masks():
    rng = np.random.default_rng(1)
    network = relu_layer(rng, np.ones((8, 3), np.bool_))
    config = SparseConfig(lanes=8, max_v=8, masks=0)
    assert lay_out(network, config).layers[0].v_log2 <= 1
    with pytest.raises(SparnnError, match=r"V = 4 lanes split its rows.*shortest has 3; use a"):
        lay_out(network, config, v=[4])
