"""`sparnn bench memory`: weights from external memory."""

from typing import Annotated

import typer

from sparnn.gen.bench.points import gather, publish
from sparnn.gen.output.json_output import check_json

from .bench import ListCommand, Seed
from .bench_cpu import bench_app
from .options import Json, within

__all__ = ["bench_app", "memory_command"]

# Defaults; typer copies them.
_EIGHT, _LATENCY, _MODE = [8], [60], ["streamed"]


@bench_app.command("memory", cls=ListCommand)
def memory_command(
    network: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="gruLxU: GRUs, L layers of U units on 40 inputs; masrLxU: plain layers of two "
            "directions; or an .onnx file, on drawn inputs.",
        ),
    ] = "gru2x768",
    macs: Annotated[
        list[int], typer.Option(callback=within(1, 1 << 16), metavar="N...", help="MAC units.")
    ] = _EIGHT,
    machine: Annotated[
        str, typer.Option(metavar="NAME", help="sparse, or dense: a preset of so many MAC units.")
    ] = "sparse",
    bytes_per_cycle: Annotated[
        list[int],
        typer.Option(callback=within(1, 64), metavar="B...", help="That the memory gives."),
    ] = _EIGHT,
    latency: Annotated[
        list[int],
        typer.Option(callback=within(1, 1000), metavar="C...", help="Of the memory, in cycles."),
    ] = _LATENCY,
    mode: Annotated[
        list[str],
        typer.Option(metavar="NAME...", help="resident, swapped or streamed."),
    ] = _MODE,
    width: Annotated[
        int, typer.Option(callback=within(1, 16), metavar="K", help="Multipliers of a lane.")
    ] = 1,
    masks: Annotated[bool, typer.Option(help="Whether rows have masks.")] = True,
    balance: Annotated[
        bool, typer.Option(help="Whether rows are dealt so that all lanes are as long busy.")
    ] = True,
    ring: Annotated[
        int,
        typer.Option(
            callback=within(1, 64),
            metavar="N",
            help="Times by which the rings are larger than the largest layer needs, where none is "
            "streamed; a power of two.",
        ),
    ] = 1,
    prune: Annotated[
        float,
        typer.Option(callback=within(0, 0.99), metavar="P", help="Share of weights set to zero."),
    ] = 0.0,
    steps: Annotated[
        int, typer.Option(callback=within(1, 512), metavar="T", help="Steps of the sequence.")
    ] = 4,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """A network whose weights a modelled memory holds: cycles, bytes, bandwidth."""
    check_json(json)
    from sparnn.gen.bench.memory import memory_points

    points = gather(
        memory_points(
            network,
            macs,
            machine=machine,
            bytes_per_cycle=bytes_per_cycle,
            latency=latency,
            modes=mode,
            width=width,
            masks=masks,
            balance=balance,
            ring=ring,
            prune_share=prune,
            steps=steps,
            seed=seed,
        ),
        json,
    )
    publish(f"Weights of {network} from external memory", points, json)
