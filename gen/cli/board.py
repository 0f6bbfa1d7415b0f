"""The arguments of `sparnn bitstream` and `sparnn run`."""

from pathlib import Path
from typing import Annotated

import typer

from sparnn.gen.output.json_output import check_json, write_json

from .options import (
    CompiledFolder,
    Inputs,
    Json,
    OutputFolder,
    print_lines,
    stdout_reserved,
    within,
)

__all__ = ["bitstream_command", "run_command"]

BoardName = Annotated[str, typer.Option("--board", metavar="NAME", help="ulx3s, icebreaker, …")]
Baud = Annotated[
    int | None,
    typer.Option(
        callback=within(1200, 12_000_000),
        metavar="N",
        help="Bits a second, as built.",
    ),
]


def bitstream_command(
    folder: CompiledFolder,
    board: BoardName,
    output: OutputFolder,
    mhz: Annotated[
        float | None,
        typer.Option(callback=within(1, 500), metavar="MHZ", help="Clock, not the board's own."),
    ] = None,
    baud: Baud = None,
    seed: Annotated[int, typer.Option(min=0, help="Of place and route.")] = 1,
) -> None:
    """Make what a board loads: synthesis, place and route, packing, all with open tools."""
    from sparnn.gen.synth.bitstream import bitstream

    print_lines(bitstream(folder, board, output, mhz=mhz, baud=baud, seed=seed).lines())


def run_command(
    folder: CompiledFolder,
    board: BoardName,
    port: Annotated[
        str, typer.Option(metavar="PORT", help="Serial port, or sim: the board in simulation.")
    ],
    inputs: Inputs,
    output: Annotated[
        Path | None,
        typer.Option(dir_okay=False, metavar="Y.npz", help="Write what the board computed."),
    ] = None,
    json: Json = None,
    baud: Baud = None,
    mhz: Annotated[
        float | None,
        typer.Option(callback=within(1, 500), metavar="MHZ", help="As the bitstream was made."),
    ] = None,
    patience: Annotated[
        float, typer.Option(metavar="SECONDS", help="Without an answer before giving up.")
    ] = 10.0,
) -> None:
    """Run on a board, and compare with the golden model and the float reference."""
    from sparnn.gen.boards.run import run_on_board

    check_json(json)
    with stdout_reserved(json == "-"):
        report = run_on_board(
            folder, board, port, inputs, output=output, baud=baud, mhz=mhz, patience=patience
        )
        print_lines(report.lines())
    write_json(report.as_dict(), json)
    if not report.bit_exact:
        raise typer.Exit(1)
