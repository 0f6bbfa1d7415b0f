"""`sparnn bench`: one command per comparison; what is measured is in docs/measures.md.

Each command draws its workload, runs it on the RTL, prints one table and writes a list of objects,
one per point, as JSON.
"""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from sparnn.gen.bench.points import gather, publish, spread
from sparnn.gen.errors import SparnnError
from sparnn.gen.output.json_output import check_json

from .options import Json, Scheduler, Workers, within

__all__ = [
    "Balance",
    "HiddenDensity",
    "HiddenUnits",
    "InputDensity",
    "LaneCounts",
    "ListCommand",
    "Schedule",
    "Seed",
    "Steps",
    "WeightDensity",
    "WeightSpread",
    "bench_app",
]

# Defaults; typer copies them.
_MASR_MACS, _EIE_LANES = [64, 256, 1024], [128, 256, 512]
_ENCODING_LANES = [32, 64, 128, 256, 512, 1024]
_FIFO_DEPTHS = [1, 2, 4, 8, 16]

bench_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Measure the hardware in simulation: figures against the published machines.",
)


class ListCommand(TyperCommand):
    """Takes several values behind one option: ``--lanes 64 256`` as ``--lanes 64 --lanes 256``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        lists = {
            name
            for parameter in self.get_params(ctx)
            if getattr(parameter, "multiple", False)
            for name in parameter.opts
        }
        return super().parse_args(ctx, _repeated(args, lists))


def _repeated(args: Sequence[str], lists: set[str]) -> list[str]:
    repeated: list[str] = []
    current, first = "", False
    for arg in args:
        if arg.startswith("--"):
            current, first = (arg if arg in lists else ""), True
        elif current:
            if not first:
                repeated.append(current)
            first = False
        repeated.append(arg)
    return repeated


class Balance(StrEnum):
    """How rows and columns are dealt to the lanes."""

    STATIC = "static"
    NONE = "none"


class Schedule(StrEnum):
    """In which order the halves of the steps run; only ``interleaved`` mixes two directions."""

    INTERLEAVED = "interleaved"
    UNFOLDED = "unfolded"
    INTERGATE = "intergate"


Directions = Annotated[
    int,
    typer.Option(
        callback=within(1, 2), metavar="1|2", help="Of the layer; two are added, as MASR does."
    ),
]
V = Annotated[
    int | None,
    typer.Option("--v", metavar="V", help="Lanes per row instead of the compiler's choice."),
]
PostUnits = Annotated[
    int | None,
    typer.Option("--post-units", metavar="P", help="Clusters, each with a post unit."),
]
Chunk = Annotated[
    int | None, typer.Option(metavar="C", help="Mask bits that a lane of ours reads at once.")
]
LaneCounts = Annotated[
    list[int],
    typer.Option(
        "--lanes", callback=within(1, 1024), metavar="N...", help="Lanes of each machine."
    ),
]
HiddenUnits = Annotated[
    int,
    typer.Option(
        "--hidden", callback=within(1, 8192), metavar="H", help="Units of the layer, and inputs."
    ),
]
WeightDensity = Annotated[
    float,
    typer.Option(callback=within(0, 1), metavar="D", help="Share of the weights that is kept."),
]
HiddenDensity = Annotated[
    float,
    typer.Option(callback=within(0, 1), metavar="D", help="Share of the state that is not 0."),
]
InputDensity = Annotated[
    float,
    typer.Option(callback=within(0, 1), metavar="D", help="Share of the inputs that is not 0."),
]
WeightSpread = Annotated[
    float,
    typer.Option(
        callback=within(0, 2),
        metavar="S",
        help="How uneven rows and columns of weights are; a trained network: 0.3.",
    ),
]
Steps = Annotated[
    int, typer.Option(callback=within(1, 1 << 16), metavar="T", help="Time steps of the sequence.")
]
Seed = Annotated[
    int, typer.Option(callback=within(0, 2**32 - 1), metavar="S", help="Of weights and inputs.")
]
Plot = Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the points: .svg or .png.")]


@bench_app.command("masr", cls=ListCommand)
def masr_command(
    lanes: Annotated[
        list[int] | None,
        typer.Option(
            callback=within(1, 1024),
            metavar="N...",
            help="Lanes of each machine; by default of 64, 256 and 1,024 multipliers.",
        ),
    ] = None,
    width: Annotated[
        int,
        typer.Option(
            callback=within(1, 16), metavar="K", help="Rows that a lane works on at once."
        ),
    ] = 1,
    masks: Annotated[
        bool, typer.Option("--masks/--no-masks", help="Masks of weights, or every column is one.")
    ] = True,
    block: Annotated[
        int,
        typer.Option(callback=within(1, 64), metavar="R", help="Rows that are pruned together."),
    ] = 1,
    hidden: HiddenUnits = 800,
    weight_density: WeightDensity = 0.33,
    hidden_density: HiddenDensity = 0.2,
    input_density: InputDensity = 0.4,
    steps: Steps = 333,
    seed: Seed = 0,
    directions: Directions = 2,
    v: V = None,
    chunk: Chunk = None,
    queue: Annotated[
        int | None, typer.Option(metavar="N", help="Partial sums that a lane may hold.")
    ] = None,
    packed_store: Annotated[
        bool,
        typer.Option(
            "--packed-store", help="The store keeps masks and non-zero values, not whole words."
        ),
    ] = False,
    balance: Annotated[
        Balance, typer.Option(help="How rows and columns are dealt: evened, or as they come.")
    ] = Balance.STATIC,
    rotate: Annotated[
        bool,
        typer.Option(
            "--rotate/--no-rotate", help="Halves go on dealing where the one before stopped."
        ),
    ] = True,
    post_units: PostUnits = None,
    sharing: Annotated[
        bool | None,
        typer.Option(
            "--sharing/--no-sharing",
            help="A lane without work takes its neighbour's; by default on large machines.",
        ),
    ] = None,
    schedule: Annotated[
        Schedule,
        typer.Option(
            help="Order of the halves of the steps: both directions in turn (of one direction, the "
            "same as unfolded); one direction after the other; without running ahead either."
        ),
    ] = Schedule.INTERLEAVED,
    split_scales: Annotated[
        bool | None,
        typer.Option(
            help="Scales for both signs; by default where lanes have one row and its masks."
        ),
    ] = None,
    json: Json = None,
    plot: Plot = None,
    workers: Workers = 1,
    scheduler: Scheduler = None,
) -> None:
    """MASR's layer on machines of several sizes: cycles, utilization, where the slots go."""
    from sparnn.gen.bench.masr import MasrOptions, masr_points
    from sparnn.gen.bench.masr_plot import plot_utilization
    from sparnn.gen.synth.plot import check_plot

    check_json(json)
    if plot is not None:
        check_plot(plot)
    points = spread(
        masr_points,
        lanes or [macs // width for macs in _MASR_MACS],
        MasrOptions(
            width=width,
            masks=masks,
            v=v,
            chunk=chunk,
            queue=queue,
            packed_store=packed_store,
            balance=balance is Balance.STATIC,
            rotate=rotate,
            sharing=sharing,
            post_units=post_units,
            interleave=schedule is Schedule.INTERLEAVED,
            unfolded=schedule is not Schedule.INTERGATE,
            split_scales=split_scales,
        ),
        hidden=hidden,
        weight_density=weight_density,
        hidden_density=hidden_density,
        input_density=input_density,
        steps=steps,
        seed=seed,
        directions=directions,
        block=block,
        workers=workers,
        scheduler=scheduler,
    )
    settings = {
        "block": block,
        "balance": balance.value,
        "rotate": rotate,
        "schedule": schedule.value,
    }
    rows = gather((point | settings for point in points), json)
    if plot is not None:
        plot_utilization(rows, plot)
    publish("MASR's layer", rows, json)


@bench_app.command("encodings", cls=ListCommand)
def encodings_command(
    lanes: LaneCounts = _ENCODING_LANES,
    hidden: HiddenUnits = 800,
    weight_density: WeightDensity = 0.33,
    seed: Seed = 0,
    json: Json = None,
    plot: Plot = None,
) -> None:
    """Bits of MASR's weights in all lanes, as masks and as zero runs with column pointers."""
    from dataclasses import asdict

    from sparnn.gen.bench.encodings import encoding_points
    from sparnn.gen.bench.masr_plot import plot_encodings
    from sparnn.gen.bench.workload import masr_workload
    from sparnn.gen.synth.plot import check_plot

    check_json(json)
    if plot is not None:
        check_plot(plot)
    workload = masr_workload(hidden=hidden, weight_density=weight_density, steps=16, seed=seed)
    rows = [asdict(point) for point in encoding_points(workload, lanes)]
    if plot is not None:
        plot_encodings(rows, plot)
    publish("Weights in bits", rows, json)


@bench_app.command("eie", cls=ListCommand)
def eie_command(
    lanes: LaneCounts = _EIE_LANES,
    hidden: HiddenUnits = 800,
    weight_density: WeightDensity = 0.33,
    hidden_density: HiddenDensity = 0.2,
    input_density: InputDensity = 0.4,
    steps: Steps = 333,
    seed: Seed = 0,
    directions: Directions = 2,
    v: V = None,
    chunk: Chunk = None,
    post_units: PostUnits = None,
    interleave: Annotated[
        bool,
        typer.Option(
            "--interleave/--no-interleave",
            help="Directions of ours take turns, with copies of both vectors; or one by one.",
        ),
    ] = True,
    weight_spread: WeightSpread = 0.0,
    stored_steps: Annotated[
        int,
        typer.Option(
            callback=within(1, 1 << 16),
            metavar="T",
            help="Steps that the memories hold, at least; MASR holds 333.",
        ),
    ] = 333,
    areas: Annotated[
        bool, typer.Option("--areas/--no-areas", help="Synthesize as well (`make liberty`).")
    ] = True,
    json: Json = None,
) -> None:
    """Ours, EIE and ESE on the same integers: cycles, utilization, memory bits, areas."""
    check_json(json)
    _check_powers_of_two(lanes)
    from dataclasses import replace

    from sparnn.gen.bench.eie import EIE_OPTIONS, compare, prepare
    from sparnn.gen.bench.workload import masr_workload

    workload = masr_workload(
        hidden=hidden,
        weight_density=weight_density,
        hidden_density=hidden_density,
        input_density=input_density,
        steps=steps,
        seed=seed,
        weight_spread=weight_spread,
        directions=directions,
    )
    comparison = prepare(workload, seed, stored_steps)
    options = replace(EIE_OPTIONS, v=v, chunk=chunk, post_units=post_units, interleave=interleave)
    compared = compare(comparison, lanes, options, areas=areas)
    points = gather((point.as_dict() for point in compared), json)
    publish("EIE, ours and ESE on MASR's layer", points, json)


@bench_app.command("eie-fifo", cls=ListCommand)
def eie_fifo_command(
    depths: Annotated[
        list[int],
        typer.Option(callback=within(1, 256), metavar="N...", help="Depths of the queues."),
    ] = _FIFO_DEPTHS,
    lanes: Annotated[
        int, typer.Option(callback=within(4, 1024), metavar="N", help="Processing elements.")
    ] = 64,
    hidden: HiddenUnits = 4096,
    inputs: Annotated[
        int,
        typer.Option(
            callback=within(1, 8192),
            metavar="N",
            help="Columns; fewer than fc7's 4096 balance alike and load sooner.",
        ),
    ] = 512,
    weight_density: WeightDensity = 0.09,
    input_density: InputDensity = 0.353,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """EIE on a layer like AlexNet's fc7 with queues of several depths: its own figure 8."""
    check_json(json)
    _check_powers_of_two([lanes])
    from dataclasses import asdict

    from sparnn.gen.bench.eie import fifo_points

    points = fifo_points(
        depths,
        lanes=lanes,
        hidden=hidden,
        inputs=inputs,
        weight_density=weight_density,
        input_density=input_density,
        seed=seed,
    )
    publish("EIE's queues", [asdict(point) for point in points], json)


def _check_powers_of_two(lanes: Sequence[int]) -> None:
    for count in lanes:
        if count < 4 or count & (count - 1):
            raise SparnnError(
                f"--lanes {count}: EIE's tree needs a power of two from 4 to 1024; the nearest is "
                f"{max(4, 1 << (count.bit_length() - 1))}"
            )
