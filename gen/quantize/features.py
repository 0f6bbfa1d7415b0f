"""Inputs whose features have very different ranges: each is scaled by a power of two, where that
helps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.network.run import run_network as run_float
from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.run import quantize_sequence
from sparnn.sim.network.arrays import Sequence as InputSequence

from .calibrate import calibrate
from .calibration import LEAST_SQUARES, Calibration
from .formats import sqnr_db
from .quantize import Quantized, quantize

__all__ = ["SPREAD", "Fitted", "quantize_best", "scaled_features", "unscaled_features"]

#: The largest feature's maximum over the smallest one's from which features are scaled.
SPREAD = 32.0
#: Binary places by which a feature may be raised.
_MOST = 20
#: Steps on which the integers with and without scales are compared.
_COMPARED = 256


@dataclass(frozen=True, eq=False)
class Fitted:
    """A network in integers.

    Members
    -------
    network, sequences: what was quantized, and its sample inputs, with a scale for each input
        feature or without.
    quantized: the integers.
    output_db: signal to quantization noise of the last layer's outputs on sample inputs; infinite
        where nothing is lost.
    """

    network: FloatNetwork
    sequences: Sequence[InputSequence]
    quantized: Quantized

    def compared(self) -> list[InputSequence]:
        """The sample inputs that outputs are compared on."""
        found = []
        left = _COMPARED
        for one in self.sequences:
            if left <= 0:
                break
            found.append(replace(one, x=one.x[:left]))
            left -= len(found[-1].x)
        return found

    @cached_property
    def output_db(self) -> float:
        exact, ours = [], []
        for short in self.compared():
            initial = {key: values[np.newaxis] for key, values in short.initial.items()}
            exact.append(run_float(self.network, short.x[np.newaxis], initial)[-1].sequence[0])
            fed = quantize_sequence(self.quantized.network, short)
            trace = run_network(self.quantized.network, fed.x, fed.initial).layers[-1]
            last = self.quantized.network.layers[-1]
            ours.append(np.ldexp(trace.sequence.astype(np.float64), last.sum_shift - last.f_out))
        return sqnr_db(np.concatenate(exact), np.concatenate(ours))


def quantize_best(
    network: FloatNetwork,
    sequences: Sequence[InputSequence],
    weight_bits: int,
    activation_bits: int,
    *,
    split_scales: bool = False,
    calibration: Calibration = LEAST_SQUARES,
) -> Fitted:
    """Calibrate and quantize; with a scale for each input feature where the outputs are nearer to
    the float network's so.

    Raises
    ------
    SparnnError: see :func:`~sparnn.gen.quantize.quantize.quantize`; of both ways the plain one's.
    """

    def made(network: FloatNetwork, sequences: Sequence[InputSequence]) -> Fitted:
        ranges = calibrate(network, sequences)
        quantized = quantize(
            network,
            ranges,
            weight_bits,
            activation_bits,
            split_scales=split_scales,
            calibration=calibration,
        )
        return Fitted(network, sequences, quantized)

    scaled, raised = scaled_features(network, sequences)
    if scaled is network:
        return made(network, sequences)
    try:
        plain = made(network, sequences)
    except SparnnError:
        return made(scaled, raised)
    try:
        other = made(scaled, raised)
    except SparnnError:
        return plain
    return other if other.output_db > plain.output_db else plain


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
    inputs = [{k: v for k, v in e.items() if k != "scale"} for e in network.io["inputs"]]
    return replace(network, layers=tuple(layers), io={**network.io, "inputs": inputs})
