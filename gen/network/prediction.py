"""Thresholds of output prediction, from calibration (docs/numerics.md, *Output prediction*)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.sim.aliases import FloatArray
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.network import IntegerNetwork

from .model import FloatNetwork
from .run import machine_biases, run_network

__all__ = ["with_thresholds"]


def with_thresholds(
    integers: IntegerNetwork,
    network: FloatNetwork,
    sequences: Sequence[InputSequence],
    share: float,
) -> IntegerNetwork:
    """The integer network with a threshold for each unit of its ReLU RNN layers.

    Parameters
    ----------
    network: the float network that it was made of.
    sequences: sample inputs.
    share: of the sample steps in which the input half without its bias is at most the threshold, 0
        … 1; with 1, nothing is predicted wrongly on the sample steps but by rounding.

    Raises
    ------
    SparnnError: a share outside of its range, or no ReLU RNN.
    """
    if not 0 <= share <= 1:
        raise SparnnError(f"a share of {share} is outside 0 to 1")
    predicted = [
        index
        for index, layer in enumerate(integers.layers)
        if (layer.kind, layer.activation) == ("rnn", "relu")
    ]
    if not predicted:
        raise SparnnError(
            "output prediction needs an RNN with ReLU: the outputs of other cells are not zero"
        )
    seen: dict[int, list[FloatArray]] = {index: [] for index in predicted}
    for sequence in sequences:
        traces = run_network(
            network,
            sequence.x[np.newaxis],
            {key: value[np.newaxis] for key, value in sequence.initial.items()},
        )
        for index in predicted:
            bias, _ = machine_biases(network.layers[index])
            seen[index].append((traces[index].u - bias)[0, :, 0])
    layers = list(integers.layers)
    for index in predicted:
        values = np.quantile(np.concatenate(seen[index]), share, axis=0)
        scaled = np.ceil(np.ldexp(values, layers[index].f_pre))
        threshold = np.clip(scaled, 0, 32767).astype(np.int32)
        layers[index] = replace(layers[index], threshold=threshold)
    return replace(integers, layers=tuple(layers))
