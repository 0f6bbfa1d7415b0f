"""The `sparnn` command.

Each command reads its arguments and calls one function of the package that does the work, imported
when the command runs, so that `sparnn --help` starts at once.

Exit status: 0 done; 1 the hardware is not bit exact, or a defect of sparnn, with its traceback; 2
the user has to change something (one sentence on standard error); 130 interrupted.
"""

import errno
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sparnn.gen.errors import SparnnError
from sparnn.gen.output.json_output import check_json, write_json
from sparnn.hdl.errors import ConfigurationError
from sparnn.sim.errors import SimulationError

from .bench_energy import bench_app
from .board import bitstream_command, run_command
from .evaluate import evaluate_command, report_command
from .explore import explore_command
from .macros import macros_command
from .options import (
    ActivationBits,
    BusBits,
    BusName,
    CompiledFolder,
    Config,
    Inputs,
    Json,
    Lanes,
    Masks,
    Model,
    OutputFolder,
    PruneRows,
    SplitScales,
    Steps,
    WeightBits,
    Width,
    print_lines,
    stdout_reserved,
    within,
)
from .regress import regress_command
from .synth import estimate_command, fit_command, synth_command

__all__ = ["app", "main"]

USER_ERRORS = (SparnnError, ConfigurationError, SimulationError)

# What the file system refuses is for the user to change, too.
_REFUSALS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help and errors: they end up in logs
    pretty_exceptions_enable=False,
    help="Trained recurrent networks (ONNX) into synthesizable Verilog accelerators.",
)
app.add_typer(bench_app, name="bench")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"sparnn {importlib.metadata.version('sparnn')}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command("compile")
def compile_command(
    model: Model,
    calibrate: Annotated[
        Path,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="X.npz",
            help="Sample inputs, many along the batch axis: they choose the binary points.",
        ),
    ],
    output: OutputFolder,
    config: Config = None,
    lanes: Lanes = None,
    prune: Annotated[
        float | None,
        typer.Option(
            callback=within(0, 1),
            metavar="P",
            help="Share of the weights to set to zero, smallest first: 0 to 1.",
        ),
    ] = None,
    prune_rows: PruneRows = None,
    weight_bits: WeightBits = None,
    activation_bits: ActivationBits = None,
    split_scales: SplitScales = None,
    width: Width = None,
    masks: Masks = None,
    sqnr: Annotated[
        float | None,
        typer.Option(
            callback=within(1, 100),
            metavar="DB",
            help="Signal to quantization noise of the outputs, with the fewest bits that keep it. "
            "Without it: the machine's bits, or wider ones where those do not give 30 dB.",
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="WAY", help="Of activations: mse, max, percentile or percentile:P; mse."
        ),
    ] = None,
    steps: Steps = None,
    streams: Annotated[
        int,
        typer.Option(
            min=1, max=4, help="Sequences that take turns on the same weights, on a dense machine."
        ),
    ] = 1,
    delta: Annotated[
        str | None,
        typer.Option(
            metavar="T|auto",
            help="Send differences from step to step above this threshold, in the units of the "
            "activations; 0 loses nothing, auto chooses.",
        ),
    ] = None,
    delta_sqnr: Annotated[
        float | None,
        typer.Option(
            callback=within(1, 100),
            metavar="DB",
            help="With --delta auto: signal of the outputs to what thresholds add; 30.",
        ),
    ] = None,
    bus: BusName = None,
    bus_bits: BusBits = None,
    timings: Annotated[
        bool, typer.Option("--timings", help="Print the processor seconds of each phase.")
    ] = False,
) -> None:
    """Compile a model: Verilog, weight images, program, C header, manifest."""
    from sparnn.gen.compile import compile_model

    summary = compile_model(
        model,
        calibrate,
        output,
        config=config,
        lanes=lanes,
        prune=prune,
        prune_rows=prune_rows,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        split_scales=split_scales,
        width=width,
        masks=masks,
        sqnr=sqnr,
        calibration=calibration,
        steps=steps,
        streams=streams,
        delta=delta,
        delta_sqnr=delta_sqnr,
        bus=bus,
        bus_bits=bus_bits,
    )
    print_lines(summary.lines())
    if timings:
        print_lines(summary.phases.lines())


@app.command()
def check(
    model: Model,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="X.npz",
            help="Sample inputs, where the graph has branches that depend on them.",
        ),
    ] = None,
) -> None:
    """Say whether and how a model would be taken: what the machine computes, what the host."""
    from sparnn.gen.graph.check import check_model

    print_lines(check_model(model, calibrate))


@app.command()
def simulate(
    folder: CompiledFolder,
    inputs: Inputs,
    output: Annotated[
        Path | None,
        typer.Option(dir_okay=False, metavar="Y.npz", help="Write what the hardware computed."),
    ] = None,
    waves: Annotated[
        bool, typer.Option("--waves", help="Record waves.vcd: the first 20,000 cycles.")
    ] = False,
    netlist: Annotated[
        str | None,
        typer.Option(
            metavar="FAMILY",
            help="Simulate the netlist that Yosys makes for this family instead of the Verilog.",
        ),
    ] = None,
    macros: Annotated[
        bool,
        typer.Option(
            "--macros",
            help="Simulate the machine with its memories apart, which promise what macros keep.",
        ),
    ] = False,
    json: Json = None,
) -> None:
    """Simulate the Verilog, and compare it with the golden model and the float reference."""
    from sparnn.sim.runner import simulate as run

    check_json(json)
    if netlist is not None and macros:
        raise SparnnError(f"--netlist {netlist} and --macros are two designs: simulate one of them")
    with stdout_reserved(json == "-"):
        verilog = None
        if netlist is not None:
            from sparnn.gen.synth.netlist_sim import netlist_file

            verilog = netlist_file(folder, netlist)
        elif macros:
            from sparnn.gen.synth.macros import macro_file

            verilog = macro_file(folder)
        report = run(folder, inputs, output=output, waves=waves, verilog=verilog)
        print_lines(report.lines())
    write_json(report.as_dict(), json)
    if not report.bit_exact:
        raise typer.Exit(1)


@app.command()
def golden(
    folder: CompiledFolder,
    inputs: Inputs,
    output: Annotated[
        Path, typer.Option(dir_okay=False, metavar="Y.npz", help="Where the outputs go.")
    ],
) -> None:
    """Run the integer golden model: the specification, without the hardware."""
    from sparnn.sim.session.golden import run_golden

    print_lines([f"saturated      {one.line()}" for one in run_golden(folder, inputs, output)])


@app.command()
def emit(
    output: OutputFolder,
    config: Config = None,
    lanes: Lanes = None,
    weight_bits: WeightBits = None,
    activation_bits: ActivationBits = None,
    split_scales: SplitScales = None,
    width: Width = None,
    masks: Masks = None,
    bus: BusName = None,
    bus_bits: BusBits = None,
) -> None:
    """Write the hardware alone, for any network that fits it."""
    from sparnn.gen.machines.emit import emit as run

    print_lines(
        run(
            output,
            config=config,
            lanes=lanes,
            weight_bits=weight_bits,
            activation_bits=activation_bits,
            split_scales=split_scales,
            width=width,
            masks=masks,
            bus=bus,
            bus_bits=bus_bits,
        )
    )


app.command("synth")(synth_command)
app.command("macros")(macros_command)
app.command("fit")(fit_command)
app.command("estimate")(estimate_command)
app.command("evaluate")(evaluate_command)
app.command("explore")(explore_command)
app.command("report")(report_command)
app.command("regress")(regress_command)
app.command("bitstream")(bitstream_command)
app.command("run")(run_command)


@app.command()
def doctor() -> None:
    """Name the tools that are missing, and how to get them."""
    from .doctor import examine, report

    findings = examine()
    print_lines(report(findings))
    if any(finding.version is None and finding.required for finding in findings):
        raise typer.Exit(2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    sys.exit(_status(list(sys.argv[1:] if arguments is None else arguments)))


def _status(arguments: list[str]) -> int:
    try:
        status = app(arguments, prog_name="sparnn", standalone_mode=False)
        sys.stdout.flush()
    except USER_ERRORS as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.errno == errno.EPIPE:
            # The reader left. Point standard output elsewhere, or the interpreter complains again
            # when it flushes on its way out.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        if error.errno in _REFUSALS:
            return _refuse(f"{error.filename or 'a file'}: {error.strerror}")
        raise
    except Exception as error:
        # Wrong use of the command. The class moved between versions of typer, its methods did not.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            print(message(), file=sys.stderr)
            return 2
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "sparnn"
        return _refuse(f"{message().rstrip('.')}; see {command} --help")
    return status if isinstance(status, int) else 0


def _refuse(sentence: str) -> int:
    # Some messages of libraries that end up in ours have line breaks.
    print(f"sparnn: error: {' '.join(sentence.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
