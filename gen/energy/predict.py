"""Accesses of a machine's memories in a step of a placed network, without simulating it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sparnn.gen.machines.shared.placement import Placement
from sparnn.gen.quantize.activity import BoolArray
from sparnn.hdl.machine import MachineConfig

from .account import memory_energy
from .counting import PortCounts
from .predict_dense import dense_accesses, dense_memories
from .predict_sparse import sparse_accesses, sparse_memories

__all__ = ["StepAccesses", "predicted", "step_accesses", "step_energy"]

StepAccesses = Mapping[str, tuple[float, float]]
"""Reads and writes in a step, of all copies, by the memory's name in the Verilog."""

_ACCESSES: Mapping[str, Callable[[Any, Sequence[BoolArray]], StepAccesses]] = {
    "sparse": sparse_accesses,
    "dense": dense_accesses,
}
_MEMORIES: Mapping[str, Callable[[Any], Mapping[str, tuple[int, int, int]]]] = {
    "sparse": sparse_memories,
    "dense": dense_memories,
}


def step_accesses(placed: Placement, activity: Sequence[BoolArray]) -> StepAccesses:
    """What a step of a placed network takes, on the activations of sample steps
    (:func:`~sparnn.gen.quantize.activity.measure_activity`)."""
    return _ACCESSES[placed.config.MACHINE](placed, activity)


def predicted(config: MachineConfig, step: StepAccesses) -> list[PortCounts]:
    """The machine's memories with the accesses of a step."""
    found = []
    for name, (words, width, copies) in _MEMORIES[config.MACHINE](config).items():
        module, _, memory = name.partition(":")
        reads, writes = step.get(name, (0.0, 0.0))
        found.append(PortCounts(module, memory, words, width, True, copies, reads, reads, writes))
    return found


def step_energy(config: MachineConfig, steps: Sequence[StepAccesses], node: int) -> float:
    """Picojoules of the memories in a step of all parts of a model."""
    return sum(one.pj for step in steps for one in memory_energy(predicted(config, step), node))
