"""Integer weights into the lanes' mask and weight memories, and the post units' parameters.

The layout is docs/machine.md, *Where everything lies*. A loop is packed without regard to where in
the memories it will lie; gen/machines/sparse/program.py places it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.gen.machines.shared.order import by_position, with_third_gate
from sparnn.hdl.arithmetic.formats import FACTOR_BITS, MULTIPLIER_BITS, SHIFT_BITS, ZERO_SHIFT
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.host.protocol import Target, words_per_entry
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import MASK_ALIGNMENT, WEIGHT_ALIGNMENT, MaskFlag
from sparnn.sim.aliases import Words
from sparnn.sim.network.network import IntegerLayer, IntegerNetwork

from .layout import LayerLayout, NetworkLayout, chunks_per_row

__all__ = ["PackedHalf", "PackedLoop", "pack_loop", "pack_network"]

Counts = npt.NDArray[np.int64]
Integers = npt.NDArray[np.integer]

#: Mask words of the shortest loop: the jump back, and the two words that are read after it.
_LEAST_LOOP = 3


@dataclass(frozen=True, eq=False)
class PackedHalf:
    """The input or hidden half of a layer.

    Members
    -------
    chunks: mask words per row.
    masks: [lanes, mask words, host words per entry], with the ends of rows and of the half.
    mask_counts: mask words that each lane uses, [lanes]; the rest is zero.
    weights: [lanes, weights], weight_bits wide.
    weight_counts: weights that each lane uses, [lanes].
    """

    chunks: int
    masks: Words
    mask_counts: Counts
    weights: Words
    weight_counts: Counts


@dataclass(frozen=True, eq=False)
class PackedLoop:
    """What the machine works through in each step: halves one after the other, without gaps.

    Members
    -------
    halves: input and, unless the layer is linear, hidden half of each layer of the loop.
    masks, mask_counts, weights, weight_counts: as of :class:`PackedHalf`, now with the end of the
        loop and the jump before it, and rounded up, so that another loop may follow. The weights
        are those of one time through the loop; a loop of fewer than three mask words is repeated in
        the mask memory, because the jump back stands two words before the end.
    parameters: [post units, entries, host words per entry] of the halves in this order; a post unit
        without a neuron in the last broadcast word has fewer, and zeros at the end.
    """

    halves: tuple[PackedHalf, ...]
    masks: Words
    mask_counts: Counts
    weights: Words
    weight_counts: Counts
    parameters: Words


def pack_network(
    network: IntegerNetwork, layout: NetworkLayout, config: SparseConfig
) -> tuple[PackedLoop, ...]:
    """Pack every loop."""
    return tuple(
        pack_loop(
            [network.layers[index] for index in loop],
            [layout.layers[index] for index in loop],
            config,
        )
        for loop in layout.loops
    )


def pack_loop(
    layers: Sequence[IntegerLayer], layouts: Sequence[LayerLayout], config: SparseConfig
) -> PackedLoop:
    """Pack the layers of one loop."""
    halves, parameters = [], []
    for layer, layout in zip(layers, layouts, strict=True):
        if layer.kind == "gru_gates":
            layer = with_third_gate(layer)
        neurons = layout.neurons
        ordered = by_position(layer.w_x[:, neurons], layout.columns)
        halves.append(_pack_half(ordered, layout, config, 0, layer.factors_x))
        parameters.append(_parameters(layer.mult_x, layer.shift_x, layer.bias_x, layout, config))
        if layer.has_hidden:
            assert layer.w_h is not None
            assert layer.mult_h is not None
            assert layer.shift_h is not None
            assert layer.bias_h is not None
            ordered = layer.w_h[:, neurons][:, :, neurons]
            halves.append(_pack_half(ordered, layout, config, 1, layer.factors_h))
            parameters.append(
                _parameters(layer.mult_h, layer.shift_h, layer.bias_h, layout, config)
            )
    once = np.sum([half.mask_counts for half in halves], axis=0)
    weight_counts = np.sum([half.weight_counts for half in halves], axis=0)
    repeats = -(-_LEAST_LOOP // once)  # of each lane, rounded up
    lanes, host_words = len(once), halves[0].masks.shape[2]
    mask_words = _round_up(int((once * repeats).max()), MASK_ALIGNMENT)
    masks = np.zeros((lanes, mask_words, host_words), np.uint32)
    weights = np.zeros((lanes, _round_up(int(weight_counts.max()), WEIGHT_ALIGNMENT)), np.uint32)
    for lane in range(lanes):
        words = np.concatenate([half.masks[lane, : half.mask_counts[lane]] for half in halves])
        _set_bit(words, once[lane] - 1, config.chunk + MaskFlag.LOOP_END)
        words = np.tile(words, (repeats[lane], 1))
        _set_bit(words, len(words) - _LEAST_LOOP, config.chunk + MaskFlag.JUMP)
        masks[lane, : len(words)] = words
        stored = [half.weights[lane, : half.weight_counts[lane]] for half in halves]
        weights[lane, : weight_counts[lane]] = np.concatenate(stored)
    return PackedLoop(
        tuple(halves), masks, once * repeats, weights, weight_counts, _parameter_image(parameters)
    )


def _round_up(count: int, multiple: int) -> int:
    return ceil_div(count, multiple) * multiple


def _pack_half(
    weights: npt.NDArray[np.integer],
    layout: LayerLayout,
    config: SparseConfig,
    half: int,
    factors: npt.NDArray[np.int32] | None,
) -> PackedHalf:
    """Pack one half of a layer.

    Parameters
    ----------
    weights: [gates, units, columns], both orders by position.
    factors: of positive and negative weights, [2, gates, units] by neuron; None is 1.
    """
    gates, units, columns = weights.shape
    post_units, v = config.post_units, 1 << layout.v_log2
    groups = config.lanes // v
    chunks = chunks_per_row(config, columns, layout.v_log2)

    # Lane, row and column of each weight. Groups are counted over the clusters in turn, lanes by
    # cluster, group of the cluster and slice.
    position, column = np.arange(units), np.arange(columns)
    group = layout.groups(config, half)
    first_lane = group % post_units * config.cluster_lanes + group // post_units * v
    local_column = column // post_units // v * post_units + column % post_units
    by_lane = np.zeros(
        (config.lanes, ceil_div(units, groups) * gates, chunks * config.chunk), weights.dtype
    )
    gate, neuron, source = np.nonzero(weights)
    by_lane[
        first_lane[neuron] + layout.slices(config, half)[source],
        (position // groups)[neuron] * gates + gate,
        local_column[source],
    ] = weights[gate, neuron, source]
    by_lane = by_lane.reshape(config.lanes, -1, config.chunk)
    rows = np.zeros(config.lanes, np.int64)
    for slice_ in range(v):
        np.add.at(rows, first_lane + slice_, gates)

    counts = np.maximum(1, rows * chunks)
    masks = np.zeros(
        (config.lanes, int(counts.max()), words_per_entry(config, Target.MASK)), np.uint32
    )
    bits = np.packbits(by_lane != 0, axis=-1, bitorder="little")
    bits = np.pad(bits, ((0, 0), (0, 0), (0, -bits.shape[-1] % 4)))
    packed = np.ascontiguousarray(bits).view("<u4")
    masks[:, : packed.shape[1], : packed.shape[2]] = packed
    number = np.arange(masks.shape[1])
    row_ends = (number % chunks == chunks - 1) & (number < (rows * chunks)[:, None])
    _set_bit(masks, row_ends, config.chunk + MaskFlag.ROW_END)
    _set_bit(masks, (np.arange(config.lanes), counts - 1), config.chunk + MaskFlag.HALF_END)
    if config.split_scales:
        if factors is None:
            factors = np.ones((2, gates, units), np.int32)
        positive, negative = factors[:, :, layout.neurons]
        row = position // groups * gates + np.arange(gates)[:, None]
        codes = np.zeros((config.lanes, ceil_div(units, groups) * gates), np.int32)
        for slice_ in range(v):
            codes[first_lane + slice_, row] = positive | negative << FACTOR_BITS
        codes = codes.repeat(chunks, axis=1)
        for bit in range(config.factor_bits):
            _set_bit(masks, codes >> bit & 1 != 0, config.chunk + len(MaskFlag) + bit)

    flat = by_lane.reshape(config.lanes, -1)
    lane, place = np.nonzero(flat)
    weight_counts = np.bincount(lane, minlength=config.lanes)
    first = np.cumsum(weight_counts) - weight_counts
    image = np.zeros((config.lanes, int(weight_counts.max())), np.uint32)
    image[lane, np.arange(len(lane)) - first[lane]] = flat[lane, place].astype(np.int64) & (
        (1 << config.weight_bits) - 1
    )
    return PackedHalf(chunks, masks, counts, image, weight_counts)


def _set_bit(entries: Words, where: Any, bit: int) -> None:
    """Set a bit of the entries at an index into all but the last dimension."""
    entries[..., bit // 32][where] |= np.uint32(1 << bit % 32)


def _parameters(
    mult: npt.NDArray[np.integer],
    shift: npt.NDArray[np.integer],
    bias: npt.NDArray[np.integer],
    layout: LayerLayout,
    config: SparseConfig,
) -> list[npt.NDArray[np.uint64]]:
    """One half's entries of each post unit, [rows of the post unit], from arrays [gates, units]."""
    by_position = parameter_entries(mult, shift, bias)[:, layout.neurons].T
    units = range(config.post_units)
    return [by_position[unit :: config.post_units].reshape(-1) for unit in units]


def _parameter_image(halves: list[list[npt.NDArray[np.uint64]]]) -> Words:
    """The halves of each post unit one after the other, as [post units, entries, host words]."""
    units = [np.concatenate(parts) for parts in zip(*halves, strict=True)]
    image = np.zeros((len(units), len(units[0])), np.uint64)  # the first has the most rows
    for index, entries in enumerate(units):
        image[index, : len(entries)] = entries
    words = [image & np.uint64(0xFFFFFFFF), image >> np.uint64(32)]
    return np.stack(words, axis=-1).astype(np.uint32)


def parameter_entries(mult: Integers, shift: Integers, bias: Integers) -> npt.NDArray[np.uint64]:
    """An entry for each row, of arrays of any one shape.

    A post unit does not keep the multiplier's highest bit: it is 1, and the smaller multipliers
    that a network may have (0 … 16383) are made so by a larger shift, which changes no result:
    ``mult · 2^n / 2^(shift + n)``. A multiplier of zero has the shift ``ZERO_SHIFT`` for a mark.
    """
    mult, shift = mult.astype(np.int64), shift.astype(np.int64)
    up = np.where(mult == 0, 0, MULTIPLIER_BITS - 1 - np.frexp(mult)[1])
    shift = np.where(mult == 0, ZERO_SHIFT, shift + up)
    entries: npt.NDArray[np.uint64] = (
        (mult << up).astype(np.uint64)
        | shift.astype(np.uint64) << np.uint64(MULTIPLIER_BITS)
        | (bias.astype(np.int64) & 0xFFFF).astype(np.uint64)
        << np.uint64(MULTIPLIER_BITS + SHIFT_BITS)
    )
    return entries
