"""SHARP's networks and BrainWave's shapes on the dense machines (`sparnn bench networks`)."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from sparnn.gen.machines.dense.presets import SHARP_SIZES, dense_preset
from sparnn.gen.machines.dense.tiles import Exploration, LayerShape, explore_shape
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.dense.config import DenseConfig
from sparnn.sim.cycles.dense import TileLayer, network_cycles
from sparnn.sim.host.plan import TilePlan
from sparnn.sim.network.network import GATES

from .sharp import EPUR_GROUPS, dense_network, machine_of, model_point, simulated

__all__ = ["BRAINWAVE", "BRAINWAVE_GROUPS", "brainwave_points", "network_points", "shape_plan"]

#: Network -> layers of (inputs, units, directions); steps; SHARP's published speedup over E-PUR at
#: 1K, 4K, 16K, 64K MACs. The networks' own inputs are narrower or wider than their hidden size by
#: little; as in the paper's experiments inputs = units, but for the layers behind a bidirectional
#: one, which read both directions.
NETWORKS: dict[str, tuple[list[tuple[int, int, int]], int, tuple[float, float, float, float]]] = {
    "EESEN": ([(340, 340, 2)] + [(680, 340, 2)] * 4, 500, (1.07, 1.25, 1.68, 1.9)),
    "GMAT": ([(1024, 1024, 1)] * 17, 75, (1.01, 1.51, 1.53, 1.66)),
    "BYSDNE": ([(340, 340, 1)] * 5, 30, (1.05, 1.24, 1.8, 2.22)),
    "RLDRADSPR": ([(1024, 1024, 1)] * 10, 400, (1.03, 1.11, 1.45, 2.3)),
}


def network_points(
    macs: Sequence[int], *, simulate: bool = False, seed: int = 0
) -> list[dict[str, Any]]:
    """SHARP's four networks: ours against the E-PUR baseline.

    Two directions take turns in ours, and come one after the other in the baseline and in
    ``cycles_apart``.

    Parameters
    ----------
    simulate: the RTL as well, each layer in a run of its own: ``rtl_cycles`` and ``bit_exact``.
        Equal layers take the same cycles and are simulated once.
    """
    points = []
    for size in macs:
        config = machine_of(size)
        measured = _simulated_shapes(config, seed) if simulate else {}
        for name, (shapes, steps, published) in NETWORKS.items():
            ours, apart = (
                _network_cycles(config, shapes, steps, in_turn=in_turn) for in_turn in (True, False)
            )
            epur = _network_cycles(config, shapes, steps, schedule="intergate", fixed=EPUR_GROUPS)
            true = sum(4 * units * (inputs + units) * both for inputs, units, both in shapes)
            paper = dict(zip(SHARP_SIZES, published, strict=True)).get(size)
            points.append(
                {
                    "network": name,
                    "macs": size,
                    "steps": steps,
                    "cycles": ours,
                    "cycles_apart": apart,
                    "epur_cycles": epur,
                    "utilization": true * steps / (size * ours),
                    "epur_utilization": true * steps / (size * epur),
                    "speedup": epur / ours,
                    "published_speedup": paper,
                    **_rtl([measured[shape, steps] for shape in shapes] if simulate else []),
                }
            )
    return points


Shape = tuple[int, int, int]


def _rtl(layers: Sequence[tuple[int, bool]]) -> dict[str, Any]:
    if not layers:
        return {}
    return {
        "rtl_cycles": sum(cycles for cycles, _ in layers),
        "bit_exact": all(exact for _, exact in layers),
    }


def _simulated_shapes(config: DenseConfig, seed: int) -> dict[tuple[Shape, int], tuple[int, bool]]:
    """Cycles of each different layer of all networks on one machine, and whether it was exact."""
    runs = {(shape, steps): 0 for shapes, steps, _ in NETWORKS.values() for shape in shapes}
    cases = []
    for (inputs, units, directions), steps in runs:
        places = _places(config, inputs, units)
        paired = directions > 1
        plan = shape_plan(config, places, units, min(steps, 50), "lstm", "unfolded", None, paired)
        rng = np.random.default_rng([seed, units, inputs])
        network = dense_network(rng, "lstm", units, directions, inputs=places)
        x = rng.integers(-128, 128, (1, steps, places))
        cases.append((network, x, plan, model_point(config, network, plan, steps, seed)))
    # The presets hold a few dozen steps; here a sequence is one run.
    words = max(
        steps * ceil_div(width, config.word)
        for (inputs, units, directions), steps in runs
        for width in [_places(config, inputs, units) + directions * (units + config.word)]
    )
    depth = max(config.store_depth, 1 << words.bit_length())
    points = simulated(replace(config, store_depth=depth), cases)
    return {
        run: (point.cycles, bool(point.bit_exact)) for run, point in zip(runs, points, strict=True)
    }


def _places(config: DenseConfig, inputs: int, units: int) -> int:
    """Columns of a layer's input: behind two directions each begins with a broadcast word."""
    return 2 * ceil_div(units, config.word) * config.word if inputs > units else inputs


def _network_cycles(
    config: DenseConfig,
    shapes: Sequence[tuple[int, int, int]],
    steps: int,
    *,
    in_turn: bool = False,
    **options: Any,
) -> int:
    total = 0
    for inputs, units, directions in shapes:
        places = _places(config, inputs, units)
        paired = in_turn and directions > 1
        one = _shape_cycles(config, places, units, steps, paired=paired, **options)
        total += one * (1 if paired else directions)
    return total


def _shape_cycles(
    config: DenseConfig,
    inputs: int,
    units: int,
    steps: int,
    *,
    kind: str = "lstm",
    schedule: str = "unfolded",
    fixed: int | None = None,
    paired: bool = False,
) -> int:
    plan = shape_plan(config, inputs, units, min(steps, 50), kind, schedule, fixed, paired)
    layer = TileLayer(plan, inputs, units, steps, kind, paired=paired)
    return network_cycles(config, [layer])


@cache
def shape_plan(
    config: DenseConfig,
    inputs: int,
    units: int,
    steps: int,
    kind: str,
    schedule: str,
    fixed: int | None,
    paired: bool,
    wide: bool = False,
) -> TilePlan:
    """The best tiles of a layer, on a machine with memory for its columns. ``wide``: its outputs
    have more bits than activations."""
    columns = max(config.columns, ceil_div(max(inputs, units), config.bank_lanes))
    return explore_shape(
        replace(config, columns=columns),
        LayerShape(inputs=inputs, units=units, kind=kind, paired=paired, wide=wide),
        Exploration(schedule=schedule, fixed=fixed, steps=steps),
    )


#: Row groups of the BrainWave baseline's one tile: 256 rows x 384 columns.
BRAINWAVE_GROUPS = 8
#: MAC units of BrainWave, by which its published utilization counts.
_BRAINWAVE_MACS = 96000

#: (cell, hidden, steps) -> cycles per step: BrainWave's published ones, SHARP's, asked of us.
BRAINWAVE: dict[tuple[str, int, int], tuple[int, int | None, int | None]] = {
    ("lstm", 256, 150): (708, 131, 45),
    ("lstm", 512, 25): (770, 216, 65),
    ("lstm", 1024, 25): (740, 400, 105),
    ("lstm", 1536, 50): (725, 419, 205),
    ("lstm", 2048, 25): (740, None, None),
    ("gru", 1024, 1500): (632, None, None),
    ("gru", 1536, 375): (634, None, None),
    ("gru", 2048, 375): (636, None, None),
    ("gru", 2816, 750): (662, None, None),
}


def brainwave_points() -> list[dict[str, Any]]:
    """BrainWave's shapes on 96K MAC units, and the baseline of it, by the cycle model.

    BrainWave's published cycles are its latency at 250 MHz (docs/dense.md).
    """
    ours, baseline = dense_preset("bw96k"), dense_preset("brainwave")
    points = []
    for (kind, units, steps), (published, sharp, asked) in BRAINWAVE.items():
        cycles = _shape_cycles(ours, units, units, steps, kind=kind)
        slow = _shape_cycles(
            baseline,
            units,
            units,
            steps,
            kind=kind,
            schedule="sequential",
            fixed=BRAINWAVE_GROUPS,
        )
        macs = 2 * GATES[kind] * units * units
        points.append(
            {
                "network": f"{kind.upper()} {units}",
                "macs": ours.mac_units,
                "steps": steps,
                "cycles": cycles,
                "cycles_per_step": cycles / steps,
                "asked_cycles_per_step": asked,
                "sharp_cycles_per_step": sharp,
                "brainwave_baseline_cycles_per_step": slow / steps,
                "brainwave_published_cycles_per_step": published,
                "utilization": macs * steps / (ours.mac_units * cycles),
                "brainwave_baseline_utilization": macs * steps / (baseline.mac_units * slow),
                "brainwave_published_utilization": macs / (_BRAINWAVE_MACS * published),
            }
        )
    return points
