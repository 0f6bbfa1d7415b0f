"""What the machine answers to the packets of sim/host/packets.py, and what that means."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.host.protocol import (
    ARGUMENT_BITS,
    COUNTER_WORDS,
    Counter,
    Response,
    Target,
    header,
)
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.aliases import IntArray
from sparnn.sim.errors import SimulationError

from .program import LayerProgram, MachineProgram, Run

__all__ = [
    "Reader",
    "SequenceResult",
    "answered_words",
    "expected_words",
    "layer_state",
    "parse_results",
    "store_elements",
]


_ARGUMENT = (1 << ARGUMENT_BITS) - 1


@dataclass(frozen=True, eq=False)
class SequenceResult:
    """What the machine answered about one sequence.

    Members
    -------
    outputs: per layer the emitted values by neuron, [steps, units], [1, units] where only the last
        step is emitted, None where nothing is.
    states: final cell states by layer, [units], of the layers with ``read_state``.
    cycles: of all its runs together.
    slots: lanes times cycles by what became of them, of a machine with counters.
    sequences: by layer what the host read from the store, [steps, features], of the layers with a
        ``sequence_order``.
    """

    outputs: tuple[IntArray | None, ...]
    states: dict[int, IntArray]
    cycles: int
    sequences: dict[int, IntArray] = field(default_factory=dict)
    slots: dict[Counter, int] = field(default_factory=dict)


def expected_words(program: MachineProgram, runs: list[Run]) -> int:
    """Words that the machine answers if all goes well."""
    total = 0
    for run in runs:
        total += 2 + sum(
            layer.emitted(run.steps) * (1 + len(layer.neurons)) for layer in program.layers
        )
        if run.read_states:
            for layer in program.layers:
                if layer.read_state:
                    total += sum(1 + n for _, n in layer.state_entries(program.config.post_units))
        for layer in program.layers:
            if layer.sequence_order:
                entries = layer.steps(run.steps) * layer.sequence_words
                total += 1 + entries * answered_words(program.config)
        if program.config.counters:
            total += program.config.post_units * (1 + len(Counter) * COUNTER_WORDS)
    return total


def parse_results(
    program: MachineProgram, runs: list[Run], words: npt.NDArray[np.integer]
) -> list[SequenceResult]:
    """The answers to the packets of :func:`sequence_packets`, by sequence.

    Raises
    ------
    SimulationError: the machine refused a packet, could not hold a run's values, or answered less,
        more or something else.
    """
    reader = Reader(np.asarray(words, np.int64))
    sequences: dict[int, list[tuple[list[IntArray | None], int]]] = {}
    states: dict[int, dict[int, IntArray]] = {}
    stored: dict[int, dict[int, list[IntArray]]] = {}
    slots: dict[int, dict[Counter, int]] = {}
    for run in runs:
        outputs: list[IntArray | None] = []
        for layer in program.layers:
            count = layer.emitted(run.steps)
            outputs.append(_results(reader, layer, count) if count else None)
        cycles = _done(reader, program, run)
        sequences.setdefault(run.sequence, []).append((outputs, cycles))
        states[run.sequence] = {}
        read = stored.setdefault(run.sequence, {})
        if run.read_states:
            for index, layer in enumerate(program.layers):
                if layer.read_state:
                    states[run.sequence][index] = layer_state(reader, program.config, layer)
        for index, layer in enumerate(program.layers):
            if layer.sequence_order:
                values = _sequence(reader, program.config, layer, layer.steps(run.steps))
                read[index] = [] if layer.descriptor["single_step"] else read.get(index, [])
                read[index].append(values)
        if program.config.counters:
            _add_counters(reader, program.config, slots.setdefault(run.sequence, {}))
    reader.end()
    return [
        SequenceResult(
            tuple(
                _join([outputs[index] for outputs, _ in segments], layer)
                for index, layer in enumerate(program.layers)
            ),
            states[number],
            sum(cycles for _, cycles in segments),
            {index: np.concatenate(parts) for index, parts in stored[number].items()},
            slots.get(number, {}),
        )
        for number, segments in sequences.items()
    ]


def _done(reader: "Reader", program: MachineProgram, run: Run) -> int:
    """The run's cycles.

    Raises
    ------
    SimulationError: the packed store of the machine could not hold the run's values.
    """
    lost = reader.argument(Response.DONE)
    if lost:
        config = program.config
        what = "the input"
        if lost > 1:
            what = f"the outputs of layer {program.layers[lost - 2].name!r}"
        raise SimulationError(
            f"sequence {run.sequence}: the packed store is full, {what} in a run of {run.steps} "
            f"steps did not fit the {config.packed_rows} rows of "
            f"{config.post_units} non-zero values that it holds; calibrate with sequences as dense "
            f"as this one, or compile for a machine with a larger value_rows, or packed_store = 0"
        )
    return int(reader.take(Response.DONE, 0, 1)[0])


def _add_counters(reader: "Reader", config: MachineConfig, slots: dict[Counter, int]) -> None:
    """Add one run's counters of all post units."""
    count = len(Counter) * COUNTER_WORDS
    for _ in range(config.post_units):
        words = (reader.take(Response.DATA, count, count) & 0xFFFF).reshape(-1, COUNTER_WORDS)
        for one, parts in zip(Counter, words, strict=True):
            value = sum(int(part) << 16 * k for k, part in enumerate(parts))
            slots[one] = slots.get(one, 0) + value


def _join(segments: list[IntArray | None], layer: LayerProgram) -> IntArray | None:
    """A layer's output over the segments of a sequence."""
    if layer.emitted(2) == 1:  # of segments that end early, the last step means nothing
        return segments[-1]
    present = [segment for segment in segments if segment is not None]
    return np.concatenate(present) if present else None


def _results(reader: "Reader", layer: LayerProgram, count: int) -> IntArray:
    units = len(layer.neurons)
    rows = np.stack([reader.take(Response.RESULT, units, units) for _ in range(count)])
    outputs = np.empty_like(rows)
    outputs[:, list(layer.neurons)] = _signed(rows, 32)
    return outputs


def layer_state(reader: "Reader", config: MachineConfig, layer: LayerProgram) -> IntArray:
    """The final cell states of a layer, by neuron."""
    by_position = np.empty(len(layer.neurons), np.int64)
    for unit, count in layer.state_entries(config.post_units):
        by_position[unit :: config.post_units] = reader.take(Response.DATA, count, count)
    state = np.empty_like(by_position)
    state[list(layer.neurons)] = _signed(by_position & 0xFFFF, 16)
    return state


def _sequence(reader: "Reader", config: MachineConfig, layer: LayerProgram, steps: int) -> IntArray:
    """The outputs of a layer, or of two that are joined, as they lie in the store."""
    each, bits = answered_words(config), config.activation_bits
    count = steps * layer.sequence_words * each
    elements = store_elements(config, reader.take(Response.DATA, count, count))
    values = _signed(elements.reshape(steps, -1), bits)
    order = np.array(layer.sequence_order)
    present = np.flatnonzero(order >= 0)
    outputs = np.empty((steps, len(present)), np.int64)
    outputs[:, order[present]] = values[:, present]
    return outputs


def store_elements(config: MachineConfig, words: IntArray) -> IntArray:
    """Store words that the host has read as [store words, elements], not yet signed."""
    each, bits = answered_words(config), config.activation_bits
    flat = words.astype("<u4").reshape(-1, each).view(np.uint8)
    raised = np.unpackbits(flat, axis=1, bitorder="little")[:, : config.post_units * bits]
    split = raised.reshape(len(raised), -1, bits).astype(np.int64)
    return np.asarray(split @ (1 << np.arange(bits, dtype=np.int64)))


def answered_words(config: MachineConfig) -> int:
    """Words of the answer to reading one store word; answers have no beats to fill."""
    return ceil_div(config.entry_bits(Target.STORE), 32)


def _signed(values: IntArray, bits: int) -> IntArray:
    return values - ((values >> bits - 1 & 1) << bits)


class Reader:
    """Takes packets off the machine's answer."""

    def __init__(self, words: IntArray):
        self.words = words
        self.at = 0

    def argument(self, response: Response) -> int:
        """Of the next packet, if it is of this kind, else 0."""
        first = int(self.words[self.at]) if self.at < len(self.words) else 0
        return first & _ARGUMENT if first >> ARGUMENT_BITS == response else 0

    def take(self, response: Response, argument: int, count: int) -> IntArray:
        """The payload of the next packet, which must be this one."""
        if self.at >= len(self.words):
            raise SimulationError(
                f"the machine stopped answering after {len(self.words)} words, where "
                f"{response.name} should follow"
            )
        first = int(self.words[self.at])
        if first >> ARGUMENT_BITS == Response.ERROR:
            raise SimulationError(
                f"the machine refused a packet whose header ends in {first & _ARGUMENT:#09x}, "
                f"after {self.at} words of answers"
            )
        if first != header(response, argument):
            raise SimulationError(
                f"the machine answered {first:#010x} as word {self.at}, expected {response.name} "
                f"with the argument {argument} ({header(response, argument):#010x})"
            )
        if self.at + 1 + count > len(self.words):
            raise SimulationError(
                f"the machine stopped answering inside {response.name}, {count} words long, at "
                f"word {len(self.words)}"
            )
        payload = self.words[self.at + 1 : self.at + 1 + count]
        self.at += 1 + count
        return payload

    def end(self) -> None:
        if self.at != len(self.words):
            raise SimulationError(
                f"the machine answered {len(self.words)} words, {self.at} were expected; the first "
                f"beyond them is {int(self.words[self.at]):#010x}"
            )
