"""The arguments of `sparnn synth`, `sparnn fit` and `sparnn estimate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sparnn.gen.output.json_output import check_json, write_json

from .options import Json, Model, print_lines

__all__ = ["estimate_command", "fit_command", "synth_command"]

DeviceName = Annotated[
    str | None, typer.Option(metavar="NAME", help="Part of the family, such as 85k or up5k.")
]


def synth_command(
    folder: Annotated[
        Path,
        typer.Argument(
            exists=True, file_okay=False, metavar="DIR", help="What compile or emit wrote."
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            metavar="FAMILY", help="ecp5, ice40, nexus, gowin, xilinx7, xilinxup or intel."
        ),
    ],
    device: DeviceName = None,
    no_pnr: Annotated[
        bool, typer.Option("--no-pnr", help="Area alone, without place and route.")
    ] = False,
    seeds: Annotated[
        int, typer.Option(min=1, max=99, help="Runs of place and route; the median is reported.")
    ] = 3,
    flat: Annotated[
        bool, typer.Option("--flat", help="Optimize across blocks: slower, nothing by block.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            metavar="REPORT.json",
            help="Of sparnn simulate --json, for the latency; DIR/report.json by default.",
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option(dir_okay=False, metavar="FILE.svg|FILE.png")] = None,
    project: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            metavar="FOLDER",
            help="Write scripts for the vendor's program (xilinx7, xilinxup, intel) and stop.",
        ),
    ] = None,
    json: Json = None,
) -> None:
    """Area by block, clock and critical path on an FPGA family, with open tools."""
    check_json(json)
    if project is not None:
        from sparnn.gen.synth.project import write_project

        print_lines(write_project(folder, target, project, device=device))
        return
    from sparnn.gen.synth.report import synth

    result = synth(
        folder,
        target,
        device=device,
        pnr=not no_pnr,
        seeds=seeds,
        flat=flat,
        report=report,
        plot=plot,
    )
    _finish(result.lines(), result.as_dict(), json)


def fit_command(
    model: Model,
    target: Annotated[str | None, typer.Option(metavar="FAMILY")] = None,
    device: DeviceName = None,
    board: Annotated[
        str | None, typer.Option(metavar="NAME", help="A board; it names family and part.")
    ] = None,
    lanes: Annotated[int | None, typer.Option(min=1, max=1024, help="Fix the lanes.")] = None,
    weight_bits: Annotated[int, typer.Option(min=4, max=16)] = 8,
    activation_bits: Annotated[int, typer.Option(min=8, max=16)] = 8,
    steps: Annotated[
        int, typer.Option(min=1, help="Time steps that one run must be able to hold.")
    ] = 64,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            dir_okay=False,
            metavar="FILE.toml",
            help="Write the machine, for compile --config.",
        ),
    ] = None,
    json: Json = None,
) -> None:
    """Pick lanes and memories for a network and a device, or say what does not fit."""
    check_json(json)
    from sparnn.gen.fit.fit import fit

    result = fit(
        model,
        target=target,
        device=device,
        board=board,
        lanes=lanes,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        steps=steps,
    )
    if output is not None:
        output.write_text(result.toml(), encoding="utf-8")
    _finish(result.lines(), result.as_dict(), json)


def estimate_command(
    model: Model,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="X.npz",
            help="Sample inputs: they say how many activations are zero.",
        ),
    ] = None,
    board: Annotated[
        str | None, typer.Option(metavar="NAME", help="The only board to look at.")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE.toml", help="A preset's name, or a file of a machine."),
    ] = None,
    lanes: Annotated[int | None, typer.Option(min=1, max=1024, help="Fix the lanes.")] = None,
    width: Annotated[
        int | None, typer.Option(metavar="K", help="Fix the rows that share a lane's front end.")
    ] = None,
    weight_bits: Annotated[int | None, typer.Option(min=4, max=16)] = None,
    activation_bits: Annotated[int | None, typer.Option(min=8, max=16)] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of a sequence; else as in the sample inputs.")
    ] = None,
    frame_ms: Annotated[
        float | None,
        typer.Option("--frame-ms", min=1e-6, metavar="MS", help="Milliseconds between two steps."),
    ] = None,
    bytes_per_cycle: Annotated[
        float | None,
        typer.Option(
            min=0.01, metavar="B", help="Of external memory, for a machine with stream_bits."
        ),
    ] = None,
    json: Json = None,
) -> None:
    """Cycles, time a step and area on boards, without Verilog and synthesis; which to take."""
    check_json(json)
    from sparnn.gen.estimate.estimate import estimate

    result = estimate(
        model,
        calibrate=calibrate,
        board=board,
        config=config,
        lanes=lanes,
        width=width,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        steps=steps,
        frame_ms=frame_ms,
        bytes_per_cycle=bytes_per_cycle,
    )
    _finish(result.lines(), result.as_dict(), json)


def _finish(lines: list[str], content: dict[str, Any], json: str | None) -> None:
    if json != "-":
        print_lines(lines)
    write_json(content, json)
