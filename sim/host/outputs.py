"""The model's outputs out of what the machine answered."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sparnn.sim.aliases import IntArray
from sparnn.sim.errors import SimulationError

from .answers import SequenceResult

__all__ = ["hardware_outputs"]


def hardware_outputs(io: Mapping[str, Any], result: SequenceResult) -> dict[str, IntArray]:
    """The model's outputs of one sequence as integers, for `assemble_outputs`."""
    outputs = {}
    for entry in io["outputs"]:
        layer, what, name = entry["layer"], entry["what"], entry["name"]
        both = entry.get("layers", [layer])  # joined layers; the last of them names the output
        if what == "state_c":
            outputs[name] = np.concatenate([result.states[index] for index in both])
            continue
        stored = result.sequences.get(layer)
        alone = len(both) == 1 and result.outputs[layer] is None  # and so runs forwards
        if stored is not None and (what in ("sequence", "step") or alone):
            outputs[name] = stored if what == "sequence" else stored[-1]
            continue
        emitted = [result.outputs[index] for index in both]
        last = [values[-1] for values in emitted if values is not None]
        if len(last) < len(both):
            raise SimulationError(
                f"output {name!r} is not in program.json: compile the model again"
            )
        whole = emitted[-1]
        assert whole is not None
        outputs[name] = whole if what == "sequence" else np.concatenate(last)
    return outputs
