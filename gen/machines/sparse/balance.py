"""Evens the lanes' work by exchanging neurons and columns.

A lane's work is that of one group's rows on one slice's columns, summed over all halves that run in
one loop. Where a neuron lies says which group computes its rows in each half and which slice its
column belongs to; where an input column lies says its slice. So one order decides about several
halves at once, and dealing rows and columns apart evens the groups and the slices but not the
lanes. The search exchanges pairs, the best of some random ones, and keeps what lowers the cost of
all lanes together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparnn.sim.aliases import FloatArray, IntArray
from sparnn.sim.progress import progress

__all__ = ["Balance", "HalfWork", "balanced"]


#: The search lowers the sum of this power of the lanes' work: high enough that the fullest lanes
#: decide, low enough that the others still give a direction.
_POWER = 24
#: Rounds of the search for each thing that may change its place, and in all; places that are tried
#: in each.
_ROUNDS, _MOST_ROUNDS, _TRIES = 24, 60_000, 32
#: The search ends when so many rounds for each thing in turn gained nothing.
_PATIENCE = 1
#: Lanes this even are not worth a search, nor is it looked at more often than after so many.
_EVEN, _LOOK = 1.002, 64


@dataclass(frozen=True, eq=False)
class HalfWork:
    """One half of a layer: what its lanes have to do.

    Members
    -------
    work: expected pairs of each weight per step, [neurons, columns]; all gates together.
    neurons, columns: which order its rows and its columns follow.
    group: of each position of the rows.
    slice: of each position of the columns.
    loop: which loop it runs in; the lanes of each loop are evened.
    """

    work: FloatArray
    neurons: int
    columns: int
    group: IntArray
    slice: IntArray
    loop: int = 0


class Balance:
    """Orders, and the expected work of every lane under them.

    Parameters
    ----------
    halves: of all loops.
    lanes: groups and slices of each loop.
    orders: position -> thing, of each order.
    """

    def __init__(
        self,
        halves: Sequence[HalfWork],
        lanes: Sequence[tuple[int, int]],
        orders: Sequence[IntArray],
    ) -> None:
        self.halves = halves
        self.places = [np.argsort(order) for order in orders]  # thing -> position
        self.loads = [np.zeros(shape) for shape in lanes]
        self._by_slice: list[FloatArray] = []  # [neurons, slices]
        self._by_group: list[FloatArray] = []  # [columns, groups]
        for half in halves:
            groups, slices = lanes[half.loop]
            slice_ = half.slice[self.places[half.columns]]
            group = half.group[self.places[half.neurons]]
            self._by_slice.append(half.work @ (slice_[:, np.newaxis] == np.arange(slices)))
            self._by_group.append(half.work.T @ (group[:, np.newaxis] == np.arange(groups)))
            np.add.at(self.loads[half.loop], group, self._by_slice[-1])
        self._means = [max(float(load.mean()), 1e-12) for load in self.loads]
        self.cost = float(self._cost(self.loads))

    @property
    def orders(self) -> list[IntArray]:
        """Position -> thing."""
        return [np.argsort(places) for places in self.places]

    def unevenness(self) -> float:
        """The fullest lane's work over its loop's mean."""
        return max(
            float(load.max()) / mean for load, mean in zip(self.loads, self._means, strict=True)
        )

    def fullest(self, order: int) -> IntArray:
        """The things of an order that give the fullest lane of a loop work."""
        loop = max(
            range(len(self.loads)), key=lambda k: float(self.loads[k].max()) / self._means[k]
        )
        group, slice_ = divmod(int(self.loads[loop].argmax()), self.loads[loop].shape[1])
        mine = np.zeros(len(self.places[order]), np.bool_)
        for half in self.halves:
            if half.loop == loop and half.neurons == order:
                mine |= (half.group == group)[self.places[order]]
            if half.loop == loop and half.columns == order:
                mine |= (half.slice == slice_)[self.places[order]]
        return np.flatnonzero(mine)

    def exchange(self, order: int, one: int, others: IntArray) -> bool:
        """Let a thing of an order change places with the best of some others, if that lowers the
        cost. All of them are tried at once."""
        places = self.places[order]
        here, there = places[one], places[others]
        tries = np.arange(len(others))
        loads = [np.repeat(load[np.newaxis], len(others), axis=0) for load in self.loads]
        for number, half in enumerate(self.halves):
            load = loads[half.loop]
            if half.neurons == order:
                end, ends = half.group[here], half.group[there]
                change = self._by_slice[number][others] - self._by_slice[number][one]
                change *= (end != ends)[:, np.newaxis]
                load[:, end] += change
                load[tries, ends] -= change
            if half.columns == order:
                side, sides = half.slice[here], half.slice[there]
                change = self._by_group[number][others] - self._by_group[number][one]
                if half.neurons == order:  # the two rows have changed their groups already
                    work = half.work
                    corner = work[others, others] - work[one, others] - work[others, one]
                    corner = (corner + work[one, one]) * (end != ends)
                    change[:, end] += corner
                    change[tries, ends] -= corner
                change *= (side != sides)[:, np.newaxis]
                load[:, :, side] += change
                load[tries, :, sides] -= change
        costs = self._cost(loads)
        best = int(costs.argmin())
        if not costs[best] < self.cost * (1 - 1e-12):
            return False
        self.loads, self.cost = [load[best] for load in loads], float(costs[best])
        other = int(others[best])
        there = places[other]
        places[one], places[other] = there, here
        for number, half in enumerate(self.halves):
            if half.neurons == order:
                change = half.work[other] - half.work[one]
                self._by_group[number][:, half.group[here]] += change
                self._by_group[number][:, half.group[there]] -= change
            if half.columns == order:
                change = half.work[:, other] - half.work[:, one]
                self._by_slice[number][:, half.slice[here]] += change
                self._by_slice[number][:, half.slice[there]] -= change
        return True

    def _cost(self, loads: Sequence[FloatArray]) -> FloatArray:
        """Of one or of many tries: the last two axes are groups and slices."""
        total = np.zeros(loads[0].shape[:-2])
        for load, mean in zip(loads, self._means, strict=True):
            ratio = load * (1 / mean)
            cube = ratio * ratio * ratio
            for _ in range((_POWER // 3).bit_length() - 1):
                cube *= cube
            total += cube.sum(axis=(-2, -1))
        return total


def balanced(
    halves: Sequence[HalfWork],
    lanes: Sequence[tuple[int, int]],
    orders: Sequence[IntArray],
    *,
    free: Sequence[int],
    effort: float = 1.0,
) -> list[IntArray]:
    """Better orders than the given ones. The same input always gives the same orders.

    Every other round takes something from the fullest lane, the others anything.

    Parameters
    ----------
    halves, lanes, orders: see :class:`Balance`.
    free: the orders that may change.
    effort: of the usual number of rounds, a share.
    """
    rng = np.random.default_rng(0)
    orders = [
        rng.permutation(order) if number in free else order for number, order in enumerate(orders)
    ]
    balance = Balance(halves, lanes, orders)
    sizes = np.array([len(orders[number]) for number in free])
    shares = (sizes / sizes.sum()).cumsum()
    shares /= shares[-1]
    rounds = min(int(effort * _ROUNDS * sizes.sum()), _MOST_ROUNDS)
    idle = 0
    with progress("Balancing", rounds) as advance:
        for number in range(rounds):
            if number % _LOOK == 0 and balance.unevenness() < _EVEN:
                break
            # As rng.choice draws, with its checks made once.
            order = free[int(shares.searchsorted(rng.random(), side="right"))]
            one = int(rng.integers(len(orders[order])))
            mine = balance.fullest(order) if number % 2 else ()
            if len(mine):
                one = int(mine[rng.integers(len(mine))])
            others = rng.integers(len(orders[order]), size=_TRIES)
            idle = 0 if balance.exchange(order, one, others) else idle + 1
            if idle > _PATIENCE * sizes.sum():
                break
            advance(1)
    return balance.orders
