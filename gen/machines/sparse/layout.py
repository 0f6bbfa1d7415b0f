"""Where each neuron and column lies in the machine (docs/machine.md, *Where everything lies*).

A neuron's position fixes the groups that compute its rows; a column's position fixes the slice, and
so the lane of the group, that holds its weights. Both orders are free: a layer's columns only have
to follow the order of the layer before it. The compiler uses that to balance the lanes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.shared.layers import KINDS
from sparnn.gen.machines.shared.order import by_position, side_by_side
from sparnn.gen.quantize.activity import BoolArray
from sparnn.hdl.common.numbers import ceil_div, clog2
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.aliases import IntArray
from sparnn.sim.cycles.sparse import HalfRows, estimate_cycles
from sparnn.sim.network.network import IntegerLayer, IntegerNetwork

from .balance import HalfWork, balanced
from .deal import DealtRows, deal_rows
from .loops import loops

__all__ = [
    "LayerLayout",
    "NetworkLayout",
    "chunks_per_row",
    "columns_needed",
    "lay_out",
]

#: Share of the balance's rounds with which the choices of V are compared.
_SHORT_EFFORT = 0.05


@dataclass(frozen=True, eq=False)
class LayerLayout:
    """One layer's place in the machine.

    Members
    -------
    v_log2: the columns of a row are split over ``2 ** v_log2`` lanes.
    neurons: position -> neuron, [units].
    columns: position -> column of the layer's input, [input positions]; -1 where there is none,
        which is where the last word of a direction ends, before the other direction begins.
    halves_before, first_column: by half (input, hidden), the halves and the words of columns that
        come before it in its loop: groups and slices are dealt on from there.
    """

    v_log2: int
    neurons: IntArray
    columns: IntArray
    halves_before: tuple[int, int] = (0, 0)
    first_column: tuple[int, int] = (0, 0)

    def rows(self, config: SparseConfig, half: int, gates: int) -> DealtRows:
        """Where each row of a half is computed."""
        return deal_rows(config, len(self.neurons), gates, self.v_log2, self.halves_before[half])

    def groups(self, config: SparseConfig, half: int, gates: int = 1) -> IntArray:
        """The group that computes the rows of each neuron position in a half, or the first one of
        them, where they are dealt apart."""
        return self.rows(config, half, gates).group[0]

    def slices(self, config: SparseConfig, half: int) -> IntArray:
        """The slice of each column position of a half."""
        columns = len(self.neurons) if half else len(self.columns)
        words = np.arange(columns) // config.post_units + self.first_column[half]
        return words % (1 << self.v_log2)


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
    together. V is that of the least :func:`~sparnn.sim.cycles.sparse.estimate_cycles`; of equals
    the smallest, whose adder tree is the shortest.

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
    all_loops = loops(network, config, v=v, interleave=interleave)
    before: IntArray | None = None
    arriving = activity[0]
    layouts: list[LayerLayout] = []
    for indices in network.stages:
        stage = _Stage(
            config,
            [network.layers[index] for index in indices],
            [loop for loop in all_loops if loop[0] in indices],
            before,
            arriving,
            [activity[index + 1] for index in indices],
            rotate,
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
            places = [min(places, key=stage.cost)]
        layouts += places[0]
        if stage.layers[-1].join == "reset":
            before, arriving = layouts[-1].neurons, stage.outputs[-1]
        elif stage.layers[-1].join == "sum":
            before, arriving = layouts[-1].neurons, np.logical_or.reduce(stage.outputs)
        else:
            orders = [layouts[index].neurons for index in indices]
            before, arriving = side_by_side(orders, config.post_units), np.hstack(stage.outputs)
    return NetworkLayout(tuple(layouts), tuple(all_loops), rotate)


@dataclass(frozen=True, eq=False)
class _Stage:
    """Layers that read the same input.

    Members
    -------
    loops: by the layers' numbers in the network, which follow each other.
    before: position -> column of the input, or None where the order is free.
    arriving, outputs: which columns of the input and outputs of each layer are not zero, [steps,
        columns], in the network's order.
    """

    config: SparseConfig
    layers: list[IntegerLayer]
    loops: list[tuple[int, ...]]
    before: IntArray | None
    arriving: BoolArray
    outputs: list[BoolArray]
    rotate: bool

    @property
    def shared(self) -> bool:
        """What is added, or shares a state, has to lie at the same place."""
        return self.layers[-1].join in ("sum", "reset")

    def lay_out(self, v_log2: Sequence[int], effort: float) -> list[LayerLayout]:
        """Places of the stage's layers. ``effort``: of the balance, 0 for none."""
        columns = np.arange(self.layers[0].inputs) if self.before is None else self.before
        layouts = []
        for loop in self.loops:
            halves = words = 0
            for index in loop:
                number = index - self.loops[0][0]
                layer = self.layers[number]
                out_words = ceil_div(layer.units, self.config.post_units)
                in_words = ceil_div(len(columns), self.config.post_units)
                one = LayerLayout(v_log2[number], np.arange(layer.units), columns)
                if self.rotate:
                    one = replace(
                        one,
                        halves_before=(halves, halves + 1),
                        first_column=(words, words + in_words),
                    )
                layouts.append(one)
                halves += 2
                words += in_words + out_words
        return self._balanced(layouts, effort) if effort else layouts

    def _balanced(self, layouts: list[LayerLayout], effort: float) -> list[LayerLayout]:
        """Orders: the input's columns, then the neurons, which some layers share."""
        halves = []
        orders = [
            np.arange(len(layouts[0].columns)) if self.before is not None else layouts[0].columns
        ]
        for number, one in enumerate(layouts):
            if number == 0 or not self.shared:
                orders.append(one.neurons)
            neurons = len(orders) - 1
            loop = next(k for k, loop in enumerate(self.loops) if number + self.loops[0][0] in loop)
            for half, (weights, active) in enumerate(self._halves(number)):
                present = weights != 0 if self.config.masks else np.ones_like(weights, np.bool_)
                work = np.count_nonzero(present, axis=0) * active.mean(axis=0)
                halves.append(
                    HalfWork(
                        work if half or self.before is None else by_position(work, self.before),
                        neurons,
                        neurons if half else 0,
                        one.groups(self.config, half, KINDS[self.layers[number].kind].gates),
                        one.slices(self.config, half),
                        loop,
                    )
                )
        lanes = [
            (self.config.lanes >> one.v_log2, 1 << one.v_log2)
            for one in (layouts[loop[0] - self.loops[0][0]] for loop in self.loops)
        ]
        free = [number for number in range(len(orders)) if number or self.before is None]
        orders = balanced(halves, lanes, orders, free=free, effort=effort)
        columns = orders[0] if self.before is None else self.before
        return [
            replace(one, columns=columns, neurons=orders[1 if self.shared else 1 + number])
            for number, one in enumerate(layouts)
        ]

    def cost(self, layouts: list[LayerLayout]) -> float:
        """Expected cycles of one step of all loops."""
        total = 0.0
        for loop in self.loops:
            halves = []
            for index in loop:
                number = index - self.loops[0][0]
                one = layouts[number]
                for half, (weights, active) in enumerate(self._halves(number)):
                    columns = one.neurons if half else one.columns
                    present, group, rows = self._present(number, one, half, weights)
                    halves.append(
                        HalfRows.of(
                            by_position(present, columns),
                            by_position(active, columns),
                            group,
                            one.slices(self.config, half),
                            1 << one.v_log2,
                            chunks_per_row(self.config, len(columns), one.v_log2),
                            rows,
                            blocks=not self.config.by_word,
                        )
                    )
            total += estimate_cycles(
                halves, self.config, layouts[loop[0] - self.loops[0][0]].v_log2
            )
        return total

    def _present(
        self, number: int, one: LayerLayout, half: int, weights: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[Any], IntArray, int]:
        """What a group works off at once: its words in each column, [positions or blocks, columns],
        its group, and its rows."""
        layer, config = self.layers[number], self.config
        if config.by_word:
            count = np.count_nonzero(weights, axis=0)
            return count[one.neurons], one.groups(config, half), layer.gates
        dealt = one.rows(config, half, KINDS[layer.kind].gates)
        words = weights[:, one.neurons] != 0 if config.masks else np.ones_like(weights, np.bool_)
        blocks = np.zeros((len(dealt.turns), weights.shape[-1]), np.int64)
        numbers = dealt.number[: layer.gates].reshape(-1)
        np.maximum.at(blocks, numbers, words.reshape(-1, weights.shape[-1]))
        return blocks, dealt.turns, config.width

    def _halves(self, number: int) -> list[tuple[npt.NDArray[Any], BoolArray]]:
        """Weights and activity of the columns, in the network's order."""
        layer = self.layers[number]
        halves: list[tuple[npt.NDArray[Any], BoolArray]] = [(layer.w_x, self.arriving)]
        if layer.w_h is not None:
            # The two layers of a GRU that resets first read each other's output.
            source = 1 - number if self.layers[-1].join == "reset" else number
            halves.append((layer.w_h, self.outputs[source]))
        return halves


def chunks_per_row(config: SparseConfig, columns: int, v_log2: int) -> int:
    """Mask words of each row of a half with ``columns`` columns."""
    local_words = ceil_div(ceil_div(columns, config.post_units), 1 << v_log2)
    return ceil_div(local_words * config.post_units, config.chunk)


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
