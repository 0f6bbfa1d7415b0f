"""The program of a packed network: memory allocation, layer descriptors, loading packets."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.hdl.config import MachineConfig
from sparnn.hdl.protocol import (
    DESCRIPTOR_FIELDS,
    RUN_STEPS_BITS,
    Activation,
    Kind,
    Target,
    encode_descriptor,
)
from sparnn.sim.arrays import Sequence as InputSequence
from sparnn.sim.machine_program import LayerProgram, MachineProgram
from sparnn.sim.network import IntegerLayer, IntegerNetwork
from sparnn.sim.packets import write_packet

from .errors import SparnnError
from .layout import NetworkLayout, ceil_div
from .loops import single_steps
from .pack import PackedLoop, pack_network
from .presets import enlarge
from .store import allocate, read_stages, source, stage_order, stored

__all__ = [
    "CELL_OPTIONS",
    "FITTED_STEPS",
    "build_program",
    "cell_options",
    "fit_config",
    "image_words",
    "longest_run",
    "memory_needs",
]

#: Steps of one run that :func:`fit_config` makes room for in the store.
FITTED_STEPS = 64

#: The descriptor's kind by that of the layer.
_KINDS = {kind.name.lower(): kind for kind in Kind} | {
    "gru_gates": Kind.GRU,
    "gru_candidate": Kind.RNN,
}

#: parameter of MachineConfig -> what it counts, for messages.
_WHAT = {
    "columns": "columns per lane and half",
    "mask_depth": "mask words per lane",
    "weight_depth": "non-zero weights per lane",
    "rows": "gate rows per post unit",
    "parameter_depth": "requantization entries per post unit",
    "state_depth": "cell states per post unit",
    "store_depth": "words in the sequence store for one step",
    "program_depth": "layer descriptors",
}
#: parameter of MachineConfig that is 0 or 1 -> what it has the cells for.
CELL_OPTIONS = {
    "hard_sigmoid": "gates or a layer with HardSigmoid",
    "reset_first": "a GRU that resets before the product (linear_before_reset = 0)",
}


def build_program(
    network: IntegerNetwork,
    layout: NetworkLayout,
    packed: Sequence[PackedLoop],
    config: MachineConfig,
    outputs: Sequence[Mapping[str, Any]] = (),
    *,
    unfolded: bool = True,
) -> MachineProgram:
    """Place a packed network in the machine's memories and describe it.

    Parameters
    ----------
    outputs: ``layer`` and ``what`` of each wanted output (the manifest's ``io["outputs"]``); the
        last layer's sequence by default.
    unfolded: lanes go on with the next step's input half under this step's tail.

    Raises
    ------
    SparnnError: a memory is too small, a value is out of the machine's range, or the sequence of a
        layer is wanted whose last step alone is computed.
    """
    _check_widths(network, config)
    for name, need in cell_options(network).items():
        if need > getattr(config, name):
            raise SparnnError(
                f"the network has {CELL_OPTIONS[name]}, for which the machine lacks the cells: it "
                f"has {name} = 0; set {name} = 1"
            )
    needs = memory_needs(network, layout, packed, config, outputs=outputs)
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
    wanted = outputs or [{"layer": len(network.layers) - 1, "what": "sequence"}]
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
    max_steps = min((config.store_depth - store.fixed) // per_step, (1 << RUN_STEPS_BITS) - 1)
    if runs_step_by_step(network):
        max_steps = 1
    base = {"mask": 0, "weight": 0, "parameter": 0, "state": 0}
    layers = []
    for number, stage in enumerate(network.stages):
        # Outputs are named by the last layer of their stage.
        what = {entry["what"] for entry in wanted if entry["layer"] == stage[-1]}
        placed = 0  # words of this stage's step that lie before this layer's
        for index in stage:
            layer, place = network.layers[index], layout.layers[index]
            loop = next(k for k, loop in enumerate(layout.loops) if index in loop)
            _check_single(network, single, index, what)
            out_words = ceil_div(layer.units, config.post_units)
            ordered = number not in read  # the host is sent each step when it is computed
            emit = what - {"state_c"} if ordered else what & {"last", "state_h"}
            hidden = layer.kind == "gru_gates"  # nobody but its candidate sees its output
            if hidden:
                emit = set()
            fields = dict.fromkeys(DESCRIPTOR_FIELDS, 0) | _formats(layer)
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
                if layer.join == "concat":
                    fields["out_base"] += placed
            placed += out_words
            base["state"] += 0 if hidden else out_words
            if index == layout.loops[loop][-1]:
                base["mask"] += packed[loop].masks.shape[1]
                base["weight"] += packed[loop].weights.shape[1]
                base["parameter"] += packed[loop].parameters.shape[1]
            encode_descriptor(fields)  # refuses what does not fit
            layers.append(
                LayerProgram(
                    layer.name,
                    fields,
                    tuple(int(n) for n in place.neurons),
                    layer.f_out,
                    layer.f_state,
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
    return MachineProgram(config, tuple(layers), inputs, max_steps, _step_bound(network, packed))


def runs_step_by_step(network: IntegerNetwork) -> bool:
    """Whether each step has to be a run of its own: two layers take turns.

    Raises
    ------
    SparnnError: another layer cannot be run so.
    """
    turns = [layer for layer in network.layers if layer.join == "reset"]
    single = single_steps(network)
    for index, layer in enumerate(network.layers):
        if turns and (layer.reverse or (single[index] and layer.has_hidden)):
            raise SparnnError(
                f"layer {turns[0].name!r} resets before the product (linear_before_reset = 0), so "
                f"the machine takes one step at a time, but layer {layer.name!r} needs the whole "
                "sequence first; retrain with linear_before_reset = 1, or split the model between "
                "the two"
            )
    return bool(turns)


def _check_single(
    network: IntegerNetwork, single: Sequence[bool], index: int, what: Set[str]
) -> None:
    """Refuse outputs and inputs that a layer of one step cannot give or have."""
    layer = network.layers[index]
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


def memory_needs(
    network: IntegerNetwork,
    layout: NetworkLayout,
    packed: Sequence[PackedLoop],
    config: MachineConfig,
    steps: int = 1,
    outputs: Sequence[Mapping[str, Any]] = (),
) -> dict[str, int]:
    """Entries of each memory that a network needs, by the parameter of MachineConfig.

    Parameters
    ----------
    steps: of one run.
    outputs: see :func:`build_program`.
    """
    halves = [half for pack in packed for half in pack.halves]
    *before, last = packed  # all but the last one are rounded up
    out_words = [ceil_div(layer.units, config.post_units) for layer in network.layers]
    wanted = outputs or [{"layer": len(network.layers) - 1, "what": "sequence"}]
    store = allocate(network, config, read_stages(network, wanted))
    return {
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
        "store_depth": store.fixed + steps * sum(store.per_step),
        "program_depth": len(network.layers),
    }


def cell_options(network: IntegerNetwork) -> dict[str, int]:
    """Whether the network needs the cells that a machine has only where it is asked for them, by
    the parameter of MachineConfig."""
    return {
        "hard_sigmoid": int(any(one.activation == "hard_sigmoid" for one in network.layers)),
        "reset_first": int(any(one.join == "reset" for one in network.layers)),
    }


def fit_config(
    config: MachineConfig,
    network: IntegerNetwork,
    layout: NetworkLayout,
    outputs: Sequence[Mapping[str, Any]] = (),
    steps: int = FITTED_STEPS,
) -> MachineConfig:
    """The machine with the cells, and memories enlarged to powers of two, that a network needs.

    The store gets room for so many steps in one run. Nothing shrinks.
    """
    packed = pack_network(network, layout, config)
    needs = memory_needs(network, layout, packed, config, steps, outputs)
    return enlarge(config, needs | cell_options(network))


def longest_run(network: IntegerNetwork, sequences: Sequence[InputSequence]) -> int:
    """Steps to make room for: sequences that run backwards have to fit the store whole."""
    if not any(layer.reverse for layer in network.layers):
        return FITTED_STEPS
    return max(FITTED_STEPS, *(len(sequence.x) for sequence in sequences))


def image_words(program: MachineProgram, packed: Sequence[PackedLoop]) -> npt.NDArray[np.uint32]:
    """The packets that load the program, masks, weights and parameters."""
    config = program.config
    words = [word for layer in program.layers for word in encode_descriptor(layer.descriptor)]
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


def _step_bound(network: IntegerNetwork, packed: Sequence[PackedLoop]) -> int:
    """Cycles of one step of every layer if nothing overlapped, with a margin for pipelines."""
    lanes = sum(pack.masks.shape[1] + pack.weights.shape[1] for pack in packed)
    rows = sum(pack.parameters.shape[1] for pack in packed)
    vectors = sum(layer.inputs + 3 * layer.units + 128 for layer in network.layers)
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
    return _KINDS[layer.kind].gates


def _formats(layer: IntegerLayer) -> dict[str, int]:
    """The descriptor fields that follow from a layer's kind and formats (docs/numerics.md)."""
    kind = _KINDS[layer.kind]
    reset_first = layer.kind in ("gru_gates", "gru_candidate")
    hard = layer.activation == "hard_sigmoid"
    activation = Activation.IDENTITY
    if layer.kind in ("rnn", "linear"):
        activation = Activation.SIGMOID if hard else Activation[layer.activation.upper()]
    if layer.kind == "gru_candidate":
        activation = Activation.TANH
    if kind == Kind.GRU or reset_first:
        out_shift = 15 + layer.f_state - layer.f_out
    elif kind == Kind.LSTM or activation in (Activation.TANH, Activation.SIGMOID):
        out_shift = 30 - layer.f_out
    else:
        out_shift = 15 + layer.f_pre - layer.f_out
    return {
        "kind": kind,
        "activation": activation,
        "pre_shift": layer.f_pre - 12,
        "state_up": 15 - layer.f_state,
        "state_shift": layer.f_state - 12,
        "out_shift": out_shift,
        "wide": int(layer.kind == "linear" and layer.out_bits == 16),
        "reset_first": int(reset_first),
        "hard_sigmoid": int(hard),
    }


def _check_widths(network: IntegerNetwork, config: MachineConfig) -> None:
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
