"""Which activations are not zero, and when: what the compiler balances the lanes by."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.run import quantize_sequence
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.network import IntegerNetwork

__all__ = ["MEASURED_STEPS", "BoolArray", "measure_activity"]

BoolArray = npt.NDArray[np.bool_]

#: Steps of the calibration sequences that are looked at; the shares do not need more.
MEASURED_STEPS = 512


def measure_activity(
    network: IntegerNetwork, sequences: Sequence[InputSequence]
) -> list[BoolArray]:
    """Whether each activation is not zero in each calibration step, on the integers.

    Returns
    -------
    Of the network's input, [steps, inputs], then of each layer's output, [steps, units].
    """
    seen: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(1 + len(network.layers))]
    left = MEASURED_STEPS
    for sequence in sequences:
        if left <= 0:
            break
        integers = quantize_sequence(network, sequence)
        trace = run_network(network, integers.x[:left], integers.initial)
        seen[0].append(integers.x[:left])
        for values, layer in zip(seen[1:], trace.layers, strict=True):
            values.append(layer.outputs)
        left -= len(integers.x)
    return [np.concatenate(values) != 0 for values in seen]
