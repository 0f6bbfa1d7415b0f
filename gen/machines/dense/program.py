"""Places an integer network in the dense machine: weights, parameters, descriptors, packets."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.shared.layers import (
    cell_options,
    check_machine,
    check_single,
    descriptor_formats,
    runs_step_by_step,
)
from sparnn.gen.machines.shared.order import ceil_div, with_third_gate
from sparnn.gen.machines.shared.steps import single_steps
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.descriptor import DESCRIPTOR, phase_field
from sparnn.hdl.host.protocol import RUN_STEPS_BITS, Target, words_per_entry
from sparnn.sim.cycles.dense import TileLayer
from sparnn.sim.host.packets import write_packet
from sparnn.sim.host.plan import TilePlan
from sparnn.sim.host.program import LayerProgram, MachineProgram
from sparnn.sim.network.network import WITH_STATE, IntegerLayer, IntegerNetwork

from .pack import (
    PackedLanes,
    issues,
    mask_words,
    packed_lanes,
    packed_parameters,
    parameter_words,
    weight_words,
)
from .store import TileStore, allocate, input_order, output_order, paired_layers, wanted_outputs
from .streams import check_streams, copy_columns
from .tiles import explore, wide_outputs

__all__ = [
    "TILE_FITTED_STEPS",
    "explore_network",
    "model_layers",
    "place_tiles",
    "tile_memory_needs",
]

#: Steps of one run that a fitted machine's store has room for.
TILE_FITTED_STEPS = 64

#: Fields of IntegerLayer that this machine computes with; any other must have its default.
_COMPUTED = {
    *("name", "kind", "activation", "w_x", "w_h", "mult_x", "shift_x", "bias_x"),
    *("mult_h", "shift_h", "bias_h", "f_x", "f_pre", "f_state", "f_out", "out_bits"),
    *("last_only", "last_step", "reverse", "join", "initial_h", "initial_c"),
    *("w_c", "cell_shift", "sum_shift"),
}

Words = npt.NDArray[np.uint32]


def place_tiles(
    network: IntegerNetwork,
    config: DenseConfig,
    outputs: Sequence[Mapping[str, Any]] = (),
    *,
    fit: bool = False,
    steps: int = TILE_FITTED_STEPS,
    plans: Sequence[TilePlan] | None = None,
    interleave: bool = True,
    streams: int = 1,
) -> tuple[DenseConfig, MachineProgram, Words]:
    """The machine (enlarged with ``fit``), the program and the packets that load it.

    Parameters
    ----------
    outputs: see :func:`~sparnn.gen.machines.sparse.program.build_program`.
    steps: of one run, that a fitted store has room for.
    plans: of the layers, instead of the explorer's choice.
    interleave: the directions of a layer take turns, where that is possible.
    streams: sequences that take turns.

    Raises
    ------
    SparnnError: the network does not fit, or the machine cannot compute it.
    """
    if fit:
        options = cell_options(network, config)
        options |= {"streams": streams, "sums": int(_adds(network))}
        config = replace(
            config, **{name: max(getattr(config, name), need) for name, need in options.items()}
        )
    _check(network, config)
    if fit:
        widest = max(max(one.units, one.inputs) for one in network.layers)
        widest = max(widest, *(len(input_order(network, config, k)) for k in _stages(network)))
        columns = max(config.columns, ceil_div(widest, config.bank_lanes))
        columns = max(columns, copy_columns(network, config, streams))
        config = replace(config, columns=1 << (columns - 1).bit_length())
    check_streams(network, config, streams)
    pairs = paired_layers(network, config, outputs) if interleave else set()
    chosen = list(plans or explore_network(network, config, pairs, streams=streams))
    lanes = _packed(network, config, chosen)
    needs = tile_memory_needs(network, chosen, config, lanes, steps if fit else 1, outputs, streams)
    if fit:
        config = replace(
            config,
            **{
                name: max(getattr(config, name), 1 << (need - 1).bit_length())
                for name, need in needs.items()
                if need
            },
        )
    for name, need in needs.items():
        if need > getattr(config, name):
            raise SparnnError(
                f"the network needs {name} = {need}, the machine has {getattr(config, name)}; "
                f"raise {name} to {1 << (need - 1).bit_length()}"
            )
    program = _program(network, chosen, config, outputs, pairs, lanes, streams)
    return config, program, _image(network, chosen, config, program, lanes)


def _packed(
    network: IntegerNetwork, config: DenseConfig, plans: Sequence[TilePlan]
) -> list[PackedLanes]:
    packed = []
    for number, stage in enumerate(network.stages):
        places = input_order(network, config, number)
        packed += [
            packed_lanes(config, worked_layer(network.layers[index]), plans[index], places)
            for index in stage
        ]
    return packed


def explore_network(
    network: IntegerNetwork, config: DenseConfig, pairs: Set[int] = frozenset(), **options: Any
) -> list[TilePlan]:
    """The plan of each layer. Layers that take turns have the same one.

    Parameters
    ----------
    pairs: the first layers of those. options: of :func:`~sparnn.gen.machines.dense.tiles.explore`.
    """
    plans: list[TilePlan] = []
    for number, stage in enumerate(network.stages):
        inputs = len(input_order(network, config, number))
        for index in stage:
            if index - 1 in pairs:
                plans.append(plans[-1])
                continue
            layer = worked_layer(network.layers[index])
            plans.append(explore(config, layer, inputs=inputs, paired=index in pairs, **options))
    return plans


def model_layers(
    network: IntegerNetwork,
    program: MachineProgram,
    plans: Sequence[TilePlan],
    steps: int,
    *,
    fresh: bool = True,
) -> list[TileLayer]:
    """What the cycle model has to know of a run of so many steps."""
    config = program.config
    assert isinstance(config, DenseConfig)
    lanes = _packed(network, config, plans) if config.mask_depth else []
    layers = []
    for index, (layer, placed) in enumerate(zip(network.layers, program.layers, strict=True)):
        if index and program.layers[index - 1].descriptor["paired"]:
            continue
        number = next(k for k, stage in enumerate(network.stages) if index in stage)
        paired = bool(placed.descriptor["paired"])
        lengths = [one.lengths for one in lanes[index : index + 1 + paired]]
        layers.append(
            TileLayer(
                plans[index],
                len(input_order(network, config, number)),
                layer.units,
                placed.steps(steps),
                worked_layer(layer).kind,
                wide_outputs(config, layer),
                fresh,
                bool(placed.descriptor["reverse"]),
                paired,
                tuple(int(one) for part in lengths for one in part),
                layer.w_c is not None,
                program.streams,
                layer.join == "sum",
            )
        )
    return layers


def worked_layer(layer: IntegerLayer) -> IntegerLayer:
    """The layer as the machine works through its rows: the layers of a GRU that resets first are
    a GRU with an empty third row, and an RNN."""
    if layer.kind == "gru_gates":
        return with_third_gate(layer)
    if layer.kind == "gru_candidate":
        return replace(layer, kind="rnn", activation="tanh", f_state=0, join="")
    return layer


def _adds(network: IntegerNetwork) -> bool:
    return any(layer.join == "sum" for layer in network.layers)


def _stages(network: IntegerNetwork) -> range:
    return range(len(network.stages))


def tile_memory_needs(
    network: IntegerNetwork,
    plans: Sequence[TilePlan],
    config: DenseConfig,
    lanes: Sequence[PackedLanes],
    steps: int,
    outputs: Sequence[Mapping[str, Any]] = (),
    streams: int = 1,
) -> dict[str, int]:
    """Entries of each memory, by the parameter of DenseConfig."""
    words = [ceil_div(one.units, config.word) for one in network.layers]
    store = allocate(network, config, outputs, streams)
    return {
        "weight_depth": sum(one.weights.shape[1] for one in lanes),
        "mask_depth": sum(len(one.lengths) for one in lanes),
        "parameter_depth": sum(
            parameter_words(config, one, plan) * (2 if one.has_hidden else 1)
            for one, plan in zip(network.layers, plans, strict=True)
        ),
        "gate_depth": max(
            ceil_div(w, config.cell_rows) if plan.order.gate_major else 0
            for w, plan in zip(words, plans, strict=True)
        ),
        "state_depth": streams
        * sum(w for w, one in zip(words, network.layers, strict=True) if one.join != "reset"),
        "store_depth": store.fixed + steps * sum(store.per_step),
        "program_depth": len(plans),
    }


def _check(network: IntegerNetwork, config: DenseConfig) -> None:
    check_machine(network, config)
    if _adds(network) and not config.sums:
        raise SparnnError(
            "the network adds two directions, for which the machine lacks the second read port of "
            "the store: it has sums = 0; set sums = 1"
        )
    for layer in network.layers:
        for field in fields(layer):
            value = getattr(layer, field.name)
            if field.name not in _COMPUTED and value != field.default:
                raise SparnnError(
                    f"layer {layer.name!r} has {field.name} = {value!r}, which the dense machine "
                    f"does not compute; compile for a sparse machine, such as --config m64"
                )


def _program(
    network: IntegerNetwork,
    plans: Sequence[TilePlan],
    config: DenseConfig,
    outputs: Sequence[Mapping[str, Any]],
    pairs: Set[int],
    lanes: Sequence[PackedLanes],
    streams: int,
) -> MachineProgram:
    wanted, single = wanted_outputs(network, outputs), single_steps(network)
    store = allocate(network, config, outputs, streams)
    max_steps = min(
        (config.store_depth - store.fixed) // sum(store.per_step), (1 << RUN_STEPS_BITS) - 1
    )
    if runs_step_by_step(network):
        max_steps = 1
    weight = mask = parameter = state = bound = 0
    layers: list[LayerProgram] = []
    for number, stage in enumerate(network.stages):
        what = wanted[number]
        read = store.region[number] > 1
        emitted = what & {"last", "state_h"} if read else what - {"state_c"}
        if streams > 1:  # the host reads all of them from the store
            emitted = set()
        placed = 0  # words of this stage's step that lie before this layer's
        paired = stage[0] in pairs
        for index in stage:
            layer, plan = network.layers[index], plans[index]
            seen = layer.kind != "gru_gates"  # nobody but its candidate sees the gates' output
            check_single(network, single, index, what)
            formats = descriptor_formats(layer)
            wide = wide_outputs(config, layer)
            words = ceil_div(layer.units, config.word)
            entries = parameter_words(config, layer, plan)
            entry = dict.fromkeys(DESCRIPTOR.fields, 0) | {
                "kind": formats["kind"],
                "activation": formats["activation"],
                "wide": int(wide),
                "out_shift": formats["out_shift"],
                "hard_sigmoid": formats["hard_sigmoid"],
                "reset_first": formats["reset_first"],
                "peephole": int(layer.w_c is not None),
                "cell_shift": layer.cell_shift,
                "state_up": formats["state_up"],
                "pre_up": 15 - layer.f_pre,
                "emit": int(seen and bool(emitted)),
                "emit_last": int(seen and bool(emitted) and "sequence" not in emitted),
                "single_step": int(single[index]),
                **{name: int(value) for name, value in asdict(plan.order).items()},
                "reverse": int(layer.reverse and not single[index]),
                "streams_last": streams - 1,
                "paired": int(paired and index == stage[0]),
                "last_hidden": int(store.last_hidden[index]),
                "last_layer": int((stage[-1] if paired else index) == len(network.layers) - 1),
                "units": layer.units,
                "in_words": ceil_div(len(input_order(network, config, number)), config.word),
                "out_words": words,
                "out_stride": store.words[number],
                "in_base": store.base(store.source(number), max_steps),
                "out_base": store.base(store.region[number], max_steps) + placed,
                "add_stored": int(layer.join == "sum"),
                "sum_shift": layer.sum_shift,
                "hidden_base": store.hidden[index],
                "weight_base": weight,
                "mask_base": mask,
                "pair_parameters": entries * (2 if layer.has_hidden else 1) if paired else 0,
                "parameter_base_x": parameter,
                "parameter_base_h": parameter + entries,
                "state_base": state,
            }
            entry |= _source(network, store, single, number, index)
            for half, phases in (("x", plan.x), ("h", plan.h)):
                for place, phase in enumerate(phases):
                    entry |= {
                        phase_field(half, place, "groups_log2"): phase.groups.bit_length() - 1,
                        phase_field(half, place, "length_last"): phase.length - 1,
                        phase_field(half, place, "passes"): phase.passes,
                    }
            DESCRIPTOR.encode(entry)  # refuses what does not fit
            placed += words << wide if seen and network.layers[stage[-1]].join != "sum" else 0
            weight += lanes[index].weights.shape[1]
            mask += len(lanes[index].lengths)
            parameter += entries * (2 if layer.has_hidden else 1)
            state += words * streams if seen else 0
            bound += issues(plan, worked_layer(layer)) + entry["in_words"] + 3 * layer.units + 64
            bound += max(config.tail(gru=True), config.tail(peephole=True))
            layers.append(
                LayerProgram(
                    layer.name,
                    entry,
                    tuple(range(layer.units)),
                    layer.f_out,
                    layer.f_state,
                    _tiling(plan),
                    "state_c" in what and layer.kind in WITH_STATE,
                )
            )
        if read:
            layers[-1] = replace(
                layers[-1],
                sequence_base=store.base(store.region[number], max_steps),
                sequence_words=store.words[number],
                sequence_order=tuple(int(place) for place in output_order(network, config, number)),
            )
    inputs = tuple(range(network.layers[0].inputs))
    return MachineProgram(config, tuple(layers), inputs, max_steps, bound * streams, streams)


def _tiling(plan: TilePlan) -> str:
    """The tiles and the schedule, for people."""
    halves = (
        " + ".join(f"{phase.passes} x {phase.groups} segments" for phase in half)
        for half in (plan.x, plan.h)
    )
    return f"{plan.order.schedule}, passes {' / '.join(half for half in halves if half)}"


def _source(
    network: IntegerNetwork,
    store: TileStore,
    single: Sequence[bool],
    number: int,
    index: int,
) -> dict[str, int]:
    """The descriptor fields that say where a layer finds the last step of what it reads."""
    if number == 0:
        return {}
    before = network.stages[number - 1]
    if store.last_hidden[before[0]]:
        return {"last_apart": 1, "in_last_base": store.hidden[before[0]]}
    return {"reverse": 1} if single[index] and not single[before[-1]] else {}


def _image(
    network: IntegerNetwork,
    plans: Sequence[TilePlan],
    config: DenseConfig,
    program: MachineProgram,
    lanes: Sequence[PackedLanes],
) -> Words:
    descriptors = [word for layer in program.layers for word in DESCRIPTOR.encode(layer.descriptor)]
    parts = [
        write_packet(config, Target.PROGRAM, 0, 0, _padded(config, Target.PROGRAM, descriptors))
    ]
    weights = weight_words(config, np.concatenate([one.weights for one in lanes], axis=1))
    for lane in range(config.lanes):
        parts.append(write_packet(config, Target.WEIGHT, lane, 0, weights[lane]))
    if config.mask_depth:
        masks = mask_words(config, np.concatenate([one.masks for one in lanes], axis=1))
        for lane in range(config.lanes):
            parts.append(write_packet(config, Target.MASK, lane, 0, masks[lane]))
        lasts = np.concatenate([one.lengths for one in lanes]) - 1
        lengths = _padded(config, Target.MASK, lasts)
        parts.append(write_packet(config, Target.MASK, config.lanes, 0, lengths))
    parameters = np.concatenate(
        [
            packed_parameters(config, worked_layer(layer), plan)
            for layer, plan in zip(network.layers, plans, strict=True)
        ],
        axis=1,
    )
    for row in range(config.slices * config.width):
        parts.append(write_packet(config, Target.PARAMETER, row, 0, parameters[row]))
    return np.concatenate(parts)


def _padded(config: DenseConfig, target: Target, values: npt.ArrayLike) -> Words:
    """Values of at most 32 bits as entries of a memory."""
    small = np.asarray(values, np.uint32)
    padded = np.zeros((len(small), words_per_entry(config, target)), np.uint32)
    padded[:, 0] = small
    return padded
