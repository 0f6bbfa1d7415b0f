"""`python -m sparnn.gen.bench.times --wheels FOLDER`: what three commands take, whole networks.

`sparnn check`, `estimate` and `compile` of the networks of gen/bench/end_to_end.py, whose wheels
are in FOLDER, and of the other networks of examples/, into docs/results/times.json.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sparnn.gen.errors import SparnnError

from .end_to_end import LANES, WHOLE, model_and_samples
from .tables import write_pages
from .zoo import NETWORKS

__all__ = ["content", "main", "times_of"]

RESULTS = Path("docs/results/times.json")
_COMMANDS = ("check", "estimate", "compile")


def times_of(model: Path, samples: Path) -> dict[str, float]:
    """Processor seconds of three commands, each with the start of Python, and an empty cache."""
    given = [str(model), "--calibrate", str(samples)]
    lanes = ["--lanes", str(LANES)]
    found = {}
    with tempfile.TemporaryDirectory(prefix="sparnn-times-") as name:
        commands = {
            "check": given,
            "estimate": [*given, *lanes],
            "compile": [*given, *lanes, "-o", f"{name}/out"],
        }
        for command, arguments in commands.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(
                [sys.executable, "-m", "sparnn.gen.cli", command, *arguments],
                capture_output=True, text=True, check=False,
                env=dict(os.environ, SPARNN_CACHE=f"{name}/{command}"),
            )  # fmt: skip
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if done.returncode:
                raise SparnnError(f"{command} {model}: {done.stderr.strip()}")
            spent = [one.ru_utime + one.ru_stime for one in (before, after)]
            found[command] = spent[1] - spent[0]
    return found


def _models(wheels: Path, build: Path) -> Iterator[tuple[str, Path, Path]]:
    """Name, file and sample inputs of each network."""
    for network in WHOLE:
        yield network.name, *model_and_samples(network, wheels, build)
    ours = {network.source for network in WHOLE}
    for one in NETWORKS:
        model = Path("examples", one.folder, one.file)
        if f"{one.folder}/{one.file}" not in ours:
            yield f"{one.folder}, {model.stem}", model, model.with_name("calibrate.npz")


def content(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The content of docs/results/times.json."""
    names = ("sparnn", "numpy", "onnxruntime")
    columns = [{"title": "network", "text": "{network}"}]
    columns += [{"title": name, "text": f"{{{name}:.1f}} s"} for name in _COMMANDS]
    table = {
        "provenance": {
            "command": "python -m sparnn.gen.bench.times --wheels FOLDER",
            "date": datetime.date.today().isoformat(),
            "versions": ", ".join(f"{one} {importlib.metadata.version(one)}" for one in names),
            "note": "processor seconds, Python's start included, other work on both cores",
        },
        "columns": columns,
        "rows": list(rows),
    }
    return {"tables": {"commands": table}}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sparnn.gen.bench.times", description=__doc__)
    parser.add_argument("--wheels", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/end_to_end"))
    parser.add_argument("--json", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    try:
        given.output.mkdir(parents=True, exist_ok=True)
        rows = []
        for name, model, samples in _models(given.wheels, given.output):
            rows.append({"network": name, **times_of(model, samples)})
            print(rows[-1], flush=True)
        text = json.dumps(content(rows), indent=1, ensure_ascii=False)
        given.json.write_text(text + "\n", encoding="utf-8")
        write_pages(Path())
    except (SparnnError, OSError, ValueError, RuntimeError) as error:
        print(f"sparnn: error: {error}", file=sys.stderr)
        return 2
    print(f"written to {given.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
