"""Layers that read the same input: where their neurons and columns lie, and what a step takes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.gen.machines.shared.layers import KINDS
from sparnn.gen.machines.shared.order import by_position
from sparnn.gen.quantize.activity import BoolArray
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.aliases import IntArray
from sparnn.sim.cycles.sparse import HalfRows, estimate_cycles
from sparnn.sim.network.network import IntegerLayer

from .balance import HalfWork, balanced
from .bundles import bundled, positions_of, shared_masks, whole_bundles
from .deal import DealtRows, deal_rows

__all__ = ["LayerLayout", "Stage", "at_once", "chunks_per_row"]


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
class Stage:
    """Layers that read the same input.

    Members
    -------
    loops: by the layers' numbers in the network, which follow each other.
    before: position -> column of the input, or None where the order is free.
    arriving, outputs: which columns of the input and outputs of each layer are not zero, [steps,
        columns], in the network's order.
    sent: with thresholds of differences, what is sent of each layer's vectors instead.
    """

    config: SparseConfig
    layers: list[IntegerLayer]
    loops: list[tuple[int, ...]]
    before: IntArray | None
    arriving: BoolArray
    outputs: list[BoolArray]
    rotate: bool
    sent: Sequence[tuple[BoolArray, BoolArray | None]] | None = None
    _found: dict[int, IntArray] = field(default_factory=dict)  # bundles, by layer

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
        config = self.config
        orders = [
            np.arange(len(layouts[0].columns)) if self.before is not None else layouts[0].columns
        ]
        free = [] if self.before is not None else [0]
        halves: list[HalfWork] = []
        moved: list[tuple[int, IntArray | None]] = []  # of each layer, its order and its bundles
        for number, one in enumerate(layouts):
            if number == 0 or not self.shared:
                bundles = self._bundles(number)
                order = one.neurons if bundles is None else np.arange(len(bundles))
                orders.append(order)
                moved.append((len(orders) - 1, bundles))
                if not config.masks or self._blocks_of_neurons(number):
                    free.append(len(orders) - 1)
            else:
                moved.append(moved[-1])
            loop = next(k for k, loop in enumerate(self.loops) if number + self.loops[0][0] in loop)
            halves += self._works(number, one, moved[-1], orders, loop)
        lanes = [
            (config.lanes >> one.v_log2, 1 << one.v_log2)
            for one in (layouts[loop[0] - self.loops[0][0]] for loop in self.loops)
        ]
        if free:
            orders = balanced(halves, lanes, orders, free=free, effort=effort)
        columns = orders[0] if self.before is None else self.before
        found = []
        for one, (index, bundles) in zip(layouts, moved, strict=True):
            neurons = orders[index]
            if bundles is not None:
                neurons = positions_of(bundles[neurons], len(one.neurons), config.post_units)
            found.append(replace(one, columns=columns, neurons=neurons))
        return found

    def _blocks_of_neurons(self, number: int) -> bool:
        """Whether blocks hold whole neurons, so that these, or bundles of them, can be moved."""
        gates = KINDS[self.layers[number].kind].gates
        return self.config.by_word or self.config.width % gates == 0

    def _bundles(self, number: int) -> IntArray | None:
        """The neurons that make a block together, [bundles, neurons]; None for those of one neuron,
        and where neurons need not lie together."""
        config, layer = self.config, self.layers[number]
        size = config.width // KINDS[layer.kind].gates
        count = whole_bundles(layer.units, max(1, size), config.post_units)
        if not config.masks or not self._blocks_of_neurons(number) or size < 2 or not count:
            return None
        if number not in self._found:
            together = self.layers if self.shared else [layer]
            weights = [w for one in together for w in (one.w_x, one.w_h) if w is not None]
            self._found[number] = bundled(shared_masks(weights), size, count)
        return self._found[number]

    def _works(
        self,
        number: int,
        one: LayerLayout,
        moved: tuple[int, IntArray | None],
        orders: list[IntArray],
        loop: int,
    ) -> list[HalfWork]:
        """What the lanes have to do in each half of a layer. Things that do not move with its order
        get orders of their own."""
        config, layer = self.config, self.layers[number]
        order, bundles = moved
        found = []
        for half, (weights, active) in enumerate(self._halves(number)):
            group = one.groups(config, half, KINDS[layer.kind].gates)
            rows = columns = order
            if config.by_word:
                words = np.count_nonzero(weights, axis=0)
            elif bundles is not None:
                words = (weights != 0).any(axis=0)[bundles].any(axis=1)
                neurons = positions_of(bundles, layer.units, config.post_units)
                place = np.empty(layer.units, np.int64)
                place[neurons] = np.arange(layer.units)
                group = group[place[bundles[:, 0]]]
                # Wherever a bundle is, its columns are in as many slices.
                columns = len(orders)
                orders.append(neurons)
            elif config.masks and self._blocks_of_neurons(number):
                words = (weights != 0).any(axis=0)
            else:  # blocks stay where they are
                words, group = at_once(config, layer, one, half, weights)
                rows = len(orders)
                orders.append(np.arange(len(group)))
            work = words * active.mean(axis=0)
            if not half and self.before is not None:
                work = by_position(work, self.before)
            slices = one.slices(config, half)
            found.append(HalfWork(work, rows, columns if half else 0, group, slices, loop))
        return found

    def cost(self, layouts: list[LayerLayout]) -> float:
        """Expected cycles of one step of all loops."""
        total = 0.0
        for loop in self.loops:
            halves = []
            for index in loop:
                number = index - self.loops[0][0]
                one, layer, config = layouts[number], self.layers[number], self.config
                for half, (weights, active) in enumerate(self._halves(number)):
                    columns = one.neurons if half else one.columns
                    present, group = at_once(config, layer, one, half, weights)
                    halves.append(
                        HalfRows.of(
                            by_position(present, columns),
                            by_position(active, columns),
                            group,
                            one.slices(self.config, half),
                            1 << one.v_log2,
                            chunks_per_row(config, len(columns), one.v_log2),
                            layer.gates if config.by_word else config.width,
                            blocks=not config.by_word,
                        )
                    )
            total += estimate_cycles(
                halves, self.config, layouts[loop[0] - self.loops[0][0]].v_log2
            )
        return total

    def _halves(self, number: int) -> list[tuple[npt.NDArray[Any], BoolArray]]:
        """Weights and activity of the columns, in the network's order."""
        layer = self.layers[number]
        halves: list[tuple[npt.NDArray[Any], BoolArray]] = [(layer.w_x, self.arriving)]
        if layer.w_h is not None:
            # The two layers of a GRU that resets first read each other's output.
            source = 1 - number if self.layers[-1].join == "reset" else number
            halves.append((layer.w_h, self.outputs[source]))
        if self.sent is not None:
            pairs = zip(halves, self.sent[number], strict=False)
            halves = [(weights, sent) for (weights, _), sent in pairs if sent is not None]
        return halves


def at_once(
    config: SparseConfig,
    layer: IntegerLayer,
    one: LayerLayout,
    half: int,
    weights: npt.NDArray[Any],
) -> tuple[npt.NDArray[Any], IntArray]:
    """The words of weights of each position's rows, or of each block of rows, in each column,
    [positions or blocks, columns], and the group that works them off."""
    if config.by_word:
        return np.count_nonzero(weights, axis=0)[one.neurons], one.groups(config, half)
    dealt = one.rows(config, half, KINDS[layer.kind].gates)
    words = weights[:, one.neurons] != 0 if config.masks else np.ones_like(weights, np.bool_)
    rows = np.zeros((len(dealt.turns), config.width, weights.shape[-1]), np.bool_)
    rows[dealt.number[: layer.gates], dealt.place[: layer.gates]] = words
    return np.asarray(rows.any(axis=1), np.int64), dealt.turns


def chunks_per_row(config: SparseConfig, columns: int, v_log2: int) -> int:
    """Mask words of each row of a half with ``columns`` columns."""
    local_words = ceil_div(ceil_div(columns, config.post_units), 1 << v_log2)
    return ceil_div(local_words * config.post_units, config.chunk)
