"""`python -m sparnn.gen.bench.cases FOLDER`: files as people export them, and what becomes of each.

The folder holds one folder for each case, with ``model.onnx``, ``calibrate.npz``, ``input.npz`` and
mostly ``expected.npz`` (ONNX Runtime's outputs), and ``cases.json``: case -> ``expect``, which is
``right``, ``refused`` or ``either``, and perhaps ``options`` of compile and ``sqnr`` in decibels.
A case is as it should be where it is compiled and every output has the right name and shape and so
many decibels of signal to noise, or where it is refused in one sentence with exit status 2.
``--write`` puts the table into docs/results/cases.json.
"""

import argparse
import datetime
import importlib.metadata
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .tables import write_pages

__all__ = ["Outcome", "content", "main", "tried"]

RESULTS = Path("docs/results/cases.json")
#: Decibels that an output has to have where a case names none, and the lanes of the machine.
_DECIBELS, _OPTIONS = 15.0, ("--lanes", "8")
#: The cases' names begin with the letter of where they were reported or come from.
_KINDS = {
    "A": "Keras and TensorFlow: keras-onnx, tensorflow-onnx, hls4ml",
    "N": "the ONNX project's operator examples",
    "O": "ONNX and its runtimes: onnx, onnxruntime, opencv",
    "R": "published networks",
    "S": "runtimes for small devices, and what their users ask",
    "T": "PyTorch: modules, states, heads, exporters",
    "U": "exporters without folding, stacked states, control policies",
    "V": "time series: tflite-micro, hls4ml",
    "X": "graphs with operators that only the host has",
}


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Members
    -------
    verdict: ``right``, ``refused``, as they should be; ``wrong``, with ``why``.
    decibels: the least signal to noise of its outputs; None where nothing differs or nothing ran.
    """

    case: str
    verdict: str
    why: str = ""
    decibels: float | None = None
    simulated: bool = False


def _run(*arguments: str | Path) -> tuple[int, str]:
    """The command line: its status and what it printed."""
    command = [sys.executable, "-m", "sparnn.gen.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def tried(folder: Path, expected: Mapping[str, Any], *, simulate: bool) -> Outcome:
    """Compile a case, and run it by the golden model, or in Verilog as well."""
    case, wanted = folder.name, expected["expect"]
    options = expected.get("options", _OPTIONS)
    with tempfile.TemporaryDirectory(prefix="sparnn-case-") as name:
        out, answer = Path(name, "out"), Path(name, "y.npz")
        samples = folder / "calibrate.npz"
        model = folder / "model.onnx"
        code, text = _run("compile", model, "--calibrate", samples, *options, "-o", out)
        if code == 2 and "Traceback" not in text:
            clean = not out.exists() and wanted != "right"
            return (
                Outcome(case, "refused") if clean else Outcome(case, "wrong", text.strip()[-300:])
            )
        if code:
            return Outcome(case, "wrong", text.strip()[-300:])
        if wanted == "refused":
            return Outcome(case, "wrong", "it should have been refused")
        verb = "simulate" if simulate else "golden"
        code, text = _run(verb, out, "--input", folder / "input.npz", "--output", answer)
        if code:
            return Outcome(case, "wrong", text.strip()[-300:], simulated=simulate)
        if not (folder / "expected.npz").is_file():
            return Outcome(case, "right", simulated=simulate)
        with np.load(folder / "expected.npz") as true, np.load(answer) as given:
            why, decibels = _compared(dict(true), dict(given), expected.get("sqnr", _DECIBELS))
    return Outcome(case, "wrong" if why else "right", why, decibels, simulate)


def _compared(
    true: Mapping[str, Any], given: Mapping[str, Any], least: float
) -> tuple[str, float | None]:
    """What is wrong, "" where nothing is, and the least signal to noise."""
    found = []
    for name, array in true.items():
        if name not in given or given[name].shape != array.shape:
            return f"output {name} is missing or has another shape", None
        a, b = array.astype(np.float64), given[name].astype(np.float64)
        signal, noise = float((a**2).sum()), float(((a - b) ** 2).sum())
        if noise <= 1e-12 * a.size:
            continue
        found.append(10 * np.log10(signal / noise) if signal else -np.inf)
        if found[-1] < least:
            return f"output {name}: {found[-1]:.1f} dB of {least} asked", float(found[-1])
    return "", float(min(found)) if found else None


def content(outcomes: Sequence[Outcome], command: str) -> dict[str, Any]:
    """The content of docs/results/cases.json."""
    rows = []
    for letter, kind in _KINDS.items():
        own = [one for one in outcomes if one.case[0] == letter]
        if own:
            rows.append(_row(kind, own))
    rows.append(_row("all", outcomes))
    names = ("sparnn", "onnxruntime", "verilator")
    return {
        "tables": {
            "kinds": {
                "provenance": {
                    "command": command,
                    "date": datetime.date.today().isoformat(),
                    "versions": ", ".join(f"{n} {importlib.metadata.version(n)}" for n in names),
                },
                "columns": [
                    {"title": "from", "text": "{kind}"},
                    {"title": "files", "text": "{files}"},
                    {"title": "compiled and right", "text": "{right}"},
                    {"title": "rightly refused", "text": "{refused}"},
                    {"title": "not as it should be", "text": "{wrong}"},
                    {"title": "simulated in Verilog", "text": "{simulated}"},
                    {"title": "SQNR, least and median", "text": "{least}, {median} dB"},
                ],
                "rows": rows,
            }
        },
        "outcomes": [asdict(one) for one in outcomes],
    }


def _row(kind: str, own: Sequence[Outcome]) -> dict[str, Any]:
    decibels = [one.decibels for one in own if one.decibels is not None]
    wrong = [one.case for one in own if one.verdict == "wrong"]
    return {
        "kind": kind,
        "files": len(own),
        "right": sum(one.verdict == "right" for one in own),
        "refused": sum(one.verdict == "refused" for one in own),
        "wrong": ", ".join(wrong) or "none",
        "simulated": sum(one.simulated for one in own),
        "least": f"{min(decibels):.1f}" if decibels else "",
        "median": f"{float(np.median(decibels)):.1f}" if decibels else "",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sparnn.gen.bench.cases", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--simulate", type=int, default=0, metavar="N", help="N drawn ones (seed 0)"
    )
    parser.add_argument("--case", nargs="*", help="these alone")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    try:
        known = json.loads((given.folder / "cases.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"sparnn: error: {given.folder}/cases.json cannot be read: {error}", file=sys.stderr)
        return 2
    names = given.case or sorted(known)
    drawn = set(random.Random(0).sample(sorted(known), min(given.simulate, len(known))))
    outcomes = []
    for name in names:
        one = tried(given.folder / name, known[name], simulate=name in drawn)
        outcomes.append(one)
        print(f"{one.verdict:8} {name} {'simulated ' * one.simulated}{one.why[:200]}", flush=True)
    print(f"{sum(one.verdict != 'wrong' for one in outcomes)} of {len(outcomes)} as they should be")
    if given.write:
        command = f"python -m sparnn.gen.bench.cases FOLDER --simulate {given.simulate} --write"
        text = json.dumps(content(outcomes, command), indent=1, ensure_ascii=False)
        RESULTS.write_text(text + "\n", encoding="utf-8")
        write_pages(Path())
    return 0


if __name__ == "__main__":
    sys.exit(main())
