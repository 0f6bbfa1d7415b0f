"""`sparnn bench energy-delta`: memories of lanes that are sent differences, and of a dense pass.

Both run the same GRU on the same inputs; accesses are counted as for `sparnn bench energy`
(docs/energy.md).
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sparnn.gen.energy.account import KINDS, memory_energy
from sparnn.gen.energy.cacti import NODES
from sparnn.gen.machines.sparse.place import place
from sparnn.gen.quantize.activity import measure_activity
from sparnn.hdl.emit import machine_verilog
from sparnn.sim.golden.layers import run_network
from sparnn.sim.network.arrays import quantize

from .delta import delta_machine, drawn_work, lanes_of, parse_gru
from .energy import Counting
from .masr import every_output, run_layer

__all__ = ["delta_energy_points"]


def delta_energy_points(
    name: str,
    macs: int,
    *,
    width: int = 8,
    sparsity: float = 0.9,
    steps: int = 48,
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """The network without thresholds, and with those with which so much is not sent.

    Raises
    ------
    SparnnError: a name that is none, or MAC units that lanes of this width do not make.
    """
    layers, units = parse_gru(name)
    lanes = lanes_of(macs, width)
    work = drawn_work(layers, units, sparsity=sparsity, steps=steps, seed=seed)
    plain = tuple(replace(one, delta_x=None, delta_h=None) for one in work.network.layers)
    everything = sum(layer.w_x.size + layer.w_h.size for layer in plain if layer.w_h is not None)
    for design, network in (
        ("dense pass", replace(work.network, layers=plain)),
        ("deltas", work.network),
    ):
        activity = measure_activity(network, [work.sequence])
        x, _ = quantize(work.sequence.x, network.layers[0].f_x, network.activation_bits)
        trace = run_network(network, x)
        placed = place(
            network,
            delta_machine(lanes, width, delta=int(design == "deltas")),
            [every_output(network)],
            fit=True,
            steps=steps,
            activity=activity,
        )
        counting = Counting(machine_verilog)
        run = run_layer(placed, x, trace, activity=activity, verilog=counting)
        memories = counting.counted(run.driver.counts)
        energies = {node: memory_energy(memories, node) for node in NODES}
        yield {
            "design": design,
            "network": name,
            "macs": macs,
            "width": width,
            "sparsity": sparsity,
            "steps": steps,
            "seed": seed,
            "bit_exact": run.bit_exact,
            "cycles_per_step": run.cycles / steps,
            "macs_of_a_dense_step": everything,
            "step_pj": {str(node): sum(one.pj for one in energies[node]) / steps for node in NODES},
            "kinds_pj": {
                kind: sum(one.pj for one in energies[NODES[0]] if one.kind == kind) / steps
                for kind in KINDS
            },
        }
