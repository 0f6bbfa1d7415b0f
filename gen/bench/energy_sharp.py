"""`sparnn bench energy-sharp`: memories of the dense machine, our schedule and E-PUR's.

Both run the same layer on the same machine, in one simulation; accesses are counted as for `sparnn
bench energy` (docs/energy.md).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from sparnn.gen.energy.account import KINDS, memory_energy
from sparnn.gen.energy.cacti import NODES
from sparnn.gen.machines.dense.tiles import Exploration, explore
from sparnn.hdl.emit import machine_verilog
from sparnn.sim.verilator.hardware import DriverRun

from .energy import Counting
from .sharp import EPUR_GROUPS, dense_network, machine_of, model_point, simulated

__all__ = ["sharp_energy_points"]


def sharp_energy_points(
    macs: int, hidden: int, *, steps: int = 10, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """An LSTM of so many units, and as many inputs: unfolded with the best tiles, then intergate
    with the widest tile alone, as E-PUR has it."""
    config = machine_of(macs)
    rng = np.random.default_rng([seed, hidden])
    network = dense_network(rng, "lstm", hidden)
    x = rng.integers(-128, 128, (1, steps, hidden))
    names, cases = ("ours", "e-pur"), []
    for schedule, fixed in (("unfolded", None), ("intergate", EPUR_GROUPS)):
        plan = explore(
            config, network.layers[0], Exploration(schedule=schedule, fixed=fixed, steps=steps)
        )
        cases.append((network, x, plan, model_point(config, network, plan, steps, seed)))
    counting = Counting(machine_verilog)
    drivers: list[DriverRun] = []
    points = simulated(config, cases, verilog=counting, drivers=drivers)
    useful = 8 * hidden * hidden * steps
    for name, point, driver in zip(names, points, drivers, strict=True):
        memories = counting.counted(driver.counts)
        energies = {node: memory_energy(memories, node) for node in NODES}
        yield {
            "design": name,
            "macs": macs,
            "hidden": hidden,
            "steps": steps,
            "seed": seed,
            "bit_exact": point.bit_exact,
            "cycles": point.cycles,
            "utilization": point.utilization,
            "useful_macs": useful,
            "mac_pj": {str(node): sum(one.pj for one in energies[node]) / useful for node in NODES},
            "kinds_pj": {
                kind: sum(one.pj for one in energies[NODES[1]] if one.kind == kind) / useful
                for kind in KINDS
            },
            "leakage_mw": sum(one.leakage_mw for one in energies[NODES[1]]),
        }
