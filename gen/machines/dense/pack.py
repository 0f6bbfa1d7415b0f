"""Weights and parameters of a layer, in the order in which the dense machine works through them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.gen.machines.shared.order import by_position, with_third_gate
from sparnn.hdl.arithmetic.formats import MULTIPLIER_BITS, PREACTIVATION_BITS, SHIFT_BITS
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.host.protocol import Target, words_per_entry
from sparnn.sim.aliases import IntArray, Words
from sparnn.sim.cycles.dense import half_cycles
from sparnn.sim.host.plan import Phase, TilePlan
from sparnn.sim.network.network import IntegerLayer

from .tiles import row_segments

__all__ = [
    "PackedLanes",
    "issues",
    "mask_words",
    "packed_lanes",
    "packed_parameters",
    "parameter_words",
    "weight_words",
    "worked_layer",
]


def issues(plan: TilePlan, layer: IntegerLayer) -> int:
    """Weight words of a layer."""
    return (half_cycles(plan.x) + half_cycles(plan.h)) * plan.gates(layer.kind)


def parameter_words(config: DenseConfig, layer: IntegerLayer, plan: TilePlan) -> int:
    """Requantization entries of each row, of one half."""
    words = ceil_div(layer.units, config.word)
    return 4 * ceil_div(words, config.cell_rows) if plan.order.gate_major else words


def _segment_rows(
    config: DenseConfig, array: npt.NDArray[Any], segments: int, gate_major: bool
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


@dataclass(frozen=True)
class PackedLanes:
    """What the lanes hold of a layer.

    Members
    -------
    weights: [lanes, issues, K], in the order of issue.
    masks: [lanes, passes, columns], whether a lane has weights for a column of its copies; empty
        without masks.
    lengths: [passes], cycles; empty without masks.
    """

    weights: npt.NDArray[np.int32]
    masks: npt.NDArray[np.bool_]
    lengths: IntArray


def packed_lanes(
    config: DenseConfig, layer: IntegerLayer, plan: TilePlan, columns_x: IntArray
) -> PackedLanes:
    """The weights of a layer, dealt to the lanes.

    Parameters
    ----------
    columns_x: place of the input vector -> column; -1: none.
    """
    passes = _passes(config, layer, plan, columns_x)
    if not config.mask_depth:
        weights = np.concatenate([one for _, one in passes], axis=1)
        none = np.zeros((config.lanes, 0, config.columns), np.bool_)
        return PackedLanes(weights, none, np.zeros(0, np.int64))
    turns = [max(1, one.groups // config.slices) for one in (*plan.x, *plan.h)]
    words = config.cell_rows if plan.order.gate_major else 1
    least = max(*turns, words << (layer.out_bits > config.activation_bits))
    parts, masks, lengths = [], [], []
    for phase, block in passes:
        present = block.any(axis=2)
        length = max(least, int(present.sum(axis=1).max()))
        order = np.argsort(~present, axis=1, kind="stable")[:, :length]
        part = np.zeros((config.lanes, length, config.width), np.int32)
        part[:, : order.shape[1]] = np.take_along_axis(block, order[..., np.newaxis], axis=1)
        mask = np.zeros((config.lanes, config.columns), np.bool_)
        # Of the columns of a group, each lane of a bank has every one in so many.
        split = config.lanes // phase.groups
        first = np.arange(config.lanes) % split // config.bank_lanes
        step = split // config.bank_lanes
        places = first[:, np.newaxis] + step * np.arange(block.shape[1])
        lanes = np.broadcast_to(np.arange(config.lanes)[:, np.newaxis], places.shape)
        mask[lanes[present], places[present]] = True
        parts.append(part)
        masks.append(mask)
        lengths.append(length)
    return PackedLanes(
        np.concatenate(parts, axis=1), np.stack(masks, axis=1), np.array(lengths, np.int64)
    )


def weight_words(config: DenseConfig, weights: npt.NDArray[np.int32]) -> Words:
    """[lanes, issues, K] as host words."""
    return _host_words(weights, config.weight_bits, words_per_entry(config, Target.WEIGHT))


def mask_words(config: DenseConfig, masks: npt.NDArray[np.bool_]) -> Words:
    """[..., columns] as host words."""
    flat = np.packbits(masks, axis=-1, bitorder="little")
    full = np.zeros((*masks.shape[:-1], 4 * words_per_entry(config, Target.MASK)), np.uint8)
    full[..., : flat.shape[-1]] = flat
    return full.view("<u4").astype(np.uint32)


def _passes(
    config: DenseConfig, layer: IntegerLayer, plan: TilePlan, columns_x: IntArray
) -> list[tuple[Phase, npt.NDArray[np.int32]]]:
    """The passes of a step in order, [lanes, cycles, K] each, and their phases."""
    halves = []
    for weights, phases in ((by_position(layer.w_x, columns_x), plan.x), (layer.w_h, plan.h)):
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
            ).transpose(2, 0, 1, 5, 4, 3)  # gates, passes, groups, lanes, cycles, rows
            parts.append(
                (phase, shaped.reshape(gates, phase.passes, config.lanes, -1, config.width))
            )
        halves.append(parts)
    gates = halves[0][0][1].shape[0]
    outer, inner = (gates, 1) if plan.order.gate_outer else (1, gates)
    return [
        (phase, block[one * inner + gate, number])
        for one in range(outer)
        for parts in halves
        for phase, block in parts
        for number in range(phase.passes)
        for gate in range(inner)
    ]


def packed_parameters(config: DenseConfig, layer: IntegerLayer, plan: TilePlan) -> Words:
    """[slices * K, words, host words]."""
    words = parameter_words(config, layer, plan)
    each = words_per_entry(config, Target.PARAMETER)
    segments = words * config.slices // (4 if plan.order.gate_major else 1)
    parts = []
    for half in ("x", "h"):
        mult = getattr(layer, f"mult_{half}")
        if mult is None:
            continue
        bias = _biases(layer, half) & (1 << PREACTIVATION_BITS) - 1
        entry = (  # PARAMETER_LAYOUT
            mult.astype(np.uint64)
            | getattr(layer, f"shift_{half}").astype(np.uint64) << np.uint64(MULTIPLIER_BITS)
            | bias.astype(np.uint64) << np.uint64(MULTIPLIER_BITS + SHIFT_BITS)
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


def _biases(layer: IntegerLayer, half: str) -> npt.NDArray[np.int32]:
    """[gates, units]; those of an LSTM's hidden half are its peepholes."""
    biases: npt.NDArray[np.int32] = getattr(layer, f"bias_{half}")
    if half == "h" and layer.w_c is not None:
        biases = np.insert(layer.w_c, 2, 0, axis=0)  # g has none
    return biases


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


def worked_layer(layer: IntegerLayer) -> IntegerLayer:
    """The layer as the machine works through its rows: the layers of a GRU that resets first are
    a GRU with an empty third row, and an RNN."""
    if layer.kind == "gru_gates":
        return with_third_gate(layer)
    if layer.kind == "gru_candidate":
        return replace(layer, kind="rnn", activation="tanh", f_state=0, join="")
    return layer
