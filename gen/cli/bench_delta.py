"""`sparnn bench delta`: differences from step to step."""

from functools import partial
from typing import Annotated

import typer

from sparnn.gen.bench.points import gather, publish, spread
from sparnn.gen.output.json_output import check_json

from .bench import ListCommand, Seed
from .bench_accuracy import bench_app
from .options import Json, Scheduler, Workers, within

__all__ = ["bench_app", "delta_command"]

_MACS = [8, 64]


@bench_app.command("delta", cls=ListCommand)
def delta_command(
    network: Annotated[
        str, typer.Option(metavar="gruLxU", help="A GRU of L layers of U units on 40 inputs.")
    ] = "gru2x768",
    macs: Annotated[
        list[int],
        typer.Option(callback=within(1, 1024), metavar="N...", help="MAC units: lanes of 8."),
    ] = _MACS,
    width: Annotated[
        int, typer.Option(callback=within(1, 16), metavar="K", help="Multipliers of a lane.")
    ] = 8,
    sparsity: Annotated[
        float,
        typer.Option(callback=within(0, 1), metavar="P", help="Share of elements not sent."),
    ] = 0.9,
    steps: Annotated[
        int, typer.Option(callback=within(2, 512), metavar="T", help="Steps of the sequence.")
    ] = 48,
    seed: Seed = 0,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    json: Json = None,
) -> None:
    """A GRU with drawn weights, sent differences: cycles at a stated share of elements not sent."""
    check_json(json)
    from sparnn.gen.bench.delta import delta_points

    points = spread(
        partial(delta_points, network),
        macs,
        width=width,
        sparsity=sparsity,
        steps=steps,
        seed=seed,
        workers=workers,
        scheduler=scheduler,
    )
    publish(f"Deltas on {network}", gather(points, json), json)
