"""Which activations are not zero, and when: what the compiler balances the lanes by."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.run import quantize_sequence
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.network import IntegerNetwork

from .sent import read_vectors, sent_elements

__all__ = ["MEASURED_STEPS", "Activity", "BoolArray", "measure_activity"]

BoolArray = npt.NDArray[np.bool_]
#: Of the input and of the hidden half of a layer, the elements that are sent, [steps, columns].
Sent = tuple[BoolArray, BoolArray | None]

#: Steps of the calibration sequences that are looked at; the shares do not need more.
MEASURED_STEPS = 512


class Activity(list[BoolArray]):
    """Whether each activation is not zero: of the network's input, [steps, inputs], then of each
    layer's output, [steps, units].

    Members
    -------
    sent: with thresholds of differences, of each layer what is sent of the vectors that it reads,
        in the order of its steps; else None.
    """

    def __init__(self, values: Iterable[BoolArray], sent: Sequence[Sent] | None = None):
        super().__init__(values)
        self.sent = None if sent is None else list(sent)

    def changed(self, change: Callable[[BoolArray], BoolArray]) -> "Activity":
        """All arrays changed alike."""
        sent = None
        if self.sent is not None:
            sent = [(change(x), None if h is None else change(h)) for x, h in self.sent]
        return Activity(map(change, self), sent)


def measure_activity(network: IntegerNetwork, sequences: Sequence[InputSequence]) -> Activity:
    """Whether each activation is not zero, and is sent, in each calibration step, on the
    integers."""
    seen: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(1 + len(network.layers))]
    sent: list[list[Sent]] = [[] for _ in network.layers]
    left = MEASURED_STEPS
    for sequence in sequences:
        if left <= 0:
            break
        integers = quantize_sequence(network, sequence)
        x = integers.x[:left]
        trace = run_network(network, x, integers.initial)
        seen[0].append(x)
        for values, one in zip(seen[1:], trace.layers, strict=True):
            values.append(one.outputs)
        if network.sends_differences:
            read = read_vectors(network, x, integers.initial, trace)
            for found, layer, vectors in zip(sent, network.layers, read, strict=True):
                found.append(sent_elements(layer, vectors))
        left -= len(integers.x)
    active = [np.concatenate(values) != 0 for values in seen]
    return Activity(active, [_joined(one) for one in sent] if network.sends_differences else None)


def _joined(parts: Sequence[Sent]) -> Sent:
    hidden = [h for _, h in parts if h is not None]
    return np.concatenate([x for x, _ in parts]), np.concatenate(hidden) if hidden else None
