"""`make bench`: measured figures, each from the RTL in Verilator.

What is measured, and how, is in docs/measures.md.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.presets import load_config
from sparnn.hdl.emit import machine_verilog
from sparnn.sim.verilator.verilate import build_driver

from .compile import compile_points, show
from .masr import masr_points

__all__ = ["SimulatorPoint", "main", "simulator_point"]


@dataclass(frozen=True)
class SimulatorPoint:
    """How large a machine's Verilog is and how fast it is made and simulated."""

    lanes: int
    verilog_seconds: float
    verilog_megabytes: float
    build_seconds: float


def simulator_point(lanes: int) -> SimulatorPoint:
    """Emit and build a machine, both afresh (the build cache is not used)."""
    start = time.monotonic()
    text = machine_verilog(load_config(None, lanes))
    emitted = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sparnn-bench-") as folder:
        path = Path(folder) / "sparnn.v"
        # A text of its own is a build of its own.
        path.write_text(f"// {time.time_ns()}\n{text}")
        begun = time.monotonic()
        build_driver(path)
        built = time.monotonic()
    return SimulatorPoint(lanes, emitted - start, len(text) / 1e6, built - begun)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sparnn.gen.bench.readme", description=__doc__)
    parser.add_argument("--lanes", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--steps", type=int, default=40, help="of MASR's layer; the paper has 333")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    arguments = parser.parse_args()
    console = Console()
    try:
        compiles = list(compile_points())
        simulators = [simulator_point(lanes) for lanes in arguments.lanes]
        points = list(
            masr_points(
                arguments.lanes,
                hidden=800,
                weight_density=0.33,
                hidden_density=0.2,
                input_density=0.4,
                steps=arguments.steps,
                seed=arguments.seed,
                directions=2,
            )
        )
    except (SparnnError, ValueError, RuntimeError) as error:
        print(f"sparnn: error: {error}", file=sys.stderr)
        return 2
    console.print(show(compiles))
    for title, rows in (("Simulation", simulators), ("MASR's layer", points)):
        table = Table(title=title, show_header=False)
        dicts = [asdict(row) for row in rows]
        for name in dicts[0]:
            table.add_row(name.replace("_", " "), *(_text(one[name]) for one in dicts))
        console.print(table)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "compile": [asdict(one) for one in compiles],
        "simulator": [asdict(one) for one in simulators],
        "masr": [asdict(one) for one in points],
    }
    arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    print(f"written to {arguments.json}")
    return 0 if all(point.bit_exact for point in points) else 1


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
