"""Where each neuron and column lies in the machine (docs/machine.md, *Where everything lies*).

A neuron's position fixes the group that computes it; a column's position fixes the slice, and so
the lane of the group, that holds its weights. Both orders are free: a layer's columns only have to
follow the order of the layer before it. The compiler uses that to balance the lanes.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.hdl.config import MachineConfig
from sparnn.sim.network import IntegerLayer, IntegerNetwork

from .activity import BoolArray
from .balance import refine
from .errors import SparnnError

__all__ = [
    "LayerLayout",
    "NetworkLayout",
    "by_position",
    "ceil_div",
    "chunks_per_row",
    "columns_needed",
    "estimate_cycles",
    "lane_pairs",
    "lay_out",
    "side_by_side",
]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

#: Passes of the exchange that evens the lanes, at most.
BALANCE_PASSES = 6
#: Steps over which :func:`estimate_cycles` follows the lanes.
_ESTIMATED_STEPS = 48
#: Cycles from the last pair of a step to the broadcast of its last word, apart from the parts that
#: :func:`estimate_cycles` counts. It is the same for every V and so does not change the choice.
TAIL_CYCLES = 24


@dataclass(frozen=True, eq=False)
class LayerLayout:
    """One layer's place in the machine.

    Members
    -------
    v_log2: the columns of a row are split over ``2 ** v_log2`` lanes.
    neurons: position -> neuron, [units].
    columns: position -> column of the layer's input, [input positions]; -1 where there is none,
        which is where the last word of a direction ends, before the other direction begins.
    """

    v_log2: int
    neurons: IntArray
    columns: IntArray


@dataclass(frozen=True, eq=False)
class NetworkLayout:
    """All layers' places."""

    layers: tuple[LayerLayout, ...]

    @property
    def inputs(self) -> IntArray:
        """Position -> feature of the network's input."""
        return self.layers[0].columns


def lay_out(
    network: IntegerNetwork,
    config: MachineConfig,
    *,
    v: Sequence[int] | None = None,
    balance: bool = True,
    activity: Sequence[BoolArray] | None = None,
    limit_columns: bool = True,
) -> NetworkLayout:
    """Choose V, the neuron order and the column order of every layer.

    Neurons, longest expected work first, go to the least loaded group that still has room. The
    first layer's columns go to the least loaded slice in the same way. Then pairs are exchanged
    until the lanes are even (:mod:`~sparnn.gen.balance`). Each layer takes the V of the least
    :func:`estimate_cycles`; of equals the smallest, whose adder tree is the shortest.

    Parameters
    ----------
    v: V of each layer instead of a choice.
    balance: False keeps the network's own order.
    activity: which activations are not zero in sample steps: of the network's input, [steps,
        inputs], then of each layer's output, [steps, units]; see
        :func:`~sparnn.gen.activity.measure_activity`. All of them by default.
    limit_columns: only choose a V that fits ``config.columns``; False where the memories will be
        fitted to the network.

    Raises
    ------
    SparnnError: a given V is impossible on this machine, or no V makes a row fit ``columns``.
    """
    if v is not None and len(v) != len(network.layers):
        raise SparnnError(
            f"V is given for {len(v)} layers, the network has {len(network.layers)}; give one each"
        )
    if activity is None:
        sizes = [network.layers[0].inputs, *(layer.units for layer in network.layers)]
        activity = [np.ones((1, size), np.bool_) for size in sizes]
    passes = BALANCE_PASSES if balance else 0
    before: IntArray | None = None
    arriving = activity[0]
    layouts: list[LayerLayout] = []
    for stage in network.stages:
        for index in stage:
            layer = network.layers[index]
            if v is not None:
                choices = [_checked_v(v[index], config, layer)]
            else:
                choices = list(range(config.v_log2_max + 1))
            if limit_columns:
                positions = layer.inputs if before is None else len(before)
                choices = _fitting(choices, config, layer, positions)
            # The two layers of a GRU that resets first read each other's output.
            reset = network.layers[stage[-1]].join == "reset"
            ends = arriving, activity[1 + (sum(stage) - index if reset else index)]
            # What is added, or shares a state, has to lie at the same place.
            neurons = layouts[-1].neurons if layer.join in ("sum", "reset") else None
            columns = layouts[-1].columns if layer.join else before
            if len(choices) > 1:
                # One pass of the balance shows what a V is worth.
                candidates = [
                    _lay_out_layer(layer, config, v_log2, columns, *ends, min(passes, 1), neurons)
                    for v_log2 in choices
                ]
                costs = [estimate_cycles(layer, config, one, *ends) for one in candidates]
                choices = [choices[costs.index(min(costs))]]
            best = _lay_out_layer(layer, config, choices[0], columns, *ends, passes, neurons)
            layouts.append(best)
        outputs = [activity[index + 1] for index in stage]
        if network.layers[stage[-1]].join == "reset":
            before, arriving = layouts[-1].neurons, outputs[-1]
        elif network.layers[stage[-1]].join == "sum":
            before, arriving = layouts[-1].neurons, np.logical_or(*outputs)
        else:
            before = side_by_side([layouts[index].neurons for index in stage], config.post_units)
            arriving = outputs[0] if len(outputs) == 1 else np.hstack(outputs)
    return NetworkLayout(tuple(layouts))


def side_by_side(orders: Sequence[IntArray], post_units: int) -> IntArray:
    """Position -> column of what several layers give, each from a broadcast word of its own on."""
    parts: list[IntArray] = []
    first = 0
    for order in orders:
        if parts:
            parts.append(np.full(-sum(map(len, parts)) % post_units, -1))
        parts.append(order + first)
        first += len(order)
    return np.concatenate(parts)


def by_position(array: npt.NDArray[Any], columns: IntArray) -> npt.NDArray[Any]:
    """The last axis of an array in the order of the positions; zero where there is no column."""
    return np.where(columns < 0, array.dtype.type(0), array[..., columns])


def ceil_div(a: int, b: int) -> int:
    """``a / b`` rounded up."""
    return -(-a // b)


def chunks_per_row(config: MachineConfig, columns: int, v_log2: int) -> int:
    """Mask words of each row of a half with ``columns`` columns."""
    local_words = ceil_div(ceil_div(columns, config.post_units), 1 << v_log2)
    return ceil_div(local_words * config.post_units, config.chunk)


def columns_needed(
    config: MachineConfig, layer: IntegerLayer, v_log2: int, positions: int | None = None
) -> int:
    """Columns that the lane with the most holds, in whole chunks; ``positions`` of the input."""
    widths = [positions or layer.inputs] + ([layer.units] if layer.has_hidden else [])
    return max(chunks_per_row(config, width, v_log2) for width in widths) * config.chunk


def lane_pairs(
    weights: npt.NDArray[np.integer], active: BoolArray, config: MachineConfig, v_log2: int
) -> FloatArray:
    """Pairs of each lane in each step of one half.

    Parameters
    ----------
    weights: [gates, units, columns], both orders by position.
    active: which columns are not zero, [steps, columns], by position.

    Returns
    -------
    [steps, groups, V].
    """
    v = 1 << v_log2
    groups = config.lanes // v
    units, columns = weights.shape[1:]
    present = np.zeros((groups, columns))
    np.add.at(present, np.arange(units) % groups, np.count_nonzero(weights, axis=0))
    pairs = np.zeros((len(active), groups, v))
    slices = np.arange(columns) // config.post_units % v
    for number in range(v):
        chosen = slices == number
        pairs[:, :, number] = active[:, chosen].astype(np.float64) @ present[:, chosen].T
    return pairs


def estimate_cycles(
    layer: IntegerLayer,
    config: MachineConfig,
    layout: LayerLayout,
    active: BoolArray,
    hidden_active: BoolArray,
) -> float:
    """Expected cycles of one step: what V is chosen by.

    A lane needs one cycle per pair or per mask word, whichever are more, in each half. With the
    unfolded schedule a step takes as long as the lane with the most work in both halves, and no
    less than the hidden half's longest lane and the tail that follows it, nor than the post units
    need at one row per cycle. That is followed step by step, since the lane that a step waits for
    is another one each time: splitting sparse columns evens the lanes less than it seems.

    Parameters
    ----------
    active, hidden_active: which columns of the input, [steps, inputs], and of the layer's output,
        [steps, units], are not zero, in the network's order.
    """
    v_log2 = layout.v_log2
    groups = config.lanes >> v_log2
    rows = ceil_div(layer.units, groups) * layer.gates
    out_words = ceil_div(layer.units, config.post_units)
    ordered = by_position(layer.w_x[:, layout.neurons], layout.columns)
    arriving = by_position(active[:_ESTIMATED_STEPS], layout.columns)
    pairs = lane_pairs(ordered, arriving, config, v_log2)
    words = rows * chunks_per_row(config, len(layout.columns), v_log2)
    time_x = np.maximum(pairs, words)
    if layer.w_h is None:
        return max(float(time_x.max(axis=(1, 2)).mean()), out_words * layer.gates)
    hidden = layer.w_h[:, layout.neurons][:, :, layout.neurons]
    pairs = lane_pairs(hidden, hidden_active[:_ESTIMATED_STEPS, layout.neurons], config, v_log2)
    time_h = np.maximum(pairs, rows * chunks_per_row(config, layer.units, v_log2))
    post = 2 * out_words * layer.gates
    step = (time_x + time_h).max(axis=(1, 2))
    loop = time_h.max(axis=(1, 2)) + v_log2 + TAIL_CYCLES
    return max(float(np.maximum(step, loop).mean()), post)


def _lay_out_layer(
    layer: IntegerLayer,
    config: MachineConfig,
    v_log2: int,
    before: IntArray | None,
    active: BoolArray,
    hidden_active: BoolArray,
    passes: int,
    neurons: IntArray | None,
) -> LayerLayout:
    v, groups = 1 << v_log2, config.lanes >> v_log2
    positions = np.arange(layer.units)
    columns = np.arange(layer.inputs) if before is None else before
    if not passes or neurons is not None:
        return LayerLayout(v_log2, positions if neurons is None else neurons, columns)
    column_slice = np.arange(len(columns)) // config.post_units % v
    x_work = np.count_nonzero(layer.w_x, axis=0) * active.mean(axis=0)
    h_work = None
    if before is None:
        columns = _deal(x_work.sum(axis=0), column_slice)
    work = x_work.sum(axis=1)
    if layer.w_h is not None:
        h_work = np.count_nonzero(layer.w_h, axis=0) * hidden_active.mean(axis=0)
        work = work + h_work.sum(axis=1)
    fixed = before is not None
    neurons, order = refine(
        by_position(x_work, columns) if fixed else x_work,  # with the positions that have no column
        h_work,
        _deal(work, positions % groups),
        np.arange(len(columns)) if fixed else columns,
        group=positions % groups,
        neuron_slice=positions // config.post_units % v,
        column_slice=column_slice,
        columns_free=not fixed,
        passes=passes,
    )
    return LayerLayout(v_log2, neurons, columns if fixed else order)


def _deal(work: npt.NDArray[np.floating], bins: IntArray) -> IntArray:
    """Deal things, the most work first, to the least loaded bin that has a free slot.

    Parameters
    ----------
    work: of each thing, [n].
    bins: bin of each slot, [n].

    Returns
    -------
    Slot -> thing, a permutation; each bin's first slots hold its first things.
    """
    free: dict[int, list[int]] = {}
    for slot in range(len(bins) - 1, -1, -1):
        free.setdefault(int(bins[slot]), []).append(slot)
    heap = [(0.0, number) for number in sorted(free)]
    order = np.empty(len(bins), np.int64)
    for thing in np.argsort(-work, kind="stable"):
        load, number = heapq.heappop(heap)
        order[free[number].pop()] = thing
        if free[number]:
            heapq.heappush(heap, (load + float(work[thing]), number))
    return order


def _checked_v(v: int, config: MachineConfig, layer: IntegerLayer) -> int:
    if v < 1 or v & (v - 1) or v > config.max_v:
        raise SparnnError(
            f"layer {layer.name!r}: V = {v} is not a power of two from 1 to max_v = {config.max_v}"
        )
    return v.bit_length() - 1


def _fitting(
    choices: list[int], config: MachineConfig, layer: IntegerLayer, positions: int
) -> list[int]:
    fitting = [v for v in choices if columns_needed(config, layer, v, positions) <= config.columns]
    if not fitting:
        need = columns_needed(config, layer, choices[-1], positions)
        raise SparnnError(
            f"layer {layer.name!r}: a lane must hold {need} columns even with V = "
            f"{1 << choices[-1]}, the machine holds columns = {config.columns}; raise columns to "
            f"{1 << (need - 1).bit_length()}"
        )
    return fitting
