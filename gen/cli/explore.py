"""The arguments of `sparnn explore`."""

from pathlib import Path
from typing import Annotated

import typer

from sparnn.gen.output.json_output import check_json, write_json

from .options import Json, Scheduler, Workers

__all__ = ["explore_command"]


def explore_command(
    models: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, metavar="MODEL.onnx…", help="Trained models."),
    ],
    calibrate: Annotated[
        list[Path],
        typer.Option(
            exists=True, dir_okay=False, metavar="X.npz", help="Sample inputs, once for each model."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", file_okay=False, metavar="DIR", help="Folder of results, which stay."
        ),
    ],
    space: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, metavar="FILE.toml", help="The grid; a built-in one."
        ),
    ] = None,
    points: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most so many points of the grid.")
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Search so many points by Optuna instead of all."),
    ] = None,
    simulate: Annotated[
        int, typer.Option(min=0, metavar="N", help="Points whose Verilog is simulated.")
    ] = 0,
    synthesize: Annotated[
        int, typer.Option(min=0, metavar="N", help="Points that are synthesized.")
    ] = 0,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="D.npz",
            help="Inputs and labels, once for each model: the outputs' quality counts as well.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE.py:FUNCTION", help="Of --data, as for evaluate; accuracy."),
    ] = None,
    workers: Workers = 2,
    scheduler: Scheduler = None,
    json: Json = None,
) -> None:
    """Which machine for my network: all of a grid on models, the best measured."""
    check_json(json)
    from sparnn.gen.errors import SparnnError
    from sparnn.gen.explore.page import write_page
    from sparnn.gen.explore.run import explore
    from sparnn.gen.explore.space import read_space

    if len(calibrate) != len(models):
        raise SparnnError(
            f"{len(models)} models and --calibrate {len(calibrate)} times: name sample inputs once "
            "for each model, in the same order"
        )
    if data and len(data) != len(models):
        raise SparnnError(
            f"{len(models)} models and --data {len(data)} times: name it once for each model, in "
            "the same order"
        )
    if metric is not None and not data:
        raise SparnnError(f"--metric {metric}: there is nothing to evaluate; name --data as well")
    names = [model.stem for model in models]
    same = next((name for name in names if names.count(name) > 1), None)
    if same is not None:
        raise SparnnError(
            f"two models are called {same}, and so would be their folders in {output}: rename one, "
            "or look at them one after the other"
        )
    grid = read_space(space)
    found = []
    for number, (model, inputs) in enumerate(zip(models, calibrate, strict=True)):
        folder = output if len(models) == 1 else output / model.stem
        one = explore(
            model,
            inputs,
            grid,
            folder,
            points=points,
            trials=trials,
            simulate=simulate,
            synthesize=synthesize,
            workers=workers,
            scheduler=scheduler,
            data=data[number] if data else None,
            metric=metric or "accuracy",
        )
        page = write_page(one, folder / "explore.html")
        if json != "-":
            for line in [*one.lines(), f"page           {page}"]:
                print(line)
        found.append(one.as_dict())
    write_json(found, json)
    if not all(one["bit_exact"] for one in found):
        raise typer.Exit(1)
