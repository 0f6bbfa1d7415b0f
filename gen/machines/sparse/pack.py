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

from .deal import DealtRows
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
    chunks: mask words per row, or per block of rows.
    masks: [lanes, mask words, host words per entry], with the ends of rows and of the half.
    mask_counts: mask words that each lane uses, [lanes]; the rest is zero.
        Without masks there are no words, nor on its loop.
    weights: [lanes, words of weights, host words per entry].
    weight_counts: words of weights that each lane uses, [lanes].
    blocks: rows, or blocks of rows, that each lane has, [lanes].
    """

    chunks: int
    masks: Words
    mask_counts: Counts
    weights: Words
    weight_counts: Counts
    blocks: Counts


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
            # In place of the hidden half's bias, which is 0 there; g has no peephole.
            bias = layer.bias_h if layer.w_c is None else np.insert(layer.w_c, 2, 0, axis=0)
            parameters.append(_parameters(layer.mult_h, layer.shift_h, bias, layout, config))
    weight_counts = np.sum([half.weight_counts for half in halves], axis=0)
    stored = _one_after_the_other([(half.weights, half.weight_counts) for half in halves])
    weights = _lengthened(stored, WEIGHT_ALIGNMENT)
    masks, mask_counts = halves[0].masks, halves[0].mask_counts
    if config.masks:
        masks, mask_counts = _loop_masks(halves, config)
    return PackedLoop(
        tuple(halves), masks, mask_counts, weights, weight_counts, _parameter_image(parameters)
    )


def _loop_masks(halves: Sequence[PackedHalf], config: SparseConfig) -> tuple[Words, Counts]:
    """The halves' masks, with what tells a lane where its loop ends."""
    once = np.sum([half.mask_counts for half in halves], axis=0)
    repeats = -(-_LEAST_LOOP // once)  # of each lane, rounded up
    joined = _one_after_the_other([(half.masks, half.mask_counts) for half in halves])
    lanes, _, host_words = joined.shape
    mask_words = _round_up(int((once * repeats).max()), MASK_ALIGNMENT)
    masks = np.zeros((lanes, mask_words, host_words), np.uint32)
    for lane in range(lanes):
        words = joined[lane, : once[lane]]
        _set_bit(words, once[lane] - 1, config.chunk + MaskFlag.LOOP_END)
        words = np.tile(words, (repeats[lane], 1))
        _set_bit(words, len(words) - _LEAST_LOOP, config.chunk + MaskFlag.JUMP)
        masks[lane, : len(words)] = words
    return masks, once * repeats


def _one_after_the_other(parts: Sequence[tuple[Words, Counts]]) -> Words:
    """Entries of each lane, [lanes, entries, host words], of which each part has so many."""
    counts = np.sum([count for _, count in parts], axis=0)
    lanes, host_words = len(counts), parts[0][0].shape[2]
    joined = np.zeros((lanes, int(counts.max()), host_words), np.uint32)
    for lane in range(lanes):
        joined[lane, : counts[lane]] = np.concatenate(
            [entries[lane, : count[lane]] for entries, count in parts]
        )
    return joined


def _lengthened(entries: Words, multiple: int) -> Words:
    """So many entries that another loop may follow."""
    missing = -entries.shape[1] % multiple
    return np.pad(entries, ((0, 0), (0, missing), (0, 0)))


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
    gates, _, columns = weights.shape
    post_units, v = config.post_units, 1 << layout.v_log2
    chunks = chunks_per_row(config, columns, layout.v_log2)
    dealt = layout.rows(config, half, gates)

    # Lane, block and column of each weight. Groups are counted over the clusters in turn, lanes by
    # cluster, group of the cluster and slice.
    column = np.arange(columns)
    slices = layout.slices(config, half)
    local_column = column // post_units // v * post_units + column % post_units
    by_lane = np.zeros(
        (config.lanes, max(1, int(dealt.blocks.max())), chunks * config.chunk, config.width),
        weights.dtype,
    )
    first_lane = dealt.group % post_units * config.cluster_lanes + dealt.group // post_units * v
    gate, neuron, source = np.nonzero(weights)
    by_lane[
        first_lane[gate, neuron] + slices[source],
        dealt.block[gate, neuron],
        local_column[source],
        dealt.place[gate, neuron],
    ] = weights[gate, neuron, source]
    blocks = np.zeros(config.lanes, np.int64)
    group = np.arange(len(dealt.blocks))
    for slice_ in range(v):
        blocks[group % post_units * config.cluster_lanes + group // post_units * v + slice_] = (
            dealt.blocks
        )
    if config.masks:
        present = (by_lane != 0).any(axis=-1)
        masks, counts = _masks(present, blocks, chunks, config)
        if config.split_scales:
            _set_factors(masks, factors, layout, dealt, chunks, config)
    else:
        masks, counts = np.zeros((config.lanes, 0, 1), np.uint32), np.zeros(config.lanes, np.int64)
        present = np.zeros(by_lane.shape[:-1], np.bool_)
        words = ceil_div(columns, post_units)
        for slice_ in range(v):
            its = (np.arange(words) + layout.first_column[half]) % v == slice_
            present[slice_::v, :, : np.count_nonzero(its) * post_units] = True
        present &= np.arange(present.shape[1])[:, np.newaxis] < blocks[:, np.newaxis, np.newaxis]
    image, weight_counts = _weights(by_lane, present, config)
    return PackedHalf(chunks, masks, counts, image, weight_counts, blocks)


def _masks(
    present: npt.NDArray[np.bool_], blocks: Counts, chunks: int, config: SparseConfig
) -> tuple[Words, Counts]:
    """A mask word for each chunk of each block, and the ends of blocks and of the half."""
    counts = np.maximum(1, blocks * chunks)
    masks = np.zeros(
        (config.lanes, int(counts.max()), words_per_entry(config, Target.MASK)), np.uint32
    )
    chunked = present.reshape(config.lanes, -1, config.chunk)
    bits = np.packbits(chunked, axis=-1, bitorder="little")
    bits = np.pad(bits, ((0, 0), (0, 0), (0, -bits.shape[-1] % 4)))
    packed = np.ascontiguousarray(bits).view("<u4")
    masks[:, : packed.shape[1], : packed.shape[2]] = packed
    number = np.arange(masks.shape[1])
    row_ends = (number % chunks == chunks - 1) & (number < (blocks * chunks)[:, None])
    _set_bit(masks, row_ends, config.chunk + MaskFlag.ROW_END)
    _set_bit(masks, (np.arange(config.lanes), counts - 1), config.chunk + MaskFlag.HALF_END)
    return masks, counts


def _set_factors(
    masks: Words,
    factors: npt.NDArray[np.int32] | None,
    layout: LayerLayout,
    dealt: DealtRows,
    chunks: int,
    config: SparseConfig,
) -> None:
    """The factors of each row in all its mask words."""
    gates, units = dealt.group.shape
    if factors is None:
        factors = np.ones((2, gates, units), np.int32)
    positive, negative = factors[:, :, layout.neurons]
    v, post_units = 1 << layout.v_log2, config.post_units
    first_lane = dealt.group % post_units * config.cluster_lanes + dealt.group // post_units * v
    codes = np.zeros((config.lanes, max(1, int(dealt.blocks.max()))), np.int32)
    for slice_ in range(v):
        codes[first_lane + slice_, dealt.block] = positive | negative << FACTOR_BITS
    codes = codes.repeat(chunks, axis=1)
    for bit in range(config.factor_bits):
        _set_bit(masks, codes >> bit & 1 != 0, config.chunk + len(MaskFlag) + bit)


def _weights(
    by_lane: Integers, present: npt.NDArray[np.bool_], config: SparseConfig
) -> tuple[Words, Counts]:
    """The words of the columns that are present, one after the other: the first row's weight in the
    least significant bits."""
    lanes, bits = config.lanes, config.weight_bits
    flat = by_lane.reshape(lanes, -1, config.width)
    lane, place = np.nonzero(present.reshape(lanes, -1))
    counts = np.bincount(lane, minlength=lanes)
    values = flat[lane, place].astype(np.int64) & ((1 << bits) - 1)
    words = np.zeros((len(lane), words_per_entry(config, Target.WEIGHT)), np.uint64)
    for row in range(config.width):
        at, low = divmod(row * bits, 32)
        shifted = values[:, row].astype(np.uint64) << np.uint64(low)
        words[:, at] |= shifted & np.uint64(0xFFFFFFFF)
        if low + bits > 32:
            words[:, at + 1] |= shifted >> np.uint64(32)
    first = np.cumsum(counts) - counts
    image = np.zeros((lanes, int(counts.max()), words.shape[1]), np.uint32)
    image[lane, np.arange(len(lane)) - first[lane]] = words
    return image, counts


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
