"""Sequences that take turns on the dense machine: what the host says, and what the answers mean.

A run has so many steps of each stream. In the store the vectors of a step lie one after the other,
stream by stream, and so do the states.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sparnn.hdl.host.protocol import RUN_RESET, Opcode, Response, Target, header
from sparnn.sim.aliases import IntArray, Words

from .answers import Reader, SequenceResult, answered_words, layer_state, store_elements
from .packets import (
    header_words,
    read_packet,
    read_state_packets,
    sequence_words,
    state_packets,
    write_packet,
)
from .program import LayerProgram, MachineProgram

__all__ = ["StreamGroup", "expected_stream_words", "parse_streams", "stream_packets"]

Given = tuple[npt.NDArray[np.integer], Mapping[tuple[str, int], npt.NDArray[np.integer]]]


@dataclass(frozen=True)
class StreamGroup:
    """Sequences of equal length that run together.

    Members
    -------
    numbers: of the sequences; where there are fewer than streams, the others are zero.
    runs: steps of each RUN.
    """

    numbers: tuple[int, ...]
    runs: tuple[int, ...]


def stream_packets(
    program: MachineProgram, sequences: Sequence[Given]
) -> tuple[list[Words], list[StreamGroup]]:
    """The packets that run all sequences, those of equal length together."""
    by_length: dict[int, list[int]] = {}
    for number, (x, _) in enumerate(sequences):
        by_length.setdefault(len(x), []).append(number)
    parts: list[Words] = []
    groups = []
    for length, numbers in by_length.items():
        starts = range(0, length, program.max_steps)
        runs = tuple(min(program.max_steps, length - start) for start in starts)
        for first in range(0, len(numbers), program.streams):
            group = StreamGroup(tuple(numbers[first : first + program.streams]), runs)
            parts += _group_packets(program, group, sequences)
            groups.append(group)
    return parts, groups


def _group_packets(
    program: MachineProgram, group: StreamGroup, sequences: Sequence[Given]
) -> list[Words]:
    config, parts = program.config, []
    reset = not any(sequences[number][1] for number in group.numbers)
    vectors = []
    for turn in range(program.streams):
        initial: Mapping[tuple[str, int], npt.NDArray[np.integer]] = {}
        if turn < len(group.numbers):
            x, initial = sequences[group.numbers[turn]]
            vectors.append(sequence_words(program, x, f"sequence {group.numbers[turn]}"))
        else:
            vectors.append(np.zeros_like(vectors[0]))
        if not reset:
            parts += state_packets(_of_stream(program, turn), initial)
    stored = np.stack(vectors, axis=1)  # [steps, streams, words]
    start = 0
    for steps in group.runs:
        base = program.layers[0].descriptor["in_base"]
        parts.append(write_packet(config, Target.STORE, 0, base, stored[start : start + steps]))
        flag = RUN_RESET if reset else 0
        parts.append(header_words(config, header(Opcode.RUN, flag | steps)))
        reset = False
        start += steps
        for layer in program.layers:
            for address, count in _places(program, layer, steps):
                parts.append(read_packet(config, Target.STORE, 0, address, count))
    for turn in range(len(group.numbers)):
        parts += read_state_packets(_of_stream(program, turn))
    return parts


def _of_stream(program: MachineProgram, turn: int) -> MachineProgram:
    """The program as if the states of one stream were the only ones."""
    layers = []
    for layer in program.layers:
        bases = {
            name: layer.descriptor[name] + turn * layer.descriptor["out_words"]
            for name in ("hidden_base", "state_base")
        }
        layers.append(replace(layer, descriptor={**layer.descriptor, **bases}))
    return replace(program, layers=tuple(layers))


def _places(program: MachineProgram, layer: LayerProgram, steps: int) -> list[tuple[int, int]]:
    """Where the outputs of a layer lie after a run, in order: first store words, and how many."""
    if not layer.sequence_order:
        return []
    count = layer.steps(steps) * program.streams * layer.sequence_words
    if not layer.descriptor["last_hidden"]:
        return [(layer.sequence_base, count)]
    last = program.streams * layer.sequence_words
    places = [(layer.sequence_base, count - last), (layer.descriptor["hidden_base"], last)]
    return [(address, words) for address, words in places if words]


def expected_stream_words(program: MachineProgram, groups: Sequence[StreamGroup]) -> int:
    """Words that the machine answers if all goes well."""
    each = answered_words(program.config)
    total = 0
    for group in groups:
        for steps in group.runs:
            places = [place for layer in program.layers for place in _places(program, layer, steps)]
            total += 2 + sum(1 + each * count for _, count in places)
        for layer in program.layers:
            if layer.read_state:
                entries = layer.state_entries(program.config.post_units)
                total += len(group.numbers) * sum(1 + count for _, count in entries)
    return total


def parse_streams(
    program: MachineProgram,
    groups: Sequence[StreamGroup],
    words: npt.NDArray[np.integer],
) -> list[SequenceResult]:
    """The answers to :func:`stream_packets`, by sequence. The cycles of a group are those of its
    first sequence, and the others have none.

    Raises
    ------
    SimulationError: the machine refused a packet, or answered less, more or something else.
    """
    reader = Reader(np.asarray(words, np.int64))
    found: dict[int, SequenceResult] = {}
    none = (None,) * len(program.layers)
    for group in groups:
        cycles = 0
        read: dict[int, list[IntArray]] = {}
        for steps in group.runs:
            cycles += int(reader.take(Response.DONE, 0, 1)[0])
            for index, layer in enumerate(program.layers):
                places = _places(program, layer, steps)
                if places:
                    values = [_vectors(reader, program, layer, count) for _, count in places]
                    parts = read.setdefault(index, [])
                    if layer.descriptor["single_step"]:  # of runs that end early it means nothing
                        parts.clear()
                    parts.append(np.concatenate(values))
        for turn, number in enumerate(group.numbers):
            states = {
                index: layer_state(reader, program.config, layer)
                for index, layer in enumerate(program.layers)
                if layer.read_state
            }
            own = {index: np.concatenate(parts)[:, turn] for index, parts in read.items()}
            found[number] = SequenceResult(none, states, 0 if turn else cycles, own)
    reader.end()
    return [found[number] for number in sorted(found)]


def _vectors(reader: Reader, program: MachineProgram, layer: LayerProgram, count: int) -> IntArray:
    """[steps, streams, features] of so many store words."""
    config = program.config
    each, bits = answered_words(config), config.activation_bits
    elements = store_elements(config, reader.take(Response.DATA, count * each, count * each))
    wide = layer.descriptor["wide"]
    parts = elements.reshape(
        -1, program.streams, 1 + wide, layer.descriptor["out_words"] * config.post_units
    )
    values = parts[:, :, 0]
    if wide:
        values = (values | parts[:, :, 1] << bits) & 0xFFFF
        bits = 16
    signed = values - ((values >> bits - 1 & 1) << bits)
    order = np.array(layer.sequence_order)
    present = np.flatnonzero(order >= 0)
    outputs = np.empty((*signed.shape[:2], len(present)), np.int64)
    outputs[..., order[present]] = signed[..., present]
    return outputs
