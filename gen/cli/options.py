"""Arguments and options that several commands have."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "ActivationBits",
    "BusBits",
    "BusName",
    "CompiledFolder",
    "Config",
    "Inputs",
    "Json",
    "Lanes",
    "Masks",
    "Model",
    "OutputFolder",
    "PruneRows",
    "Scheduler",
    "SplitScales",
    "Steps",
    "WeightBits",
    "Width",
    "Workers",
    "print_lines",
    "stdout_reserved",
    "within",
]


def within(low: float, high: float) -> Callable[[Any], Any]:
    """A check that a number, or each of several, lies there where it is given."""

    def check(value: Any) -> Any:
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is not None and not low <= one <= high:  # NaN is refused as well
                raise typer.BadParameter(f"{one} is outside {low} to {high}")
        return value

    return check


Lanes = Annotated[
    int | None,
    typer.Option(callback=within(1, 1024), metavar="N", help="Lanes of the machine, 1 to 1024."),
]
WeightBits = Annotated[
    int | None,
    typer.Option(callback=within(4, 16), metavar="BITS", help="Bits of a weight, 4 to 16."),
]
ActivationBits = Annotated[
    int | None,
    typer.Option(callback=within(8, 16), metavar="BITS", help="Bits of an activation, 8 to 16."),
]
SplitScales = Annotated[
    bool | None,
    typer.Option(help="A scale each for the positive and the negative weights of a row."),
]
Steps = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Steps that one run has room for: as many as the longest sequence has, where layers "
        "run backwards. Without it: 64, or as many as such a network's samples have.",
    ),
]
PruneRows = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="K",
        help="With --prune: rows in which weights become zero together, as lanes of K rows read "
        "them; 1.",
    ),
]
Width = Annotated[
    int | None,
    typer.Option(
        metavar="K", help="Rows that share a lane's front end: 1, 2, 4, 8 or 16 multipliers."
    ),
]
Masks = Annotated[
    bool | None,
    typer.Option(help="Masks of the weights in each lane; without them every column is a weight."),
]
BusName = Annotated[
    str | None,
    typer.Option(
        "--bus", metavar="NAME", help="Put the machine behind axi, axi-stream or wishbone as well."
    ),
]
BusBits = Annotated[
    int | None,
    typer.Option("--bus-bits", metavar="BITS", help="Width of its memory port, 32 to 512."),
]
Config = Annotated[
    str | None,
    typer.Option(metavar="NAME|FILE.toml", help="A preset's name, or a file that describes one."),
]
Inputs = Annotated[
    Path,
    typer.Option(
        "--input",
        exists=True,
        dir_okay=False,
        metavar="X.npz",
        help="One array per model input, by its name (x where there is one input).",
    ),
]
OutputFolder = Annotated[
    Path, typer.Option("--output", "-o", file_okay=False, metavar="DIR", help="Folder to write.")
]
CompiledFolder = Annotated[
    Path,
    typer.Argument(
        exists=True, file_okay=False, metavar="DIR", help="A folder that compile wrote."
    ),
]
Model = Annotated[
    Path,
    typer.Argument(exists=True, dir_okay=False, metavar="MODEL.onnx", help="A trained model."),
]
Json = Annotated[
    str | None, typer.Option(metavar="FILE|-", help="Write the report as JSON; - prints it.")
]
Workers = Annotated[int, typer.Option(min=1, metavar="N", help="Processes.")]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="A Dask scheduler in place of processes here."),
]


def print_lines(lines: Iterable[str]) -> None:
    """To standard output, a line each."""
    for line in lines:
        print(line)


@contextmanager
def stdout_reserved(reserved: bool) -> Iterator[None]:
    """Send to standard error what this process and those it starts write to standard output."""
    if not reserved:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
