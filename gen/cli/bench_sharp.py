"""`sparnn bench sharp`, `schedules`, `padding`, `networks`, `reload`: the dense machines."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sparnn.gen.bench.points import gather, publish, spread
from sparnn.gen.output.json_output import check_json

from .bench import ListCommand, Seed, Steps, bench_app
from .options import Json, Scheduler, Workers, within

__all__ = [
    "bench_app",
    "networks_command",
    "padding_command",
    "reload_command",
    "schedules_command",
    "sharp_command",
]


class TileSchedule(StrEnum):
    """In which order gates, halves and steps run."""

    SEQUENTIAL = "sequential"
    BATCH = "batch"
    INTERGATE = "intergate"
    UNFOLDED = "unfolded"


class Cell(StrEnum):
    """Of the layer."""

    LSTM = "lstm"
    GRU = "gru"
    RNN = "rnn"


MacCounts = Annotated[
    list[int],
    typer.Option("--macs", metavar="N...", help="MAC units: 1024, 4096, 16384, 65536, 98304."),
]
HiddenSizes = Annotated[
    list[int],
    typer.Option(
        "--hidden", callback=within(1, 1536), metavar="H...", help="Units, and as many inputs."
    ),
]
CellOption = Annotated[Cell, typer.Option(help="Kind of the layer.")]
Simulate = Annotated[
    bool, typer.Option("--rtl/--model", help="Simulate, or ask the cycle model alone.")
]

Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw the points as well, as SVG or PNG."),
]

_SIZES = [1024, 4096, 16384, 65536]
_HIDDEN = [256, 340, 512, 1024]
_ODD_HIDDEN = [64, 100, 170, 256, 340, 450, 512, 700, 1000, 1024]


@bench_app.command("sharp", cls=ListCommand)
def sharp_command(
    macs: MacCounts = _SIZES,
    hidden: HiddenSizes = _HIDDEN,
    schedule: Annotated[TileSchedule, typer.Option(help="Order of gates and halves.")] = (
        TileSchedule.UNFOLDED
    ),
    cell: CellOption = Cell.LSTM,
    directions: Annotated[
        int, typer.Option(min=1, max=2, help="2: forwards and backwards, in turn.")
    ] = 1,
    streams: Annotated[
        int, typer.Option(min=1, max=4, help="Sequences that take turns on the same weights.")
    ] = 1,
    density: Annotated[
        float,
        typer.Option(
            callback=within(0.01, 1),
            help="Share of the blocks of K rows of a column that is kept; below 1: with masks.",
        ),
    ] = 1.0,
    steps: Steps = 25,
    seed: Seed = 0,
    rtl: Simulate = True,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    json: Json = None,
) -> None:
    """SHARP's measure: utilization of the dense machines over hidden sizes."""
    from sparnn.gen.bench.sharp import sharp_points

    check_json(json)
    points = spread(
        sharp_points,
        macs,
        hidden,
        cell=cell.value,
        directions=directions,
        density=density,
        streams=streams,
        schedule=schedule.value,
        steps=steps,
        seed=seed,
        simulate=rtl,
        workers=workers,
        scheduler=scheduler,
    )
    publish("Dense machines", gather(points, json), json)


@bench_app.command("schedules", cls=ListCommand)
def schedules_command(
    macs: MacCounts = _SIZES,
    hidden: HiddenSizes = _HIDDEN,
    cell: CellOption = Cell.LSTM,
    steps: Steps = 25,
    seed: Seed = 0,
    rtl: Simulate = False,
    json: Json = None,
    plot: Plot = None,
) -> None:
    """The four schedules on the same machines, with E-PUR's one fixed tile beside them."""
    from sparnn.gen.bench.sharp import schedule_points
    from sparnn.gen.synth.plot import check_plot

    check_json(json)
    if plot is not None:
        check_plot(plot)
    points = schedule_points(macs, hidden, cell=cell.value, steps=steps, seed=seed, simulate=rtl)
    if plot is not None:
        from sparnn.gen.bench.sharp_plot import plot_schedules

        plot_schedules(points, plot)
    publish("Schedules", points, json)


@bench_app.command("padding", cls=ListCommand)
def padding_command(
    macs: MacCounts = _SIZES,
    hidden: HiddenSizes = _ODD_HIDDEN,
    cell: CellOption = Cell.LSTM,
    steps: Steps = 25,
    seed: Seed = 0,
    rtl: Simulate = False,
    json: Json = None,
    plot: Plot = None,
) -> None:
    """One tile for all rows of a layer against tiles that change on the last row segments."""
    from sparnn.gen.bench.sharp import padding_points
    from sparnn.gen.synth.plot import check_plot

    check_json(json)
    if plot is not None:
        check_plot(plot)
    points = padding_points(macs, hidden, cell=cell.value, steps=steps, seed=seed, simulate=rtl)
    if plot is not None:
        from sparnn.gen.bench.sharp_plot import plot_padding

        plot_padding(points, plot)
    publish("Padding", points, json)


@bench_app.command("networks", cls=ListCommand)
def networks_command(
    macs: MacCounts = _SIZES, seed: Seed = 0, rtl: Simulate = False, json: Json = None
) -> None:
    """SHARP's networks against E-PUR's schedule, BrainWave's shapes against it.

    With --rtl the layers of SHARP's networks are simulated and compared as well.
    """
    from sparnn.gen.bench.networks import brainwave_points, network_points

    check_json(json)
    points = network_points(macs, simulate=rtl, seed=seed)
    publish("Networks", points + brainwave_points(), json)


@bench_app.command("reload")
def reload_command(
    macs: Annotated[int, typer.Option(help="MAC units of the machine.")] = 4096,
    most: Annotated[int, typer.Option(min=8, max=1536, help="Units of the largest network.")] = 512,
    steps: Steps = 10,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """Networks of different cells and sizes through one simulation of one dense machine."""
    from sparnn.gen.bench.reload import reload_networks, reload_points
    from sparnn.gen.bench.sharp import machine_of

    check_json(json)
    networks = reload_networks(most, seed)
    publish("Reloaded", reload_points(machine_of(macs), networks, steps=steps, seed=seed), json)
