import numpy as np
import pytest

from sparnn.gen.balance import LaneWork, refine


def draw(seed):
    rng = np.random.default_rng(seed)
    units, inputs = int(rng.integers(1, 40)), int(rng.integers(1, 30))
    groups, slices = int(rng.integers(1, 9)), int(2 ** rng.integers(0, 4))
    x_work = rng.random((units, inputs)) * (rng.random((units, inputs)) < 0.5)
    h_work = rng.random((units, units)) if rng.random() < 0.8 else None
    return rng, groups, slices, x_work, h_work


def loads(x_work, h_work, group, row_slice, column_slice, groups, slices):
    """Lane by lane."""
    result = np.zeros((groups, slices))
    for unit, row in enumerate(x_work):
        for column, work in enumerate(row):
            result[group[unit], column_slice[column]] += work
        if h_work is not None:
            for column, work in enumerate(h_work[unit]):
                result[group[unit], row_slice[column]] += work
    return result


@pytest.mark.parametrize("seed", range(20))
def test_loads_follow_every_exchange(seed):
    rng, groups, slices, x_work, h_work = draw(seed)
    work = LaneWork(
        x_work,
        h_work,
        groups,
        slices,
        rng.integers(0, groups, len(x_work)),
        rng.integers(0, slices, len(x_work)),
        rng.integers(0, slices, x_work.shape[1]),
    )
    for _ in range(30):
        before = work.cost()
        if rng.random() < 0.5:
            changed = work.exchange_column(int(rng.integers(x_work.shape[1])))
        else:
            changed = work.exchange_neuron(int(rng.integers(len(x_work))))
        assert work.cost() < before if changed else work.cost() == before
        expected = loads(x_work, h_work, work.group, work.slice, work.column_slice, groups, slices)
        np.testing.assert_allclose(work.load, expected, atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_refined_orders(seed):
    rng, groups, slices, x_work, h_work = draw(seed)
    units, inputs = x_work.shape
    free = bool(rng.integers(2))
    neurons, columns = rng.permutation(units), rng.permutation(inputs)
    group, row_slice = np.arange(units) % groups, np.arange(units) // 2 % slices
    column_slice = np.arange(inputs) // 2 % slices
    places = {"group": group, "neuron_slice": row_slice, "column_slice": column_slice}

    def unevenness(neurons, columns):
        h = None if h_work is None else h_work[neurons][:, neurons]
        x = x_work[neurons][:, columns]
        load = loads(x, h, group, row_slice, column_slice, groups, slices)
        return float(((load / max(load.mean(), 1e-12)) ** 24).sum())

    result = refine(x_work, h_work, neurons, columns, **places, columns_free=free, passes=3)
    again = refine(x_work, h_work, neurons, columns, **places, columns_free=free, passes=3)
    for one, other in zip(result, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert sorted(result[0]) == list(range(units))
    assert sorted(result[1]) == list(range(inputs))
    if not free:
        # Only the slice of a column matters, but a layer before fixes more than that.
        np.testing.assert_array_equal(result[1], columns)
    assert unevenness(*result) <= unevenness(neurons, columns) * (1 + 1e-9)


def test_a_pruned_layer_becomes_even():
    rng = np.random.default_rng(0)
    x_work, h_work = ((rng.random((128, 128)) < 0.33) * rng.beta(1.2, 4.8, 128) for _ in range(2))
    lanes, v = 64, 4
    places = {
        "group": np.arange(128) % (lanes // v),
        "neuron_slice": np.arange(128) // 4 % v,
        "column_slice": np.arange(128) // 4 % v,
    }

    def unevenness(neurons, columns):
        x, h = x_work[neurons][:, columns], h_work[neurons][:, neurons]
        load = loads(x, h, *places.values(), lanes // v, v)
        return load.max() / load.mean()

    order = np.arange(128)
    refined = refine(x_work, h_work, order, order, **places, columns_free=True, passes=6)
    assert unevenness(*refined) < 1.05 < 1.3 < unevenness(order, order)
