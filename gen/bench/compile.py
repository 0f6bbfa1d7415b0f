"""How long a compile takes, by phase, on four networks of drawn weights.

`python -m sparnn.gen.bench.compile`, and a part of `make bench`. Processor seconds of all threads:
what else the machine does changes them less than it changes the wall's.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.table import Table

from sparnn.gen.compile import compile_model
from sparnn.gen.network.model import GATES

__all__ = ["CASES", "CompileCase", "CompilePoint", "compile_points"]


@dataclass(frozen=True)
class CompileCase:
    """A network of equal layers, its machine, and how many sample steps it is calibrated on.

    Members
    -------
    directions: 2 is forwards and backwards, side by side.
    sequences: of so many ``steps`` each.
    """

    kind: str
    inputs: int
    units: int
    layers: int
    directions: int
    lanes: int
    sequences: int
    steps: int


CASES: Mapping[str, CompileCase] = {
    "LSTM 128, 8 lanes": CompileCase("lstm", 128, 128, 1, 1, 8, 1, 2000),
    "GRU 2 x 768, 64 lanes": CompileCase("gru", 40, 768, 2, 1, 64, 4, 100),
    "bidirectional LSTM 512, 64 lanes": CompileCase("lstm", 512, 512, 1, 2, 64, 4, 100),
    "bidirectional LSTM 512, 8 lanes": CompileCase("lstm", 512, 512, 1, 2, 8, 4, 100),
}


@dataclass(frozen=True)
class CompilePoint:
    """seconds: processor seconds; phases: of each phase."""

    case: str
    seconds: float
    phases: Mapping[str, float]


def compile_points(names: list[str] | None = None, *, seed: int = 0) -> Iterator[CompilePoint]:
    """Compile each case once into a folder that is thrown away."""
    for name in names or CASES:
        case = CASES[name]
        rng = np.random.default_rng(seed)
        with tempfile.TemporaryDirectory(prefix="sparnn-bench-") as place:
            folder = Path(place)
            onnx.save(_model(case, rng), folder / "model.onnx")
            x = rng.standard_normal((case.steps, case.sequences, case.inputs))
            np.savez(folder / "x.npz", x=x.astype(np.float32))
            with _cache(folder / "cache"):
                summary = compile_model(
                    folder / "model.onnx", folder / "x.npz", folder / "out", lanes=case.lanes
                )
        phases = {phase: round(value, 2) for phase, value in summary.phases.seconds.items()}
        yield CompilePoint(name, round(sum(summary.phases.seconds.values()), 2), phases)


@contextmanager
def _cache(folder: Path) -> Iterator[None]:
    """An empty cache, so that the Verilog is made each time."""
    before = os.environ.get("SPARNN_CACHE")
    os.environ["SPARNN_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SPARNN_CACHE"]
        else:
            os.environ["SPARNN_CACHE"] = before


def _model(case: CompileCase, rng: np.random.Generator) -> onnx.ModelProto:
    """Weights as PyTorch draws them: uniform within 1 / sqrt(units)."""
    gates, bound = len(GATES[case.kind]), 1 / np.sqrt(case.units)
    nodes, constants = [], []
    value, inputs, width = "x", case.inputs, case.units * case.directions
    options: dict[str, Any] = {"hidden_size": case.units}
    if case.directions == 2:
        options["direction"] = "bidirectional"
    if case.kind == "gru":
        options["linear_before_reset"] = 1
    constants.append(numpy_helper.from_array(np.array([0, 0, width]), "shape"))
    for number in range(case.layers):
        rows = gates * case.units
        names = [f"{name}{number}" for name in "WRB"]
        shapes = ((rows, inputs), (rows, case.units), (2 * rows,))
        for name, shape in zip(names, shapes, strict=True):
            array = rng.uniform(-bound, bound, (case.directions, *shape)).astype(np.float32)
            constants.append(numpy_helper.from_array(array, name))
        nodes += [
            helper.make_node(
                case.kind.upper(), [value, *names], [f"Y{number}"], name=f"layer{number}", **options
            ),
            helper.make_node("Transpose", [f"Y{number}"], [f"T{number}"], perm=[0, 2, 1, 3]),
            helper.make_node("Reshape", [f"T{number}", "shape"], [f"y{number}"]),
        ]
        value, inputs = f"y{number}", width
    axes = ["time", "batch"]
    graph = helper.make_graph(
        nodes,
        "bench",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [*axes, case.inputs])],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, [*axes, width])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def show(points: list[CompilePoint]) -> Table:
    """The points as a table, a column each."""
    table = Table("processor seconds", *(point.case for point in points), title="Compile")
    for phase in points[0].phases:
        table.add_row(phase, *(f"{point.phases[phase]:.2f}" for point in points))
    table.add_row("total", *(f"{point.seconds:.2f}" for point in points))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sparnn.gen.bench.compile", description=__doc__)
    parser.add_argument("--case", action="append", choices=CASES, help="All, by default.")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    points = list(compile_points(arguments.case))
    Console().print(show(points))
    if arguments.json is not None:
        text = json.dumps([asdict(point) for point in points], indent=2)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
