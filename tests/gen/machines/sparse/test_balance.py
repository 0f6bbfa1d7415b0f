import numpy as np
import pytest

from sparnn.gen.machines.sparse import balance as module
from sparnn.gen.machines.sparse.balance import Balance, HalfWork, balanced


def draw(seed):
    """Halves of one or two layers that read the same input, in one loop or in two."""
    rng = np.random.default_rng(seed)
    threads, shared = int(rng.integers(1, 3)), bool(rng.integers(2))
    loops = int(rng.integers(1, threads + 1))
    lanes = [(int(rng.integers(1, 9)), int(2 ** rng.integers(0, 4))) for _ in range(loops)]
    inputs = int(rng.integers(1, 30))
    units = [int(rng.integers(1, 40))] * threads if shared else list(rng.integers(1, 40, threads))
    orders = [rng.permutation(inputs)]
    halves = []
    for thread in range(threads):
        if thread == 0 or not shared:
            orders.append(rng.permutation(units[thread]))
        rows = len(orders) - 1
        loop = thread % loops
        for columns in (0, rows)[: int(rng.integers(1, 3))]:
            width = len(orders[columns])
            halves.append(
                HalfWork(
                    rng.random((units[thread], width)) * (rng.random((units[thread], width)) < 0.5),
                    rows,
                    columns,
                    rng.integers(lanes[loop][0], size=units[thread]),
                    rng.integers(lanes[loop][1], size=width),
                    loop,
                )
            )
    return rng, halves, lanes, orders


def loads(halves, lanes, orders):
    """Weight by weight."""
    result = [np.zeros(shape) for shape in lanes]
    for half in halves:
        rows, columns = (orders[k] for k in (half.neurons, half.columns))
        for row, neuron in enumerate(rows):
            for column, source in enumerate(columns):
                work = half.work[neuron, source]
                result[half.loop][half.group[row], half.slice[column]] += work
    return result


def cost(halves, lanes, orders):
    return sum(
        float(((load / max(load.mean(), 1e-12)) ** 24).sum())
        for load in loads(halves, lanes, orders)
    )


def searched(halves, lanes, orders, free, effort=1.0):
    """The search as it is meant, with numpy's own choice."""
    rng = np.random.default_rng(0)
    orders = [rng.permutation(order) if k in free else order for k, order in enumerate(orders)]
    balance = Balance(halves, lanes, orders)
    sizes = np.array([len(orders[number]) for number in free])
    idle = 0
    for number in range(int(effort * module._ROUNDS * sizes.sum())):
        if number % module._LOOK == 0 and balance.unevenness() < module._EVEN:
            break
        order = int(rng.choice(free, p=sizes / sizes.sum()))
        one = int(rng.integers(len(orders[order])))
        mine = balance.fullest(order) if number % 2 else ()
        if len(mine):
            one = int(rng.choice(mine))
        others = rng.integers(len(orders[order]), size=module._TRIES)
        idle = 0 if balance.exchange(order, one, others) else idle + 1
        if idle > module._PATIENCE * sizes.sum():
            break
    return balance.orders


@pytest.mark.parametrize("seed", range(20))
def test_what_is_drawn_is_what_numpy_would_choose(seed):
    rng, halves, lanes, orders = draw(seed)
    free = [number for number in range(len(orders)) if number or rng.integers(2)]
    found = balanced(halves, lanes, orders, free=free)
    wanted = searched(halves, lanes, orders, free)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seed", range(30))
def test_loads_follow_every_exchange(seed):
    rng, halves, lanes, orders = draw(seed)
    balance = Balance(halves, lanes, orders)
    for _ in range(30):
        before = balance.cost
        order = int(rng.integers(len(orders)))
        one, *others = rng.integers(len(orders[order]), size=1 + int(rng.integers(1, 5)))
        changed = balance.exchange(order, one, np.array(others))
        assert balance.cost < before if changed else balance.cost == before
        for load, expected in zip(balance.loads, loads(halves, lanes, balance.orders), strict=True):
            np.testing.assert_allclose(load, expected, atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_balanced_orders(seed):
    rng, halves, lanes, orders = draw(seed)
    free = [number for number in range(len(orders)) if number or rng.integers(2)]
    result, again = (balanced(halves, lanes, orders, free=free) for _ in range(2))
    for number, (one, other) in enumerate(zip(result, again, strict=True)):
        np.testing.assert_array_equal(one, other)
        assert sorted(one) == sorted(orders[number])
        if number not in free:
            np.testing.assert_array_equal(one, orders[number])
    shuffled = [
        rng.permutation(order) if number in free else order for number, order in enumerate(orders)
    ]
    assert cost(halves, lanes, result) <= cost(halves, lanes, shuffled) * (1 + 1e-9)


def test_the_fullest_lane_is_offered():
    work = np.eye(4)
    half = HalfWork(work, 1, 0, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    work[3, 2] = 5  # position 3 of the rows, 2 of the columns: lane (1, 0)
    balance = Balance([half], [(2, 2)], [np.arange(4), np.arange(4)])
    assert balance.loads[0].tolist() == [[1, 1], [6, 1]]
    assert balance.fullest(0).tolist() == [0, 2]
    assert balance.fullest(1).tolist() == [2, 3]
    assert balance.unevenness() == 6 / 2.25


def test_a_pruned_layer_becomes_even():
    rng = np.random.default_rng(0)
    positions, lanes, v = np.arange(128), 64, 4
    halves = [
        HalfWork(
            (rng.random((128, 128)) < 0.33) * rng.beta(1.2, 4.8, 128),
            1,
            columns,
            positions % (lanes // v),
            positions // 4 % v,
        )
        for columns in (0, 1)
    ]
    orders = [positions, positions]
    shape = [(lanes // v, v)]
    even = Balance(halves, shape, balanced(halves, shape, orders, free=[0, 1])).unevenness()
    assert even < 1.05 < 1.3 < Balance(halves, shape, orders).unevenness()
