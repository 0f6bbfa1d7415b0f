"""Magnitude pruning."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.onnx_graphs import SUPPORTED

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatLayer, FloatNetwork
from sparnn.gen.network.prune import prune
from sparnn.gen.onnx.reader import network_of


def rnn(w_x: np.ndarray, w_h: np.ndarray) -> FloatNetwork:
    units = len(w_h)
    zeros = np.zeros((1, units))
    return FloatNetwork((FloatLayer("a", "rnn", "tanh", w_x[None], w_h[None], zeros, zeros),))


@given(
    st.integers(1, 6), st.integers(1, 6), st.floats(0, 1, exclude_max=True), st.integers(0, 2**32)
)
def test_exactly_the_smallest(units: int, inputs: int, fraction: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    network = rnn(random.normal(size=(units, inputs)), random.normal(size=(units, units)))
    (before,), (after,) = network.layers, prune(network, fraction).layers
    for old, new in ((before.w_x, after.w_x), (before.w_h, after.w_h)):
        assert old is not None
        assert new is not None
        kept = new != 0
        assert np.count_nonzero(~kept) == round(fraction * old.size)
        assert np.array_equal(new[kept], old[kept])
        if kept.any() and not kept.all():
            assert np.abs(old[~kept]).max() <= np.abs(old[kept]).min()


@given(
    st.sampled_from([1, 3, 4]),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(0, 9),
)
def test_blocks_of_rows(gates: int, units: int, columns: int, rows: int, seed: int) -> None:
    """Row by row, the gates of a unit first: weights of a column in so many rows stand together."""
    w = np.random.default_rng(seed).normal(size=(gates, units, columns))
    kind, activation = {1: ("rnn", "tanh"), 3: ("gru", ""), 4: ("lstm", "")}[gates]
    zeros = np.zeros((gates, units))
    layer = FloatLayer("a", kind, activation, w, np.ones((gates, units, units)), zeros, zeros)
    pruned = prune(FloatNetwork((layer,)), 0.5, rows).layers[0].w_x
    order = [(gate, unit) for unit in range(units) for gate in range(gates)]
    blocks = [
        [(*place, column) for place in order[first : first + rows]]
        for first in range(0, len(order), rows)
        for column in range(columns)
    ]
    smallest = sorted(blocks, key=lambda block: sum(abs(w[place]) for place in block))
    zero = smallest[: round(0.5 * len(blocks))]
    expected = w.copy()
    for place in (place for block in zero for place in block):
        expected[place] = 0
    assert np.array_equal(pruned, expected)


def test_zeros_count_first() -> None:
    w = np.array([[0.0, 0.0, 3.0], [1.0, -2.0, 4.0]])
    network = rnn(w, np.ones((2, 2)))
    assert np.array_equal(prune(network, 1 / 3).layers[0].w_x[0], w)
    assert np.count_nonzero(prune(network, 0.5).layers[0].w_x) == 3
    assert np.array_equal(prune(network, 0.1).layers[0].w_x[0], w)


def test_biases_and_the_original_stay() -> None:
    network = network_of(SUPPORTED["stacked"]())
    before = [layer.w_x.copy() for layer in network.layers]
    after = prune(network, 0.8)
    for old, layer, new in zip(before, network.layers, after.layers, strict=True):
        assert np.array_equal(layer.w_x, old)
        assert np.array_equal(layer.b_x, new.b_x)
        assert np.array_equal(layer.b_h, new.b_h)
    assert after.io == network.io


@pytest.mark.parametrize(
    ("name", "zeros"),
    # The head of the first holds 7 % of the weights, that of the second 4 %.
    [("classifier_lstm", [48, 9]), ("linear_around", [18, 108, 0])],
)
def test_a_small_head_stays(name: str, zeros: list[int]) -> None:
    layers = prune(network_of(SUPPORTED[name]()), 0.5).layers
    assert [np.count_nonzero(layer.w_x == 0) for layer in layers] == zeros


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5, float("nan")])
def test_refused(fraction: float) -> None:
    with pytest.raises(SparnnError, match=r"prune = .* is outside 0 to 1"):
        prune(rnn(np.ones((1, 1)), np.ones((1, 1))), fraction)


def test_a_block_has_a_row() -> None:
    with pytest.raises(SparnnError, match="prune_rows = 0"):
        prune(rnn(np.ones((1, 1)), np.ones((1, 1))), 0.5, 0)
