"""The program of a packed network: memory allocation, layer descriptors, loading packets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from sparnn.sim.machine_program import LayerProgram, MachineProgram
from sparnn.sim.network import IntegerLayer, IntegerNetwork
from sparnn.sim.packets import write_packet

from .errors import SparnnError
from .layout import NetworkLayout, ceil_div
from .pack import PackedLayer, pack_network
from .presets import enlarge

__all__ = ["FITTED_STEPS", "build_program", "fit_config", "image_words", "memory_needs"]

#: Steps of one run that :func:`fit_config` makes room for in the store.
FITTED_STEPS = 64

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


@dataclass(frozen=True)
class _Store:
    """Where sequences and hidden states lie: word addresses, and words per step of the sequences.

    The hidden states come first, then the outputs of layers that run a single step, then two
    regions that hold the layers' input sequences in turn (layer k reads region k mod 2).
    """

    hidden: tuple[int, ...]
    single: tuple[int, ...]
    fixed: int
    per_step: tuple[int, int]

    def sequence_base(self, layer: int, max_steps: int) -> int:
        return self.fixed + (self.per_step[0] * max_steps if layer % 2 else 0)


def build_program(
    network: IntegerNetwork,
    layout: NetworkLayout,
    packed: Sequence[PackedLayer],
    config: MachineConfig,
    outputs: Sequence[Mapping[str, Any]] = (),
) -> MachineProgram:
    """Place a packed network in the machine's memories and describe it.

    Parameters
    ----------
    outputs: ``layer`` and ``what`` of each wanted output (the manifest's ``io["outputs"]``); the
        last layer's sequence by default.

    Raises
    ------
    SparnnError: a memory is too small, a value is out of the machine's range, or the sequence of a
        layer is wanted whose last step alone is computed.
    """
    _check_widths(network, config)
    needs = memory_needs(network, layout, packed, config)
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
    store = _allocate(network, config)
    per_step = sum(store.per_step)
    max_steps = min((config.store_depth - store.fixed) // per_step, (1 << RUN_STEPS_BITS) - 1)
    base = {"mask": 0, "weight": 0, "parameter": 0, "state": 0}
    layers = []
    for index, (layer, place, pack) in enumerate(
        zip(network.layers, layout.layers, packed, strict=True)
    ):
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
        out_words = ceil_div(layer.units, config.post_units)
        reads_hidden = single[index] and network.layers[index - 1].has_hidden
        fields = dict.fromkeys(DESCRIPTOR_FIELDS, 0) | _formats(layer)
        fields |= {
            "v_log2": place.v_log2,
            "store_out": int(_stored(network, single, index)),
            "emit": int(bool(what - {"state_c"})),
            "emit_last": int(bool(what - {"state_c"}) and "sequence" not in what),
            "single_step": int(single[index]),
            "unfolded": 1,
            "last_layer": int(index == len(network.layers) - 1),
            "units": layer.units,
            "tail": layer.units % config.post_units,
            "in_words": ceil_div(layer.inputs, config.post_units),
            "out_words": out_words,
            "in_base": store.hidden[index - 1]
            if reads_hidden
            else store.single[index - 1]
            if single[index]
            else store.sequence_base(index, max_steps),
            "hidden_base": store.hidden[index],
            "mask_base_x": base["mask"],
            "weight_base_x": base["weight"],
            "chunks_x_last": pack.x.chunks - 1,
            "parameter_base": base["parameter"],
            "state_base": base["state"],
        }
        if fields["store_out"]:
            fields["out_base"] = (
                store.single[index] if single[index] else store.sequence_base(index + 1, max_steps)
            )
        base["mask"] += pack.x.masks.shape[1]
        base["weight"] += pack.x.weights.shape[1]
        if pack.h is not None:
            fields |= {
                "mask_base_h": base["mask"],
                "weight_base_h": base["weight"],
                "chunks_h_last": pack.h.chunks - 1,
            }
            base["mask"] += pack.h.masks.shape[1]
            base["weight"] += pack.h.weights.shape[1]
        base["parameter"] += pack.parameters.shape[1]
        base["state"] += out_words
        encode_descriptor(fields)  # refuses what does not fit
        layers.append(
            LayerProgram(
                layer.name,
                fields,
                tuple(int(n) for n in place.neurons),
                layer.f_out,
                layer.f_state,
                "state_c" in what,
            )
        )
    inputs = tuple(int(n) for n in layout.inputs)
    return MachineProgram(config, tuple(layers), inputs, max_steps, _step_bound(network, packed))


def memory_needs(
    network: IntegerNetwork,
    layout: NetworkLayout,
    packed: Sequence[PackedLayer],
    config: MachineConfig,
    steps: int = 1,
) -> dict[str, int]:
    """Entries of each memory that a network needs, by the parameter of MachineConfig.

    Parameters
    ----------
    steps: of one run.
    """
    halves = [half for pack in packed for half in (pack.x, pack.h) if half is not None]
    out_words = [ceil_div(layer.units, config.post_units) for layer in network.layers]
    store = _allocate(network, config)
    return {
        "columns": max(half.chunks for half in halves) * config.chunk,
        "mask_depth": sum(half.masks.shape[1] for half in halves),
        "weight_depth": sum(half.weights.shape[1] for half in halves),
        "rows": max(w * layer.gates for w, layer in zip(out_words, network.layers, strict=True)),
        "parameter_depth": sum(pack.parameters.shape[1] for pack in packed),
        "state_depth": sum(out_words),
        "store_depth": store.fixed + steps * sum(store.per_step),
        "program_depth": len(network.layers),
    }


def fit_config(
    config: MachineConfig, network: IntegerNetwork, layout: NetworkLayout
) -> MachineConfig:
    """The machine with memories enlarged, to powers of two, to what a network needs.

    The store gets room for :data:`FITTED_STEPS` steps in one run. Nothing shrinks.
    """
    packed = pack_network(network, layout, config)
    return enlarge(config, memory_needs(network, layout, packed, config, FITTED_STEPS))


def image_words(program: MachineProgram, packed: Sequence[PackedLayer]) -> npt.NDArray[np.uint32]:
    """The packets that load the program, masks, weights and parameters."""
    config = program.config
    words = [word for layer in program.layers for word in encode_descriptor(layer.descriptor)]
    parts = [write_packet(config, Target.PROGRAM, 0, 0, words)]
    halves = [half for pack in packed for half in (pack.x, pack.h) if half is not None]
    masks = np.concatenate([half.masks for half in halves], axis=1)
    weights = np.concatenate([half.weights for half in halves], axis=1)
    mask_ends = _ends([(half.masks.shape[1], half.mask_counts) for half in halves])
    weight_ends = _ends([(half.weights.shape[1], half.weight_counts) for half in halves])
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
    halves = [half for pack in packed for half in (pack.x, pack.h) if half is not None]
    lanes = sum(half.masks.shape[1] + half.weights.shape[1] for half in halves)
    rows = sum(pack.parameters.shape[1] for pack in packed)
    vectors = sum(layer.inputs + 3 * layer.units + 128 for layer in network.layers)
    return lanes + rows + vectors


def _ends(halves: Sequence[tuple[int, npt.NDArray[np.int64]]]) -> npt.NDArray[np.int64]:
    """One past the last entry that each lane uses."""
    base = 0
    ends = np.zeros(len(halves[0][1]), np.int64)
    for size, counts in halves:
        ends = np.where(counts > 0, base + counts, ends)
        base += size
    return ends


def _formats(layer: IntegerLayer) -> dict[str, int]:
    """The descriptor fields that follow from a layer's kind and formats (docs/numerics.md)."""
    kind = Kind[layer.kind.upper()]
    activation = Activation[layer.activation.upper()] if layer.activation else Activation.IDENTITY
    if kind == Kind.GRU:
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


def _stored(network: IntegerNetwork, single: Sequence[bool], index: int) -> bool:
    """Whether the next layer reads this layer's outputs from the store; else it is the last layer,
    or the next one reads the hidden state."""
    if index + 1 == len(network.layers):
        return False
    return not (single[index + 1] and network.layers[index].has_hidden)


def _allocate(network: IntegerNetwork, config: MachineConfig) -> _Store:
    single = _single_step(network)
    base = 0
    hidden, one_step = [], []
    out_words = [ceil_div(layer.units, config.post_units) for layer in network.layers]
    for layer, words in zip(network.layers, out_words, strict=True):
        hidden.append(base)
        base += words if layer.has_hidden else 0
    for index, words in enumerate(out_words):
        one_step.append(base)
        base += words if single[index] and _stored(network, single, index) else 0
    per_step = [0, 0]
    for index, layer in enumerate(network.layers):
        if not single[index]:
            words = ceil_div(layer.inputs, config.post_units)
            per_step[index % 2] = max(per_step[index % 2], words)
    return _Store(tuple(hidden), tuple(one_step), base, (per_step[0], per_step[1]))


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
