"""`make demo`: the handwritten digits, from the trained ONNX file to simulated Verilog."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from sparnn.gen.compile import compile_model
from sparnn.gen.errors import SparnnError
from sparnn.gen.output.manifest import read_manifest
from sparnn.sim.reference import run_reference
from sparnn.sim.runner import simulate
from sparnn.sim.verilator.cache import cache_folder

__all__ = ["digits", "main"]

EXAMPLES = Path("examples/digits")


def accuracy(logits: npt.NDArray[Any], labels: npt.NDArray[Any]) -> float:
    """Share of rows whose largest logit is the label's. logits [n, classes], labels [n]."""
    return float(np.mean(np.argmax(logits, axis=-1) == labels))


def digits(model: Path, folder: Path, *, lanes: int, prune: float | None = None) -> dict[str, Any]:
    """Compile one digits model, simulate it on the held-out images, and report.

    Returns the fields of ``sparnn simulate --json`` plus accuracy_float, accuracy_hardware, images.
    Writes DIR/report.json beside the compiled machine.
    """
    data = EXAMPLES / "test.npz"
    if not data.is_file():
        raise SparnnError(
            f"{data} is not here: run the demo from the top folder of a sparnn checkout"
        )
    compile_model(
        model,
        EXAMPLES / "calibrate.npz",
        folder,
        config=None,
        lanes=lanes,
        prune=prune,
        weight_bits=None,
        activation_bits=None,
    )
    result = simulate(folder, data, output=folder / "output.npz", waves=False)
    labels = np.load(data)["labels"]
    io = read_manifest(folder)["io"]
    name = io["outputs"][0]["name"]
    reference = run_reference(model, data, io)
    with np.load(folder / "output.npz") as output:
        hardware = output[name]
    report = result.as_dict() | {
        "images": len(labels),
        "accuracy_float": accuracy(reference[name], labels),
        "accuracy_hardware": accuracy(hardware, labels),
    }
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sparnn.gen.bench.demo", description=__doc__)
    parser.add_argument("--model", type=Path, default=EXAMPLES / "lstm.onnx")
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/demo"))
    arguments = parser.parse_args()
    try:
        report = digits(arguments.model, arguments.output, lanes=arguments.lanes)
    except (SparnnError, ValueError, RuntimeError) as error:
        print(f"sparnn: error: {error}", file=sys.stderr)
        return 2
    table = Table(title=f"{arguments.model} on {arguments.lanes} lanes", show_header=False)
    for name, value in (
        ("held-out images", report["images"]),
        ("accuracy, float model", f"{report['accuracy_float']:.2%}"),
        ("accuracy, hardware", f"{report['accuracy_hardware']:.2%}"),
        ("bit exact with the golden model", report["bit_exact"]),
        ("cycles", f"{report['cycles']:,}"),
        ("cycles per step", f"{report['cycles_per_step']:.1f}"),
        ("utilization", f"{report['utilization']:.1%}"),
        ("simulated cycles per second", f"{report['simulated_cycles_per_second']:,.0f}"),
    ):
        table.add_row(name, str(value))
    console = Console()
    console.print(table)
    print(f"Verilog, images and report.json are in {arguments.output}/")
    print(f"The built simulation is kept in {cache_folder()}/")
    return 0 if report["bit_exact"] else 1


if __name__ == "__main__":
    sys.exit(main())
