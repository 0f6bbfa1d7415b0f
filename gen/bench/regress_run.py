"""`sparnn regress`: random networks on random machines, many cases, here or on several workers.

A machine's Verilog is built once for all its networks, so a machine is a piece of work.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from sparnn.gen.campaign.cluster import Cluster, Piece, cluster
from sparnn.gen.campaign.store import Store, code_digest
from sparnn.gen.errors import SparnnError
from sparnn.hdl.sparse.config import SparseConfig

from . import regress
from .regress import Case

__all__ = ["KINDS", "case_of", "regress_cases", "replay"]

#: Of machines, by the option that asks for them.
KINDS: Mapping[str, Callable[[int], SparseConfig]] = {
    "any": regress.random_machine,
    "streaming": regress.streaming_machine,
    "compact": regress.compact_machine,
}
_CASES = "cases"


def case_of(text: str) -> tuple[int, int]:
    """The two seeds of a case's name.

    Raises
    ------
    SparnnError: it is none.
    """
    try:
        machine, network = (int(part) for part in text.split(":"))
    except ValueError:
        raise SparnnError(f"--case {text!r} is not MACHINE:NETWORK, two numbers") from None
    return machine, network


def replay(kind: str, name: str) -> str:
    """The command that runs one case again."""
    return f"sparnn regress --machines {kind} --case {name}"


def regress_cases(
    kind: str,
    machines: Iterator[int],
    networks: range,
    minutes: float,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    results: Path | None = None,
) -> Iterator[Case]:
    """Run cases until time is up, or machines are; those that ``results`` holds are not run again,
    but those of them that failed come at the end.

    Parameters
    ----------
    kind: of :data:`KINDS`. machines, networks: seeds; each machine has all networks.
    minutes: no case is begun later, but where there is one process at least one is run.
    workers: processes, where more than one. scheduler: address of a Dask scheduler instead.
    results: a folder with one file for each case.

    Raises
    ------
    SparnnError: no scheduler answers, or a folder of something else.
    """
    until = time.time() + 60 * minutes
    store = None if results is None else Store(results, "regress", {"code": code_digest()})
    several = workers > 1 or scheduler is not None
    failed: list[Case] = []
    with cluster(workers, scheduler) if several else nullcontext() as hands:
        pieces = _pieces(kind, machines, networks, until, store, failed)
        for found in _found(hands, pieces, until):
            for case in found:
                if store is not None:
                    store.put(_CASES, store.key(kind, case.name), asdict(case))
                yield case
    yield from failed


def _found(
    hands: Cluster | None, pieces: Iterator[Piece], until: float
) -> Iterator[Iterator[Case] | list[Case]]:
    if hands is not None:
        for _, cases in hands.follow(pieces, until):
            yield cases
        return
    for number, piece in enumerate(pieces):
        if number and time.time() >= until:
            return
        yield _machine_cases(*piece.arguments)


def _pieces(
    kind: str,
    machines: Iterator[int],
    networks: range,
    until: float,
    store: Store | None,
    failed: list[Case],
) -> Iterator[Piece]:
    """Machines with those of their networks that have no result; results of failed ones are
    appended to a list."""
    for machine in machines:
        left = []
        for network in networks:
            name = f"{machine}:{network}"
            known = None if store is None else store.get(_CASES, store.key(kind, name))
            if known is None:
                left.append(network)
            elif known["mismatch"] is not None:
                failed.append(Case(**known))
        if left:
            yield Piece([kind, machine], _all_cases, (kind, machine, left, until))


def _all_cases(kind: str, machine: int, networks: list[int], until: float) -> list[Case]:
    """On a worker."""
    return list(_machine_cases(kind, machine, networks, until))


def _machine_cases(kind: str, machine: int, networks: list[int], until: float) -> Iterator[Case]:
    with tempfile.TemporaryDirectory(prefix="sparnn-regress-") as folder:
        for number in itertools.takewhile(
            lambda network: network == networks[0] or time.time() < until, networks
        ):
            try:
                yield regress.run_case(machine, number, Path(folder), KINDS[kind])
            except (SparnnError, ValueError, RuntimeError) as error:
                yield Case(f"{machine}:{number}", "", 0, str(error))
