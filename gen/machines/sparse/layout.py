"""Where each neuron and column lies in the machine (docs/machine.md, *Where everything lies*).

A neuron's position fixes the groups that compute its rows; a column's position fixes the slice, and
so the lane of the group, that holds its weights. Both orders are free: a layer's columns only have
to follow the order of the layer before it. The compiler uses that to balance the lanes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.shared.order import side_by_side
from sparnn.gen.quantize.activity import Activity, BoolArray
from sparnn.hdl.common.numbers import ceil_div, clog2
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.aliases import IntArray
from sparnn.sim.network.network import IntegerLayer, IntegerNetwork

from .loops import loops
from .stage import LayerLayout, Stage, chunks_per_row

__all__ = [
    "LayerLayout",
    "NetworkLayout",
    "chunks_per_row",
    "columns_needed",
    "lay_out",
]

#: Share of the balance's rounds with which the choices of V are compared.
_SHORT_EFFORT = 0.05
#: What the estimate of the smaller V may be more: the model knows rows and not pairs, so it is more
#: optimistic the more lanes have to be ready for a row. At 1,024 lanes of MASR's layer it has V = 8
#: 1.2 % before V = 4, which is 4 % faster on the RTL.
_NEARLY_EQUAL = 1.02


@dataclass(frozen=True, eq=False)
class NetworkLayout:
    """All layers' places. loops: the layers that run together. rotate: see :func:`lay_out`."""

    layers: tuple[LayerLayout, ...]
    loops: tuple[tuple[int, ...], ...]
    rotate: bool = True

    @property
    def inputs(self) -> IntArray:
        """Position -> feature of the network's input."""
        return self.layers[0].columns


def lay_out(
    network: IntegerNetwork,
    config: SparseConfig,
    *,
    v: Sequence[int] | None = None,
    balance: bool = True,
    rotate: bool = True,
    interleave: bool = True,
    activity: Sequence[BoolArray] | None = None,
    limit_columns: bool = True,
) -> NetworkLayout:
    """Choose V, the neuron order and the column order of every layer.

    Orders are found by exchanging neurons and columns until the lanes are even
    (:mod:`~sparnn.gen.machines.sparse.balance`); layers that read the same input are balanced
    together. V is that of the least :func:`~sparnn.sim.cycles.sparse.estimate_cycles`; of those
    that are nearly equal the smallest, whose lanes wait least for each other.

    Parameters
    ----------
    v: V of each layer instead of a choice.
    balance: False keeps the network's own order.
    rotate: the halves of a loop go on dealing rows to groups and columns to slices where the half
        before has stopped; False begins each half at the first.
    interleave: two directions of a layer run as one loop where the machine can.
    activity: which activations are not zero in sample steps: of the network's input, [steps,
        inputs], then of each layer's output, [steps, units]; see
        :func:`~sparnn.gen.quantize.activity.measure_activity`. All of them by default.
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
    sent = activity.sent if isinstance(activity, Activity) else None
    all_loops = loops(network, config, v=v, interleave=interleave)
    before: IntArray | None = None
    arriving = activity[0]
    layouts: list[LayerLayout] = []
    for indices in network.stages:
        stage = Stage(
            config,
            [network.layers[index] for index in indices],
            [loop for loop in all_loops if loop[0] in indices],
            before,
            arriving,
            [activity[index + 1] for index in indices],
            rotate,
            None if sent is None else [sent[index] for index in indices],
        )
        positions = stage.layers[0].inputs if before is None else len(before)
        if v is None:
            choices = [[one] * len(indices) for one in range(config.v_log2_max + 1)]
        else:
            choices = [[_checked_v(v[index], config, network.layers[index]) for index in indices]]
        if not config.masks:
            choices = _with_words(choices, config, stage.layers, positions)
        if limit_columns:
            choices = _fitting(choices, config, stage.layers, positions)
        if len(choices) > 1:
            costs = [stage.cost(stage.lay_out(one, _SHORT_EFFORT * balance)) for one in choices]
            # The two best, in their order, are compared again with all of the balance.
            choices = [choices[k] for k in sorted(np.argsort(costs, kind="stable")[:2])]
        places = [stage.lay_out(one, float(balance)) for one in choices]
        if len(choices) > 1:
            costs = [stage.cost(one) for one in places]
            near = [cost <= _NEARLY_EQUAL * min(costs) for cost in costs]
            places = [places[near.index(True)]]
        layouts += places[0]
        if stage.layers[-1].join == "reset":
            before, arriving = layouts[-1].neurons, stage.outputs[-1]
        elif stage.layers[-1].join == "sum":
            before, arriving = layouts[-1].neurons, np.logical_or.reduce(stage.outputs)
        else:
            orders = [layouts[index].neurons for index in indices]
            before, arriving = side_by_side(orders, config.post_units), np.hstack(stage.outputs)
    return NetworkLayout(tuple(layouts), tuple(all_loops), rotate)


def columns_needed(
    config: SparseConfig, layer: IntegerLayer, v_log2: int, positions: int | None = None
) -> int:
    """Columns that the lane with the most holds, in whole chunks; ``positions`` of the input."""
    widths = [positions or layer.inputs] + ([layer.units] if layer.has_hidden else [])
    return max(chunks_per_row(config, width, v_log2) for width in widths) * config.chunk


def _checked_v(v: int, config: SparseConfig, layer: IntegerLayer) -> int:
    if v < 1 or v & (v - 1) or v > config.max_v:
        raise SparnnError(
            f"layer {layer.name!r}: V = {v} is not a power of two from 1 to max_v = {config.max_v}"
        )
    return v.bit_length() - 1


def _with_words(
    choices: list[list[int]], config: SparseConfig, layers: list[IntegerLayer], positions: int
) -> list[list[int]]:
    """The choices under which each lane of a row has a word of every vector: a lane without masks
    takes it that it has."""

    def words(layer: IntegerLayer) -> int:
        vectors = [positions, layer.units] if layer.has_hidden else [positions]
        return ceil_div(min(vectors), config.post_units)

    found = [
        choice
        for choice in choices
        if all(1 << v_log2 <= words(layer) for v_log2, layer in zip(choice, layers, strict=True))
    ]
    if not found:
        layer = min(layers, key=words)
        raise SparnnError(
            f"layer {layer.name!r}: V = {1 << max(map(min, choices))} lanes split its rows, and "
            f"without masks each needs a word of every vector, of which the shortest has "
            f"{words(layer)}; use a smaller V, or masks = 1"
        )
    return found


def _fitting(
    choices: list[list[int]], config: SparseConfig, layers: list[IntegerLayer], positions: int
) -> list[list[int]]:
    """The choices of every layer's V under which its columns fit."""

    def need(layer: IntegerLayer, v_log2: int) -> int:
        return columns_needed(config, layer, v_log2, positions)

    fitting = [
        choice
        for choice in choices
        if all(need(*pair) <= config.columns for pair in zip(layers, choice, strict=True))
    ]
    if not fitting:
        layer, v_log2 = max(zip(layers, choices[-1], strict=True), key=lambda pair: need(*pair))
        raise SparnnError(
            f"layer {layer.name!r}: a lane must hold {need(layer, v_log2)} columns even with V = "
            f"{1 << v_log2}, the machine holds columns = {config.columns}; raise columns to "
            f"{1 << clog2(need(layer, v_log2))}"
        )
    return fitting
