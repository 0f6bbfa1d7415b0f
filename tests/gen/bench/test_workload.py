"""MASR's workload: its densities are those asked for, uneven and correlated, and seeds repeat."""

import numpy as np
import pytest

from sparnn.gen.bench.workload import masr_workload


def hidden_states(workload):
    layer = workload.network.layers[0]
    h, states = np.zeros(layer.units), []
    for x in workload.x:
        h = np.maximum(layer.w_x[0] @ x + layer.w_h[0] @ h + layer.b_x[0], 0)
        states.append(h)
    return np.array(states)


@pytest.mark.parametrize(("weights", "hidden", "inputs"), [(0.33, 0.2, 0.4), (0.1, 0.1, 0.1)])
def test_densities(weights, hidden, inputs):
    workload = masr_workload(
        hidden=128,
        weight_density=weights,
        hidden_density=hidden,
        input_density=inputs,
        steps=300,
        seed=4,
    )
    layer = workload.network.layers[0]
    for matrix in (layer.w_x[0], layer.w_h[0]):
        assert np.mean(matrix != 0) == pytest.approx(weights, abs=1e-3)
        kept = np.abs(matrix[matrix != 0])
        assert kept.std() / kept.mean() > 0.2  # what magnitude pruning leaves, not a constant
    states, x = hidden_states(workload) != 0, workload.x != 0
    assert states.mean() == pytest.approx(hidden, rel=0.25)
    assert x.mean() == pytest.approx(inputs, rel=0.15)
    for values in (states, x):
        columns = values.mean(axis=0)
        assert columns.std() > 0.05  # each its own density
        moving = columns * (1 - columns) > 0.02
        same = np.mean(values[1:] == values[:-1], axis=0)[moving]
        alike = (columns**2 + (1 - columns) ** 2)[moving]
        assert np.mean(same - alike) > 0.03  # slower than chance


def test_seeds():
    def draw(seed, **more):
        workload = masr_workload(hidden=32, steps=10, seed=seed, **more)
        return np.concatenate([workload.x.ravel(), workload.network.layers[0].w_h.ravel()])

    np.testing.assert_array_equal(draw(1), draw(1))
    np.testing.assert_array_equal(draw(1), draw(1, weight_spread=0.0))
    assert (draw(1) != draw(2)).any()


def test_spread():
    """Rows and columns as uneven as in a trained network, at the same density."""

    def densities(spread):
        matrix = masr_workload(hidden=200, steps=2, seed=1, weight_spread=spread)
        kept = matrix.network.layers[0].w_h[0] != 0
        assert kept.mean() == pytest.approx(0.33, abs=1e-3)
        return kept.mean(axis=1).std(), kept.mean(axis=0).std()

    even, uneven = densities(0.0), densities(0.3)
    assert max(even) < 0.045
    assert min(uneven) > 0.07
