"""Chooses the tiles of each layer of the dense machine: the tile explorer.

A tile plan is what the descriptor holds: for each half up to three phases of equal passes. Their
cost is what the cycle model says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sparnn.gen.errors import SparnnError
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.descriptor import PHASES
from sparnn.sim.cycles.dense import TileLayer, half_cycles, layer_cycles
from sparnn.sim.host.plan import SCHEDULES, Order, Phase, TilePlan
from sparnn.sim.network.network import GATES, IntegerLayer

__all__ = [
    "EXPLORED_STEPS",
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


def row_segments(config: DenseConfig, units: int, gate_major: bool = False) -> int:
    """Row segments of a layer, of one gate with ``gate_major``; see docs/dense.md."""
    if not gate_major:
        return -(-units // config.cells)
    words = -(-units // config.word)
    full, rest = divmod(words - 1, config.cell_rows)
    # The last word of the layer may leave slices empty, but not the words before it.
    last = config.slices if rest else -(-(units - (words - 1) * config.word) // config.cells)
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
    columns: int,
    units: int,
    *,
    wide: bool = False,
    gate_major: bool = False,
    spacing: int = 1,
    close: bool = True,
    fixed: int | None = None,
    reconfigure: bool = True,
) -> Iterator[tuple[Phase, ...]]:
    """Plans of one half: phases of ever fewer row groups; all but the last are full.

    Parameters
    ----------
    spacing: cycles of a pass at least, where another one may follow: where there are several, and
        with ``close``.
    fixed: row groups of every phase, as of a machine with one tile; no plan where they are not
        possible.
    reconfigure: False: one tile for all rows.
    """
    segments = row_segments(config, units, gate_major)

    def phase(groups: int, passes: int) -> Phase:
        length = max(
            -(-columns // (config.lanes // groups)),
            max(1, groups // config.slices) << wide,
            spacing if close or segments > groups else 1,
        )
        return Phase(groups, length, passes)

    choices = [1 << k for k in range(config.banks_log2, -1, -1)]
    if wide or gate_major:  # a word takes two cycles to write, a segment has several words
        choices = [groups for groups in choices if groups <= config.slices]
    if fixed is not None:
        choices = [groups for groups in choices if groups == fixed]

    def further(left: int, allowed: list[int], count: int) -> Iterator[tuple[Phase, ...]]:
        for position, groups in enumerate(allowed):
            yield (phase(groups, -(-left // groups)),)
            full = left // groups
            rest = left - full * groups
            if count > 1 and full and rest and reconfigure:
                for more in further(rest, allowed[position + 1 :], count - 1):
                    yield (phase(groups, full), *more)

    yield from further(segments, choices, PHASES)


def explore(
    config: DenseConfig,
    layer: IntegerLayer,
    *,
    inputs: int | None = None,
    paired: bool = False,
    streams: int = 1,
    schedule: str = "unfolded",
    orders: Sequence[Order] | None = None,
    fixed: int | None = None,
    reconfigure: bool = True,
    steps: int = EXPLORED_STEPS,
) -> TilePlan:
    """The plan of the fewest cycles; of equals the one of the fewest phases.

    Parameters
    ----------
    inputs: places of the input vector. paired: with a layer of the same shape, in turn.
    streams: sequences that take turns.
    schedule: one of SCHEDULES. orders: instead of all that the schedule allows.
    fixed, reconfigure: see :func:`half_plans`.

    Raises
    ------
    SparnnError: an unknown schedule, a tile that is not possible, or more columns than the lanes
        hold.
    """
    return explore_shape(
        config,
        layer.inputs if inputs is None else inputs,
        layer.units,
        kind=layer.kind,
        wide=wide_outputs(config, layer),
        name=layer.name,
        peephole=layer.w_c is not None,
        paired=paired,
        streams=streams,
        schedule=schedule,
        orders=orders,
        fixed=fixed,
        reconfigure=reconfigure,
        steps=steps,
    )


def explore_shape(
    config: DenseConfig,
    inputs: int,
    units: int,
    *,
    kind: str = "lstm",
    wide: bool = False,
    name: str = "",
    peephole: bool = False,
    paired: bool = False,
    streams: int = 1,
    schedule: str = "unfolded",
    orders: Sequence[Order] | None = None,
    fixed: int | None = None,
    reconfigure: bool = True,
    steps: int = EXPLORED_STEPS,
) -> TilePlan:
    """:func:`explore` for a layer of which only the sizes are known."""
    if schedule not in SCHEDULES:
        raise SparnnError(f"schedule {schedule!r} is unknown; use one of {', '.join(SCHEDULES)}")
    possible = [
        order
        for order in orders or SCHEDULES[schedule]
        if (config.gate_depth if order.gate_major else config.cell_rows == 4)
        and not (peephole and order.gate_major)
    ]
    if not possible and peephole:
        raise SparnnError(
            f"schedule {schedule!r}: layer {name!r} has peepholes, which need the gates of a "
            f"neuron side by side; use intergate or unfolded"
        )
    if not possible:
        reason = (
            f"has no gate buffers (gate_depth = {config.gate_depth})"
            if config.width >= 4
            else f"has segments of {config.width} rows, fewer than the gates of a neuron"
        )
        raise SparnnError(f"schedule {schedule!r}: this machine {reason}; choose another schedule")
    recurrent = kind != "linear"
    most = config.columns * config.bank_lanes
    widest = max(inputs, units if recurrent else 0)
    if widest > most:
        raise SparnnError(
            f"layer {name!r} has {widest} columns, the lanes hold {most}; raise columns to "
            f"{-(-widest // config.bank_lanes)}"
        )

    def best(columns: int, wide: bool, order: Order, spacing: int) -> list[tuple[Phase, ...]]:
        plans = half_plans(
            config,
            columns,
            units,
            wide=wide,
            gate_major=order.gate_major,
            spacing=spacing,
            close=not recurrent or paired or streams > 1,  # else the tail lies between two steps
            fixed=fixed,
            reconfigure=reconfigure,
        )
        return sorted(plans, key=lambda plan: (half_cycles(plan), len(plan)))[:_TRIED]

    chosen = None
    for order in possible:
        spacing = 1
        if order.gate_major:  # of last gates, each of which gives so many words
            spacing = config.cell_rows << wide
            spacing = -(-spacing // (1 if order.gate_outer else GATES[kind]))
        halves_x = best(inputs, wide, order, 1 if recurrent else spacing)
        halves_h: list[tuple[Phase, ...]] = (
            best(units, False, order, spacing) if recurrent else [()]
        )
        if recurrent:  # its order is free: the shortest, lest slices need longer
            halves_x = halves_x[:_TRIED_X]
        for x in halves_x:
            for h in halves_h:
                plan = _unhurried(config, TilePlan(x, h, order))
                layer = TileLayer(
                    plan,
                    inputs,
                    units,
                    steps,
                    kind,
                    wide,
                    paired=paired,
                    peephole=peephole,
                    streams=streams,
                )
                key = (layer_cycles(config, layer)[0], len(x) + len(h))
                if chosen is None or key < chosen[0]:
                    chosen = key, plan
    if chosen is None:
        limit = config.slices if wide or all(one.gate_major for one in possible) else config.banks
        raise SparnnError(
            f"layer {name!r}: a tile of {fixed} row groups is not possible here; choose a power of "
            f"two up to {limit}"
        )
    return chosen[1]


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
