"""What the host says to the machine to run sequences: the packets of docs/machine.md."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.host.protocol import (
    COUNTER_WORDS,
    RUN_ANEW,
    RUN_RESET,
    Counter,
    Kind,
    Opcode,
    Target,
    header,
    words_per_entry,
)
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.aliases import IntArray, Words
from sparnn.sim.errors import SimulationError
from sparnn.sim.network.layer import DELTAS
from sparnn.sim.network.network import IntegerNetwork

from .deltas import delta_places, to_entries
from .program import MachineProgram, Run

__all__ = [
    "constant_states",
    "header_words",
    "packed_words",
    "read_packet",
    "read_state_packets",
    "sequence_packets",
    "sequence_words",
    "state_map",
    "state_packets",
    "write_packet",
]


def write_packet(
    config: MachineConfig,
    target: Target,
    index: int,
    address: int,
    entries: npt.ArrayLike,
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
            header_words(
                config,
                header(Opcode.SELECT, target << 20 | index),
                header(Opcode.ADDRESS, address),
                header(Opcode.WRITE, len(payload)),
            ),
            payload,
        ]
    )


def header_words(config: MachineConfig, *headers: int) -> Words:
    """Header words, each in a beat of its own where the link carries several words."""
    beats = np.zeros((len(headers), config.link_words), np.uint32)
    beats[:, 0] = headers
    return beats.reshape(-1)


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
    *,
    resume: bool = False,
) -> tuple[Words, list[Run]]:
    """The words that run one sequence.

    A sequence longer than ``max_steps`` becomes several runs; the states stay in the machine.

    Parameters
    ----------
    number: of the sequence, for the runs.
    x: [steps, inputs], within the activation bits, in the network's order.
    initial: initial states by (role, layer), [units], all that are not zero: ``initial_h`` within
        the activation bits, ``initial_c`` within 16. Where what layers hold of
        :data:`~sparnn.sim.network.layer.DELTAS` is among them, the run goes on with that.
    resume: go on from the states that the machine holds.

    Returns
    -------
    The words, and what to expect: one entry per RUN.

    Raises
    ------
    SimulationError: the sequence is empty, of another width, holds values that do not fit, or is
        too long where it cannot be split.
    """
    values = _checked(program, x, f"sequence {number}")
    config = program.config
    backwards = [one for one in program.layers if one.reverse]
    if backwards and len(values) > program.max_steps:
        raise SimulationError(
            f"sequence {number} has {len(values)} steps, the store of this machine holds "
            f"{program.max_steps}, and layer {backwards[0].name!r} begins at the last step, so the "
            f"sequence cannot be split: compile with --steps {len(values)}, or for a machine with "
            f"{_larger(config)}"
        )
    stuck = [one for one in program.layers if one.descriptor["single_step"] and one.has_hidden]
    if stuck and len(values) > program.max_steps:
        raise SimulationError(
            f"sequence {number} has {len(values)} steps, the store of this machine holds "
            f"{program.max_steps}, and layer {stuck[0].name!r} keeps it from being split: compile "
            f"with --steps {len(values)}, or for a machine with {_larger(config)}"
        )
    parts: list[Words] = []
    reset = not initial and not resume
    if initial:
        parts.extend(state_packets(program, initial))
    anew = config.delta and not resume and not _holds_deltas(initial or {})
    stored = sequence_words(program, values, f"sequence {number}")
    runs = []
    for start in range(0, len(values), program.max_steps):
        steps = min(program.max_steps, len(values) - start)
        base = program.layers[0].descriptor["in_base"]
        parts.append(_input_packets(config, base, stored[start : start + steps]))
        flag = RUN_RESET if reset else RUN_ANEW if anew and not start else 0
        parts.append(header_words(config, header(Opcode.RUN, flag | steps)))
        reset = False
        final = start + steps == len(values)
        if final:
            parts.extend(read_state_packets(program))
        parts.extend(_read_sequences(program, steps))
        parts.extend(_read_counters(config))
        runs.append(Run(number, steps, final))
    return np.concatenate(parts), runs


def sequence_words(program: MachineProgram, x: npt.NDArray[np.integer], what: str) -> Words:
    """A sequence as host words of the store, [steps, words]; errors as of sequence_packets."""
    values = _checked(program, x, what)
    return _store_words(program.config, values[:, list(program.inputs)], what)


def _checked(program: MachineProgram, x: npt.NDArray[np.integer], what: str) -> IntArray:
    values = np.asarray(x, np.int64)
    if values.ndim != 2 or values.shape[1] != len(program.inputs) or not len(values):
        raise SimulationError(
            f"{what} has the shape {values.shape}: it must be [steps, "
            f"{len(program.inputs)}] with at least one step"
        )
    return values


def _larger(config: MachineConfig) -> str:
    """What would hold more steps."""
    packed = config.packed_store
    return "a larger store_depth or value_rows" if packed else "a larger store_depth"


def _input_packets(config: MachineConfig, base: int, steps: Words) -> Words:
    """Write vectors, [steps, host words]: of a packed store each begins a WRITE of its own."""
    if not config.packed_store:
        return write_packet(config, Target.STORE, 0, base, steps)
    parts = [write_packet(config, Target.STORE, 0, base, steps[0])]
    for step in steps[1:]:
        parts += [header_words(config, header(Opcode.WRITE, len(step))), step]
    return np.concatenate(parts)


def state_packets(
    program: MachineProgram, initial: Mapping[tuple[str, int], npt.NDArray[np.integer]]
) -> list[Words]:
    """Write the states of every layer: a run without reset takes all of them from the machine."""
    config = program.config
    known = set()
    parts = []
    for index, layer in enumerate(program.layers):
        if layer.continues:  # the states are those of the layer before
            continue
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
                parts.append(
                    write_packet(config, Target.STATE, unit, base, _single_words(config, entries))
                )
    if _holds_deltas(initial):
        for place in delta_places(program):
            known.add((place.role, place.layer))
            given = initial.get((place.role, place.layer))
            layer = program.layers[place.layer]
            if given is None:
                raise SimulationError(
                    f"the state has no {place.role} of layer {layer.name!r}: give all that a "
                    "state has, or none of references and totals"
                )
            entries = to_entries(program, place, np.asarray(given))
            references = place.target == Target.REFERENCE
            bits = config.activation_bits if references else config.entry_bits(place.target)
            elements = entries if references else entries[:, np.newaxis]
            words = packed_words(elements, bits, words_per_entry(config, place.target))
            parts.append(write_packet(config, place.target, place.number, place.address, words))
    unknown = set(initial) - known
    if unknown:
        raise SimulationError(f"the network has no state {min(unknown)}: leave it out")
    return parts


def _holds_deltas(state: Mapping[tuple[str, int], npt.NDArray[np.integer]]) -> bool:
    """Whether a state has references or totals."""
    return any(role in DELTAS for role, _ in state)


def read_packet(
    config: MachineConfig, target: Target, index: int, address: int, count: int
) -> Words:
    """The words that ask for entries of one memory."""
    return header_words(
        config,
        header(Opcode.SELECT, target << 20 | index),
        header(Opcode.ADDRESS, address),
        header(Opcode.READ, count),
    )


def state_map(program: MachineProgram) -> Words:
    """The packets that read what :func:`state_packets` write with references and totals, in the
    same order."""
    config = program.config
    parts = []
    for layer in program.layers:
        fields = layer.descriptor
        if layer.continues:
            continue
        if layer.has_hidden:
            place = Target.STORE, 0, fields["hidden_base"]
            parts.append(read_packet(config, *place, fields["out_words"]))
        if layer.has_state:
            parts += [
                read_packet(config, Target.STATE, unit, fields["state_base"], fields["out_words"])
                for unit in range(config.post_units)
            ]
    parts += [
        read_packet(config, place.target, place.number, place.address, place.entries)
        for place in delta_places(program)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint32)


def _reformat(values: IntArray, shift: int) -> IntArray:
    """``values / 2^shift``, rounded half to even and saturated to 16 bits."""
    if shift <= 0:
        return np.clip(values << -shift, -32768, 32767)
    half = np.int64(1) << shift - 1
    rounded = (values + half - 1 + (values >> shift & 1)) >> shift
    return np.clip(rounded, -32768, 32767)


def read_state_packets(program: MachineProgram) -> list[Words]:
    parts = []
    for layer in program.layers:
        if layer.read_state:
            base = layer.descriptor["state_base"]
            for unit, count in layer.state_entries(program.config.post_units):
                parts.append(read_packet(program.config, Target.STATE, unit, base, count))
    return parts


def _read_counters(config: MachineConfig) -> list[Words]:
    if not config.counters:
        return []
    packets = [
        [
            header(Opcode.SELECT, Target.COUNTER << 20 | unit),
            header(Opcode.READ, len(Counter) * COUNTER_WORDS),
        ]
        for unit in range(config.post_units)
    ]
    return [np.array(packets, np.uint32).reshape(-1)]


def _read_sequences(program: MachineProgram, steps: int) -> list[Words]:
    parts = []
    for layer in program.layers:
        if layer.sequence_order:
            count = layer.steps(steps) * layer.sequence_words
            place = Target.STORE, 0, layer.sequence_base
            parts.append(read_packet(program.config, *place, count))
    return parts


def _single_words(config: MachineConfig, entries: IntArray) -> IntArray:
    """Entries of one word each, padded to whole beats of the link."""
    padded = np.zeros((len(entries), config.link_words), np.int64)
    padded[:, 0] = entries
    return padded


def _store_words(config: MachineConfig, values: IntArray, what: str) -> Words:
    """Vectors by position, [vectors, n], as host words of the store, [vectors, host words]."""
    bits = config.activation_bits
    limit = 1 << bits - 1
    if len(values) and (values.min() < -limit or values.max() >= limit):
        raise SimulationError(
            f"{what} holds {values.min()} … {values.max()}: {bits} bits hold {-limit} … {limit - 1}"
        )
    count, width = values.shape
    words = ceil_div(width, config.post_units)
    padded = np.zeros((count, words * config.post_units), np.int64)
    padded[:, :width] = values
    elements = padded.reshape(count, words, config.post_units)
    each = words_per_entry(config, Target.STORE)
    return packed_words(elements, bits, each).reshape(count, words * each)


def packed_words(elements: IntArray, bits: int, each: int) -> Words:
    """Elements of so many bits, [..., elements], side by side in host words, [..., each]."""
    raised = (elements[..., np.newaxis] >> np.arange(bits) & 1).astype(np.uint8)
    full = np.zeros((*elements.shape[:-1], 32 * each), np.uint8)
    full[..., : elements.shape[-1] * bits] = raised.reshape(*elements.shape[:-1], -1)
    return np.packbits(full, axis=-1, bitorder="little").view("<u4").astype(np.uint32)
