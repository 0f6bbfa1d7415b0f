"""The arguments of `sparnn bench cpu`."""

from pathlib import Path
from typing import Annotated

import typer

from sparnn.gen.bench.points import gather, publish_rows
from sparnn.gen.output.json_output import check_json

from .bench import ListCommand
from .bench_delta import bench_app
from .options import Json

__all__ = ["bench_app", "cpu_command"]


@bench_app.command("cpu", cls=ListCommand)
def cpu_command(
    models: Annotated[
        list[Path],
        typer.Argument(
            exists=True,
            dir_okay=False,
            metavar="MODEL.onnx…",
            help="Trained models, each beside a calibrate.npz with sample inputs.",
        ),
    ],
    board: Annotated[
        str, typer.Option(metavar="NAME", help="Where the machine's figures are of.")
    ] = "ulx3s",
    threads: Annotated[
        list[int] | None, typer.Option(min=1, metavar="N", help="Threads of an engine; 1 and 2.")
    ] = None,
    calls: Annotated[
        int,
        typer.Option(min=10, metavar="N", help="Calls that are timed, one by one."),
    ] = 1000,
    json: Json = None,
) -> None:
    """The same files in ONNX Runtime, PyTorch and OpenVINO here, beside the machine."""
    check_json(json)
    from sparnn.gen.bench.cpu import measure_cpu
    from sparnn.gen.errors import SparnnError

    for model in models:
        if not (model.parent / "calibrate.npz").is_file():
            raise SparnnError(f"{model}: no calibrate.npz with sample inputs lies beside it")
    points = (
        point.as_dict()
        for model in models
        for point in measure_cpu(
            model,
            model.parent / "calibrate.npz",
            board=board,
            threads=tuple(threads or (1, 2)),
            calls=calls,
        )
    )
    publish_rows("Beside what people would use", gather(points, json), json)
