"""Runs a compiled folder in the golden model: `sparnn golden`."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.sim.golden.run import golden_outputs, load_compiled
from sparnn.sim.golden.run import run_golden as run_part
from sparnn.sim.golden.saturation import TensorSaturation, together
from sparnn.sim.network.arrays import check_inputs, padded_steps, sequences_of, write_npz
from sparnn.sim.threads import one_thread

from .whole import Arrays, Whole

__all__ = ["golden_part", "part_inputs", "run_golden"]


@one_thread()
def run_golden(folder: Path, inputs: Path, output: Path) -> list[TensorSaturation]:
    """Run the golden model, and where the graph was cut the host's pieces around it.

    Parameters, result and errors are those of :func:`sparnn.sim.golden.run.run_golden`.
    """
    whole = Whole.of(folder)
    if whole is None:
        return run_part(folder, inputs, output)
    saturated: list[TensorSaturation] = []

    def run(part: Path, known: Arrays) -> Arrays:
        outputs, found = golden_part(part, known)
        saturated.extend(found)
        return outputs

    feeds = whole.read(inputs)
    write_npz(output, whole.joined([whole.run(feed, run) for feed in feeds]))
    return together(saturated)


def golden_part(
    part: Path, known: Arrays
) -> tuple[dict[str, npt.NDArray[np.float32]], list[TensorSaturation]]:
    """A part's outputs by the golden model, and what saturated."""
    manifest, network = load_compiled(part)
    io = manifest["io"]
    arrays = part_inputs(part, known)
    return golden_outputs(network, io, sequences_of(arrays, io), padded_steps(arrays, io))


def part_inputs(part: Path, known: Arrays) -> dict[str, npt.NDArray[Any]]:
    """What a part reads of the arrays that are known, checked.

    Raises
    ------
    SimulationError
        They do not fit the part.
    """
    manifest, network = load_compiled(part)
    io = manifest["io"]
    names = {entry["name"] for entry in io["inputs"]}
    own = {name: array for name, array in known.items() if name in names}
    return dict(check_inputs(own, f"part {part.name}", io, network.input_sizes))
