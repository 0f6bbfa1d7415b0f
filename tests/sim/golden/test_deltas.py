"""Deltas in the golden model: docs/numerics.md, against a model of one number at a time."""

from dataclasses import replace

import numpy as np
import pytest

from sparnn.gen.bench.random_networks import random_config, random_network, random_x
from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.half import differences, half_of
from sparnn.sim.golden.layers import run_network
from sparnn.sim.network.network import IntegerNetwork


def with_thresholds(network, x, h):
    """All thresholds of one size, where the layer reads more than one step."""
    return replace(
        network,
        layers=tuple(
            replace(one, delta_x=0 if one.last_only else x, delta_h=h if one.has_hidden else None)
            for one in network.layers
        ),
    )


def drawn(seed):
    """A random network of every kind, and a sequence that moves little."""
    rng = np.random.default_rng(seed)
    config = random_config(rng, activation_bits=8 + seed % 8)
    network = random_network(rng, config)
    first = random_x(rng, network, 1)
    moves = rng.integers(-9, 10, (12, first.shape[1])) * (rng.random((12, first.shape[1])) < 0.4)
    most = (1 << config.activation_bits - 1) - 1
    return network, np.clip(first + np.cumsum(moves, axis=0), -most - 1, most)


@pytest.mark.parametrize("seed", range(40))
def test_thresholds_of_zero_change_no_bit(seed):
    network, x = drawn(seed)
    plain, delta = run_network(network, x), run_network(with_thresholds(network, 0, 0), x)
    for a, b in zip(plain.layers, delta.layers, strict=True):
        assert np.array_equal(a.sequence, b.sequence)
        assert np.array_equal(a.h, b.h)
        assert a.saturated == b.saturated
        assert (a.state is None) == (b.state is None)
        assert a.state is None or np.array_equal(a.state, b.state)


def slow_half(layer, which, elements, threshold):
    """Differences and exact row sums of one half, number by number, over all steps."""
    weights = getattr(layer, f"w_{which}")
    factors = getattr(layer, f"factors_{which}")
    gates, units, columns = weights.shape
    r = [0] * columns
    sums = [[0] * units for _ in range(gates)]
    found, sent = [], []
    for e in elements:
        d = [int(a) - b if abs(int(a) - b) > threshold else 0 for a, b in zip(e, r, strict=True)]
        r = [int(a) if c else b for a, b, c in zip(e, r, d, strict=True)]
        for g in range(gates):
            for unit in range(units):
                for k in range(columns):
                    w = int(weights[g, unit, k])
                    if factors is not None:
                        w *= int(factors[int(w < 0), g, unit])
                    sums[g][unit] += w * d[k]
        found.append([list(row) for row in sums])
        sent.append(d)
    return np.array(sent), np.array(found)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("threshold", [0, 1, 6])
def test_sums_and_references_follow_the_definition(seed, threshold):
    network, x = drawn(seed)
    layer = with_thresholds(network, threshold, threshold).layers[0]
    layer = replace(layer, delta_x=threshold, last_only=False)
    sent, sums = slow_half(layer, "x", x, threshold)
    half = half_of(layer, "x")
    assert np.array_equal(differences(x, threshold)[0], sent)
    # Some steps at once, then single ones.
    several, single = half(x[:5]), [half(row) for row in x[5:]]
    assert np.array_equal(
        np.concatenate([several, single]), half.requantized(sums.reshape(len(x), -1))
    )
    assert np.array_equal(half.references, np.cumsum(sent, axis=0)[-1])
    present = np.count_nonzero(layer.w_x, axis=(0, 1))
    assert half.useful(x) == int((sent != 0).sum(axis=0) @ present)


def test_larger_thresholds_send_less():
    network, x = drawn(3)
    useful = [run_network(with_thresholds(network, t, t), x).useful_macs for t in (0, 2, 8, 60)]
    assert useful == sorted(useful, reverse=True)
    assert useful[0] > useful[-1]


def test_thresholds_survive_saving(tmp_path):
    network = with_thresholds(drawn(1)[0], 3, 4)
    network.save(tmp_path / "network.npz")
    read = IntegerNetwork.load(tmp_path / "network.npz")
    assert [(one.delta_x, one.delta_h) for one in read.layers] == [
        (one.delta_x, one.delta_h) for one in network.layers
    ]


def test_what_is_refused():
    network, _ = drawn(0)
    layer = next(one for one in network.layers if one.has_hidden)
    with pytest.raises(SimulationError, match="each half of a layer has a threshold"):
        replace(layer, delta_x=1)
    with pytest.raises(SimulationError, match="delta_x is -1"):
        replace(layer, delta_x=-1, delta_h=0)
    with pytest.raises(SimulationError, match="last_only"):
        replace(layer, delta_x=1, delta_h=0, last_only=True)
    with pytest.raises(SimulationError, match="128: the largest number of 8 bits is 127"):
        with_thresholds(network, 128, 0)
    several = next(one for one in map(drawn, range(20)) if len(one[0].layers) > 1)[0]
    mixed = (*with_thresholds(several, 1, 1).layers[:1], *several.layers[1:])
    with pytest.raises(SimulationError, match="some layers have thresholds"):
        replace(several, layers=mixed)
    wide = random_network(
        np.random.default_rng(1), random_config(np.random.default_rng(1), activation_bits=16)
    )
    with pytest.raises(SimulationError, match="activation_bits = 15"):
        with_thresholds(wide, 1, 1)
