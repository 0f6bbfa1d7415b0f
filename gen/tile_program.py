"""Places an integer network in the dense machine: weights, parameters, descriptors, packets."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.hdl.protocol import RUN_STEPS_BITS, Target, words_per_entry
from sparnn.hdl.tile.config import TileConfig
from sparnn.hdl.tile.descriptor import (
    TILE_FIELDS,
    encode_tile_descriptor,
    phase_field,
)
from sparnn.sim.machine_program import LayerProgram, MachineProgram
from sparnn.sim.network import IntegerLayer, IntegerNetwork
from sparnn.sim.packets import write_packet
from sparnn.sim.tile_cycle_model import TilePlan, half_cycles

from .errors import SparnnError
from .layout import ceil_div
from .program import _formats as descriptor_formats
from .program import _single_step as single_steps
from .tile_layout import explore, row_segments, wide_outputs

__all__ = ["TILE_FITTED_STEPS", "place_tiles", "tile_memory_needs"]

#: Steps of one run that a fitted machine's store has room for.
TILE_FITTED_STEPS = 64

#: Fields of IntegerLayer that this machine computes with; any other must have its default.
_COMPUTED = {
    *("name", "kind", "activation", "w_x", "w_h", "mult_x", "shift_x", "bias_x"),
    *("mult_h", "shift_h", "bias_h", "f_x", "f_pre", "f_state", "f_out", "out_bits"),
    *("last_only", "initial_h", "initial_c"),
}

Words = npt.NDArray[np.uint32]


def place_tiles(
    network: IntegerNetwork,
    config: TileConfig,
    outputs: Sequence[Mapping[str, Any]] = (),
    *,
    fit: bool = False,
    steps: int = TILE_FITTED_STEPS,
    plans: Sequence[TilePlan] | None = None,
) -> tuple[TileConfig, MachineProgram, Words]:
    """The machine (enlarged with ``fit``), the program and the packets that load it.

    Parameters
    ----------
    outputs: see :func:`~sparnn.gen.program.build_program`.
    steps: of one run, that a fitted store has room for.
    plans: of the layers, instead of the explorer's choice.

    Raises
    ------
    SparnnError: the network does not fit, or the machine cannot compute it.
    """
    _check(network, config)
    if fit:
        widest = max(max(one.inputs, one.units) for one in network.layers)
        columns = max(config.columns, ceil_div(widest, config.bank_lanes))
        config = replace(config, columns=1 << (columns - 1).bit_length())
    chosen = list(plans) if plans is not None else [explore(config, one) for one in network.layers]
    needs = tile_memory_needs(network, chosen, config, steps if fit else 1)
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
    program = _program(network, chosen, config, outputs)
    return config, program, _image(network, chosen, config, program)


def tile_memory_needs(
    network: IntegerNetwork, plans: Sequence[TilePlan], config: TileConfig, steps: int
) -> dict[str, int]:
    """Entries of each memory, by the parameter of TileConfig."""
    words = [ceil_div(one.units, config.word) for one in network.layers]
    fixed, regions = _regions(network, config)
    return {
        "weight_depth": sum(
            _issues(plan, one) for plan, one in zip(plans, network.layers, strict=True)
        ),
        "parameter_depth": sum(
            _parameter_words(config, one, plan) * (2 if one.has_hidden else 1)
            for one, plan in zip(network.layers, plans, strict=True)
        ),
        "gate_depth": max(
            ceil_div(w, config.cell_rows) if plan.order.gate_major else 0
            for w, plan in zip(words, plans, strict=True)
        ),
        "state_depth": sum(words),
        "store_depth": fixed + steps * sum(regions),
        "program_depth": len(plans),
    }


def _issues(plan: TilePlan, layer: IntegerLayer) -> int:
    """Weight words of a layer."""
    return (half_cycles(plan.x) + half_cycles(plan.h)) * plan.gates(layer.kind)


def _parameter_words(config: TileConfig, layer: IntegerLayer, plan: TilePlan) -> int:
    """Requantization entries of each row, of one half."""
    words = ceil_div(layer.units, config.word)
    return 4 * ceil_div(words, config.cell_rows) if plan.order.gate_major else words


def _check(network: IntegerNetwork, config: TileConfig) -> None:
    if network.activation_bits != config.activation_bits:
        raise SparnnError(
            f"the network has activations of {network.activation_bits} bits, the machine of "
            f"activation_bits = {config.activation_bits}; compile for the same number"
        )
    if network.weight_bits > config.weight_bits:
        raise SparnnError(
            f"the network has weights of {network.weight_bits} bits, the machine of weight_bits = "
            f"{config.weight_bits}; quantize to fewer bits or raise weight_bits"
        )
    for layer in network.layers:
        for field in fields(layer):
            value = getattr(layer, field.name)
            if field.name not in _COMPUTED and value != field.default:
                raise SparnnError(
                    f"layer {layer.name!r} has {field.name} = {value!r}, which the dense machine "
                    f"does not compute; compile for a sparse machine, such as --config m64"
                )


def _regions(network: IntegerNetwork, config: TileConfig) -> tuple[int, list[int]]:
    """Words of the hidden states, and words per step of the two regions that hold the sequences:
    layer k reads region k mod 2 and writes the other."""
    fixed = sum(ceil_div(one.units, config.word) for one in network.layers if one.has_hidden)
    regions = [0, 0]
    for index, layer in enumerate(network.layers):
        into = (index + 1) % 2
        wide = wide_outputs(config, layer)
        regions[index % 2] = max(regions[index % 2], ceil_div(layer.inputs, config.word))
        regions[into] = max(regions[into], ceil_div(layer.units, config.word) << wide)
    return fixed, regions


def _program(
    network: IntegerNetwork,
    plans: Sequence[TilePlan],
    config: TileConfig,
    outputs: Sequence[Mapping[str, Any]],
) -> MachineProgram:
    wanted = outputs or [{"layer": len(network.layers) - 1, "what": "sequence"}]
    single = single_steps(network)
    fixed, regions = _regions(network, config)
    max_steps = min((config.store_depth - fixed) // sum(regions), (1 << RUN_STEPS_BITS) - 1)
    sequence = [fixed, fixed + regions[0] * max_steps]
    weight = parameter = state = hidden = 0
    before_hidden = 0
    bound = 0
    layers = []
    for index, (layer, plan) in enumerate(zip(network.layers, plans, strict=True)):
        what = {entry["what"] for entry in wanted if entry["layer"] == index}
        shortened = single[index] and not any(one.last_only for one in network.layers[: index + 1])
        if shortened and "sequence" in what:
            raise SparnnError(
                f"layer {layer.name!r}: its whole sequence is an output, but the layer after it "
                f"reads the last step only; leave that output out of the model"
            )
        if single[index] and not single[index - 1] and not network.layers[index - 1].has_hidden:
            raise SparnnError(
                f"layer {layer.name!r} reads the last step of a sequence that no recurrent layer "
                f"has made; feed that step alone and leave out its selection in the model"
            )
        formats = descriptor_formats(layer)
        words = ceil_div(layer.units, config.word)
        entries = _parameter_words(config, layer, plan)
        after_recurrent = index > 0 and network.layers[index - 1].has_hidden
        entry = dict.fromkeys(TILE_FIELDS, 0) | {
            "kind": formats["kind"],
            "activation": formats["activation"],
            "wide": int(wide_outputs(config, layer)),
            "out_shift": formats["out_shift"],
            "state_up": formats["state_up"],
            "pre_shift": 15 - layer.f_pre,
            "emit": int(bool(what - {"state_c"})),
            "emit_last": int(bool(what - {"state_c"}) and "sequence" not in what),
            "single_step": int(single[index]),
            "unfolded": int(plan.order.unfolded),
            "gate_major": int(plan.order.gate_major),
            "gate_outer": int(plan.order.gate_outer),
            "last_layer": int(index == len(network.layers) - 1),
            "last_apart": int(after_recurrent),
            "units": layer.units,
            "in_words": ceil_div(layer.inputs, config.word),
            "out_words": words,
            "in_base": sequence[index % 2],
            "out_base": sequence[(index + 1) % 2],
            "hidden_base": hidden,
            "in_last_base": before_hidden,
            "weight_base": weight,
            "parameter_base_x": parameter,
            "parameter_base_h": parameter + entries,
            "state_base": state,
        }
        for half, phases in (("x", plan.x), ("h", plan.h)):
            for number, phase in enumerate(phases):
                entry |= {
                    phase_field(half, number, "groups_log2"): phase.groups.bit_length() - 1,
                    phase_field(half, number, "length_last"): phase.length - 1,
                    phase_field(half, number, "passes"): phase.passes,
                }
        encode_tile_descriptor(entry)
        issues = _issues(plan, layer)
        weight += issues
        parameter += entries * (2 if layer.has_hidden else 1)
        state += words
        before_hidden = hidden
        hidden += words if layer.has_hidden else 0
        bound += issues + ceil_div(layer.inputs, config.word) + 3 * layer.units + 64
        bound += config.tail(gru=True)
        layers.append(
            LayerProgram(
                layer.name,
                entry,
                tuple(range(layer.units)),
                layer.f_out,
                layer.f_state,
                "state_c" in what,
            )
        )
    inputs = tuple(range(network.layers[0].inputs))
    return MachineProgram(config, tuple(layers), inputs, max_steps, bound)


def _image(
    network: IntegerNetwork,
    plans: Sequence[TilePlan],
    config: TileConfig,
    program: MachineProgram,
) -> Words:
    beat = words_per_entry(config, Target.PROGRAM)
    descriptors = [
        word for layer in program.layers for word in encode_tile_descriptor(layer.descriptor)
    ]
    padded = np.zeros((len(descriptors), beat), np.uint32)
    padded[:, 0] = descriptors
    parts = [write_packet(config, Target.PROGRAM, 0, 0, padded)]
    weights = np.concatenate(
        [
            _packed_weights(config, layer, plan)
            for layer, plan in zip(network.layers, plans, strict=True)
        ],
        axis=1,
    )
    for lane in range(config.lanes):
        parts.append(write_packet(config, Target.WEIGHT, lane, 0, weights[lane]))
    parameters = np.concatenate(
        [
            _packed_parameters(config, layer, plan)
            for layer, plan in zip(network.layers, plans, strict=True)
        ],
        axis=1,
    )
    for row in range(config.slices * config.width):
        parts.append(write_packet(config, Target.PARAMETER, row, 0, parameters[row]))
    return np.concatenate(parts)


def _segment_rows(
    config: TileConfig, array: npt.NDArray[Any], segments: int, gate_major: bool
) -> npt.NDArray[Any]:
    """[gates, units, ...] as [segments, passes, K, ...]: the rows of each pass of each segment.

    The gates of a neuron side by side, four rows, in one pass; or gate by gate: then row r of cell
    unit j and slice s belongs, in segment q of the slice, to the neuron at place s, j of word
    R q + r.
    """
    gates, units, *rest = array.shape
    if not gate_major:
        rows = np.zeros((segments * config.cells, 4, *rest), array.dtype)
        rows[:units, :gates] = np.moveaxis(array, 0, 1)
        return rows.reshape(segments, 1, config.width, *rest)
    shape = (config.cell_rows, config.slices, config.cells)
    each = config.slices * config.width
    count = ceil_div(max(segments * config.width, units), each)
    padded = np.zeros((gates, count * each, *rest), array.dtype)
    padded[:, :units] = array
    by_place = padded.reshape(gates, count, *shape, *rest)
    by_row = np.moveaxis(by_place, 2, 4)  # gates, q, slices, cells, rows
    rows = by_row.reshape(gates, count * config.slices, config.width, *rest)
    return np.moveaxis(rows[:, : max(segments, 1)], 0, 1)


def _packed_weights(config: TileConfig, layer: IntegerLayer, plan: TilePlan) -> Words:
    """[lanes, words, host words]: in the order of issue."""
    halves = []
    for weights, phases in ((layer.w_x, plan.x), (layer.w_h, plan.h)):
        if weights is None:
            continue
        segments = sum(phase.groups * phase.passes for phase in phases)
        needed = row_segments(config, layer.units, plan.order.gate_major)
        rows = _segment_rows(config, weights, max(segments, needed), plan.order.gate_major)
        columns = weights.shape[2]
        first = 0
        parts = []
        for phase in phases:
            count = phase.groups * phase.passes
            lanes = config.lanes // phase.groups  # that split the columns
            gates = rows.shape[1]
            block = np.zeros((count, gates, config.width, phase.length * lanes), np.int32)
            block[..., :columns] = rows[first : first + count]
            first += count
            shaped = block.reshape(
                phase.passes, phase.groups, gates, config.width, phase.length, lanes
            ).transpose(2, 1, 5, 0, 4, 3)  # gates, groups, lanes, passes, cycles, rows
            parts.append(
                shaped.reshape(gates, config.lanes, phase.passes, phase.length, config.width)
            )
        halves.append(parts)
    return _host_words(
        _issue_order(plan, halves), config.weight_bits, words_per_entry(config, Target.WEIGHT)
    )


def _issue_order(
    plan: TilePlan, halves: list[list[npt.NDArray[np.int32]]]
) -> npt.NDArray[np.int32]:
    """[lanes, issues, K] of the phases of the halves, [gates, lanes, passes, cycles, K] each."""
    gates, lanes, _, _, width = halves[0][0].shape
    phases = [one for half in halves for one in half]
    if plan.order.gate_outer:
        ordered = [one[gate] for gate in range(gates) for one in phases]
    else:
        ordered = [np.moveaxis(one, 0, 2) for one in phases]  # lanes, passes, gates, cycles
    return np.concatenate([one.reshape(lanes, -1, width) for one in ordered], axis=1)


def _packed_parameters(config: TileConfig, layer: IntegerLayer, plan: TilePlan) -> Words:
    """[slices * K, words, host words]."""
    words = _parameter_words(config, layer, plan)
    each = words_per_entry(config, Target.PARAMETER)
    segments = words * config.slices // (4 if plan.order.gate_major else 1)
    parts = []
    for half in ("x", "h"):
        mult = getattr(layer, f"mult_{half}")
        if mult is None:
            continue
        entry = (
            mult.astype(np.uint64)
            | getattr(layer, f"shift_{half}").astype(np.uint64) << np.uint64(16)
            | (getattr(layer, f"bias_{half}") & 0xFFFF).astype(np.uint64) << np.uint64(22)
        )
        rows = _segment_rows(config, entry, segments, plan.order.gate_major)
        passes = 4 if plan.order.gate_major else 1
        full = np.zeros((segments, passes, config.width), np.uint64)
        full[:, : rows.shape[1]] = rows
        by_word = (
            full.reshape(-1, config.slices, passes, config.width)
            .transpose(1, 3, 0, 2)
            .reshape(config.slices * config.width, words)
        )
        packed = np.zeros((*by_word.shape, each), np.uint32)
        packed[..., 0] = by_word & np.uint64(0xFFFFFFFF)
        packed[..., 1] = by_word >> np.uint64(32)
        parts.append(packed)
    return np.concatenate(parts, axis=1)


def _host_words(values: npt.NDArray[np.int32], bits: int, words: int) -> Words:
    """Vectors of ``bits``-bit integers, [..., n], as host words, [..., words]."""
    shape = values.shape[:-1]
    if bits == 8:
        flat = (values & 0xFF).astype(np.uint8)
    else:
        raised = (values[..., np.newaxis] >> np.arange(bits) & 1).astype(np.uint8)
        flat = np.packbits(raised.reshape(*shape, -1), axis=-1, bitorder="little")
    full = np.zeros((*shape, 4 * words), np.uint8)
    full[..., : flat.shape[-1]] = flat
    return full.view("<u4").astype(np.uint32)
