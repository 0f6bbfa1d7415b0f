"""What the host says to the machine to run sequences, and what the answers mean.

A :class:`MachineProgram` is all that the host has to know about a loaded network: program.json of a
compiled folder. The packets are those of docs/machine.md.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.hdl.config import MachineConfig
from sparnn.hdl.errors import ConfigurationError
from sparnn.hdl.protocol import (
    RUN_RESET,
    Kind,
    Opcode,
    Response,
    Target,
    entry_bits,
    header,
    words_per_entry,
)

from .errors import SimulationError
from .network import IntegerNetwork

__all__ = [
    "LayerProgram",
    "MachineProgram",
    "Run",
    "SequenceResult",
    "constant_states",
    "expected_words",
    "parse_results",
    "sequence_packets",
    "write_packet",
]

IntArray = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]

_VERSION = 1
_ARGUMENT = (1 << 28) - 1


@dataclass(frozen=True)
class LayerProgram:
    """One layer.

    Members
    -------
    name: what messages call the layer.
    descriptor: field -> value, every field of protocol.DESCRIPTOR_FIELDS.
    neurons: position -> neuron.
    f_out, f_state: formats of the output and of the state.
    read_state: the host reads the final cell state back.
    """

    name: str
    descriptor: Mapping[str, int]
    neurons: tuple[int, ...]
    f_out: int
    f_state: int
    read_state: bool = False

    @property
    def kind(self) -> Kind:
        return Kind(self.descriptor["kind"])

    @property
    def has_hidden(self) -> bool:
        return self.kind != Kind.LINEAR

    @property
    def has_state(self) -> bool:
        return self.kind in (Kind.LSTM, Kind.GRU)

    def emitted(self, steps: int) -> int:
        """RESULT packets in a run of so many steps."""
        if not self.descriptor["emit"]:
            return 0
        return 1 if self.descriptor["emit_last"] or self.descriptor["single_step"] else steps


@dataclass(frozen=True)
class MachineProgram:
    """A network as the host sees it.

    Members
    -------
    config: the machine that the network was packed for.
    layers: in the order in which they run.
    inputs: position -> feature of the network's input.
    max_steps: most steps of one RUN.
    step_bound: more cycles than any step takes, whatever overlaps: for a watchdog.
    """

    config: MachineConfig
    layers: tuple[LayerProgram, ...]
    inputs: tuple[int, ...]
    max_steps: int
    step_bound: int

    def to_dict(self) -> dict[str, Any]:
        """For program.json."""
        layers = [
            {**asdict(layer), "descriptor": dict(layer.descriptor), "neurons": list(layer.neurons)}
            for layer in self.layers
        ]
        return {
            "version": _VERSION,
            "config": asdict(self.config),
            "max_steps": self.max_steps,
            "step_bound": self.step_bound,
            "inputs": list(self.inputs),
            "layers": layers,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "MachineProgram":
        """The inverse of :meth:`to_dict`.

        Raises
        ------
        SimulationError: it is of another version, or damaged.
        """
        try:
            if content["version"] != _VERSION:
                raise SimulationError(
                    f"program.json has the version {content['version']}, this sparnn reads "
                    f"{_VERSION}: compile the model again"
                )
            layers = tuple(
                LayerProgram(**{**layer, "neurons": tuple(layer["neurons"])})
                for layer in content["layers"]
            )
            return cls(
                MachineConfig(**content["config"]),
                layers,
                tuple(content["inputs"]),
                content["max_steps"],
                content["step_bound"],
            )
        except (KeyError, TypeError, ValueError, ConfigurationError) as error:
            raise SimulationError(
                f"program.json is damaged ({type(error).__name__}: {error}): compile the model "
                "again"
            ) from None


@dataclass(frozen=True)
class Run:
    """One RUN of one segment of a sequence. ``read_states``: the answers to READ follow DONE."""

    sequence: int
    steps: int
    read_states: bool


@dataclass(frozen=True, eq=False)
class SequenceResult:
    """What the machine answered about one sequence.

    Members
    -------
    outputs: per layer the emitted values by neuron, [steps, units], [1, units] where only the last
        step is emitted, None where nothing is.
    states: final cell states by layer, [units], of the layers with ``read_state``.
    cycles: of all its runs together.
    """

    outputs: tuple[IntArray | None, ...]
    states: dict[int, IntArray]
    cycles: int


def write_packet(
    config: MachineConfig, target: Target, index: int, address: int, entries: npt.ArrayLike
) -> Words:
    """The words that write entries of one memory.

    Parameters
    ----------
    entries: host words, [entries, words per entry] or flat.
    """
    payload = np.asarray(entries).astype(np.uint32).reshape(-1)
    assert len(payload) % words_per_entry(config, target) == 0
    return np.concatenate(
        [
            np.array(
                [
                    header(Opcode.SELECT, target << 20 | index),
                    header(Opcode.ADDRESS, address),
                    header(Opcode.WRITE, len(payload)),
                ],
                np.uint32,
            ),
            payload,
        ]
    )


def constant_states(network: IntegerNetwork) -> dict[tuple[str, int], IntArray]:
    """The initial states that are part of the network, for :func:`sequence_packets`."""
    states = {}
    for index, layer in enumerate(network.layers):
        for role, state in (("initial_h", layer.initial_h), ("initial_c", layer.initial_c)):
            if state is not None:
                states[role, index] = state.astype(np.int64)
    return states


def sequence_packets(
    program: MachineProgram,
    number: int,
    x: npt.NDArray[np.integer],
    initial: Mapping[tuple[str, int], npt.NDArray[np.integer]] | None = None,
) -> tuple[Words, list[Run]]:
    """The words that run one sequence.

    A sequence longer than ``max_steps`` becomes several runs; the states stay in the machine.

    Parameters
    ----------
    number: of the sequence, for the runs.
    x: [steps, inputs], within the activation bits, in the network's order.
    initial: initial states by (role, layer), [units], all that are not zero: ``initial_h`` within
        the activation bits, ``initial_c`` within 16.

    Returns
    -------
    The words, and what to expect: one entry per RUN.

    Raises
    ------
    SimulationError: the sequence is empty, of another width, holds values that do not fit, or is
        too long where it cannot be split.
    """
    values = np.asarray(x, np.int64)
    if values.ndim != 2 or values.shape[1] != len(program.inputs) or not len(values):
        raise SimulationError(
            f"sequence {number} has the shape {values.shape}: it must be [steps, "
            f"{len(program.inputs)}] with at least one step"
        )
    stuck = [one for one in program.layers if one.descriptor["single_step"] and one.has_hidden]
    if stuck and len(values) > program.max_steps:
        raise SimulationError(
            f"sequence {number} has {len(values)} steps, the store of this machine holds "
            f"{program.max_steps}, and layer {stuck[0].name!r} keeps it from being split: compile "
            "for a machine with a larger store_depth"
        )
    config = program.config
    parts: list[Words] = []
    reset = not initial
    if initial:
        parts.extend(_state_packets(program, initial))
    stored = _store_words(config, values[:, list(program.inputs)], f"sequence {number}")
    runs = []
    for start in range(0, len(values), program.max_steps):
        steps = min(program.max_steps, len(values) - start)
        base = program.layers[0].descriptor["in_base"]
        parts.append(write_packet(config, Target.STORE, 0, base, stored[start : start + steps]))
        flag = RUN_RESET if reset else 0
        parts.append(np.array([header(Opcode.RUN, flag | steps)], np.uint32))
        reset = False
        final = start + steps == len(values)
        if final:
            parts.extend(_read_states(program))
        runs.append(Run(number, steps, final))
    return np.concatenate(parts), runs


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
                    total += sum(1 + n for _, n in _state_entries(program.config, layer))
    return total


def parse_results(
    program: MachineProgram, runs: list[Run], words: npt.NDArray[np.integer]
) -> list[SequenceResult]:
    """The answers to the packets of :func:`sequence_packets`, by sequence.

    Raises
    ------
    SimulationError: the machine refused a packet, or answered less, more or something else.
    """
    reader = _Reader(np.asarray(words, np.int64))
    sequences: dict[int, list[tuple[list[IntArray | None], int]]] = {}
    states: dict[int, dict[int, IntArray]] = {}
    for run in runs:
        outputs: list[IntArray | None] = []
        for layer in program.layers:
            count = layer.emitted(run.steps)
            outputs.append(_results(reader, layer, count) if count else None)
        cycles = int(reader.take(Response.DONE, 0, 1)[0])
        sequences.setdefault(run.sequence, []).append((outputs, cycles))
        states[run.sequence] = {}
        if run.read_states:
            for index, layer in enumerate(program.layers):
                if layer.read_state:
                    states[run.sequence][index] = _state(reader, program.config, layer)
    reader.end()
    return [
        SequenceResult(
            tuple(
                _join([outputs[index] for outputs, _ in segments], layer)
                for index, layer in enumerate(program.layers)
            ),
            states[number],
            sum(cycles for _, cycles in segments),
        )
        for number, segments in sequences.items()
    ]


def _join(segments: list[IntArray | None], layer: LayerProgram) -> IntArray | None:
    """A layer's output over the segments of a sequence."""
    if layer.emitted(2) == 1:  # of segments that end early, the last step means nothing
        return segments[-1]
    present = [segment for segment in segments if segment is not None]
    return np.concatenate(present) if present else None


def _results(reader: "_Reader", layer: LayerProgram, count: int) -> IntArray:
    units = len(layer.neurons)
    rows = np.stack([reader.take(Response.RESULT, units, units) for _ in range(count)])
    outputs = np.empty_like(rows)
    outputs[:, list(layer.neurons)] = _signed(rows, 32)
    return outputs


def _state(reader: "_Reader", config: MachineConfig, layer: LayerProgram) -> IntArray:
    by_position = np.empty(len(layer.neurons), np.int64)
    for unit, count in _state_entries(config, layer):
        by_position[unit :: config.post_units] = reader.take(Response.DATA, count, count)
    state = np.empty_like(by_position)
    state[list(layer.neurons)] = _signed(by_position & 0xFFFF, 16)
    return state


def _signed(values: IntArray, bits: int) -> IntArray:
    return values - ((values >> bits - 1 & 1) << bits)


class _Reader:
    """Takes packets off the machine's answer."""

    def __init__(self, words: IntArray):
        self.words = words
        self.at = 0

    def take(self, response: Response, argument: int, count: int) -> IntArray:
        """The payload of the next packet, which must be this one."""
        if self.at >= len(self.words):
            raise SimulationError(
                f"the machine stopped answering after {len(self.words)} words, where "
                f"{response.name} should follow"
            )
        first = int(self.words[self.at])
        if first >> 28 == Response.ERROR:
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


def _state_packets(
    program: MachineProgram, initial: Mapping[tuple[str, int], npt.NDArray[np.integer]]
) -> list[Words]:
    """Write the states of every layer: a run without reset takes all of them from the machine."""
    config = program.config
    known = set()
    parts = []
    for index, layer in enumerate(program.layers):
        units = len(layer.neurons)
        order = list(layer.neurons)
        if layer.has_hidden:
            known.add(("initial_h", index))
            h = np.asarray(initial.get(("initial_h", index), np.zeros(units)), np.int64)[order]
            words = _store_words(config, h[np.newaxis], f"initial_h of layer {layer.name!r}")
            base = layer.descriptor["hidden_base"]
            parts.append(write_packet(config, Target.STORE, 0, base, words))
        if layer.has_state:
            known.add(("initial_c", index))
            given = initial.get(("initial_c", index))
            if given is not None:
                state = np.asarray(given, np.int64)[order]
            elif layer.kind == Kind.GRU:  # its own state starts from the given h
                state = _reformat(h, layer.f_out - layer.f_state)
            else:
                state = np.zeros(units, np.int64)
            padded = np.zeros(layer.descriptor["out_words"] * config.post_units, np.int64)
            padded[:units] = state & 0xFFFF
            base = layer.descriptor["state_base"]
            for unit in range(config.post_units):
                entries = padded[unit :: config.post_units]
                parts.append(write_packet(config, Target.STATE, unit, base, entries))
    unknown = set(initial) - known
    if unknown:
        raise SimulationError(f"the network has no state {min(unknown)}: leave it out")
    return parts


def _reformat(values: IntArray, shift: int) -> IntArray:
    """``values / 2^shift``, rounded half to even and saturated to 16 bits."""
    if shift <= 0:
        return np.clip(values << -shift, -32768, 32767)
    half = np.int64(1) << shift - 1
    rounded = (values + half - 1 + (values >> shift & 1)) >> shift
    return np.clip(rounded, -32768, 32767)


def _state_entries(config: MachineConfig, layer: LayerProgram) -> list[tuple[int, int]]:
    """Post units that hold states of a layer, and how many."""
    units = len(layer.neurons)
    used = range(min(units, config.post_units))
    return [(unit, len(range(unit, units, config.post_units))) for unit in used]


def _read_states(program: MachineProgram) -> list[Words]:
    parts = []
    for layer in program.layers:
        if layer.read_state:
            base = layer.descriptor["state_base"]
            for unit, count in _state_entries(program.config, layer):
                packet = [
                    header(Opcode.SELECT, Target.STATE << 20 | unit),
                    header(Opcode.ADDRESS, base),
                    header(Opcode.READ, count),
                ]
                parts.append(np.array(packet, np.uint32))
    return parts


def _store_words(config: MachineConfig, values: IntArray, what: str) -> Words:
    """Vectors by position, [vectors, n], as host words of the store, [vectors, host words]."""
    bits = config.activation_bits
    limit = 1 << bits - 1
    if len(values) and (values.min() < -limit or values.max() >= limit):
        raise SimulationError(
            f"{what} holds {values.min()} … {values.max()}: {bits} bits hold {-limit} … {limit - 1}"
        )
    count, width = values.shape
    words = -(-width // config.post_units)
    padded = np.zeros((count, words * config.post_units), np.int64)
    padded[:, :width] = values
    elements = padded.reshape(count, words, config.post_units)
    raised = (elements[..., np.newaxis] >> np.arange(bits) & 1).astype(np.uint8)
    flat = raised.reshape(count, words, entry_bits(config, Target.STORE))
    each = words_per_entry(config, Target.STORE)
    full = np.zeros((count, words, each * 32), np.uint8)
    full[..., : flat.shape[-1]] = flat
    packed = np.packbits(full, axis=-1, bitorder="little")
    return packed.view("<u4").astype(np.uint32).reshape(count, words * each)
