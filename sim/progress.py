"""Progress of anything that may take over two seconds, on standard error.

On a terminal a bar appears after `DELAY` seconds, so short work leaves no trace. Elsewhere (a log,
a pipe) a plain line is written after `QUIET` seconds and every `QUIET` seconds from then on, so
that a long run is seen to be alive.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["DELAY", "QUIET", "Phases", "progress"]

DELAY = 2.0
"""Seconds before a bar is shown on a terminal."""

QUIET = 20.0
"""Seconds between plain lines where standard error is not a terminal."""

_shown = threading.Lock()
"""Held by the outermost progress: work inside other work is not shown again."""


@contextmanager
def progress(title: str, total: float | None = None) -> Iterator[Callable[[float], None]]:
    """Show how far some work is.

    Parameters
    ----------
    title
        What is being done, as a verb: "Verilating".
    total
        The amount of work in any unit; None where it is not known.

    Yields
    ------
    A function to call with the amount of work done since the last call. It may be called from any
    thread, any number of times; a call costs about a microsecond on a pipe.
    """
    if not _shown.acquire(blocking=False):
        yield lambda amount: None
        return
    meter = _Bar(title, total) if sys.stderr.isatty() else _Lines(title, total)
    finished = threading.Event()
    thread = threading.Thread(target=meter.run, args=(finished,), daemon=True)
    thread.start()
    try:
        yield meter.advance
    finally:
        finished.set()
        thread.join()
        _shown.release()


class Phases:
    """Phases of some work: each shows its progress and is timed.

    Members
    -------
    seconds : phase -> processor seconds, of all threads and of the programs that it has run, in the
        order of beginning.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, title: str) -> Iterator[None]:
        """One phase; of the same title more than once, the times add up."""
        start = _processor_seconds()
        with progress(title):
            yield
        self.seconds[title] = self.seconds.get(title, 0.0) + _processor_seconds() - start

    def lines(self) -> list[str]:
        """A table for people."""
        total = sum(self.seconds.values())
        return [
            f"{title:<30} {seconds:8.2f} s {100 * seconds / max(total, 1e-9):5.1f} %"
            for title, seconds in [*self.seconds.items(), ("Total", total)]
        ]


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class _Lines:
    """Plain lines, rarely."""

    def __init__(self, title: str, total: float | None):
        self.title = title
        self.total = total
        self.done = 0.0
        self.start = time.monotonic()

    def advance(self, amount: float) -> None:
        self.done += amount

    def run(self, finished: threading.Event) -> None:
        while not finished.wait(QUIET):
            share = f" {100 * min(self.done / self.total, 1):.0f} %," if self.total else ""
            seconds = time.monotonic() - self.start
            left = ""
            if self.total and 0 < self.done < self.total:
                left = f", about {seconds * (self.total / self.done - 1):.0f} s left"
            print(f"{self.title}:{share} {seconds:.0f} s{left}", file=sys.stderr, flush=True)


class _Bar(_Lines):
    """A bar that appears late and leaves nothing behind."""

    def run(self, finished: threading.Event) -> None:
        if finished.wait(DELAY):
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        # Standard output belongs to the caller: it may be JSON on its way to a file.
        with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
            task = bar.add_task(self.title, total=self.total)
            while not finished.wait(0.1):
                bar.update(task, completed=self.done)
