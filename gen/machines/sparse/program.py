"""The sparse machine's program: descriptors and loading packets of a placed network."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.shared.descriptors import common_fields, is_seen, reads_state
from sparnn.gen.machines.shared.layers import KINDS, check_machine, runs_step_by_step
from sparnn.gen.machines.shared.placement import Placement
from sparnn.gen.machines.shared.sections import Mode, section_table
from sparnn.hdl.common.numbers import ceil_div, clog2
from sparnn.hdl.host.protocol import RUN_STEPS_BITS, CellFunction, Target
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR
from sparnn.hdl.sparse.post.serial import SerialPostUnit
from sparnn.sim.aliases import Words
from sparnn.sim.host.packets import write_packet
from sparnn.sim.host.program import LayerProgram, MachineProgram
from sparnn.sim.network.network import STRAIGHT

from .layout import NetworkLayout
from .pack import PackedHalf, PackedLoop
from .packed_store import ValueRows, check_vectors, log_fields, packed_needs
from .sections import LoopWords, fits_rings, loop_modes, ring_needs
from .store import Store, source, stage_order, stored

__all__ = ["SparsePlacement", "is_kept", "memory_needs"]

#: parameter of SparseConfig -> what it counts, for messages.
_WHAT = {
    "columns": "columns per lane and half",
    "mask_depth": "mask words per lane",
    "weight_depth": "non-zero weights per lane",
    "rows": "gate rows per post unit",
    "parameter_depth": "requantization entries per post unit",
    "state_depth": "cell states per post unit",
    "store_depth": "words in the sequence store for one step",
    "reference_depth": "words of references",
    "program_depth": "layer descriptors",
    "dense_rows": "words that a packed store has to hold whole",
    "value_rows": "rows of values in the packed store for one step",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class SparsePlacement(Placement):
    """A network in the sparse machine, made by :func:`~sparnn.gen.machines.sparse.place.place`.

    Members
    -------
    layout: where neurons and columns lie.
    packed: the loops' masks, weights and parameters.
    read: stages whose outputs the host reads from the store after the run.
    store: where sequences and states lie.
    rows: of values, in a packed store; else None.
    unfolded: lanes go on with the next step's input half under this step's tail.
    """

    config: SparseConfig
    layout: NetworkLayout
    packed: tuple[PackedLoop, ...]
    read: frozenset[int]
    store: Store
    rows: ValueRows | None
    unfolded: bool = True

    @cached_property
    def program(self) -> MachineProgram:
        """What the host has to know; a machine that lacks something is refused."""
        return _program(self)

    @cached_property
    def image(self) -> Words:
        """The packets that load program, masks, weights and parameters; masks and weights only
        where they do not come from external memory."""
        return _image(self)

    @cached_property
    def loop_words(self) -> tuple[LoopWords, ...]:
        """The loops' masks and weights in external memory; none where they are loaded."""
        if not self.config.stream_bits:
            return ()
        return tuple(LoopWords.of(loop, self.config) for loop in self.packed)

    @property
    def sections(self) -> tuple[Words, ...]:
        return tuple(loop.section for loop in self.loop_words)

    @cached_property
    def modes(self) -> tuple[Mode, ...]:
        return loop_modes(self.loop_words, self.config) if self.config.stream_bits else ()

    def memory_lines(self) -> list[str]:
        """For the user: how each loop's weights come from external memory, if they do."""
        lines = []
        for loop, section, mode in zip(
            self.layout.loops, self.sections, self.modes, strict=bool(self.modes)
        ):
            names = ", ".join(self.network.layers[index].name for index in loop)
            size = 4 * section.size
            cycles = max(1, sum(int(half.weight_counts.max()) for half in self.packed_of(loop)))
            how = {
                "resident": "read in the first run",
                "swapped": "read once in each run, while the layer before runs",
                "streamed": f"read in each step: the memory limits below {size / cycles:.3g} bytes "
                "a cycle, the MACs above",
            }[mode]
            lines.append(f"{names}: {mode}, {size} bytes {how}")
        return lines

    def packed_of(self, loop: tuple[int, ...]) -> tuple[PackedHalf, ...]:
        """The halves of a loop."""
        return self.packed[self.layout.loops.index(loop)].halves


def memory_needs(placed: SparsePlacement, steps: int = 1) -> dict[str, int]:
    """Entries of each memory for runs of so many steps, by the parameter of SparseConfig."""
    network, config, packed = placed.network, placed.config, placed.packed
    halves = [half for pack in packed for half in pack.halves]
    *before, last = packed  # all but the last one are rounded up
    out_words = [ceil_div(layer.units, config.post_units) for layer in network.layers]
    needs = {
        "columns": max(half.chunks for half in halves) * config.chunk,
        "mask_depth": sum(pack.masks.shape[1] for pack in before) + int(last.mask_counts.max()),
        "weight_depth": sum(pack.weights.shape[1] for pack in before)
        + int(last.weight_counts.max()),
        "rows": max(
            words * KINDS[layer.kind].gates
            for words, layer in zip(out_words, network.layers, strict=True)
        ),
        "parameter_depth": sum(pack.parameters.shape[1] for pack in packed),
        "state_depth": sum(
            words
            for words, layer in zip(out_words, network.layers, strict=True)
            if layer.join != "reset"
        ),
        "store_depth": placed.store.first + steps * sum(placed.store.per_step),
        "program_depth": len(network.layers),
    }
    if config.stream_bits:
        del needs["mask_depth"], needs["weight_depth"]
        if not fits_rings(placed.loop_words, config):
            needs |= ring_needs(placed.loop_words, config)
    if config.delta:
        needs["reference_depth"] = sum(
            _reference_words(placed, index) for index in range(len(network.layers))
        )
    if placed.rows is not None:
        needs |= packed_needs(placed.rows, placed.store, config, steps)
    return needs


def _reference_words(placed: SparsePlacement, index: int) -> int:
    """Words of the vectors that a layer reads in each step."""
    layer, units = placed.network.layers[index], placed.config.post_units
    hidden = ceil_div(layer.units, units) if layer.has_hidden else 0
    return ceil_div(len(placed.layout.layers[index].columns), units) + hidden


def _check_memories(placed: SparsePlacement) -> None:
    for name, need in memory_needs(placed).items():
        limit = getattr(placed.config, name)
        if need > limit:
            more_lanes = name in ("columns", "mask_depth", "weight_depth")
            raise SparnnError(
                f"the network needs {need} {_WHAT[name]}, the machine has {name} = {limit}; raise "
                f"{name} to {1 << clog2(need)}" + " or use more lanes" * more_lanes
            )


def _max_steps(placed: SparsePlacement) -> int:
    """Steps of the longest run."""
    network, config, store = placed.network, placed.config, placed.store
    most = min((config.store_depth - store.first) // sum(store.per_step), (1 << RUN_STEPS_BITS) - 1)
    if placed.rows is not None:
        check_vectors(network, config, placed.read)
        most = placed.rows.steps(config.packed_rows, most)
    return 1 if runs_step_by_step(network) else most


def _program(placed: SparsePlacement) -> MachineProgram:
    network, config, layout, store = placed.network, placed.config, placed.layout, placed.store
    check_machine(network, config)
    _check_memories(placed)
    max_steps = _max_steps(placed)
    bases = _Bases()
    layers: list[LayerProgram] = []
    for number, stage in enumerate(network.stages):
        words_before = 0  # of this stage's step, of the layers before this one
        logged = False
        for index in stage:
            layer, place = network.layers[index], layout.layers[index]
            fields = _fields(placed, number, index, bases)
            fields |= source(network, store, placed.single, number, index, max_steps)
            if is_kept(placed, number, index):
                fields["out_base"] = store.output_base(stage, number, max_steps)
                fields["out_stride"] = store.words[number]
                if config.packed_store:
                    fields |= log_fields(store, placed.read, number, not logged)
                    logged = True
                if layer.join == "concat":
                    fields["out_base"] += words_before
            words_before += fields["out_words"]
            bases = bases.behind(placed, index, fields["out_words"])
            DESCRIPTOR.encode(fields)  # refuses what does not fit
            layers.append(
                LayerProgram(
                    layer.name,
                    fields,
                    tuple(int(n) for n in place.neurons),
                    layer.f_out,
                    layer.f_state,
                    f"V = {1 << place.v_log2}",
                    reads_state(placed, number, index),
                    columns=tuple(int(n) for n in place.columns) if config.delta else (),
                )
            )
        if number in placed.read:
            layers[-1] = replace(
                layers[-1],
                sequence_base=store.output_base(stage, number, max_steps),
                sequence_words=store.words[number],
                sequence_order=stage_order(network, layout, config, stage),
            )
    inputs = tuple(int(n) for n in layout.inputs)
    return MachineProgram(config, tuple(layers), inputs, max_steps, _step_bound(placed))


def is_kept(placed: SparsePlacement, number: int, index: int) -> bool:
    """Whether a layer's outputs go to the store."""
    wanted = number in placed.read or stored(placed.network, placed.single, number)
    return is_seen(placed.network.layers[index]) and wanted


def _loop(placed: SparsePlacement, index: int) -> int:
    """The loop that a layer is worked on in."""
    return next(k for k, loop in enumerate(placed.layout.loops) if index in loop)


@dataclass(frozen=True)
class _Bases:
    """Where a layer's part of each memory begins."""

    mask: int = 0
    weight: int = 0
    parameter: int = 0
    state: int = 0
    reference: int = 0

    def behind(self, placed: SparsePlacement, index: int, words: int) -> "_Bases":
        """Those of the layer after this one: the next loop's, behind the last layer of a loop."""
        state = self.state + words * is_seen(placed.network.layers[index])
        reference = self.reference + _reference_words(placed, index)
        loop = _loop(placed, index)
        if index != placed.layout.loops[loop][-1]:
            return replace(self, state=state, reference=reference)
        packed = placed.packed[loop]
        return _Bases(
            self.mask + packed.masks.shape[1],
            self.weight + packed.weights.shape[1],
            self.parameter + packed.parameters.shape[1],
            state,
            reference,
        )


def _fields(placed: SparsePlacement, number: int, index: int, bases: _Bases) -> dict[str, int]:
    """The descriptor of layer ``index``, of stage ``number``, but for where its words lie."""
    config, layer = placed.config, placed.network.layers[index]
    place = placed.layout.layers[index]
    fields = {name: 0 for name in DESCRIPTOR.fields if name not in config.unused}
    fields |= common_fields(placed, number, index, placed.read)
    if config.delta:
        fields |= {
            "delta_x": layer.delta_x or 0,
            "delta_h": layer.delta_h or 0,
            "reference_base": bases.reference,
        }
    if config.peepholes:
        fields |= {"peephole": int(layer.w_c is not None), "cell_shift": layer.cell_shift}
    if config.gate_functions:
        fields |= {
            "gate": CellFunction[layer.gate.upper()],
            "gate_up": 15 - layer.f_pre if layer.gate in STRAIGHT else 0,
        }
    return fields | {
        "pre_shift": layer.f_pre - 12,
        "state_shift": layer.f_state - 12,
        "candidate": CellFunction[layer.candidate.upper()],
        "cell": CellFunction[layer.cell.upper()],
        "clip": layer.clip,
        "v_log2": place.v_log2,
        "store_out": int(is_kept(placed, number, index)),
        "unfolded": int(placed.unfolded),
        "rotate": int(placed.layout.rotate),
        "paired": int(index != placed.layout.loops[_loop(placed, index)][-1]),
        "tail": layer.units % config.post_units,
        "in_words": ceil_div(len(place.columns), config.post_units),
        "hidden_base": placed.store.hidden[index],
        **_places(placed, index, bases),
        "parameter_base": bases.parameter,
        "state_base": bases.state,
    }


def _places(placed: SparsePlacement, index: int, bases: _Bases) -> dict[str, int]:
    """Where a layer's masks and weights lie, or how they come."""
    if not placed.config.stream_bits:
        return {"mask_base": bases.mask, "weight_base": bases.weight}
    loop = _loop(placed, index)
    halves = placed.packed[loop].halves
    # A pair's halves are alike, and the machine reads its first descriptor.
    first = placed.network.layers[placed.layout.loops[loop][0]]
    hidden = halves[1] if first.has_hidden else halves[0]
    per_layer = 2 if first.has_hidden else 1
    return {
        "x_chunks": max(0, halves[0].chunks - 1),
        "h_chunks": max(0, hidden.chunks - 1),
        "last_half": 2 * (len(halves) // per_layer - 1) + per_layer - 1,
        "held": int(placed.modes[loop] != "streamed"),
        "rewind": int(placed.modes[loop] == "resident" and loop == 0),
    }


def _step_bound(placed: SparsePlacement) -> int:
    """Cycles of one step of every layer if nothing overlapped, with a margin for pipelines."""
    lanes = sum(pack.masks.shape[1] + pack.weights.shape[1] for pack in placed.packed)
    rows = sum(pack.parameters.shape[1] for pack in placed.packed)
    vectors = sum(layer.inputs + 3 * layer.units + 128 for layer in placed.network.layers)
    if placed.config.compact:
        rows *= SerialPostUnit.MOST_CYCLES
    return lanes + rows + vectors


def _image(placed: SparsePlacement) -> Words:
    config, packed = placed.config, placed.packed
    words = [word for one in placed.program.layers for word in DESCRIPTOR.encode(one.descriptor)]
    parts = [write_packet(config, Target.PROGRAM, 0, 0, words)]
    if config.stream_bits:
        single = [placed.single[loop[0]] for loop in placed.layout.loops]
        sizes = [len(section) for section in placed.sections]
        table = section_table(sizes, placed.modes, single)
        parts.append(write_packet(config, Target.SECTION, 0, 0, table))
    else:
        parts += _lane_packets(placed)
    parameters = np.concatenate([pack.parameters for pack in packed], axis=1)
    for unit in range(config.post_units):
        parts.append(write_packet(config, Target.PARAMETER, unit, 0, parameters[unit]))
    return np.concatenate(parts)


def _lane_packets(placed: SparsePlacement) -> list[Words]:
    """Masks and weights of each lane."""
    config, packed = placed.config, placed.packed
    parts = []
    masks = np.concatenate([loop.masks for loop in packed], axis=1)
    weights = np.concatenate([loop.weights for loop in packed], axis=1)
    mask_ends = _ends([(loop.masks.shape[1], loop.mask_counts) for loop in packed])
    weight_ends = _ends([(loop.weights.shape[1], loop.weight_counts) for loop in packed])
    for lane in range(config.lanes):
        if config.masks:
            parts.append(write_packet(config, Target.MASK, lane, 0, masks[lane, : mask_ends[lane]]))
        if weight_ends[lane]:
            used = weights[lane, : weight_ends[lane]]
            parts.append(write_packet(config, Target.WEIGHT, lane, 0, used))
    return parts


def _ends(loops: list[tuple[int, npt.NDArray[np.int64]]]) -> npt.NDArray[np.int64]:
    """One past the last entry that each lane uses."""
    base = 0
    ends = np.zeros(len(loops[0][1]), np.int64)
    for size, counts in loops:
        ends = np.where(counts > 0, base + counts, ends)
        base += size
    return ends
