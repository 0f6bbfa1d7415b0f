"""A model compiled for a machine described by a file."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from support.onnx_builder import feeds_for

from sparnn.gen.compile import compile_model
from sparnn.sim.runner import SimulationReport, simulate

__all__ = ["DENSE", "FULL", "MACHINE", "compiled", "simulated"]

#: A sparse machine for most models. Files that add options build theirs once for all models.
MACHINE = """
lanes = 8
post_units = 4
max_v = 2
weight_bits = 12
activation_bits = 14
columns = 64
store_depth = 256
"""

#: The same with all cells and two directions in turn. Files share it, so that it is built once.
FULL = MACHINE + "reset_first = 1\nhard_sigmoid = 1\ncell_functions = 1\nclip = 1\nthreads = 2\n"
FULL += "peepholes = 1\ngate_functions = 1\n"

#: A dense machine, whose link carries several words at once; files share it, too.
DENSE = """
machine = "dense"
lanes = 8
width = 8
banks = 4
columns = 32
weight_bits = 12
activation_bits = 14
gate_depth = 16
link_words = 4
"""


def compiled(
    model: onnx.ModelProto, folder: Path, machine: str, *, steps: int = 9, **options: Any
) -> tuple[Path, Path]:
    """The output folder, and inputs: three sequences, those that it was calibrated on.

    ``machine`` is the text of a TOML file.
    """
    onnx.save(model, folder / "model.onnx")
    np.savez(folder / "x.npz", **feeds_for(model, steps=steps, batch=3))
    (folder / "machine.toml").write_text(machine)
    compile_model(
        folder / "model.onnx",
        folder / "x.npz",
        folder / "out",
        config=str(folder / "machine.toml"),
        **options,
    )
    return folder / "out", folder / "x.npz"


def simulated(folder: Path, inputs: Path, **options: Any) -> SimulationReport:
    """The report of a simulation, which has to be bit exact and near ONNX Runtime."""
    report = simulate(folder, inputs, **options)
    assert report.bit_exact, report.first_mismatch
    assert report.sqnr_db is not None
    assert report.sqnr_db > 48
    return report
