"""What is sent of each vector of a network with thresholds of differences."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sparnn.sim.aliases import IntArray
from sparnn.sim.golden.half import differences
from sparnn.sim.golden.trace import NetworkTrace
from sparnn.sim.network.network import IntegerLayer, IntegerNetwork

__all__ = ["HalfVectors", "read_vectors", "sent_elements"]

Initial = Mapping[tuple[str, int], npt.NDArray[np.integer]]
BoolArray = npt.NDArray[np.bool_]


class HalfVectors(NamedTuple):
    """The vectors that the halves of a layer read, [steps, columns], in the order of its steps;
    ``h`` is None without a hidden half."""

    x: IntArray
    h: IntArray | None


def read_vectors(
    network: IntegerNetwork, x: IntArray, initial: Initial, trace: NetworkTrace
) -> list[HalfVectors]:
    """What each layer reads of a sequence that was run."""
    found: list[HalfVectors] = []
    values = x
    for stage in network.stages:
        for index in stage:
            layer = network.layers[index]
            own = _read(network, stage, index, values, trace)
            h = None
            if layer.kind == "gru_candidate":  # of the same step
                h = trace.layers[index - 1].outputs
            elif layer.has_hidden:
                source = index + 1 if layer.kind == "gru_gates" else index
                outputs = trace.layers[source].outputs
                outputs = outputs[::-1] if layer.reverse else outputs
                h = np.vstack([_first(layer, initial.get(("initial_h", index))), outputs[:-1]])
            found.append(HalfVectors(own, h))
        values = trace.layers[stage[-1]].sequence
    return found


def _read(
    network: IntegerNetwork,
    stage: tuple[int, ...],
    index: int,
    values: IntArray,
    trace: NetworkTrace,
) -> IntArray:
    """The input of a layer whose stage's input is ``values``."""
    layer = network.layers[index]
    if not layer.last_only:
        return values[::-1] if layer.reverse else values
    if layer.last_step:
        return values[-1:]
    before = network.stages[network.stages.index(stage) - 1]
    return np.concatenate([trace.layers[one].h for one in before])[np.newaxis]


def _first(layer: IntegerLayer, given: npt.NDArray[np.integer] | None) -> IntArray:
    """The hidden state before the first step."""
    given = layer.initial_h if given is None else given
    return np.zeros(layer.units, np.int64) if given is None else given.astype(np.int64)


def sent_elements(layer: IntegerLayer, read: HalfVectors) -> tuple[BoolArray, BoolArray | None]:
    """Whether each element is sent."""
    assert layer.delta_x is not None
    x = differences(read.x, layer.delta_x)[0] != 0
    if read.h is None or layer.delta_h is None:
        return x, None
    return x, differences(read.h, layer.delta_h)[0] != 0
