"""Points on models: cycles of the placed network, energy, predicted area, bits of memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sparnn.gen.boards import BOARDS
from sparnn.gen.energy.predict import StepAccesses, step_accesses, step_energy
from sparnn.gen.errors import SparnnError
from sparnn.gen.estimate.cycles import loop_cycles, run_cycles
from sparnn.gen.fit.fit import shortage
from sparnn.gen.fit.model import predict, unmeasured
from sparnn.gen.graph.read import ReadModel, read_model
from sparnn.gen.machines.backend import backend
from sparnn.gen.machines.shared.placement import Placement
from sparnn.gen.machines.shared.steps import single_steps
from sparnn.gen.network.prune import prune as prune_network
from sparnn.gen.quantize.activity import Activity, measure_activity
from sparnn.gen.quantize.deltas import DeltaChoice, with_thresholds
from sparnn.gen.quantize.features import Fitted, quantize_best
from sparnn.hdl.errors import ConfigurationError
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.aliases import FloatArray
from sparnn.sim.errors import SimulationError

from .space import AREA_ONLY, BITS, Point

__all__ = ["NODE", "model_points", "placed_config"]

NODE = 45
"""Nanometres of the memories whose energy is counted."""

_REFUSALS = (SparnnError, ConfigurationError, SimulationError)
_BASE = BITS["weight_bits"], BITS["activation_bits"]
#: Bits whose zeros stand for those of others, where there are as many but for so small a share.
_TRIED, _ALIKE = (8, 12), 0.02


def model_points(
    model: Path, calibrate: Path, board: str, points: Sequence[Point]
) -> list[dict[str, Any]]:
    """Evaluate points that are alike but for bits and what changes areas alone.

    Returns
    -------
    For each point its values and either ``cycles_per_step`` (of the sample inputs),
    ``first_cycles`` and ``steady_cycles`` (of a sequence's first step and of a further one),
    ``energy_nj`` (of its memories in a step, at :data:`NODE` nm), ``lut``, ``ff``, ``dsp``,
    ``bram``, ``memory_bits`` and ``short`` ("" where it fits the board), or ``reason``: why there
    is none.
    """
    try:
        _placed(model, calibrate, points[0].placed_as, _BASE)
    except _REFUSALS as error:
        return [{"point": point.as_dict(), "reason": str(error)} for point in points]
    return [_on_models(model, calibrate, board, point) for point in points]


def _on_models(model: Path, calibrate: Path, board: str, point: Point) -> dict[str, Any]:
    one: dict[str, Any] = {"point": point.as_dict()}
    try:
        placed = _placed_with_bits(model, calibrate, point)
        config = _own(placed.config, point)
        # Of the board its FPGA alone counts: dense machines, which boards do not take, have areas.
        unknown = unmeasured(config, BOARDS[board].target)
        if unknown:
            return one | {"reason": unknown}
        area = predict(config, BOARDS[board].target)
        energy = step_energy(config, placed.accesses, NODE)
    except _REFUSALS as error:
        return one | {"reason": str(error)}
    needs = {name: round(value) for name, value in area.items()}
    bits = sum(
        count * entries * config.entry_bits(target)
        for target, (count, entries) in config.memories().items()
    )
    return (
        one
        | needs
        | placed.cycles
        | {
            "memory_bits": bits,
            "mac_units": config.mac_units,
            "short": shortage(area, BOARDS[board].part),
        }
        | {"energy_nj": energy / 1000}
    )


def placed_config(model: Path, calibrate: Path, point: Point) -> MachineConfig:
    """The point's machine with memories that hold the network."""
    return _own(_placed_with_bits(model, calibrate, point).config, point)


def _own(config: MachineConfig, point: Point) -> MachineConfig:
    return replace(config, **{name: value for name, value in point.values if name in AREA_ONLY})


@dataclass(frozen=True, eq=False)
class _Placed:
    """All parts of a model on one machine.

    Members
    -------
    config: the machine that holds them. cycles: as of :func:`model_points`.
    accesses: of its memories in a step.
    placements: of each part.
    """

    config: MachineConfig
    cycles: dict[str, float]
    accesses: Sequence[StepAccesses]
    placements: Sequence[Placement]


def _placed_with_bits(model: Path, calibrate: Path, point: Point) -> _Placed:
    """The placement with as many zeros as the point's bits give."""
    return _placed(model, calibrate, point.placed_as, _bits_as(model, calibrate, point))


@lru_cache(maxsize=16)
def _placed(model: Path, calibrate: Path, point: Point, bits: tuple[int, int]) -> _Placed:
    """The model with these bits. Only with :data:`BITS` is a layout looked for: with others rows
    and columns lie where they do with those, which takes a tenth of the time."""
    base = None if bits == _BASE else _placed(model, calibrate, point, _BASE)
    machine = replace(point.config(), weight_bits=bits[0], activation_bits=bits[1])
    placements: list[Placement] = []
    activities: list[Activity] = []
    for part in range(len(_read(model, calibrate).parts)):
        fitted, activity = _fitted(model, calibrate, part, point, machine)
        network, outputs = fitted.quantized.network, fitted.quantized.io["outputs"]
        like = None if base is None else base.placements[part]
        placed = backend(machine).place(
            network, machine, outputs, fit=True, activity=activity, like=like
        )
        placements.append(placed)
        activities.append(activity)
        machine = placed.config
        _ = placed.program  # it refuses what does not fit
    pairs = list(zip(placements, activities, strict=True))
    loops = [loop for placed, activity in pairs for loop in loop_cycles(placed, activity)]
    parts = _read(model, calibrate).parts
    steps = max(len(one.x) for part in parts for one in part.sequences)
    cycles = {
        "cycles_per_step": run_cycles(loops, steps) / steps,
        "first_cycles": sum(loop.first for loop in loops),
        "steady_cycles": sum(loop.step for loop in loops),
    }
    accesses = [step_accesses(placed, activity) for placed, activity in pairs]
    return _Placed(machine, cycles, accesses, placements)


def _bits_as(model: Path, calibrate: Path, point: Point) -> tuple[int, int]:
    """Bits of weights and activations with which nearly as many of them are zero as with the
    point's own; where it can be, :data:`BITS`."""
    config = point.config()
    weights, activations = _BASE
    of_weights, of_activations = backend(config).skips(config)
    if of_weights:
        weights = _alike(
            config.weight_bits, lambda bits: _weights(model, calibrate, point.with_bits(bits, 8))
        )
    if of_activations:
        activations = _alike(
            config.activation_bits,
            lambda bits: _activations(model, calibrate, point.with_bits(8, bits)),
        )
    return weights, activations


def _alike(bits: int, counts: Callable[[int], FloatArray]) -> int:
    own = counts(bits)
    return next((one for one in _TRIED if np.all(np.abs(counts(one) - own) <= _ALIKE * own)), bits)


@lru_cache(maxsize=256)
def _weights(model: Path, calibrate: Path, point: Point) -> FloatArray:
    """Of each half of each layer the blocks of rows with a weight that is not zero, in all
    columns."""
    machine, found = point.config(), []
    for part in range(len(_read(model, calibrate).parts)):
        fitted, _ = _fitted(model, calibrate, part, point, machine)
        for layer in fitted.quantized.network.layers:
            for weights in (layer.w_x, layer.w_h):
                if weights is not None:
                    rows = (weights != 0).transpose(1, 0, 2).reshape(-1, weights.shape[2])
                    starts = np.arange(0, len(rows), machine.mac_units // machine.lanes)
                    found.append(np.logical_or.reduceat(rows, starts).sum())
    return np.array(found, np.float64)


@lru_cache(maxsize=256)
def _activations(model: Path, calibrate: Path, point: Point) -> FloatArray:
    """Of each vector the elements that lanes are sent."""
    machine, found = point.config(), []
    for part in range(len(_read(model, calibrate).parts)):
        _, activity = _fitted(model, calibrate, part, point, machine)
        sent = None if activity.sent is None else [one for two in activity.sent for one in two]
        found += [one.mean() for one in (sent or activity) if one is not None]
    return np.array(found, np.float64)


def _fitted(
    model: Path, calibrate: Path, part: int, point: Point, machine: MachineConfig
) -> tuple[Fitted, Activity]:
    return _quantized(
        model,
        calibrate,
        part,
        0.0 if point.delta is None and machine.delta else point.delta,
        point.prune,
        point.rows,
        machine.weight_bits,
        machine.activation_bits,
        machine.split_scales == 1,
    )


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
    rows: int,
    weight_bits: int,
    activation_bits: int,
    split_scales: bool,
) -> tuple[Fitted, Activity]:
    one = _read(model, calibrate).parts[part]
    network = prune_network(one.network, prune, rows) if prune else one.network
    fitted = quantize_best(
        network, one.sequences, weight_bits, activation_bits, split_scales=split_scales
    )
    if delta is not None:
        single = single_steps(fitted.quantized.network)
        fitted = with_thresholds(fitted, DeltaChoice(delta), single)
    return fitted, measure_activity(fitted.quantized.network, fitted.sequences)
