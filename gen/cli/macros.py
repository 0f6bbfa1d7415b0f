"""The arguments of `sparnn macros`."""

from pathlib import Path
from typing import Annotated

import typer

from .options import OutputFolder, print_lines

__all__ = ["macros_command"]


def macros_command(
    folder: Annotated[
        Path,
        typer.Argument(
            exists=True, file_okay=False, metavar="DIR", help="What compile or emit wrote."
        ),
    ],
    output: OutputFolder,
    least_bits: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Bits below which memories become flip-flops."),
    ] = 512,
) -> None:
    """The machine with its memories as modules of their own, for a chip's memory macros."""
    from sparnn.gen.synth.macros import write_macros

    print_lines(write_macros(folder, output, least_bits))
