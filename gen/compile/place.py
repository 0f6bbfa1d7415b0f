"""All networks of a model on one machine."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sparnn.gen.machines.backend import backend
from sparnn.gen.machines.shared.placement import FITTED_STEPS
from sparnn.gen.machines.shared.steps import single_steps
from sparnn.gen.output.testbench import SEQUENCES
from sparnn.gen.quantize.activity import measure_activity
from sparnn.gen.quantize.deltas import DeltaChoice, with_thresholds
from sparnn.gen.quantize.features import Fitted
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.network import IntegerNetwork
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
    streams: int,
) -> list[CompiledPart]:
    """Place each network; with ``fit`` the machine grows to what the largest needs.

    Raises
    ------
    SparnnError, ConfigurationError: one does not fit.
    """
    parts: list[CompiledPart] = []
    for fitted in networks:
        if deltas is not None:
            with phase("Choosing thresholds"):
                fitted = with_thresholds(fitted, deltas, single_steps(fitted.quantized.network))
        placed = _place(fitted, machine, phase, fit=fit, pruned=pruned, streams=streams)
        machine = placed.placement.config
        parts.append(placed)
    with phase("Placing"):  # on one machine for all, as the last one left it
        return [
            part if part.placement.config == machine else _moved(part, machine, streams)
            for part in parts
        ]


def _place(
    fitted: Fitted,
    machine: MachineConfig,
    phase: Phases,
    *,
    fit: bool,
    pruned: bool,
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
            steps=_longest_run(quantized.network, sequences),
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


def _longest_run(network: IntegerNetwork, sequences: Sequence[InputSequence]) -> int:
    """Steps to make room for: sequences that run backwards have to fit the store whole."""
    if not any(layer.reverse for layer in network.layers):
        return FITTED_STEPS
    return max(FITTED_STEPS, *(len(sequence.x) for sequence in sequences))
