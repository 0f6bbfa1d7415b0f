"""Energy of logic: changes of a netlist's nets times what cells and wires take for one."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from .gates import GateModule
from .liberty import Library

__all__ = ["SLEW_NS", "WIRES", "LogicEnergy", "logic_energy"]

SLEW_NS = 0.04
"""Of every transition; tables of internal energy depend on it little."""

WIRES = "5K_hvratio_1_1"
"""The wire load model, since nothing is placed."""


@dataclass(frozen=True)
class LogicEnergy:
    """Of one copy of a module over a window, in picojoules.

    Members
    -------
    clock: of clock pins and what flip-flops take for an edge, whatever they hold; the clock's tree
        is in no figure.
    needed: of that, for edges after which a flip-flop holds another value: what would be left if
        every flip-flop's clock stood at all other edges, the gates for it not counted.
    internal: inside cells. wires: charge of nets.
    leakage_mw: in milliwatts.
    flip_flops: so many. gated: of them, behind clock gates.
    """

    clock: float
    needed: float
    internal: float
    wires: float
    leakage_mw: float
    flip_flops: int
    gated: int = 0

    @property
    def total(self) -> float:
        """Without leakage."""
        return self.clock + self.internal + self.wires


def logic_energy(
    module: GateModule, counts: Mapping[str, int], library: Library, cycles: int
) -> LogicEnergy:
    """What a module took.

    Parameters
    ----------
    counts: of the driver; the changes of the nets in so many ``cycles``.
    """
    changes = [counts.get(str(module.first + net), 0) for net in range(module.nets)]
    load: dict[int, float] = defaultdict(float)
    fanout: dict[int, int] = defaultdict(int)
    for cell in module.cells:
        kind = library.cells[cell.kind]
        for pin, net in cell.pins.items():
            if net >= 0 and not kind.pins[pin].is_output:
                load[net] += kind.pins[pin].capacitance
                fanout[net] += 1
    opened = [
        counts.get(str(module.first + module.nets + place), 0)
        for place in range(len(module.enables))
    ]
    square = library.voltage**2
    clock = needed = internal = leakage = 0.0
    flip_flops = gated = 0
    for cell in module.cells:
        kind = library.cells[cell.kind]
        leakage += kind.leakage
        if kind.clock:
            driven = kind.pins[kind.clock]
            edge = 2 * driven.transition(SLEW_NS) + driven.capacitance * square
            if kind.gate:  # its own pin, and its output behind which flip-flops are
                clock += cycles * edge
                output = kind.pins[kind.gate[1]]
                clock += 2 * opened[cell.gate] * output.transition(SLEW_NS)
                continue
            outputs = [net for name, net in cell.pins.items() if kind.pins[name].is_output]
            clock += (cycles if cell.gate < 0 else opened[cell.gate]) * edge
            needed += max((changes[net] for net in outputs if net >= 0), default=0) * edge
            flip_flops += 1
            gated += cell.gate >= 0
        for name, net in cell.pins.items():
            if net >= 0:
                charge = load[net] + library.wire_load(fanout[net])
                internal += changes[net] * kind.pins[name].transition(SLEW_NS, charge)
    wires = sum(
        changes[net] * square * (charge + library.wire_load(fanout[net])) / 2
        for net, charge in load.items()
    )
    return LogicEnergy(
        clock / 1000, needed / 1000, internal / 1000, wires / 1000, leakage / 1e6, flip_flops, gated
    )
