"""`make fuzz`: corrupt, truncated and hostile models and archives, from a seed.

Each case (gen/bench/fuzz_files.py) is a file that `sparnn check` and the reading of sample inputs
get to see, in a process of its own. It may be taken or refused with a sentence. It must not end
with a traceback, take longer than ten seconds or more than a gibibyte of memory, or write anything.
``--write`` puts a table into docs/results/fuzz.json.
"""

import argparse
import datetime
import gc
import importlib.metadata
import json
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparnn.gen.errors import SparnnError
from sparnn.gen.graph.check import check_model
from sparnn.gen.graph.read import read_model
from sparnn.hdl.errors import ConfigurationError
from sparnn.sim.errors import SimulationError

from .fuzz_files import mutated
from .tables import write_pages

__all__ = ["Found", "content", "main", "tried"]

RESULTS = Path("docs/results/fuzz.json")
_SECONDS, _BYTES = 10, 1 << 30
#: Seconds of the clock after which a case hangs.
_WAIT = 240
_REFUSED = (SparnnError, ConfigurationError, SimulationError)
#: What was broken, by a case's number modulo their count.
_BROKEN = ("bytes of the model's file", "the model: sizes, types, nodes, bodies", "the archive")


@dataclass(frozen=True)
class Found:
    """What became of a case.

    Members
    -------
    what: the ways in which it was broken. refused: with a sentence; else it was taken.
    wrong: "" where it is as it should be. seconds: of the processor.
    """

    number: int
    what: str
    refused: bool
    wrong: str
    seconds: float
    megabytes: float


def _child(folder: Path, pipe: int) -> None:
    """Read the case; what was wrong goes into the pipe."""
    # A processor that other work keeps busy takes its time; what waits for something ends too.
    resource.setrlimit(resource.RLIMIT_CPU, (2 * _SECONDS, 2 * _SECONDS))
    signal.alarm(_WAIT)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    wrong, refused = "", False
    for read in (
        lambda: check_model(folder / "model.onnx"),
        lambda: read_model(folder / "model.onnx", folder / "x.npz"),
    ):
        try:
            read()
        except _REFUSED as error:
            refused = True
            if "\n" in str(error).strip() or not str(error).strip():
                wrong = f"not one sentence: {error!r}"
        except BaseException:
            wrong = traceback.format_exc()
    os.write(pipe, json.dumps([wrong[-2000:], refused]).encode())


def tried(number: int) -> Found:
    """One case, in a process of its own."""
    what, model, archive = mutated(number)
    with tempfile.TemporaryDirectory(prefix="sparnn-fuzz-") as name:
        folder = Path(name) / "inside"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(model)
        (folder / "x.npz").write_bytes(archive)
        before = sorted(Path(name).rglob("*"))
        reading, writing = os.pipe()
        # What nobody refers to any more stays: a session of ONNX Runtime waits, when it goes, for
        # threads that the child has not.
        gc.freeze()
        child = os.fork()
        if child == 0:
            os.close(reading)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            try:
                _child(folder, writing)
            finally:
                os._exit(0)
        gc.unfreeze()
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read()
        _, status, usage = os.wait4(child, 0)
        wrong, refused = json.loads(said) if said else ("it said nothing", False)
        if sorted(Path(name).rglob("*")) != before:
            wrong = wrong or "it wrote a file"
    if os.WIFSIGNALED(status):
        wrong = f"ended by signal {os.WTERMSIG(status)}"
    used = usage.ru_maxrss * 1024
    seconds = usage.ru_utime + usage.ru_stime  # of the processor: the machine may have other work
    if seconds > _SECONDS:
        wrong = wrong or f"{seconds:.0f} seconds"
    if used > _BYTES:
        wrong = wrong or f"{used >> 20} MiB"
    return Found(number, what, refused, wrong, seconds, used / (1 << 20))


def content(found: Sequence[Found], command: str) -> dict[str, Any]:
    """The content of docs/results/fuzz.json."""
    groups = [
        (name, [one for one in found if one.number % len(_BROKEN) == k])
        for k, name in enumerate(_BROKEN)
    ]
    rows = [
        {
            "broken": name,
            "cases": len(own),
            "refused": sum(one.refused for one in own),
            "taken": sum(not one.refused for one in own),
            "wrong": sum(bool(one.wrong) for one in own),
            "seconds": max(one.seconds for one in own),
            "megabytes": max(one.megabytes for one in own),
        }
        for name, own in [*groups, ("all", found)]
    ]
    columns = (
        ("broken", "{broken}"),
        ("files", "{cases:,}"),
        ("refused with a sentence", "{refused:,}"),
        ("taken", "{taken:,}"),
        ("not as it should be", "{wrong:,}"),
        ("longest, processor seconds", "{seconds:.1f}"),
        ("largest, MiB", "{megabytes:.0f}"),
    )
    names = ("sparnn", "onnx", "onnxruntime", "numpy")
    table = {
        "provenance": {
            "command": command,
            "date": datetime.date.today().isoformat(),
            "versions": ", ".join(f"{n} {importlib.metadata.version(n)}" for n in names),
        },
        "columns": [{"title": title, "text": text} for title, text in columns],
        "rows": rows,
    }
    return {"tables": {"cases": table}}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="docs/results/fuzz.json")
    options = parser.parse_args(arguments)
    found = []
    for number in range(options.first, options.first + options.cases):
        found.append(tried(number))
        one = found[-1]
        if one.wrong:
            print(f"case {number} ({one.what}): {one.wrong}", flush=True)
            print(f"again: python -m sparnn.gen.bench.fuzz --first {number} --cases 1", flush=True)
    bad = sum(bool(one.wrong) for one in found)
    longest, largest = (
        max(getattr(one, name) for one in found) for name in ("seconds", "megabytes")
    )
    print(
        f"{len(found)} cases, {bad} wrong; the longest took {longest:.1f} seconds, the largest "
        f"{largest:.0f} MiB"
    )
    if options.write:
        command = f"python -m sparnn.gen.bench.fuzz --cases {options.cases} --write"
        RESULTS.write_text(json.dumps(content(found, command), indent=1) + "\n", encoding="utf-8")
        write_pages(Path())
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
