"""SHARP's measure: utilization of dense machines over hidden sizes (`sparnn bench sharp`).

One emitted machine runs all its points: a point changes program and weights only. Utilization is
that of docs/measures.md for dense runs: true rows × columns over MAC units × cycles.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.dense.pack import packed_lanes
from sparnn.gen.machines.dense.place import place
from sparnn.gen.machines.dense.presets import SHARP_SIZES, dense_preset
from sparnn.gen.machines.dense.tiles import Exploration, explore, tile_layer, tile_shape
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.dense.config import DenseConfig
from sparnn.sim.cycles.dense import network_cycles
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.plan import SCHEDULES, TilePlan
from sparnn.sim.network.network import GATES, IntegerLayer, IntegerNetwork
from sparnn.sim.session.compare import mismatches
from sparnn.sim.verilator.hardware import DriverRun, run_sequences

__all__ = [
    "EPUR_GROUPS",
    "PAPER_UTILIZATION",
    "SharpPoint",
    "dense_network",
    "machine_of",
    "model_point",
    "padding_points",
    "schedule_points",
    "sharp_points",
    "simulated",
]

#: Passes of a step that the machines of block-sparse points have masks for.
_MASK_DEPTH = 512

#: Published means over SHARP's hidden sizes (arXiv 1911.01258, section 8): SHARP (derived from the
#: speedups but for the first and the last) and E-PUR.
PAPER_UTILIZATION = {
    1024: {"sharp": 0.98, "epur": 0.95},
    4096: {"sharp": 0.95, "epur": 0.74},
    16384: {"sharp": 0.78, "epur": 0.49},
    65536: {"sharp": 0.50, "epur": 0.24},
}


@dataclass(frozen=True)
class SharpPoint:
    """One layer on one machine; utilization and bound count all its directions and streams.

    Members
    -------
    tile: rows × columns of each phase, input half / hidden half.
    bit_exact: every output of every step and the final state; None where the model alone ran.
    cycles: from RUN to the last output.
    cycles_per_step: divided among the streams.
    bound_cycles_per_step: max(all MACs / units, hidden half / units + tail), the tail being that of
        this machine, which streams share.
    model_cycles: the cycle model's.
    """

    macs: int
    hidden: int
    cell: str
    directions: int
    streams: int
    density: float
    tile: str
    schedule: str
    steps: int
    seed: int
    bit_exact: bool | None
    cycles: int
    cycles_per_step: float
    utilization: float
    bound_cycles_per_step: float
    model_cycles: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON; without ``bit_exact`` where nothing was compared."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def machine_of(macs: int) -> DenseConfig:
    """The preset with so many MAC units."""
    if macs == 3072 * 32:
        return dense_preset("bw96k")
    if macs not in SHARP_SIZES:
        sizes = ", ".join(str(size) for size in (*SHARP_SIZES, 3072 * 32))
        raise SparnnError(f"there is no machine of {macs} MAC units; choose from {sizes}")
    return dense_preset(SHARP_SIZES[macs])


def dense_network(
    rng: np.random.Generator,
    cell: str,
    hidden: int,
    directions: int = 1,
    *,
    inputs: int = 0,
    density: float = 1,
    block: int = 1,
) -> IntegerNetwork:
    """One layer of random full-range weights, no zeros to speak of.

    Parameters
    ----------
    inputs: as many as units if 0.
    density: share of the blocks that is not zero; a block is one column of all gates of so many
        neighbouring neurons.
    """
    gates = GATES[cell]
    halves = ("x",) if cell == "linear" else ("x", "h")
    columns = {"x": inputs or hidden, "h": hidden}
    shift = 12 + int(np.log2(hidden)) // 2 + 7
    layers = []
    for reverse in (False, True)[:directions]:
        fields: dict[str, Any] = dict.fromkeys(("w_h", "mult_h", "shift_h", "bias_h"))
        for half in halves:
            width = columns[half]
            kept = rng.random((ceil_div(hidden, block), width)) < density if density < 1 else True
            fields |= {
                f"w_{half}": rng.integers(-127, 128, (gates, hidden, width))
                * (kept if kept is True else np.repeat(kept, block, axis=0)[:hidden]),
                f"mult_{half}": rng.integers(16384, 32768, (gates, hidden)),
                f"shift_{half}": np.full((gates, hidden), shift),
                f"bias_{half}": rng.integers(-2000, 2000, (gates, hidden)),
            }
        layers.append(
            IntegerLayer(
                name=f"{cell}{' back' if reverse else ''}",
                kind=cell,
                activation={"rnn": "tanh", "linear": "identity"}.get(cell, ""),
                f_x=7,
                f_pre=11,
                f_state=12 if cell in ("lstm", "gru") else 0,
                f_out=11 if cell == "linear" else 7,
                out_bits=16 if cell == "linear" else 8,
                reverse=reverse,
                join="concat" if reverse else "",
                **fields,
            )
        )
    return IntegerNetwork(tuple(layers), 8, 8)


def model_point(
    config: DenseConfig,
    network: IntegerNetwork,
    plan: TilePlan,
    steps: int,
    seed: int,
    streams: int = 1,
) -> SharpPoint:
    """A point by the cycle model alone; ``cycles`` are the model's."""
    layer, directions = network.layers[0], len(network.layers)
    run = replace(tile_layer(config, layer, plan, steps), paired=directions > 1, streams=streams)
    if config.mask_depth:
        places = np.arange(layer.inputs)
        packed = [packed_lanes(config, one, plan, places) for one in network.layers]
        lengths = [int(length) for one in packed for length in one.lengths]
        run = replace(run, lengths=tuple(lengths))
    cycles = network_cycles(config, [run])
    hidden = layer.gates * layer.units * layer.units
    true = (layer.gates * layer.units * layer.inputs + hidden) * directions
    if config.mask_depth:
        counts = [
            [0 if half is None else int(np.count_nonzero(half)) for half in (one.w_x, one.w_h)]
            for one in network.layers
        ]
        hidden, true = counts[0][1], sum(map(sum, counts))
    return SharpPoint(
        macs=config.mac_units,
        hidden=layer.units,
        cell=layer.kind,
        directions=directions,
        streams=streams,
        density=true / directions / (layer.gates * layer.units * (layer.inputs + layer.units)),
        tile=" / ".join(
            " + ".join(f"{one.passes} of {tile_shape(config, one)}" for one in half)
            for half in (plan.x, plan.h)
        ),
        schedule=plan.order.schedule,
        steps=steps,
        seed=seed,
        bit_exact=None,
        cycles=cycles,
        cycles_per_step=cycles / steps / streams,
        utilization=true * steps * streams / (config.mac_units * cycles),
        bound_cycles_per_step=max(
            true / config.mac_units,
            (hidden / config.mac_units + config.tail(layer.kind == "gru") - 1) / streams,
        ),
        model_cycles=cycles,
    )


def sharp_points(
    macs: Sequence[int],
    hidden: Sequence[int],
    *,
    cell: str = "lstm",
    directions: int = 1,
    density: float = 1,
    streams: int = 1,
    schedule: str = "unfolded",
    steps: int = 25,
    seed: int = 0,
    fixed: int | None = None,
    reconfigure: bool = True,
    simulate: bool = True,
) -> list[SharpPoint]:
    """Every hidden size on every machine, RTL against the golden model.

    Parameters
    ----------
    directions: 2: a bidirectional layer, whose directions take turns.
    density: below 1, of blocks of K rows of a column, on a machine with masks; its points count
        the weights that are not zero.
    streams: sequences that take turns, on a machine with memories for so many.
    fixed, reconfigure: see :class:`~sparnn.gen.machines.dense.tiles.Exploration`.
    simulate: False: by the cycle model alone.

    Raises
    ------
    SparnnError: no such machine, or a layer that it does not hold.
    """
    points = []
    for size in macs:
        config = machine_of(size)
        if density < 1:
            config = replace(config, mask_depth=_MASK_DEPTH)
        if streams > 1:
            config = _for_streams(config, streams)
        cases = []
        for units in hidden:
            rng = np.random.default_rng([seed, units])
            network = dense_network(
                rng, cell, units, directions, density=density, block=config.cells
            )
            x = rng.integers(-128, 128, (streams, steps, units))
            plan = explore(
                config,
                network.layers[0],
                Exploration(schedule=schedule, fixed=fixed, reconfigure=reconfigure, steps=steps),
                paired=directions > 1,
                streams=streams,
            )
            point = model_point(config, network, plan, steps, seed, streams)
            cases.append((network, x, plan, point))
        if simulate:
            points += simulated(config, cases)
        else:
            points += [point for *_, point in cases]
    return points


def _for_streams(config: DenseConfig, streams: int) -> DenseConfig:
    """With memories for the hidden states of so many streams."""
    return replace(
        config,
        streams=streams,
        columns=config.columns * (2 if streams == 2 else 4),
        state_depth=config.state_depth * streams,
        store_depth=config.store_depth * streams,
    )


@cache
def _verilog(config: DenseConfig) -> str:
    return kept_verilog(config)


def simulated(
    config: DenseConfig,
    cases: Sequence[tuple[IntegerNetwork, npt.NDArray[np.int64], TilePlan, SharpPoint]],
    *,
    verilog: Callable[[DenseConfig], str] = _verilog,
    drivers: list[DriverRun] | None = None,
) -> list[SharpPoint]:
    """The points with the RTL's cycles, compared with the golden model.

    Parameters
    ----------
    cases: network, inputs [streams, steps, inputs], plan of its layers, and the model's point.
    verilog: of the machine; gen/energy has others that count.
    drivers: takes what the driver reported of each case.
    """
    points = []
    with tempfile.TemporaryDirectory(prefix="sparnn-bench-") as name:
        folder = Path(name)
        (folder / "sparnn.v").write_text(verilog(config), encoding="utf-8")
        for network, x, plan, point in cases:
            last = len(network.layers) - 1
            outputs = [{"layer": last, "what": "sequence"}]
            if network.layers[0].kind in ("lstm", "gru"):
                outputs.append({"layer": last, "what": "state_c"})
            plans = [plan] * len(network.layers)
            streams = len(x)
            placed = place(network, config, outputs, plans=plans, streams=streams)
            program = placed.program
            (folder / "image.bin").write_bytes(placed.image.astype("<u4").tobytes())
            results, driver = run_sequences(folder, program, [(one, {}) for one in x])
            if drivers is not None:
                drivers.append(driver)
            different, _ = mismatches(program, results, [run_network(network, one) for one in x])
            cycles = sum(result.cycles for result in results)
            points.append(
                replace(
                    point,
                    bit_exact=different == 0,
                    cycles=cycles,
                    cycles_per_step=cycles / point.steps / streams,
                    utilization=point.utilization * point.cycles / cycles,
                )
            )
    return points


#: Row groups of the E-PUR baseline's one tile: the fewest, since its units are dot products over
#: the columns.
EPUR_GROUPS = 1


def schedule_points(
    macs: Sequence[int],
    hidden: Sequence[int],
    *,
    cell: str,
    steps: int,
    seed: int,
    simulate: bool,
) -> list[dict[str, Any]]:
    """Each size under each schedule; ``epur`` is intergate with one fixed tile."""
    points: list[dict[str, Any]] = []
    cases = [(name, name, None) for name in SCHEDULES] + [("epur", "intergate", EPUR_GROUPS)]
    for size in macs:
        for name, schedule, fixed in cases:
            for point in sharp_points(
                [size],
                hidden,
                cell=cell,
                schedule=schedule,
                steps=steps,
                seed=seed,
                fixed=fixed,
                simulate=simulate,
            ):
                paper = PAPER_UTILIZATION.get(size, {})
                published = {"unfolded": paper.get("sharp"), "epur": paper.get("epur")}.get(name)
                points.append(point.as_dict() | {"schedule": name, "published_mean": published})
    return points


def padding_points(
    macs: Sequence[int],
    hidden: Sequence[int],
    *,
    cell: str,
    steps: int,
    seed: int,
    simulate: bool,
) -> list[dict[str, Any]]:
    """Cycles with the best single tile and with tiles that change, and the gain."""
    points = []
    for size in macs:
        fits = [h for h in hidden if h <= machine_of(size).columns * machine_of(size).bank_lanes]
        runs = [
            sharp_points(
                [size],
                fits,
                cell=cell,
                steps=steps,
                seed=seed,
                reconfigure=reconfigure,
                simulate=simulate,
            )
            for reconfigure in (False, True)
        ]
        for fixed, changed in zip(*runs, strict=True):
            exact = [one.bit_exact for one in (fixed, changed) if one.bit_exact is not None]
            points.append(
                {
                    "macs": size,
                    "hidden": changed.hidden,
                    "fixed_cycles": fixed.cycles,
                    "reconfigured_cycles": changed.cycles,
                    "gain": fixed.cycles / changed.cycles,
                    "fixed_tile": fixed.tile,
                    "reconfigured_tile": changed.tile,
                    **({"bit_exact": all(exact)} if exact else {}),
                }
            )
    return points
