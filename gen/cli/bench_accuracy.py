"""`sparnn bench scales` and `prediction`: what arithmetic costs in accuracy, without hardware."""

from pathlib import Path
from typing import Annotated

import typer

from sparnn.gen.bench.points import publish
from sparnn.gen.errors import SparnnError
from sparnn.gen.output.json_output import check_json

from .bench import LaneCounts, ListCommand, Seed, Steps, WeightDensity
from .bench_sharp import bench_app
from .options import Json

__all__ = ["bench_app"]

# Defaults; typer copies them.
_WEIGHT_BITS = [4, 6, 8, 10]
_SHARES = [1.0, 0.98, 0.95, 0.9]
_PREDICTION_LANES = [64, 256, 1024]


def _widths(values: list[int]) -> list[int]:
    for bits in values:
        if not 4 <= bits <= 16:
            raise typer.BadParameter(f"{bits} is outside 4 to 16")
    return values


Model = Annotated[
    Path | None,
    typer.Argument(
        exists=True,
        dir_okay=False,
        metavar="[MODEL.onnx]",
        help="A trained classifier; MASR's layer by default.",
    ),
]
Calibrate = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, metavar="X.npz", help="Sample inputs of the model."),
]
Test = Annotated[
    Path | None,
    typer.Option(
        exists=True, dir_okay=False, metavar="T.npz", help="Arrays x, labels and perhaps lengths."
    ),
]


@bench_app.command("scales", cls=ListCommand)
def scales_command(
    model: Model = None,
    calibrate: Calibrate = None,
    test: Test = None,
    weight_bits: Annotated[
        list[int], typer.Option(callback=_widths, metavar="BITS...", help="Widths, 4 to 16.")
    ] = _WEIGHT_BITS,
    weight_density: WeightDensity = 0.33,
    skew: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="F",
            help="MASR's layer with all positive weights times F, before pruning.",
        ),
    ] = 1.0,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """Weights with one scale for each matrix or row, or for each sign: noise and accuracy."""
    check_json(json)
    from dataclasses import asdict

    from sparnn.gen.bench.scales import classification, load_network, scale_points, skewed
    from sparnn.gen.bench.workload import masr_workload

    if model is None:
        drawn = masr_workload(weight_density=1, steps=1, seed=seed)
        points = scale_points(skewed(drawn.network, skew, weight_density), weight_bits)
    elif calibrate is None or test is None:
        raise SparnnError(f"{model} needs --calibrate and --test: sample inputs, and labels")
    else:
        network = load_network(model)
        points = scale_points(network, weight_bits, classification(network, calibrate, test))
    publish("Scales of the weights", [asdict(point) for point in points], json)


Shares = Annotated[
    list[float],
    typer.Option(
        "--share",
        min=0,
        max=1,
        metavar="S...",
        help="Of the sample's steps in which the input half is at most the threshold.",
    ),
]


@bench_app.command("prediction", cls=ListCommand)
def prediction_command(
    model: Model = None,
    calibrate: Calibrate = None,
    test: Test = None,
    share: Shares = _SHARES,
    lanes: LaneCounts = _PREDICTION_LANES,
    directions: Annotated[
        int, typer.Option(min=1, max=2, metavar="1|2", help="Of MASR's layer.")
    ] = 2,
    steps: Steps = 333,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """Output prediction in the golden model: of a classifier, or MASR's layer with its cycles."""
    check_json(json)
    from dataclasses import asdict

    from sparnn.gen.bench.prediction import prediction_cycles, prediction_points
    from sparnn.gen.bench.scales import classification, load_network
    from sparnn.gen.bench.workload import masr_workload

    if model is None:
        workload = masr_workload(steps=steps, seed=seed, directions=directions)
        points = [asdict(point) for point in prediction_cycles(workload, lanes, share)]
    elif calibrate is None or test is None:
        raise SparnnError(f"{model} needs --calibrate and --test: sample inputs, and labels")
    else:
        network = load_network(model)
        task = classification(network, calibrate, test)
        points = [
            asdict(point)
            for point in prediction_points(network, task.sample, task.sequences, task.labels, share)
        ]
    publish("Output prediction", points, json)
