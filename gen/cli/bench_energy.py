"""`sparnn bench energy`: memories and logic of ours, EIE, ESE and dense passes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sparnn.gen.bench.points import gather, publish
from sparnn.gen.errors import SparnnError
from sparnn.gen.output.json_output import check_json

from .bench import HiddenUnits, ListCommand, Seed, Steps, V
from .bench_memory import bench_app
from .options import Json

__all__ = ["bench_app", "energy_command", "logic_command", "sharp_command"]


def _check_names(names: Sequence[str] | None, known: Sequence[str]) -> None:
    for name in names or ():
        if name not in known:
            raise SparnnError(
                f"--designs {name}: the machines are {', '.join(repr(one) for one in known)}"
            )


@bench_app.command("energy", cls=ListCommand)
def energy_command(
    macs: Annotated[
        int, typer.Option(min=4, max=1024, metavar="N", help="Multipliers of each machine.")
    ] = 256,
    designs: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME...", help="Machines, each a name in quotes; all of them."),
    ] = None,
    v: V = None,
    hidden: HiddenUnits = 800,
    steps: Steps = 60,
    stored_steps: Annotated[
        int,
        typer.Option(min=1, max=1 << 16, metavar="T", help="Steps that the memories hold."),
    ] = 333,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """MASR's layer on ours, EIE, ESE and as a dense pass: picojoules of memories and logic."""
    check_json(json)
    from sparnn.gen.bench.energy import DESIGNS, energy_points

    _check_names(designs, DESIGNS)
    if macs & (macs - 1):
        raise SparnnError(
            f"--macs {macs}: EIE's tree needs a power of two; the nearest is "
            f"{1 << (macs.bit_length() - 1)}"
        )
    points = energy_points(
        macs,
        designs or list(DESIGNS),
        v=v,
        hidden=hidden,
        steps=steps,
        stored_steps=stored_steps,
        seed=seed,
    )
    publish("Energy of MASR's layer", gather((one.as_dict() for one in points), json), json)


@bench_app.command("energy-logic", cls=ListCommand)
def logic_command(
    macs: Annotated[
        int, typer.Option(min=4, max=1024, metavar="N", help="Multipliers of each machine.")
    ] = 16,
    liberty: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Standard cells; those of `make liberty` by default."),
    ] = None,
    designs: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME...", help="Machines, as of bench energy."),
    ] = None,
    clock_gates: Annotated[
        bool,
        typer.Option("--clock-gates", help="Registers with an enable get the library's gates."),
    ] = False,
    v: V = None,
    hidden: HiddenUnits = 128,
    steps: Steps = 8,
    begin: Annotated[
        int, typer.Option(min=10, metavar="N", help="Cycles of a run before those that count.")
    ] = 200,
    cycles: Annotated[
        int, typer.Option(min=10, max=100000, metavar="N", help="Cycles whose changes are counted.")
    ] = 1000,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """Gates of EIE and ours on a small layer: changes of nets times the library's energies."""
    check_json(json)
    from sparnn.gen.bench.energy import DESIGNS
    from sparnn.gen.bench.energy_logic import LOGIC_DESIGNS, logic_points
    from sparnn.gen.synth.liberty import find_liberty

    _check_names(designs, DESIGNS)
    if liberty is not None and not liberty.is_file():
        raise SparnnError(f"--liberty {liberty} is not a file: name a Liberty file")
    if macs & (macs - 1):
        raise SparnnError(
            f"--macs {macs}: EIE's tree needs a power of two; the nearest is "
            f"{1 << (macs.bit_length() - 1)}"
        )
    points = logic_points(
        macs,
        liberty or find_liberty(),
        begin=begin,
        cycles=cycles,
        v=v,
        designs=designs or LOGIC_DESIGNS,
        clock_gates=clock_gates,
        hidden=hidden,
        steps=steps,
        seed=seed,
    )
    publish("Energy of logic", gather((one.as_dict() for one in points), json), json)


@bench_app.command("energy-delta")
def delta_command(
    network: Annotated[
        str, typer.Option(metavar="NAME", help="Layers and units of a GRU with 40 inputs.")
    ] = "gru2x256",
    macs: Annotated[int, typer.Option(metavar="N", help="MAC units.")] = 64,
    width: Annotated[int, typer.Option(metavar="K", help="Rows of a lane.")] = 8,
    sparsity: Annotated[
        float, typer.Option(metavar="P", help="Share of the elements that is not sent.")
    ] = 0.9,
    steps: Steps = 48,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """A GRU that is sent differences, beside all of its elements: picojoules of the memories."""
    check_json(json)
    from sparnn.gen.bench.energy_delta import delta_energy_points

    points = list(
        delta_energy_points(network, macs, width=width, sparsity=sparsity, steps=steps, seed=seed)
    )
    publish("Energy of differences", points, json)


@bench_app.command("energy-sharp")
def sharp_command(
    macs: Annotated[
        int, typer.Option(metavar="N", help="MAC units: 1024, 4096, 16384, 65536.")
    ] = 1024,
    hidden: HiddenUnits = 340,
    steps: Steps = 10,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """An LSTM on a dense machine, by our schedule and by E-PUR's: picojoules of its memories."""
    check_json(json)
    from sparnn.gen.bench.energy_sharp import sharp_energy_points

    points = list(sharp_energy_points(macs, hidden, steps=steps, seed=seed))
    publish("Energy of a dense machine", points, json)
