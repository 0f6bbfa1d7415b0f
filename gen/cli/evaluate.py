"""The arguments of `sparnn evaluate` and `sparnn report`."""

from pathlib import Path
from typing import Annotated

import typer

from sparnn.gen.output.json_output import check_json, write_json

from .options import CompiledFolder, Json, PruneRows

__all__ = ["evaluate_command", "report_command"]


def evaluate_command(
    model: Annotated[
        Path,
        typer.Argument(
            exists=True,
            metavar="MODEL.onnx|DIR",
            help="A trained model, or a folder that compile wrote.",
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="D.npz",
            help="The model's inputs, and labels or target, which the metric compares with.",
        ),
    ],
    metric: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE.py:FUNCTION",
            help="accuracy, mse, sisdr or cer; or a function of yours, whose file is executed.",
        ),
    ] = "accuracy",
    backends: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Some of float, pruned, quantized, golden and verilator, separated by commas.",
        ),
    ] = "float,golden",
    calibrate: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="X.npz",
            help="Of a model: sample inputs, for which it is compiled first.",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(metavar="PRESET|FILE|BOARD", help="Of a model: the machine, as for compile."),
    ] = None,
    prune: Annotated[
        float | None,
        typer.Option(min=0, max=1, metavar="P", help="Of a model: share of its weights."),
    ] = None,
    prune_rows: PruneRows = None,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Quantize every tensor alone as well.")
    ] = False,
    json: Json = None,
) -> None:
    """Evaluate a model by a metric: in real numbers, in integers, in Verilog."""
    check_json(json)
    from sparnn.gen.evaluate.evaluate import compiled_folder, evaluate

    names = [name for name in backends.replace(",", " ").split() if name]
    with compiled_folder(
        model, calibrate, config=config, prune=prune, prune_rows=prune_rows
    ) as folder:
        result = evaluate(folder, data, metric, backends=names, tensors=sensitivity)
    if json != "-":
        for line in result.lines():
            print(line)
    write_json(result.as_dict(), json)


def report_command(
    folder: CompiledFolder,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", dir_okay=False, metavar="FILE.html", help="The page."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="D.npz",
            help="The model's inputs, for signal to noise and saturation.",
        ),
    ] = None,
    simulation: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="REPORT.json",
            help="Of sparnn simulate --json; DIR/report.json by default.",
        ),
    ] = None,
) -> None:
    """Write a page: the graph, the machine, cycles, slots, noise, saturation, boards."""
    from sparnn.gen.report.report import report

    for line in report(folder, output, data=data, simulation=simulation):
        print(line)
