"""The program of a packed network: memory allocation, layer descriptors, loading packets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.shared.fit import enlarge
from sparnn.gen.machines.shared.layers import (
    KINDS,
    cell_options,
    check_machine,
    check_single,
    descriptor_formats,
    runs_step_by_step,
)
from sparnn.gen.machines.shared.order import ceil_div
from sparnn.gen.machines.shared.steps import single_steps
from sparnn.gen.quantize.activity import BoolArray
from sparnn.hdl.host.protocol import RUN_STEPS_BITS, Target
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR
from sparnn.hdl.sparse.post.serial import SerialPostUnit
from sparnn.sim.host.packets import write_packet
from sparnn.sim.host.program import LayerProgram, MachineProgram
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.network import IntegerLayer, IntegerNetwork

from .layout import NetworkLayout
from .pack import PackedLoop, pack_network
from .packed_store import ValueRows, check_vectors, log_fields, packed_needs, shortest_vector
from .store import allocate, read_stages, source, stage_order, stored

__all__ = [
    "FITTED_STEPS",
    "build_program",
    "fit_config",
    "image_words",
    "longest_run",
    "memory_needs",
]

#: Steps of one run that :func:`fit_config` makes room for in the store.
FITTED_STEPS = 64

#: parameter of SparseConfig -> what it counts, for messages.
_WHAT = {
    "columns": "columns per lane and half",
    "mask_depth": "mask words per lane",
    "weight_depth": "non-zero weights per lane",
    "rows": "gate rows per post unit",
    "parameter_depth": "requantization entries per post unit",
    "state_depth": "cell states per post unit",
    "store_depth": "words in the sequence store for one step",
    "program_depth": "layer descriptors",
    "dense_rows": "words that a packed store has to hold whole",
    "value_rows": "rows of values in the packed store for one step",
}


def build_program(
    network: IntegerNetwork,
    layout: NetworkLayout,
    packed: Sequence[PackedLoop],
    config: SparseConfig,
    outputs: Sequence[Mapping[str, Any]] = (),
    *,
    unfolded: bool = True,
    activity: Sequence[BoolArray] | None = None,
) -> MachineProgram:
    """Place a packed network in the machine's memories and describe it.

    Parameters
    ----------
    outputs: ``layer`` and ``what`` of each wanted output (the manifest's ``io["outputs"]``); the
        last layer's sequence by default.
    unfolded: lanes go on with the next step's input half under this step's tail.
    activity: how full a packed store gets, see
        :class:`~sparnn.gen.machines.sparse.packed_store.ValueRows`.

    Raises
    ------
    SparnnError: a memory is too small, a value is out of the machine's range, or the sequence of a
        layer is wanted whose last step alone is computed.
    """
    check_machine(network, config)
    needs = memory_needs(network, layout, packed, config, outputs=outputs, activity=activity)
    for name, need in needs.items():
        limit = getattr(config, name)
        if need > limit:
            raise SparnnError(
                f"the network needs {need} {_WHAT[name]}, the machine has {name} = {limit}; raise "
                f"{name} to {1 << (need - 1).bit_length()}"
                + (
                    " or use more lanes"
                    if name in ("columns", "mask_depth", "weight_depth")
                    else ""
                )
            )
    wanted = _wanted(network, outputs)
    single = single_steps(network)
    for entry in wanted:
        if all(entry["layer"] != stage[-1] for stage in network.stages):
            raise SparnnError(
                f"layer {network.layers[entry['layer']].name!r} is an output alone, but is joined "
                "with the layer after it: take both of them, by the name of the second one"
            )
    read = read_stages(network, wanted)
    store = allocate(network, config, read)
    per_step = sum(store.per_step)
    max_steps = min((config.store_depth - store.first) // per_step, (1 << RUN_STEPS_BITS) - 1)
    if config.packed_store:
        check_vectors(network, config, read)
        rows = ValueRows(network, layout, config, store, read, activity)
        max_steps = rows.steps(config.value_rows - config.dense_rows, max_steps)
    if runs_step_by_step(network):
        max_steps = 1
    base = {"mask": 0, "weight": 0, "parameter": 0, "state": 0}
    layers = []
    for number, stage in enumerate(network.stages):
        # Outputs are named by the last layer of their stage.
        what = {entry["what"] for entry in wanted if entry["layer"] == stage[-1]}
        placed = 0  # words of this stage's step that lie before this layer's
        logged = False
        for index in stage:
            layer, place = network.layers[index], layout.layers[index]
            loop = next(k for k, loop in enumerate(layout.loops) if index in loop)
            check_single(network, single, index, what)
            out_words = ceil_div(layer.units, config.post_units)
            ordered = number not in read  # the host is sent each step when it is computed
            emit = what - {"state_c"} if ordered else what & {"last", "state_h"}
            hidden = layer.kind == "gru_gates"  # nobody but its candidate sees its output
            if hidden:
                emit = set()
            fields = dict.fromkeys(DESCRIPTOR.fields, 0) | descriptor_formats(layer)
            fields |= {
                "v_log2": place.v_log2,
                "store_out": int(
                    not hidden and (number in read or stored(network, single, number))
                ),
                "emit": int(bool(emit)),
                "emit_last": int(bool(emit) and "sequence" not in emit),
                "single_step": int(single[index]),
                "unfolded": int(unfolded),
                "rotate": int(layout.rotate),
                "paired": int(index != layout.loops[loop][-1]),
                "last_layer": int(index == len(network.layers) - 1),
                "reverse": int(layer.reverse and not single[index]),
                "add_stored": int(layer.join == "sum"),
                "sum_shift": layer.sum_shift,
                "units": layer.units,
                "tail": layer.units % config.post_units,
                "in_words": ceil_div(len(place.columns), config.post_units),
                "out_words": out_words,
                "hidden_base": store.hidden[index],
                "mask_base": base["mask"],
                "weight_base": base["weight"],
                "parameter_base": base["parameter"],
                "state_base": base["state"],
            }
            fields |= source(network, store, single, number, index, max_steps)
            if fields["store_out"]:
                fields["out_base"] = store.output_base(stage, number, max_steps)
                fields["out_stride"] = store.words[number]
                if config.packed_store:
                    fields |= log_fields(store, read, number, not logged)
                    logged = True
                if layer.join == "concat":
                    fields["out_base"] += placed
            placed += out_words
            base["state"] += 0 if hidden else out_words
            if index == layout.loops[loop][-1]:
                base["mask"] += packed[loop].masks.shape[1]
                base["weight"] += packed[loop].weights.shape[1]
                base["parameter"] += packed[loop].parameters.shape[1]
            DESCRIPTOR.encode(fields)  # refuses what does not fit
            layers.append(
                LayerProgram(
                    layer.name,
                    fields,
                    tuple(int(n) for n in place.neurons),
                    layer.f_out,
                    layer.f_state,
                    f"V = {1 << place.v_log2}",
                    "state_c" in what and layer.join != "reset",
                )
            )
        if number in read:
            layers[-1] = replace(
                layers[-1],
                sequence_base=store.output_base(stage, number, max_steps),
                sequence_words=store.words[number],
                sequence_order=stage_order(network, layout, config, stage),
            )
    inputs = tuple(int(n) for n in layout.inputs)
    return MachineProgram(
        config, tuple(layers), inputs, max_steps, _step_bound(network, packed, config)
    )


def _wanted(
    network: IntegerNetwork, outputs: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    return outputs or [{"layer": len(network.layers) - 1, "what": "sequence"}]


def memory_needs(
    network: IntegerNetwork,
    layout: NetworkLayout,
    packed: Sequence[PackedLoop],
    config: SparseConfig,
    steps: int = 1,
    outputs: Sequence[Mapping[str, Any]] = (),
    activity: Sequence[BoolArray] | None = None,
) -> dict[str, int]:
    """Entries of each memory that a network needs, by the parameter of SparseConfig.

    Parameters
    ----------
    steps: of one run.
    outputs, activity: see :func:`build_program`.
    """
    halves = [half for pack in packed for half in pack.halves]
    *before, last = packed  # all but the last one are rounded up
    out_words = [ceil_div(layer.units, config.post_units) for layer in network.layers]
    wanted = _wanted(network, outputs)
    read = read_stages(network, wanted)
    store = allocate(network, config, read)
    extra: dict[str, int] = {}
    if config.packed_store:
        rows = ValueRows(network, layout, config, store, read, activity)
        extra = packed_needs(rows, store, config, steps)
    return extra | {
        "columns": max(half.chunks for half in halves) * config.chunk,
        "mask_depth": sum(pack.masks.shape[1] for pack in before) + int(last.mask_counts.max()),
        "weight_depth": sum(pack.weights.shape[1] for pack in before)
        + int(last.weight_counts.max()),
        "rows": max(
            w * _rows_per_neuron(layer) for w, layer in zip(out_words, network.layers, strict=True)
        ),
        "parameter_depth": sum(pack.parameters.shape[1] for pack in packed),
        "state_depth": sum(
            words
            for words, layer in zip(out_words, network.layers, strict=True)
            if layer.join != "reset"
        ),
        "store_depth": store.first + steps * sum(store.per_step),
        "program_depth": len(network.layers),
    }


def fit_config(
    config: SparseConfig,
    network: IntegerNetwork,
    layout: NetworkLayout,
    outputs: Sequence[Mapping[str, Any]] = (),
    steps: int = FITTED_STEPS,
    activity: Sequence[BoolArray] | None = None,
) -> SparseConfig:
    """The machine with the cells, and memories enlarged to powers of two, that a network needs.

    The store gets room for so many steps in one run; ``activity`` see :func:`build_program`.
    Nothing shrinks, but ``vector_words`` of a packed store, to the shortest vector.
    """
    packed = pack_network(network, layout, config)
    if config.packed_store:
        shortest = shortest_vector(network, config, read_stages(network, _wanted(network, outputs)))
        least = 1 << shortest.bit_length() - 1
        config = replace(config, vector_words=min(config.vector_words, least))
    needs = memory_needs(network, layout, packed, config, steps, outputs, activity)
    return enlarge(config, needs | cell_options(network, config))


def longest_run(network: IntegerNetwork, sequences: Sequence[InputSequence]) -> int:
    """Steps to make room for: sequences that run backwards have to fit the store whole."""
    if not any(layer.reverse for layer in network.layers):
        return FITTED_STEPS
    return max(FITTED_STEPS, *(len(sequence.x) for sequence in sequences))


def image_words(program: MachineProgram, packed: Sequence[PackedLoop]) -> npt.NDArray[np.uint32]:
    """The packets that load the program, masks, weights and parameters."""
    config = program.config
    words = [word for layer in program.layers for word in DESCRIPTOR.encode(layer.descriptor)]
    parts = [write_packet(config, Target.PROGRAM, 0, 0, words)]
    masks = np.concatenate([loop.masks for loop in packed], axis=1)
    weights = np.concatenate([loop.weights for loop in packed], axis=1)
    mask_ends = _ends([(loop.masks.shape[1], loop.mask_counts) for loop in packed])
    weight_ends = _ends([(loop.weights.shape[1], loop.weight_counts) for loop in packed])
    for lane in range(config.lanes):
        parts.append(write_packet(config, Target.MASK, lane, 0, masks[lane, : mask_ends[lane]]))
        if weight_ends[lane]:
            used = weights[lane, : weight_ends[lane]]
            parts.append(write_packet(config, Target.WEIGHT, lane, 0, used))
    parameters = np.concatenate([pack.parameters for pack in packed], axis=1)
    for unit in range(config.post_units):
        parts.append(write_packet(config, Target.PARAMETER, unit, 0, parameters[unit]))
    return np.concatenate(parts)


def _step_bound(network: IntegerNetwork, packed: Sequence[PackedLoop], config: SparseConfig) -> int:
    """Cycles of one step of every layer if nothing overlapped, with a margin for pipelines."""
    lanes = sum(pack.masks.shape[1] + pack.weights.shape[1] for pack in packed)
    rows = sum(pack.parameters.shape[1] for pack in packed)
    vectors = sum(layer.inputs + 3 * layer.units + 128 for layer in network.layers)
    if config.compact:
        rows *= SerialPostUnit.MOST_CYCLES
    return lanes + rows + vectors


def _ends(loops: Sequence[tuple[int, npt.NDArray[np.int64]]]) -> npt.NDArray[np.int64]:
    """One past the last entry that each lane uses."""
    base = 0
    ends = np.zeros(len(loops[0][1]), np.int64)
    for size, counts in loops:
        ends = np.where(counts > 0, base + counts, ends)
        base += size
    return ends


def _rows_per_neuron(layer: IntegerLayer) -> int:
    return KINDS[layer.kind].gates
