"""All networks of a model on one machine."""

from collections.abc import Iterable
from dataclasses import replace

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.backend import backend
from sparnn.gen.machines.shared.layers import runs_step_by_step
from sparnn.gen.machines.shared.steps import longest_run, single_steps
from sparnn.gen.output.testbench import SEQUENCES
from sparnn.gen.quantize.activity import measure_activity
from sparnn.gen.quantize.deltas import DeltaChoice, with_thresholds
from sparnn.gen.quantize.features import Fitted
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.progress import Phases

from .summary import CompiledPart

__all__ = ["place_all"]


def place_all(
    networks: Iterable[Fitted],
    machine: MachineConfig,
    phase: Phases,
    *,
    deltas: DeltaChoice | None,
    fit: bool,
    pruned: bool,
    steps: int | None,
    streams: int,
) -> list[CompiledPart]:
    """Place each network; with ``fit`` the machine grows to what the largest needs.

    Parameters
    ----------
    steps: that a run has to have room for; None leaves it to
        :func:`~sparnn.gen.machines.shared.steps.longest_run`.

    Raises
    ------
    SparnnError, ConfigurationError: one does not fit.
    """
    parts: list[CompiledPart] = []
    for fitted in networks:
        if deltas is not None:
            with phase("Choosing thresholds"):
                fitted = with_thresholds(fitted, deltas, single_steps(fitted.quantized.network))
        placed = _place(
            fitted, machine, phase, fit=fit, pruned=pruned, steps=steps, streams=streams
        )
        machine = placed.placement.config
        parts.append(placed)
    with phase("Placing"):  # on one machine for all, as the last one left it
        parts = [
            part if part.placement.config == machine else _moved(part, machine, streams)
            for part in parts
        ]
    if steps is not None:
        for part in parts:
            _check_steps(part, steps)
    return parts


def _place(
    fitted: Fitted,
    machine: MachineConfig,
    phase: Phases,
    *,
    fit: bool,
    pruned: bool,
    steps: int | None,
    streams: int,
) -> CompiledPart:
    """Place one network; the machine grows where it may."""
    quantized, sequences = fitted.quantized, fitted.sequences
    with phase("Measuring activity"):
        activity = measure_activity(quantized.network, sequences)
    with phase("Placing"):
        placement = backend(machine).place(
            quantized.network,
            machine,
            quantized.io["outputs"],
            fit=fit,
            activity=activity,
            steps=steps or longest_run(quantized.network, sequences),
            streams=streams,
        )
    samples = sequences[:SEQUENCES]
    return CompiledPart(fitted.network, quantized, activity, placement, pruned, samples)


def _moved(part: CompiledPart, machine: MachineConfig, streams: int) -> CompiledPart:
    """The same network on a machine that has grown since."""
    placement = backend(machine).place(
        part.quantized.network,
        machine,
        part.quantized.io["outputs"],
        activity=part.activity,
        streams=streams,
    )
    return replace(part, placement=placement)


def _check_steps(part: CompiledPart, steps: int) -> None:
    """Refuse a machine, taken as it is, whose store holds fewer steps. Where two layers take turns
    every step is a run."""
    most = part.placement.program.max_steps
    if most < steps and not runs_step_by_step(part.placement.network):
        raise SparnnError(
            f"--steps {steps}: the machine's store_depth = {part.placement.config.store_depth} has "
            f"room for {most} steps of this network; a machine from a file is taken as it is, so "
            "raise store_depth there, or ask for fewer steps"
        )
