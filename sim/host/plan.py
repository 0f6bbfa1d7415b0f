"""The tile plan of a layer on the dense machine: its phases and their order."""

from collections.abc import Mapping
from dataclasses import dataclass

from sparnn.sim.network.network import GATES

__all__ = ["SCHEDULES", "Order", "Phase", "TilePlan"]


@dataclass(frozen=True)
class Order:
    """In which order a layer's passes are made; the descriptor's fields of these names.

    Members
    -------
    unfolded: the input half of a step does not wait for the step before it.
    gate_major: every pass is made once for each gate, its rows being that gate of K neurons; else
        the gates of a neuron lie side by side, and a pass has them all.
    gate_outer: with gate_major, all passes of a gate, of both halves, come before the next gate's.
    """

    unfolded: bool = True
    gate_major: bool = False
    gate_outer: bool = False

    @property
    def schedule(self) -> str:
        """Its name among :data:`SCHEDULES`."""
        return next(name for name, orders in SCHEDULES.items() if self in orders)


#: Schedule -> the orders that it allows (SHARP, section 5), the preferred one first. Unfolded, a
#: layer of fewer than four gates fills its segments gate by gate.
SCHEDULES: Mapping[str, tuple[Order, ...]] = {
    "sequential": (Order(unfolded=False, gate_major=True, gate_outer=True),),
    "batch": (Order(unfolded=False, gate_major=True),),
    "intergate": (Order(unfolded=False, gate_major=False),),
    "unfolded": (
        Order(unfolded=True, gate_major=False),
        Order(unfolded=True, gate_major=True),
    ),
}


@dataclass(frozen=True)
class Phase:
    """Equal passes: ``groups`` row segments side by side, ``length`` cycles, ``passes`` of them."""

    groups: int
    length: int
    passes: int


@dataclass(frozen=True)
class TilePlan:
    """The tiles of one layer, and their order. h is empty without a hidden half."""

    x: tuple[Phase, ...]
    h: tuple[Phase, ...]
    order: Order = Order()

    def gates(self, kind: str) -> int:
        """How often each pass is made."""
        return GATES[kind] if self.order.gate_major else 1
