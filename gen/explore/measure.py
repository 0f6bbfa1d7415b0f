"""A point by itself: simulated on the sample inputs, synthesized, or its outputs evaluated."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sparnn.gen.boards import BOARDS
from sparnn.gen.compile import compile_model
from sparnn.gen.errors import SparnnError
from sparnn.gen.evaluate.evaluate import evaluate
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.gen.synth.mapping import synthesize
from sparnn.hdl.emit import TOP_MODULE
from sparnn.hdl.errors import ConfigurationError
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.run import read_manifest
from sparnn.sim.runner import simulate

from .models import placed_config
from .space import Point

__all__ = ["evaluate_point", "machine_toml", "simulate_point", "synthesize_point"]

#: What is simulated of sample inputs: cycles of a step change little behind that.
_FEW = {"batch": 2, "time": 64}
_REFUSALS = (SparnnError, ConfigurationError, SimulationError)


def machine_toml(config: MachineConfig) -> str:
    """The machine as a file that ``--config`` takes."""
    values = {name: value for name, value in vars(config).items() if not name.startswith("_")}
    lines = [f"{name} = {value}" for name, value in values.items()]
    return "\n".join([f'machine = "{config.MACHINE}"', *lines, ""])


def simulate_point(model: Path, calibrate: Path, point: Point) -> dict[str, Any]:
    """Compile for the point's machine and run its Verilog on the first sample inputs.

    Returns
    -------
    ``cycles_per_step``, ``steps``, ``sequences``, ``utilization``, ``bit_exact`` and ``sqnr_db``;
    or ``reason``.
    """
    try:
        with _compiled(model, calibrate, point) as out:
            inputs = out.parent / "x.npz"
            np.savez(inputs, **_first(calibrate, read_manifest(out).get("io")))
            report = simulate(out, inputs)
    except _REFUSALS as error:
        return {"reason": str(error)}
    return {
        "cycles_per_step": report.cycles_per_step,
        "utilization": report.utilization,
        "bit_exact": report.bit_exact,
        "sqnr_db": report.sqnr_db,
        "steps": report.steps,
        "sequences": report.sequences,
    }


def evaluate_point(
    model: Path, calibrate: Path, data: Path, metric: str, point: Point
) -> dict[str, Any]:
    """Compile for the point's machine and evaluate the golden model: ``quality``, or ``reason``."""
    try:
        with _compiled(model, calibrate, point) as out:
            (result,) = evaluate(out, data, metric, backends=["golden"]).results
    except _REFUSALS as error:
        return {"reason": str(error)}
    return {"quality": result.value}


@contextmanager
def _compiled(model: Path, calibrate: Path, point: Point) -> Iterator[Path]:
    """The folder that compile writes for the point's machine; it goes afterwards."""
    config = placed_config(model, calibrate, point)
    with tempfile.TemporaryDirectory(prefix="sparnn-explore-") as name:
        machine, out = Path(name) / "machine.toml", Path(name) / "out"
        machine.write_text(machine_toml(config), encoding="utf-8")
        compile_model(
            model,
            calibrate,
            out,
            config=str(machine),
            prune=point.prune or None,
            prune_rows=point.rows if point.prune else None,
            delta=point.delta,
        )
        yield out


def _first(inputs: Path, io: Any) -> dict[str, Any]:
    """The first sequences and steps of sample inputs; all of them where a graph has many inputs
    with axes of their own."""
    with np.load(inputs) as arrays:
        kept = dict(arrays.items())
    for entry in (io or {}).get("inputs", ()):
        for axis, name in enumerate(entry["axes"]):
            if name in _FEW:
                few = [slice(None)] * axis + [slice(_FEW[name])]
                kept[entry["name"]] = kept[entry["name"]][tuple(few)]
    return kept


def synthesize_point(model: Path, calibrate: Path, board: str, point: Point) -> dict[str, Any]:
    """Synthesize the point's machine for the board's FPGA: resources, or ``reason``."""
    target = BOARDS[board].target
    try:
        config = placed_config(model, calibrate, point)
        netlist = synthesize(kept_verilog(config), TOP_MODULE, target, netlist=False)
    except _REFUSALS as error:
        return {"reason": str(error)}
    return {name: int(value) for name, value in target.count(netlist.cells).items()}
