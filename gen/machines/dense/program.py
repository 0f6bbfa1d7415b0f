"""The dense machine's program: descriptors and loading packets of a placed network."""

from collections.abc import Iterable, Set
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sparnn.gen.machines.shared.descriptors import common_fields, is_seen, reads_state
from sparnn.gen.machines.shared.layers import runs_step_by_step
from sparnn.gen.machines.shared.placement import Placement
from sparnn.gen.machines.shared.sections import Mode, section_table
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.descriptor import DESCRIPTOR, phase_field
from sparnn.hdl.host.protocol import RUN_STEPS_BITS, Target, words_per_entry
from sparnn.sim.aliases import Words
from sparnn.sim.cycles.dense import TileLayer
from sparnn.sim.host.packets import write_packet
from sparnn.sim.host.plan import TilePlan
from sparnn.sim.host.program import LayerProgram, MachineProgram

from .pack import (
    PackedLanes,
    issues,
    mask_words,
    packed_parameters,
    parameter_words,
    weight_words,
    worked_layer,
)
from .sections import LayerGroup, groups_of, rows_needed, section_words
from .store import TileStore, input_order, output_order
from .tiles import wide_outputs

__all__ = ["DensePlacement", "memory_needs", "model_layers"]


@dataclass(frozen=True, eq=False, kw_only=True)
class DensePlacement(Placement):
    """A network in the dense machine, made by :func:`~sparnn.gen.machines.dense.place.place`.

    Members
    -------
    plans: the tiles of each layer.
    pairs: the first layers of those that take turns.
    lanes: the weights and masks of each layer.
    streams: sequences that take turns.
    store: where sequences and states lie.
    """

    config: DenseConfig
    plans: tuple[TilePlan, ...]
    pairs: Set[int]
    lanes: tuple[PackedLanes, ...]
    streams: int
    store: TileStore

    @property
    def read(self) -> frozenset[int]:
        """Stages whose outputs the host reads from the store after the run."""
        return frozenset(k for k, region in enumerate(self.store.region) if region > 1)

    @cached_property
    def program(self) -> MachineProgram:
        """What the host has to know to run the network."""
        return _program(self)

    @cached_property
    def image(self) -> Words:
        """The packets that load program, weights, masks and parameters; weights only where they do
        not come from external memory."""
        return _image(self)

    @cached_property
    def groups(self) -> tuple[LayerGroup, ...]:
        """Layers whose weights come from external memory together; none where they are loaded."""
        return groups_of(self.lanes, self.pairs, self.config) if self.config.stream_bits else ()

    @cached_property
    def sections(self) -> tuple[Words, ...]:
        return tuple(
            section_words(self.config, group, _weights(self.lanes[k] for k in group.layers))
            for group in self.groups
        )

    @property
    def modes(self) -> tuple[Mode, ...]:
        return tuple(group.mode for group in self.groups)

    def memory_lines(self) -> list[str]:
        """For the user: how each layer's weights come from external memory, if they do."""
        how = {
            "resident": "read in the first run",
            "swapped": "read once in each run, while the layer before runs",
        }
        return [
            f"{', '.join(self.network.layers[index].name for index in group.layers)}: "
            f"{group.mode}, {4 * section.size} bytes {how[group.mode]}"
            for group, section in zip(self.groups, self.sections, strict=True)
        ]


def memory_needs(placed: DensePlacement, steps: int) -> dict[str, int]:
    """Entries of each memory for runs of so many steps, by the parameter of DenseConfig."""
    network, config, plans = placed.network, placed.config, placed.plans
    words = [ceil_div(one.units, config.word) for one in network.layers]
    weights = sum(one.weights.shape[1] for one in placed.lanes)
    if config.stream_bits and weights > config.weight_depth:
        weights = rows_needed(placed.lanes, placed.pairs)
    return {
        "weight_depth": weights,
        "mask_depth": sum(len(one.lengths) for one in placed.lanes),
        "parameter_depth": sum(
            parameter_words(config, one, plan) * (2 if one.has_hidden else 1)
            for one, plan in zip(network.layers, plans, strict=True)
        ),
        "gate_depth": max(
            ceil_div(w, config.cell_rows) if plan.order.gate_major else 0
            for w, plan in zip(words, plans, strict=True)
        ),
        "state_depth": placed.streams
        * sum(w for w, one in zip(words, network.layers, strict=True) if one.join != "reset"),
        "store_depth": placed.store.fixed + steps * sum(placed.store.per_step),
        "program_depth": len(plans),
    }


def model_layers(placed: DensePlacement, steps: int, *, fresh: bool = True) -> list[TileLayer]:
    """What the cycle model has to know of a run of so many steps."""
    network, config = placed.network, placed.config
    lanes = placed.lanes if config.mask_depth else ()
    layers = []
    for number, stage in enumerate(network.stages):
        for index in stage:
            if index - 1 in placed.pairs:
                continue
            layer, paired = network.layers[index], index in placed.pairs
            lengths = [one.lengths for one in lanes[index : index + 1 + paired]]
            layers.append(
                TileLayer(
                    placed.plans[index],
                    len(input_order(network, config, number)),
                    layer.units,
                    1 if placed.single[index] else steps,
                    worked_layer(layer).kind,
                    wide_outputs(config, layer),
                    fresh,
                    bool(placed.program.layers[index].descriptor["reverse"]),
                    paired,
                    tuple(int(one) for part in lengths for one in part),
                    layer.w_c is not None,
                    placed.streams,
                    layer.join == "sum",
                )
            )
    return layers


def _max_steps(placed: DensePlacement) -> int:
    """Steps of the longest run."""
    store = placed.store
    if runs_step_by_step(placed.network):
        return 1
    return min(
        (placed.config.store_depth - store.fixed) // sum(store.per_step),
        (1 << RUN_STEPS_BITS) - 1,
    )


def _program(placed: DensePlacement) -> MachineProgram:
    network, config = placed.network, placed.config
    max_steps, streams = _max_steps(placed), placed.streams
    bases = _Bases()
    bound = 0
    layers: list[LayerProgram] = []
    for number, stage in enumerate(network.stages):
        words_before = 0  # of this stage's step, of the layers before this one
        added = network.layers[stage[-1]].join == "sum"
        for index in stage:
            layer, plan = network.layers[index], placed.plans[index]
            fields = _fields(placed, number, index, bases, words_before, max_steps)
            DESCRIPTOR.encode(fields)  # refuses what does not fit
            words = ceil_div(layer.units, config.word)
            if is_seen(layer) and not added:
                words_before += words << wide_outputs(config, layer)
            bases = bases.behind(placed, index)
            bound += issues(plan, worked_layer(layer)) + fields["in_words"] + 3 * layer.units + 64
            bound += max(config.tail(gru=True), config.tail(peephole=True))
            layers.append(
                LayerProgram(
                    layer.name,
                    fields,
                    tuple(range(layer.units)),
                    layer.f_out,
                    layer.f_state,
                    _tiling(plan),
                    reads_state(placed, number, index),
                )
            )
        if number in placed.read:
            layers[-1] = _with_sequence(placed, layers[-1], number, max_steps)
    inputs = tuple(range(network.layers[0].inputs))
    return MachineProgram(config, tuple(layers), inputs, max_steps, bound * streams, streams)


@dataclass(frozen=True)
class _Bases:
    """Where a layer's part of each memory begins."""

    weight: int = 0
    mask: int = 0
    parameter: int = 0
    state: int = 0

    def behind(self, placed: DensePlacement, index: int) -> "_Bases":
        """Those of the layer after this one."""
        layer, words = placed.network.layers[index], 0
        if is_seen(layer):
            words = ceil_div(layer.units, placed.config.word) * placed.streams
        return _Bases(
            self.weight + placed.lanes[index].weights.shape[1],
            self.mask + len(placed.lanes[index].lengths),
            self.parameter + _entries(placed, index) * (2 if layer.has_hidden else 1),
            self.state + words,
        )


def _entries(placed: DensePlacement, index: int) -> int:
    """Requantization entries of each row, of one half."""
    return parameter_words(placed.config, placed.network.layers[index], placed.plans[index])


def _fields(
    placed: DensePlacement,
    number: int,
    index: int,
    bases: _Bases,
    words_before: int,
    max_steps: int,
) -> dict[str, int]:
    """The descriptor of layer ``index``, of stage ``number``."""
    network, config, store = placed.network, placed.config, placed.store
    layer, plan, stage = network.layers[index], placed.plans[index], network.stages[number]
    paired = stage[0] in placed.pairs
    entries = _entries(placed, index)
    fields = {name: 0 for name in DESCRIPTOR.fields if name not in config.unused}
    fields |= common_fields(placed, number, index, placed.read)
    fields |= {
        "wide": int(wide_outputs(config, layer)),
        "peephole": int(layer.w_c is not None),
        "cell_shift": layer.cell_shift,
        "pre_up": 15 - layer.f_pre,
        **{name: int(value) for name, value in asdict(plan.order).items()},
        "streams_last": placed.streams - 1,
        "paired": int(paired and index == stage[0]),
        "last_hidden": int(store.last_hidden[index]),
        "last_layer": int((stage[-1] if paired else index) == len(network.layers) - 1),
        "in_words": ceil_div(len(input_order(network, config, number)), config.word),
        "out_stride": store.words[number],
        "in_base": store.base(store.source(number), max_steps),
        "out_base": store.base(store.region[number], max_steps) + words_before,
        "hidden_base": store.hidden[index],
        "weight_base": bases.weight,
        "mask_base": bases.mask,
        "pair_parameters": entries * (2 if layer.has_hidden else 1) if paired else 0,
        "parameter_base_x": bases.parameter,
        "parameter_base_h": bases.parameter + entries,
        "state_base": bases.state,
    }
    if placed.streams > 1:  # the host reads all outputs from the store
        fields |= {"emit": 0, "emit_last": 0}
    return fields | _source(placed, number, index) | _phases(plan) | _swap(placed, index)


def _swap(placed: DensePlacement, index: int) -> dict[str, int]:
    """The descriptor fields of a layer whose weights make room for others'."""
    for group in placed.groups:
        if group.mode == "swapped" and index in group.layers:
            before = sum(placed.lanes[k].weights.shape[1] for k in group.layers if k < index)
            return {"swapped": 1, "weight_base": group.base + before}
    return {}


def _weights(lanes: Iterable[PackedLanes]) -> npt.NDArray[np.int32]:
    """The weights of some layers, [lanes, issues, K]."""
    return np.concatenate([one.weights for one in lanes], axis=1)


def _with_sequence(
    placed: DensePlacement, layer: LayerProgram, number: int, max_steps: int
) -> LayerProgram:
    """The last layer of a stage whose outputs the host reads from the store."""
    store = placed.store
    order = output_order(placed.network, placed.config, number)
    return replace(
        layer,
        sequence_base=store.base(store.region[number], max_steps),
        sequence_words=store.words[number],
        sequence_order=tuple(int(place) for place in order),
    )


def _phases(plan: TilePlan) -> dict[str, int]:
    """The descriptor fields of a plan's phases."""
    fields: dict[str, int] = {}
    for half, phases in (("x", plan.x), ("h", plan.h)):
        for place, phase in enumerate(phases):
            fields |= {
                phase_field(half, place, "groups_log2"): phase.groups.bit_length() - 1,
                phase_field(half, place, "length_last"): phase.length - 1,
                phase_field(half, place, "passes"): phase.passes,
            }
    return fields


def _tiling(plan: TilePlan) -> str:
    """The tiles and the schedule, for people."""
    halves = (
        " + ".join(f"{phase.passes} x {phase.groups} segments" for phase in half)
        for half in (plan.x, plan.h)
    )
    return f"{plan.order.schedule}, passes {' / '.join(half for half in halves if half)}"


def _source(placed: DensePlacement, number: int, index: int) -> dict[str, int]:
    """The descriptor fields that say where a layer finds the last step of what it reads."""
    if number == 0:
        return {}
    before = placed.network.stages[number - 1]
    if placed.store.last_hidden[before[0]]:
        return {"last_apart": 1, "in_last_base": placed.store.hidden[before[0]]}
    return {"reverse": 1} if placed.single[index] and not placed.single[before[-1]] else {}


def _image(placed: DensePlacement) -> Words:
    config = placed.config
    descriptors = [
        word for one in placed.program.layers for word in DESCRIPTOR.encode(one.descriptor)
    ]
    parts = [
        write_packet(config, Target.PROGRAM, 0, 0, _padded(config, Target.PROGRAM, descriptors))
    ]
    if config.stream_bits:
        parts.append(write_packet(config, Target.SECTION, 0, 0, _table(placed)))
    else:
        weights = weight_words(config, _weights(placed.lanes))
        for lane in range(config.lanes):
            parts.append(write_packet(config, Target.WEIGHT, lane, 0, weights[lane]))
    if config.mask_depth:
        masks = mask_words(config, np.concatenate([one.masks for one in placed.lanes], axis=1))
        for lane in range(config.lanes):
            parts.append(write_packet(config, Target.MASK, lane, 0, masks[lane]))
        lasts = np.concatenate([one.lengths for one in placed.lanes]) - 1
        lengths = _padded(config, Target.MASK, lasts)
        parts.append(write_packet(config, Target.MASK, config.lanes, 0, lengths))
    parameters = np.concatenate(
        [
            packed_parameters(config, worked_layer(layer), plan)
            for layer, plan in zip(placed.network.layers, placed.plans, strict=True)
        ],
        axis=1,
    )
    for row in range(config.slices * config.width):
        parts.append(write_packet(config, Target.PARAMETER, row, 0, parameters[row]))
    return np.concatenate(parts)


def _table(placed: DensePlacement) -> Words:
    """The table of sections, whole entries."""
    sizes = [len(one) for one in placed.sections]
    table = section_table(sizes, placed.modes, [False] * len(sizes))
    words = words_per_entry(placed.config, Target.SECTION)
    return np.pad(table, ((0, 0), (0, words - table.shape[1])))


def _padded(config: DenseConfig, target: Target, values: npt.ArrayLike) -> Words:
    """Values of at most 32 bits as entries of a memory."""
    small = np.asarray(values, np.uint32)
    padded = np.zeros((len(small), words_per_entry(config, target)), np.uint32)
    padded[:, 0] = small
    return padded
