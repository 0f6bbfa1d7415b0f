"""The states of a network in the machine: what to ask, and what the answer means."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.host.protocol import Response, Target
from sparnn.sim.aliases import IntArray
from sparnn.sim.host.answers import Reader, answered_words, layer_state, store_elements
from sparnn.sim.host.deltas import delta_places, from_entries, no_deltas
from sparnn.sim.host.packets import read_packet
from sparnn.sim.host.program import LayerProgram, MachineProgram

from .transport import Words

__all__ = ["State", "parse_states", "state_questions"]

#: By (role, layer): ``initial_h`` in the layer's f_out, ``initial_c`` in its f_state, [units]; with
#: thresholds also what the layer holds of :data:`~sparnn.sim.network.layer.DELTAS`.
State = Mapping[tuple[str, int], npt.NDArray[np.int64]]


def _holders(program: MachineProgram) -> list[tuple[int, LayerProgram]]:
    """Layers with states of their own."""
    return [
        (k, one) for k, one in enumerate(program.layers) if one.has_hidden and not one.continues
    ]


def state_questions(program: MachineProgram) -> tuple[Words, int]:
    """The packets that read all states, and the words of the answer."""
    config = program.config
    parts, expected = [], 0
    for _, layer in _holders(program):
        words = layer.descriptor["out_words"]
        base = layer.descriptor["hidden_base"]
        parts.append(read_packet(config, Target.STORE, 0, base, words))
        expected += 1 + words * answered_words(config)
        if layer.has_state:
            for unit, count in layer.state_entries(config.post_units):
                base = layer.descriptor["state_base"]
                parts.append(read_packet(config, Target.STATE, unit, base, count))
                expected += 1 + count
    for place in delta_places(program):
        parts.append(read_packet(config, place.target, place.number, place.address, place.entries))
        expected += 1 + place.entries * ceil_div(config.entry_bits(place.target), 32)
    return np.concatenate(parts), expected


def parse_states(program: MachineProgram, answer: Words) -> State:
    """The answer to :func:`state_questions`.

    Raises
    ------
    SimulationError: it is another one.
    """
    config = program.config
    reader = Reader(answer.astype(np.int64))
    states = {}
    for index, layer in _holders(program):
        count = layer.descriptor["out_words"] * answered_words(config)
        elements = store_elements(config, reader.take(Response.DATA, count, count)).reshape(-1)
        bits, order = config.activation_bits, list(layer.neurons)
        values = elements[: len(order)]
        hidden = np.empty(len(order), np.int64)
        hidden[order] = values - ((values >> bits - 1 & 1) << bits)
        states["initial_h", index] = hidden
        if layer.has_state:
            states["initial_c", index] = layer_state(reader, config, layer)
    states |= _deltas(program, reader)
    reader.end()
    return states


def _deltas(program: MachineProgram, reader: Reader) -> dict[tuple[str, int], IntArray]:
    """References and totals, which are asked for last."""
    config, found = program.config, no_deltas(program)
    for place in delta_places(program):
        count = place.entries * ceil_div(config.entry_bits(place.target), 32)
        words = reader.take(Response.DATA, count, count)
        if place.target == Target.REFERENCE:
            entries = store_elements(config, words)
            bits = config.activation_bits
        else:
            bits = config.entry_bits(place.target)
            entries = words.reshape(place.entries, -1) @ (
                1 << 32 * np.arange(count // place.entries)
            )
            entries &= (1 << bits) - 1
        from_entries(program, place, entries - ((entries >> bits - 1 & 1) << bits), found)
    return found
