"""Pieces of work on Dask: processes here, or the workers of a scheduler elsewhere."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sparnn.gen.errors import SparnnError
from sparnn.sim.progress import progress

from .store import Store

__all__ = ["Cluster", "Piece", "cluster"]

#: Pieces that wait at each worker while work goes on without end.
_AHEAD = 2


@dataclass(frozen=True)
class Piece:
    """One call.

    Members
    -------
    content: what the result is of, as JSON, beside what the store says of all.
    function, arguments: of the module's top level, so that a worker finds it. size: for progress.
    """

    content: Any
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    size: int = 1


class Cluster:
    """Workers that are there; made by :func:`cluster`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def run(self, title: str, store: Store, kind: str, pieces: Sequence[Piece]) -> list[Any]:
        """Results of all pieces, in their order; those that the store has are not done again.

        Raises
        ------
        SparnnError: workers died with a piece, again and again.
        Exception: what a piece raised. In both cases after all others have been done and kept.
        """
        from distributed import as_completed

        keys = [store.key(kind, one.content) for one in pieces]
        results = [store.get(kind, key) for key in keys]
        missing = [index for index, one in enumerate(results) if one is None]
        # Of what is not done: the time left follows from it.
        with progress(title, sum(pieces[index].size for index in missing)) as advance:
            failed: dict[int, BaseException] = {}

            def take(futures: dict[Any, int]) -> None:
                for future, value in as_completed(futures, with_results=True, raise_errors=False):
                    index = futures[future]
                    raised = _raised(future, value)
                    if raised is not None:
                        failed[index] = raised
                        continue
                    results[index] = value
                    store.put(kind, keys[index], value)
                    advance(pieces[index].size)

            take({self._submit(pieces[index]): index for index in missing})
            # Pieces that only waited at a worker when it died get another chance, each by itself.
            for index in [one for one, raised in failed.items() if _was_killed(raised)]:
                del failed[index]
                take({self._submit(pieces[index]): index})
        for raised in failed.values():
            raise _told(raised)
        return results

    def follow(self, pieces: Iterator[Piece], until: float) -> Iterator[tuple[Piece, Any]]:
        """Results of pieces without end, as they come, until a time (of :func:`time.time`): what
        was begun by then is waited for. Where one fails none is begun any more, and what it raised
        comes after the results of those under way."""
        from distributed import as_completed

        under_way = as_completed(with_results=True, raise_errors=False)
        failed: BaseException | None = None
        waiting: dict[Any, Piece] = {}

        def begin() -> None:
            piece = next(pieces, None) if failed is None and time.time() < until else None
            if piece is not None:
                future = self._submit(piece)
                waiting[future] = piece
                under_way.add(future)

        for _ in range(_AHEAD * max(1, len(self._client.scheduler_info()["workers"]))):
            begin()
        for future, value in under_way:
            piece = waiting.pop(future)
            raised = _raised(future, value)
            if raised is not None:
                failed = failed or _told(raised)
            else:
                yield piece, value
                begin()
        if failed is not None:
            raise failed

    def _submit(self, piece: Piece) -> Any:
        # A piece whose worker dies goes to another one, as Dask does by itself.
        return self._client.submit(piece.function, *piece.arguments, pure=False)


def _raised(future: Any, value: Any) -> BaseException | None:
    """What a piece raised, or that it was cancelled; None where it has a result."""
    if future.status == "error":
        raised: BaseException = value[1]
        return raised
    return value if isinstance(value, CancelledError) else None


def _was_killed(raised: BaseException) -> bool:
    from distributed import KilledWorker

    return isinstance(raised, KilledWorker)


def _told(raised: BaseException) -> BaseException:
    """What a piece raised, for the caller."""
    if isinstance(raised, CancelledError):
        return SparnnError(
            "the Dask scheduler went away; what is done is kept: begin again when it is back"
        )
    if not _was_killed(raised):
        return raised
    return SparnnError(
        "workers died one after the other with the same piece of work, as they do without memory; "
        "what is done is kept: try it again with fewer --workers, or on a larger machine"
    )


@contextmanager
def cluster(workers: int, scheduler: str | None) -> Iterator[Cluster]:
    """Processes here, so many, or the workers of a scheduler at an address.

    Raises
    ------
    SparnnError: Dask is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise SparnnError("several workers need Dask: pip install 'sparnn[explore]'") from None
    here = None
    if scheduler is None:
        here = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=40,
        )
    try:
        client = Client(scheduler if here is None else here, timeout=10 if here is None else 60)
    except (OSError, ValueError, TypeError, TimeoutError):  # TypeError: of tls:// without keys
        raise SparnnError(
            f"--scheduler {scheduler}: no Dask scheduler answers there; start one with "
            "`dask scheduler`, or leave the option out"
        ) from None
    try:
        yield Cluster(client)
    finally:
        client.close()
        if here is not None:
            here.close()
