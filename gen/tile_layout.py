"""Chooses the tiles of each layer of the dense machine: the tile explorer.

A tile plan is what the descriptor holds: for each half up to three phases of equal passes. Their
cost is what the cycle model says.
"""

from collections.abc import Iterator
from dataclasses import replace

from sparnn.hdl.tile.config import TileConfig
from sparnn.hdl.tile.descriptor import PHASES
from sparnn.sim.network import IntegerLayer
from sparnn.sim.tile_cycle_model import Phase, TileLayer, TilePlan, half_cycles, layer_cycles

from .errors import SparnnError

__all__ = [
    "EXPLORED_STEPS",
    "SCHEDULES",
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
#: Schedule -> the descriptor's ``unfolded``.
SCHEDULES = {"unfolded": True, "intergate": False}




def row_segments(config: TileConfig, units: int) -> int:
    """Row segments of a layer; each holds K / 4 neurons."""
    return -(-units // config.cells)


def tile_shape(config: TileConfig, phase: Phase) -> str:
    """Rows × columns of a phase's tile."""
    return f"{phase.groups * config.width}x{config.lanes // phase.groups}"


def wide_outputs(config: TileConfig, layer: IntegerLayer) -> bool:
    """Whether an output is wider than an element of the store."""
    return layer.out_bits > config.activation_bits


def tile_layer(
    config: TileConfig, layer: IntegerLayer, plan: TilePlan, steps: int, *, fresh: bool = True
) -> TileLayer:
    """What the cycle model has to know of a layer."""
    wide = wide_outputs(config, layer)
    return TileLayer(plan, layer.inputs, layer.units, steps, layer.kind == "gru", wide, fresh)


def half_plans(
    config: TileConfig,
    columns: int,
    units: int,
    *,
    wide: bool = False,
    fixed: int | None = None,
    reconfigure: bool = True,
) -> Iterator[tuple[Phase, ...]]:
    """Plans of one half: phases of ever fewer row groups; all but the last are full.

    Parameters
    ----------
    fixed: row groups of every phase, as of a machine with one tile.
    reconfigure: False: one tile for all rows.
    """
    segments = row_segments(config, units)

    def phase(groups: int, passes: int) -> Phase:
        length = max(
            -(-columns // (config.lanes // groups)),
            max(1, groups // config.slices) << wide,
        )
        return Phase(groups, length, passes)

    choices = [1 << k for k in range(config.banks_log2, -1, -1)]
    if wide:  # a word takes two cycles to write, so none may follow at once
        choices = [groups for groups in choices if groups <= config.slices]
    if fixed is not None:
        choices = [fixed]

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
    config: TileConfig,
    layer: IntegerLayer,
    *,
    schedule: str = "unfolded",
    fixed: int | None = None,
    reconfigure: bool = True,
    steps: int = EXPLORED_STEPS,
) -> TilePlan:
    """The plan of the fewest cycles; of equals the one of the fewest phases.

    Parameters
    ----------
    schedule: one of :data:`SCHEDULES`. fixed, reconfigure: see :func:`half_plans`.

    Raises
    ------
    SparnnError: an unknown schedule, or more columns than the lanes hold.
    """
    kind = layer.kind
    return explore_shape(
        config,
        layer.inputs,
        layer.units,
        recurrent=layer.has_hidden,
        gru=kind == "gru",
        wide=wide_outputs(config, layer),
        name=layer.name,
        schedule=schedule,
        fixed=fixed,
        reconfigure=reconfigure,
        steps=steps,
    )


def explore_shape(
    config: TileConfig,
    inputs: int,
    units: int,
    *,
    recurrent: bool = True,
    gru: bool = False,
    wide: bool = False,
    name: str = "",
    schedule: str = "unfolded",
    fixed: int | None = None,
    reconfigure: bool = True,
    steps: int = EXPLORED_STEPS,
) -> TilePlan:
    """:func:`explore` for a layer of which only the sizes are known."""
    if schedule not in SCHEDULES:
        raise SparnnError(f"schedule {schedule!r} is unknown; use one of {', '.join(SCHEDULES)}")
    most = config.columns * config.bank_lanes
    widest = max(inputs, units if recurrent else 0)
    if widest > most:
        raise SparnnError(
            f"layer {name!r} has {widest} columns, the lanes hold {most}; raise columns to "
            f"{-(-widest // config.bank_lanes)}"
        )

    def best(columns: int, wide: bool) -> list[tuple[Phase, ...]]:
        plans = half_plans(
            config, columns, units, wide=wide, fixed=fixed, reconfigure=reconfigure
        )
        return sorted(plans, key=lambda plan: (half_cycles(plan), len(plan)))[:_TRIED]

    halves_x = best(inputs, wide)
    halves_h: list[tuple[Phase, ...]] = best(units, False) if recurrent else [()]
    if recurrent:
        halves_x = halves_x[:_TRIED_X]  # its order is free: the shortest, lest slices need longer
    chosen = None
    for x in halves_x:
        for h in halves_h:
            plan = _unhurried(config, TilePlan(x, h, SCHEDULES[schedule]))
            end, _ = layer_cycles(config, TileLayer(plan, inputs, units, steps, gru, wide))
            key = (end, len(x) + len(h))
            if chosen is None or key < chosen[0]:
                chosen = key, plan
    assert chosen is not None
    return chosen[1]


def _unhurried(config: TileConfig, plan: TilePlan) -> TilePlan:
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
