import numpy as np
import pytest

from sparnn.gen.bench.random_networks import random_config, random_network
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.sparse.layout import chunks_per_row, lay_out
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.network.network import IntegerLayer, IntegerNetwork


def rnn(w_x, w_h):
    """One layer with these weights, [units, inputs] and [units, units]."""
    units = len(w_h)
    ones, zeros = np.ones((1, units), int), np.zeros((1, units), int)
    layer = IntegerLayer(
        "rnn", "rnn", "relu", w_x[np.newaxis], w_h[np.newaxis], ones, zeros, zeros, ones, zeros,
        zeros, 7, 8, 0, 7, 8,
    )  # fmt: skip
    return IntegerNetwork((layer,), 8, 8)


@pytest.mark.parametrize("seed", range(40))
def test_orders_are_permutations(seed):
    rng = np.random.default_rng(seed)
    config = random_config(rng)
    network = random_network(rng, config)
    layout = lay_out(network, config)
    before = layout.inputs
    for stage in network.stages:
        for index in stage:
            layer, place = network.layers[index], layout.layers[index]
            assert sorted(place.neurons) == list(range(layer.units))
            assert sorted(place.columns[place.columns >= 0]) == list(range(layer.inputs))
            np.testing.assert_array_equal(place.columns, before)
        orders = [layout.layers[index].neurons for index in stage]
        if network.layers[stage[-1]].join == "sum":
            np.testing.assert_array_equal(*orders)
            orders = orders[:1]
        if network.layers[stage[-1]].join == "reset":
            np.testing.assert_array_equal(*orders)
            orders = orders[1:]
        before, first = [], 0
        for order in orders:  # each direction begins a word
            before += [-1] * (-len(before) % config.post_units) + [first + n for n in order]
            first += len(order)


def test_identity():
    rng = np.random.default_rng(1)
    config = random_config(rng)
    network = random_network(rng, config, directions=False)
    for layer, place in zip(
        network.layers, lay_out(network, config, balance=False).layers, strict=True
    ):
        np.testing.assert_array_equal(place.neurons, np.arange(layer.units))
        np.testing.assert_array_equal(place.columns, np.arange(layer.inputs))


def loads(layer, place, config, active):
    """Pairs of each lane, [groups, V], both halves of a layer without gates."""
    result = np.zeros((config.lanes >> place.v_log2, 1 << place.v_log2))
    halves = (layer.w_x, place.columns), (layer.w_h, place.neurons)
    for half, (weights, columns) in enumerate(halves):
        ordered = np.count_nonzero(weights, axis=0)[place.neurons][:, columns]
        groups, slices = place.groups(config, half), place.slices(config, half)
        np.add.at(result, (groups[:, None], slices), ordered * active[half][columns])
    return result


def test_halves_go_on_dealing_where_the_last_one_stopped():
    config = SparseConfig(lanes=24, post_units=2, max_v=4)  # 3 groups of V = 4 in each cluster
    network = rnn(np.ones((14, 6), int), np.ones((14, 14), int))
    for rotate in (True, False):
        place = lay_out(network, config, v=[4], rotate=rotate).layers[0]
        first = (0, 7) if rotate else (0, 0)  # words of rows
        column = (0, 3) if rotate else (0, 0)
        for half in range(2):
            words = np.arange(14) // 2
            expected = (words + first[half]) % 3 * 2 + np.arange(14) % 2
            np.testing.assert_array_equal(place.groups(config, half), expected)
            words = words if half else words[:6]
            np.testing.assert_array_equal(place.slices(config, half), (words + column[half]) % 4)


def test_balance_evens_the_groups():
    rng = np.random.default_rng(3)
    row_density = np.linspace(0.02, 0.9, 128)[:, np.newaxis]
    network = rnn(
        (rng.random((128, 64)) < row_density).astype(int),
        (rng.random((128, 128)) < row_density).astype(int),
    )
    config = SparseConfig(lanes=16, max_v=1)

    def imbalance(balance):
        place = lay_out(network, config, balance=balance).layers[0]
        load = loads(network.layers[0], place, config, [np.ones(64), np.ones(128)])
        return load.max() / load.mean()

    assert imbalance(True) < 1.03 < 1.08 < imbalance(False)


def test_dense_columns_are_dealt_to_different_slices():
    network = rnn(np.ones((8, 8), int), np.ones((8, 8), int))
    config = SparseConfig(lanes=4, max_v=4)
    active = np.array([[1, 1, 0, 0, 1, 1, 0, 0]], bool)
    layout = lay_out(network, config, v=[4], activity=[active, np.ones((1, 8), bool)])
    place = layout.layers[0]
    slices = np.arange(8) % 4
    loads = np.bincount(slices, weights=active[0, place.columns])
    np.testing.assert_array_equal(loads, [1, 1, 1, 1])


def test_sparse_columns_are_split_less_than_dense_ones():
    config = SparseConfig(lanes=64, post_units=4, max_v=16)
    network = rnn(np.ones((200, 200), int), np.ones((200, 200), int))

    rng = np.random.default_rng(5)

    def chosen(density):
        active = [rng.random((48, 200)) < density for _ in range(2)]
        return lay_out(network, config, activity=active).layers[0].v_log2

    assert chosen(0.2) < chosen(1.0)


def test_v_follows_the_columns_that_fit():
    network = rnn(np.ones((8, 100), int), np.ones((8, 8), int))
    config = SparseConfig(lanes=4, max_v=4, chunk=8, sub_chunk=4, columns=32)
    assert lay_out(network, config).layers[0].v_log2 == 2
    assert chunks_per_row(config, 100, 2) == 4
    with pytest.raises(SparnnError, match=r"must hold 104 columns .* columns = 24; raise columns"):
        lay_out(network, SparseConfig(lanes=4, max_v=1, chunk=8, sub_chunk=4, columns=24))


@pytest.mark.parametrize(
    ("v", "message"), [([3], "V = 3 is not"), ([8], "max_v = 4"), ([], "for 0")]
)
def test_bad_v(v, message):
    network = rnn(np.ones((8, 8), int), np.ones((8, 8), int))
    with pytest.raises(SparnnError, match=message):
        lay_out(network, SparseConfig(lanes=4, max_v=4), v=v)
