"""Evens the lanes' work by exchanging neurons and columns.

A lane's work is that of one group's rows on one slice's columns, summed over all halves that run in
one loop. Where a neuron lies says which group computes its rows in each half and which slice its
column belongs to; where an input column lies says its slice. So one order decides about several
halves at once, and dealing rows and columns apart evens the groups and the slices but not the
lanes. The search exchanges random pairs and keeps what lowers the cost of all lanes together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Balance", "HalfWork", "balanced"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

#: The search lowers the sum of this power of the lanes' work: high enough that the fullest lanes
#: decide, low enough that the others still give a direction.
_POWER = 24
#: Proposals for each thing that may change its place, and in all.
_PROPOSALS, _MOST_PROPOSALS = 40, 80_000
#: The search ends when so many proposals for each thing in turn gained nothing.
_PATIENCE = 8
#: Lanes this even are not worth a search, nor is it looked at more often than after so many.
_EVEN, _LOOK = 1.002, 64


@dataclass(frozen=True, eq=False)
class HalfWork:
    """One half of a layer: what its lanes have to do.

    Members
    -------
    work: expected pairs of each weight per step, [neurons, columns]; all gates together.
    neurons, columns: which order its rows and its columns follow.
    group: of each position of the rows. slice: of each position of the columns.
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
    halves: of all loops. lanes: groups and slices of each loop.
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
        self._by_group: list[FloatArray] = []  # [groups, columns]
        for half in halves:
            groups, slices = lanes[half.loop]
            slice_ = half.slice[self.places[half.columns]]
            group = half.group[self.places[half.neurons]]
            self._by_slice.append(half.work @ (slice_[:, np.newaxis] == np.arange(slices)))
            self._by_group.append((np.arange(groups)[:, np.newaxis] == group) @ half.work)
            np.add.at(self.loads[half.loop], group, self._by_slice[-1])
        self._means = [max(float(load.mean()), 1e-12) for load in self.loads]
        self.cost = self._cost(self.loads)

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

    def exchange(self, order: int, one: int, other: int) -> bool:
        """Let two things of an order change places, if that lowers the cost."""
        places = self.places[order]
        here, there = places[one], places[other]
        loads = [load.copy() for load in self.loads]
        touched = []
        for number, half in enumerate(self.halves):
            ends = half.group[[here, there]] if half.neurons == order else (0, 0)
            sides = half.slice[[here, there]] if half.columns == order else (0, 0)
            rows, columns = ends[0] != ends[1], sides[0] != sides[1]
            touched.append((rows, columns, ends, sides))
            load = loads[half.loop]
            if rows:
                change = self._by_slice[number][other] - self._by_slice[number][one]
                load[ends[0]] += change
                load[ends[1]] -= change
            if columns:
                by_group = self._by_group[number]
                change = by_group[:, other] - by_group[:, one]
                if rows:  # the two rows have changed their groups already
                    work = half.work
                    corner = work[other, other] - work[one, other] - work[other, one]
                    corner += work[one, one]
                    change[ends[0]] += corner
                    change[ends[1]] -= corner
                load[:, sides[0]] += change
                load[:, sides[1]] -= change
        cost = self._cost(loads)
        if not cost < self.cost * (1 - 1e-12):
            return False
        self.loads, self.cost = loads, cost
        places[one], places[other] = there, here
        for number, (half, (rows, columns, ends, sides)) in enumerate(
            zip(self.halves, touched, strict=True)
        ):
            if rows:
                change = half.work[other] - half.work[one]
                self._by_group[number][ends[0]] += change
                self._by_group[number][ends[1]] -= change
            if columns:
                change = half.work[:, other] - half.work[:, one]
                self._by_slice[number][:, sides[0]] += change
                self._by_slice[number][:, sides[1]] -= change
        return True

    def _cost(self, loads: Sequence[FloatArray]) -> float:
        total = 0.0
        for load, mean in zip(loads, self._means, strict=True):
            ratio = load * (1 / mean)
            cube = ratio * ratio * ratio
            for _ in range((_POWER // 3).bit_length() - 1):
                cube *= cube
            total += float(cube.sum())
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

    Every other proposal takes something from the fullest lane, the others are any two things.

    Parameters
    ----------
    halves, lanes, orders: see :class:`Balance`.
    free: the orders that may change.
    effort: of the usual number of proposals, a share.
    """
    rng = np.random.default_rng(0)
    orders = [
        rng.permutation(order) if number in free else order for number, order in enumerate(orders)
    ]
    balance = Balance(halves, lanes, orders)
    sizes = np.array([len(orders[number]) for number in free])
    proposals = min(int(effort * _PROPOSALS * sizes.sum()), _MOST_PROPOSALS)
    patience = _PATIENCE * int(sizes.sum())
    chosen = rng.choice(len(free), proposals, p=sizes / sizes.sum())
    draws = rng.random((proposals, 2))
    idle = 0
    for number, (which, draw) in enumerate(zip(chosen, draws, strict=True)):
        if number % _LOOK == 0 and balance.unevenness() < _EVEN:
            break
        order = free[which]
        one, other = (int(thing) for thing in draw * sizes[which])
        if number % 2:
            mine = balance.fullest(order)
            one = int(mine[int(draw[0] * len(mine))]) if len(mine) else one
        idle = 0 if one != other and balance.exchange(order, one, other) else idle + 1
        if idle > patience:
            break
    return balance.orders
