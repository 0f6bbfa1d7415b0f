"""The arguments of `sparnn regress`."""

import itertools
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .options import Scheduler, Workers

__all__ = ["regress_command"]


class Machines(StrEnum):
    """What is drawn."""

    ANY = "any"
    STREAMING = "streaming"
    COMPACT = "compact"


def regress_command(
    minutes: Annotated[
        float, typer.Option(min=0, metavar="M", help="No case is begun later.")
    ] = 60,
    seed: Annotated[int, typer.Option(min=0, metavar="S", help="Of the first machine.")] = 0,
    networks: Annotated[
        int, typer.Option(min=1, metavar="N", help="Networks of each machine.")
    ] = 50,
    machines: Annotated[
        Machines,
        typer.Option(help="Any, those with weights in external memory, or those of small FPGAs."),
    ] = Machines.ANY,
    case: Annotated[
        str | None, typer.Option(metavar="MACHINE:NETWORK", help="Run this case alone.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            metavar="DIR",
            help="One file for each case, which is not run again.",
        ),
    ] = None,
    workers: Workers = 1,
    scheduler: Scheduler = None,
) -> None:
    """Random networks on random machines: the Verilog against the golden model, without end."""
    from sparnn.gen.bench.regress_run import case_of, regress_cases, replay

    first, chosen = seed, range(networks)
    if case is not None:
        first, only = case_of(case)
        chosen = range(only, only + 1)
    found = regress_cases(
        machines.value,
        iter([first]) if case is not None else itertools.count(first),
        chosen,
        minutes,
        workers=workers,
        scheduler=scheduler,
        results=results,
    )
    done = failed = 0
    for one in found:
        done += 1
        failed += one.mismatch is not None
        state = "ok"
        if one.mismatch is not None:
            state = f"FAILED {one.mismatch}\n  {replay(machines.value, one.name)}"
        print(f"{one.name}: {one.description}; {one.cycles} cycles: {state}", flush=True)
    print(f"{done - failed} passed, {failed} failed")
    if failed:
        raise typer.Exit(1)
