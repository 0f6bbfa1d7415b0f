"""The program of a packed network: memory allocation, layer descriptors, loading packets."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
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
from .layout import NetworkLayout, ceil_div, side_by_side
from .pack import PackedLayer, pack_network
from .presets import enlarge

__all__ = [
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
_OPTIONS = {"reset_first": "a GRU that resets before the product (linear_before_reset = 0)"}


@dataclass(frozen=True)
class _Store:
    """Where sequences and hidden states lie: word addresses, and words per step of the sequences.

    The hidden states come first, then the outputs of layers that run a single step, then the
    regions of sequences: two that hold the stages' input sequences in turn (stage k reads region
    k mod 2), and one more for each sequence that the host reads after the run.

    Members
    -------
    hidden, single: by layer.
    region: of each stage's output; -1 where it is a single step, which lies at ``single``.
    words: broadcast words of one step of each stage's output.
    """

    hidden: tuple[int, ...]
    single: tuple[int, ...]
    fixed: int
    per_step: tuple[int, ...]
    region: tuple[int, ...]
    words: tuple[int, ...]

    def sequence_base(self, region: int, max_steps: int) -> int:
        return self.fixed + sum(self.per_step[:region]) * max_steps

    def output_base(self, stage: tuple[int, ...], number: int, max_steps: int) -> int:
        """Where the first step of what a stage gives begins."""
        if self.region[number] < 0:
            return self.single[stage[0]]
        return self.sequence_base(self.region[number], max_steps)


def build_program(
    network: IntegerNetwork,
    layout: NetworkLayout,
    packed: Sequence[PackedLayer],
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
                f"the network has {_OPTIONS[name]}, for which the machine lacks the cells: it has "
                f"{name} = 0; set {name} = 1"
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
    single = _single_step(network)
    for entry in wanted:
        if all(entry["layer"] != stage[-1] for stage in network.stages):
            raise SparnnError(
                f"layer {network.layers[entry['layer']].name!r} is an output alone, but is joined "
                "with the layer after it: take both of them, by the name of the second one"
            )
    read = _read_stages(network, wanted)
    store = _allocate(network, config, read)
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
            layer, place, pack = network.layers[index], layout.layers[index], packed[index]
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
                    not hidden and (number in read or _stored(network, single, number))
                ),
                "emit": int(bool(emit)),
                "emit_last": int(bool(emit) and "sequence" not in emit),
                "single_step": int(single[index]),
                "unfolded": int(unfolded),
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
            fields |= _source(network, store, single, number, index, max_steps)
            if fields["store_out"]:
                fields["out_base"] = store.output_base(stage, number, max_steps)
                fields["out_stride"] = store.words[number]
                if layer.join == "concat":
                    fields["out_base"] += placed
            placed += out_words
            base["mask"] += pack.loop.masks.shape[1]
            base["weight"] += pack.loop.weights.shape[1]
            base["parameter"] += pack.parameters.shape[1]
            base["state"] += 0 if hidden else out_words
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
                sequence_order=_stage_order(network, layout, config, stage),
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
    single = _single_step(network)
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


def _source(
    network: IntegerNetwork,
    store: _Store,
    single: Sequence[bool],
    number: int,
    index: int,
    max_steps: int,
) -> dict[str, int]:
    """The descriptor fields that say what a layer reads."""
    region = 0 if number == 0 else store.region[number - 1]
    sequence = store.sequence_base(region, max_steps)
    if not single[index]:
        return {"in_base": sequence}
    before = network.stages[number - 1]
    if single[before[-1]]:
        return {"in_base": store.single[before[0]]}
    if _reads_step(network, number, index):
        return {"in_base": sequence, "reverse": 1}
    return {"in_base": store.hidden[before[0]]}


def _reads_step(network: IntegerNetwork, number: int, index: int) -> bool:
    """Whether a layer of one step reads the last one of a sequence, and not final states.

    After a forward layer the two are the same, and the final state lies at a fixed address.
    """
    before, layer = network.stages[number - 1], network.layers[index]
    backwards = any(network.layers[one].reverse for one in before)
    added = network.layers[before[-1]].join == "sum"
    return (backwards or added) and (layer.last_step or not layer.last_only)


def _read_stages(network: IntegerNetwork, wanted: Sequence[Mapping[str, Any]]) -> set[int]:
    """Stages whose sequence the host reads from the store, because it is not computed in order."""
    read = set()
    for number, stage in enumerate(network.stages):
        last = network.layers[stage[-1]]
        what = {entry["what"] for entry in wanted if entry["layer"] == stage[-1]}
        if (last.reverse or last.join in ("concat", "sum")) and what & {"sequence", "step"}:
            read.add(number)
    return read


def _stage_order(
    network: IntegerNetwork, layout: NetworkLayout, config: MachineConfig, stage: tuple[int, ...]
) -> tuple[int, ...]:
    """Position -> feature of what a stage gives; -1 where there is none."""
    orders = [layout.layers[index].neurons for index in stage]
    if network.layers[stage[-1]].join == "sum":
        orders = orders[:1]
    return tuple(int(n) for n in side_by_side(orders, config.post_units))


def memory_needs(
    network: IntegerNetwork,
    layout: NetworkLayout,
    packed: Sequence[PackedLayer],
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
    halves = [half for pack in packed for half in (pack.x, pack.h) if half is not None]
    out_words = [ceil_div(layer.units, config.post_units) for layer in network.layers]
    wanted = outputs or [{"layer": len(network.layers) - 1, "what": "sequence"}]
    store = _allocate(network, config, _read_stages(network, wanted))
    return {
        "columns": max(half.chunks for half in halves) * config.chunk,
        "mask_depth": sum(pack.loop.masks.shape[1] for pack in packed),
        "weight_depth": sum(pack.loop.weights.shape[1] for pack in packed),
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
    return {"reset_first": int(any(layer.join == "reset" for layer in network.layers))}


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


def image_words(program: MachineProgram, packed: Sequence[PackedLayer]) -> npt.NDArray[np.uint32]:
    """The packets that load the program, masks, weights and parameters."""
    config = program.config
    words = [word for layer in program.layers for word in encode_descriptor(layer.descriptor)]
    parts = [write_packet(config, Target.PROGRAM, 0, 0, words)]
    loops = [pack.loop for pack in packed]
    masks = np.concatenate([loop.masks for loop in loops], axis=1)
    weights = np.concatenate([loop.weights for loop in loops], axis=1)
    mask_ends = _ends([(loop.masks.shape[1], loop.mask_counts) for loop in loops])
    weight_ends = _ends([(loop.weights.shape[1], loop.weight_counts) for loop in loops])
    for lane in range(config.lanes):
        parts.append(write_packet(config, Target.MASK, lane, 0, masks[lane, : mask_ends[lane]]))
        if weight_ends[lane]:
            used = weights[lane, : weight_ends[lane]]
            parts.append(write_packet(config, Target.WEIGHT, lane, 0, used))
    parameters = np.concatenate([pack.parameters for pack in packed], axis=1)
    for unit in range(config.post_units):
        parts.append(write_packet(config, Target.PARAMETER, unit, 0, parameters[unit]))
    return np.concatenate(parts)


def _step_bound(network: IntegerNetwork, packed: Sequence[PackedLayer]) -> int:
    """Cycles of one step of every layer if nothing overlapped, with a margin for pipelines."""
    lanes = sum(pack.loop.masks.shape[1] + pack.loop.weights.shape[1] for pack in packed)
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
    activation = Activation[layer.activation.upper()] if layer.activation else Activation.IDENTITY
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
    }


def _single_step(network: IntegerNetwork) -> list[bool]:
    """Whether each layer runs one step, whatever the length of the sequence.

    Besides a layer with ``last_only`` and those after it, that is a linear layer before one: steps
    of it that nobody reads are not computed.
    """
    single: list[bool] = []
    for layer in network.layers:
        single.append(layer.last_only or bool(single and single[-1]))
    for index in range(len(single) - 1, 0, -1):
        if single[index] and not network.layers[index - 1].has_hidden:
            single[index - 1] = index > 1
    return single


def _stored(network: IntegerNetwork, single: Sequence[bool], number: int) -> bool:
    """Whether the next stage reads this stage's outputs from the store; else it is the last one,
    or the next one reads the hidden states."""
    stages = network.stages
    if number + 1 == len(stages):
        return False
    after = stages[number + 1][0]
    recurrent = network.layers[stages[number][-1]].has_hidden and not single[stages[number][-1]]
    return not (single[after] and recurrent) or _reads_step(network, number + 1, after)


def _allocate(network: IntegerNetwork, config: MachineConfig, read: Set[int]) -> _Store:
    single = _single_step(network)
    stages = network.stages
    base = 0
    hidden: list[int] = []
    one_step = []
    out_words = [ceil_div(layer.units, config.post_units) for layer in network.layers]
    for layer, words in zip(network.layers, out_words, strict=True):
        if layer.join == "reset":  # both read and write the same place in turn
            hidden.append(hidden[-1])
            continue
        hidden.append(base)
        base += words if layer.has_hidden else 0
    stage_of = {index: number for number, stage in enumerate(stages) for index in stage}
    for index, words in enumerate(out_words):
        one_step.append(base)
        kept = _stored(network, single, stage_of[index]) or stage_of[index] in read
        base += words if single[index] and kept else 0
    per_step = [0, 0]
    per_step[0] = 0 if single[0] else ceil_div(network.layers[0].inputs, config.post_units)
    region, stage_words = [], []
    for number, stage in enumerate(stages):
        words = sum(out_words[index] for index in stage)
        if network.layers[stage[-1]].join in ("sum", "reset"):
            words = out_words[stage[-1]]
        stage_words.append(words)
        region.append((number + 1) % 2)
        if single[stage[-1]]:
            region[-1] = -1
        elif number in read:
            region[-1] = len(per_step)
            per_step.append(words)
        elif _stored(network, single, number):
            per_step[region[-1]] = max(per_step[region[-1]], words)
    return _Store(
        tuple(hidden), tuple(one_step), base, tuple(per_step), tuple(region), tuple(stage_words)
    )


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
