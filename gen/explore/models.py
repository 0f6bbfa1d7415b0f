"""Points on models: cycles of the placed network, predicted area, bits of memory."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from sparnn.gen.errors import SparnnError
from sparnn.gen.estimate.boards import board_estimates
from sparnn.gen.estimate.cycles import loop_cycles, run_cycles
from sparnn.gen.graph.read import ReadModel, read_model
from sparnn.gen.machines.backend import backend
from sparnn.gen.machines.shared.placement import Placement
from sparnn.gen.machines.shared.steps import single_steps
from sparnn.gen.network.prune import prune as prune_network
from sparnn.gen.quantize.activity import Activity, BoolArray, measure_activity
from sparnn.gen.quantize.deltas import DeltaChoice, with_thresholds
from sparnn.gen.quantize.features import Fitted, quantize_best
from sparnn.hdl.errors import ConfigurationError
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.errors import SimulationError

from .space import AREA_ONLY, Point

__all__ = ["model_points", "placed_config"]


def model_points(
    model: Path, calibrate: Path, board: str, points: Sequence[Point]
) -> list[dict[str, Any]]:
    """Evaluate points that one placement serves.

    Returns
    -------
    For each point its values and either ``cycles_per_step`` (of the sample inputs),
    ``first_cycles`` and ``steady_cycles`` (of a sequence's first step and of a further one),
    ``lut``, ``ff``, ``dsp``, ``bram``, ``memory_bits`` and ``short`` ("" where it fits the board),
    or ``reason``: why there is none.
    """
    try:
        config, cycles = _placed(model, calibrate, points[0].placed_as)
    except (SparnnError, ConfigurationError, SimulationError) as error:
        return [{"point": point.as_dict(), "reason": str(error)} for point in points]
    found: list[dict[str, Any]] = []
    for point in points:
        one: dict[str, Any] = {"point": point.as_dict()}
        own = {name: value for name, value in point.values if name in AREA_ONLY}
        try:
            (on,) = board_estimates(replace(config, **own), [board])
        except (SparnnError, ConfigurationError) as error:
            found.append(one | {"reason": str(error)})
            continue
        if on.unknown:
            found.append(one | {"reason": on.unknown})
            continue
        needs = {name: round(value) for name, value in on.needs.items()}
        found.append(one | needs | cycles | {"short": on.short})
    return found


def placed_config(model: Path, calibrate: Path, point: Point) -> MachineConfig:
    """The point's machine with memories that hold the network."""
    config, _ = _placed(model, calibrate, point.placed_as)
    return replace(config, **{name: value for name, value in point.values if name in AREA_ONLY})


@lru_cache(maxsize=4)
def _placed(
    model: Path, calibrate: Path, point: Point
) -> tuple[MachineConfig, dict[str, float | int]]:
    machine = point.config()
    read = _read(model, calibrate)
    key = (point.prune, machine.weight_bits, machine.activation_bits, machine.split_scales == 1)
    placements: list[Placement] = []
    activities: list[Sequence[BoolArray]] = []
    for part in range(len(read.parts)):
        delta = 0.0 if point.delta is None and machine.delta else point.delta
        fitted, activity = _quantized(model, calibrate, part, delta, *key)
        network = fitted.quantized.network
        placements.append(
            backend(machine).place(
                network, machine, fitted.quantized.io["outputs"], fit=True, activity=activity
            )
        )
        activities.append(activity)
        machine = placements[-1].config
        _ = placements[-1].program  # it refuses what does not fit
    loops = [
        loop
        for placed, activity in zip(placements, activities, strict=True)
        for loop in loop_cycles(placed, activity)
    ]
    steps = max(len(one.x) for part in read.parts for one in part.sequences)
    bits = sum(
        count * entries * machine.entry_bits(target)
        for target, (count, entries) in machine.memories().items()
    )
    return machine, {
        "cycles_per_step": run_cycles(loops, steps) / steps,
        "first_cycles": sum(loop.first for loop in loops),
        "steady_cycles": sum(loop.step for loop in loops),
        "memory_bits": bits,
        "mac_units": machine.mac_units,
    }


@lru_cache(maxsize=2)
def _read(model: Path, calibrate: Path) -> ReadModel:
    return read_model(model, calibrate)


@lru_cache(maxsize=64)
def _quantized(
    model: Path,
    calibrate: Path,
    part: int,
    delta: float | None,
    prune: float,
    weight_bits: int,
    activation_bits: int,
    split_scales: bool,
) -> tuple[Fitted, Activity]:
    one = _read(model, calibrate).parts[part]
    network = prune_network(one.network, prune) if prune else one.network
    fitted = quantize_best(
        network, one.sequences, weight_bits, activation_bits, split_scales=split_scales
    )
    if delta is not None:
        single = single_steps(fitted.quantized.network)
        fitted = with_thresholds(fitted, DeltaChoice(delta), single)
    return fitted, measure_activity(fitted.quantized.network, fitted.sequences)
