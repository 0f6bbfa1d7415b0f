"""What the hardware gave beside the golden model's values."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sparnn.sim.golden.trace import NetworkTrace
from sparnn.sim.host.answers import SequenceResult
from sparnn.sim.host.program import MachineProgram

__all__ = ["mismatches"]

IntArray = npt.NDArray[np.int64]


def mismatches(
    program: MachineProgram, results: Sequence[SequenceResult], traces: Sequence[NetworkTrace]
) -> tuple[int, str | None]:
    """How many values of the hardware differ from the golden model's, and where the first is."""
    count = 0
    first = None
    for number, (result, trace) in enumerate(zip(results, traces, strict=True)):
        pairs = []
        for index, got in enumerate(result.outputs):
            if got is not None:
                golden, descriptor = trace.layers[index].outputs, program.layers[index].descriptor
                # Where the step computed last alone is emitted, the golden model has all of them.
                if descriptor.get("reverse", 0) and not descriptor["single_step"]:
                    golden = golden[::-1]
                pairs.append((index, "output", got, golden[len(golden) - len(got) :]))
        for index, got in result.sequences.items():
            pairs.append((index, "stored output", got, trace.layers[index].sequence))
        for index, got in result.states.items():
            state = trace.layers[index].state
            assert state is not None
            pairs.append((index, "state", got[np.newaxis], state[np.newaxis]))
        for index, what, got, golden in pairs:
            wrong = got != golden
            count += int(np.count_nonzero(wrong))
            if first is None and wrong.any():
                step, unit = (int(i) for i in np.argwhere(wrong)[0])
                first = (
                    f"sequence {number}, layer {program.layers[index].name!r}, {what} {unit} of "
                    f"step {step + len(trace.layers[index].outputs) - len(golden)}: hardware "
                    f"{got[step, unit]}, golden model {golden[step, unit]}"
                )
    return count, first
