"""Inputs whose features have very different ranges: each is scaled by a power of two."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sparnn.gen.network.model import FloatNetwork
from sparnn.sim.network.arrays import Sequence as InputSequence

__all__ = ["SPREAD", "scaled_features", "unscaled_features"]

#: The largest feature's maximum over the smallest one's from which features are scaled.
SPREAD = 32.0
#: Binary places by which a feature may be raised.
_MOST = 20


def scaled_features(
    network: FloatNetwork, sequences: Sequence[InputSequence]
) -> tuple[FloatNetwork, list[InputSequence]]:
    """The network and its sample inputs with every feature raised to the range of the largest.

    A feature is multiplied by a power of two where it enters, and the weights that read it are
    divided by it, so that the mathematics is the same: features of small units keep their bits
    beside those of large ones. The network's ``io`` says the factors, as ``scale`` of its input.
    Nothing changes where the ranges differ by less than :data:`SPREAD`.
    """
    largest = np.max([np.abs(one.x).max(axis=0) for one in sequences], axis=0)
    present = largest > 0
    if not present.any() or largest[present].max() < SPREAD * largest[present].min():
        return network, list(sequences)
    places = np.zeros(len(largest), np.int64)
    ratio = largest[present].max() / largest[present]
    places[present] = np.clip(np.floor(np.log2(ratio)), 0, _MOST).astype(np.int64)
    scale = np.ldexp(1.0, places)
    layers = list(network.layers)
    for index in network.stages[0]:
        layers[index] = replace(layers[index], w_x=layers[index].w_x / scale)
    inputs = [
        {**entry, "scale": scale.tolist()} if entry["role"] == "x" else entry
        for entry in network.io["inputs"]
    ]
    scaled = replace(network, layers=tuple(layers), io={**network.io, "inputs": inputs})
    return scaled, [replace(one, x=one.x * scale) for one in sequences]


def unscaled_features(network: FloatNetwork) -> FloatNetwork:
    """The network as it was: it reads the inputs that the model reads."""
    scale = next((e.get("scale") for e in network.io["inputs"] if e["role"] == "x"), None)
    if scale is None:
        return network
    layers = list(network.layers)
    for index in network.stages[0]:
        layers[index] = replace(layers[index], w_x=layers[index].w_x * np.asarray(scale))
    return replace(network, layers=tuple(layers))
