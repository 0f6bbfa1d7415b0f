"""Chooses the tiles of each layer of the dense machine: the tile explorer.

A tile plan is what the descriptor holds: for each half up to three phases of equal passes. Their
cost is what the cycle model says.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from sparnn.gen.errors import SparnnError
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.descriptor import PHASES
from sparnn.sim.cycles.dense import TileLayer, half_cycles, layer_cycles
from sparnn.sim.host.plan import SCHEDULES, Order, Phase, TilePlan
from sparnn.sim.network.network import GATES, IntegerLayer

__all__ = [
    "EXPLORED_STEPS",
    "Exploration",
    "LayerShape",
    "explore",
    "explore_shape",
    "half_plans",
    "row_segments",
    "tile_layer",
    "tile_shape",
    "wide_outputs",
]

#: Steps over which plans are compared.
EXPLORED_STEPS = 50
#: Plans of each half that are tried in full.
_TRIED = 10
_TRIED_X = 3


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """What the explorer is asked for.

    Members
    -------
    schedule: one of SCHEDULES.
    orders: the orders to choose from, instead of all that the schedule allows.
    fixed: row groups of every phase, as of a machine with one tile; there is no plan where they are
        not possible.
    reconfigure: False: one tile for all rows.
    steps: steps over which plans are compared.
    """

    schedule: str = "unfolded"
    orders: tuple[Order, ...] | None = None
    fixed: int | None = None
    reconfigure: bool = True
    steps: int = EXPLORED_STEPS


DEFAULTS = Exploration()


@dataclass(frozen=True, kw_only=True)
class LayerShape:
    """What the explorer has to know of a layer.

    Members
    -------
    inputs: places of the input vector.
    units: neurons.
    kind: the layer's cell.
    wide: an output is wider than an element of the store.
    name: of the layer, for messages.
    peephole: the layer is an LSTM with peepholes.
    paired: it takes turns with a layer of the same shape.
    streams: sequences that take turns.
    """

    inputs: int
    units: int
    kind: str = "lstm"
    wide: bool = False
    name: str = ""
    peephole: bool = False
    paired: bool = False
    streams: int = 1

    @property
    def recurrent(self) -> bool:
        return self.kind != "linear"

    @property
    def close(self) -> bool:
        """Whether steps follow each other closely; else the tail lies between two of them."""
        return not self.recurrent or self.paired or self.streams > 1


def row_segments(config: DenseConfig, units: int, gate_major: bool = False) -> int:
    """Row segments of a layer, of one gate with ``gate_major``; see docs/dense.md."""
    if not gate_major:
        return ceil_div(units, config.cells)
    words = ceil_div(units, config.word)
    full, rest = divmod(words - 1, config.cell_rows)
    # The last word of the layer may leave slices empty, but not the words before it.
    last = config.slices if rest else ceil_div(units - (words - 1) * config.word, config.cells)
    return full * config.slices + last


def tile_shape(config: DenseConfig, phase: Phase) -> str:
    """Rows × columns of a phase's tile."""
    return f"{phase.groups * config.width}x{config.lanes // phase.groups}"


def wide_outputs(config: DenseConfig, layer: IntegerLayer) -> bool:
    """Whether an output is wider than an element of the store."""
    return layer.out_bits > config.activation_bits


def tile_layer(
    config: DenseConfig, layer: IntegerLayer, plan: TilePlan, steps: int, *, fresh: bool = True
) -> TileLayer:
    """What the cycle model has to know of a layer."""
    wide = wide_outputs(config, layer)
    peephole = layer.w_c is not None
    return TileLayer(
        plan, layer.inputs, layer.units, steps, layer.kind, wide, fresh, peephole=peephole
    )


def half_plans(
    config: DenseConfig,
    shape: LayerShape,
    columns: int,
    options: Exploration,
    *,
    wide: bool = False,
    gate_major: bool = False,
    spacing: int = 1,
) -> Iterator[tuple[Phase, ...]]:
    """Plans of one half: phases of ever fewer row groups; all but the last are full.

    Parameters
    ----------
    wide: outputs take two words of the store.
    gate_major: gate by gate, see :class:`~sparnn.sim.host.plan.Order`.
    spacing: cycles of a pass at least, where another one may follow.
    """
    segments = row_segments(config, shape.units, gate_major)

    def phase(groups: int, passes: int) -> Phase:
        length = max(
            ceil_div(columns, config.lanes // groups),
            max(1, groups // config.slices) << wide,
            spacing if shape.close or segments > groups else 1,
        )
        return Phase(groups, length, passes)

    choices = [1 << k for k in range(config.banks_log2, -1, -1)]
    if wide or gate_major:  # a word takes two cycles to write, a segment has several words
        choices = [groups for groups in choices if groups <= config.slices]
    if options.fixed is not None:
        choices = [groups for groups in choices if groups == options.fixed]

    def further(left: int, allowed: list[int], count: int) -> Iterator[tuple[Phase, ...]]:
        for position, groups in enumerate(allowed):
            yield (phase(groups, ceil_div(left, groups)),)
            full = left // groups
            rest = left - full * groups
            if count > 1 and full and rest and options.reconfigure:
                for more in further(rest, allowed[position + 1 :], count - 1):
                    yield (phase(groups, full), *more)

    yield from further(segments, choices, PHASES)


def explore(
    config: DenseConfig,
    layer: IntegerLayer,
    options: Exploration = DEFAULTS,
    *,
    inputs: int | None = None,
    paired: bool = False,
    streams: int = 1,
) -> TilePlan:
    """The plan of the fewest cycles; of equals the one of the fewest phases.

    Parameters
    ----------
    inputs: places of the input vector; by default those of the layer.
    paired: the layer takes turns with one of the same shape.
    streams: sequences that take turns.

    Raises
    ------
    SparnnError: an unknown schedule, a tile that is not possible, or more columns than the lanes
        hold.
    """
    shape = LayerShape(
        inputs=layer.inputs if inputs is None else inputs,
        units=layer.units,
        kind=layer.kind,
        wide=wide_outputs(config, layer),
        name=layer.name,
        peephole=layer.w_c is not None,
        paired=paired,
        streams=streams,
    )
    return explore_shape(config, shape, options)


def explore_shape(
    config: DenseConfig, shape: LayerShape, options: Exploration = DEFAULTS
) -> TilePlan:
    """:func:`explore` for a layer of which only the shape is known."""
    possible = _orders(config, shape, options)
    _check_columns(config, shape)
    chosen = None
    for order in possible:
        for x, h in _halves(config, shape, options, order):
            plan = _unhurried(config, TilePlan(x, h, order))
            layer = TileLayer(
                plan,
                shape.inputs,
                shape.units,
                options.steps,
                shape.kind,
                shape.wide,
                paired=shape.paired,
                peephole=shape.peephole,
                streams=shape.streams,
            )
            key = (layer_cycles(config, layer)[0], len(x) + len(h))
            if chosen is None or key < chosen[0]:
                chosen = key, plan
    if chosen is None:
        few = shape.wide or all(one.gate_major for one in possible)
        raise SparnnError(
            f"layer {shape.name!r}: a tile of {options.fixed} row groups is not possible here; "
            f"choose a power of two up to {config.slices if few else config.banks}"
        )
    return chosen[1]


def _orders(config: DenseConfig, shape: LayerShape, options: Exploration) -> list[Order]:
    """The orders of the schedule that the machine and the layer allow."""
    schedule = options.schedule
    if schedule not in SCHEDULES:
        raise SparnnError(f"schedule {schedule!r} is unknown; use one of {', '.join(SCHEDULES)}")
    possible = [
        order
        for order in options.orders or SCHEDULES[schedule]
        if (config.gate_depth if order.gate_major else config.cell_rows == 4)
        and not (shape.peephole and order.gate_major)
    ]
    if not possible and shape.peephole:
        raise SparnnError(
            f"schedule {schedule!r}: layer {shape.name!r} has peepholes, which need the gates of a "
            f"neuron side by side; use intergate or unfolded"
        )
    if not possible:
        reason = (
            f"has no gate buffers (gate_depth = {config.gate_depth})"
            if config.width >= 4
            else f"has segments of {config.width} rows, fewer than the gates of a neuron"
        )
        raise SparnnError(f"schedule {schedule!r}: this machine {reason}; choose another schedule")
    return possible


def _check_columns(config: DenseConfig, shape: LayerShape) -> None:
    most = config.columns * config.bank_lanes
    widest = max(shape.inputs, shape.units if shape.recurrent else 0)
    if widest > most:
        raise SparnnError(
            f"layer {shape.name!r} has {widest} columns, the lanes hold {most}; raise columns to "
            f"{ceil_div(widest, config.bank_lanes)}"
        )


def _halves(
    config: DenseConfig, shape: LayerShape, options: Exploration, order: Order
) -> Iterator[tuple[tuple[Phase, ...], tuple[Phase, ...]]]:
    """The plans of both halves that are tried in full: the shortest of each."""
    spacing = 1
    if order.gate_major:  # of last gates, each of which gives so many words
        spacing = config.cell_rows << shape.wide
        spacing = ceil_div(spacing, 1 if order.gate_outer else GATES[shape.kind])

    def best(columns: int, wide: bool, spacing: int) -> list[tuple[Phase, ...]]:
        plans = half_plans(
            config,
            shape,
            columns,
            options,
            wide=wide,
            gate_major=order.gate_major,
            spacing=spacing,
        )
        return sorted(plans, key=lambda plan: (half_cycles(plan), len(plan)))[:_TRIED]

    halves_x = best(shape.inputs, shape.wide, 1 if shape.recurrent else spacing)
    if not shape.recurrent:
        return ((x, ()) for x in halves_x)
    # The order of the input half is free: the shortest plans, lest slices need longer.
    return product(halves_x[:_TRIED_X], best(shape.units, False, spacing))


def _unhurried(config: DenseConfig, plan: TilePlan) -> TilePlan:
    """The plan with every pass at least as long as the slices need for the pass before it."""

    def turns(phase: Phase) -> int:
        return max(1, phase.groups // config.slices)

    halves = []
    before = (plan.h or plan.x)[-1]
    for half in (plan.x, plan.h):
        phases = []
        for phase in half:
            phases.append(replace(phase, length=max(phase.length, turns(before))))
            before = phase
        halves.append(tuple(phases))
    return replace(plan, x=halves[0], h=halves[1])
