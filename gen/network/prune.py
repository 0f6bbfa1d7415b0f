"""Magnitude pruning: the smallest weights become zero, and the lanes skip them."""

from dataclasses import replace

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.hdl.common.numbers import ceil_div
from sparnn.sim.aliases import FloatArray

from .model import FloatNetwork

__all__ = ["SMALL_HEAD", "prune"]

#: A final linear layer with at most this share of the network's weights is left as it is: it costs
#: little time, and errors in it reach the output directly.
SMALL_HEAD = 0.05


def prune(network: FloatNetwork, fraction: float, rows: int = 1) -> FloatNetwork:
    """Set the smallest weights of every matrix to zero.

    The input and the hidden half of each layer are pruned one by one: ``round(fraction · size)``
    of a matrix's elements, all gates together, are zero afterwards. Weights that are zero already
    count first, and a matrix that holds more zeros keeps them. Biases stay. Linear layers are
    pruned as well, but for a small head (``SMALL_HEAD``).

    Parameters
    ----------
    rows: in which the weights of a column are zero together, by the sum of their magnitudes: those
        of a lane of that width, the gates of a unit first. Then the blocks are counted.

    Raises
    ------
    SparnnError : ``fraction`` is not in 0 … 1 (1 excluded), or a block has no row.
    """
    if not 0 <= fraction < 1:
        raise SparnnError(
            f"prune = {fraction} is outside 0 to 1 (1 excluded); it is the share of the weights "
            "that become zero, for example 0.6"
        )
    if rows < 1:
        raise SparnnError(
            f"prune_rows = {rows}: a block has 1 row or more, as many as a lane's width"
        )
    total = sum(_size(layer.w_x) + _size(layer.w_h) for layer in network.layers)
    layers = []
    for index, layer in enumerate(network.layers):
        final = index == len(network.layers) - 1
        if layer.kind == "linear" and final and layer.w_x.size <= SMALL_HEAD * total:
            layers.append(layer)
            continue
        w_h = None if layer.w_h is None else _pruned(layer.w_h, fraction, rows)
        layers.append(replace(layer, w_x=_pruned(layer.w_x, fraction, rows), w_h=w_h))
    return replace(network, layers=tuple(layers))


def _size(array: FloatArray | None) -> int:
    return 0 if array is None else array.size


def _pruned(array: FloatArray, fraction: float, rows: int) -> FloatArray:
    """[gates, units, columns] with the smallest blocks at zero."""
    gates, units, columns = array.shape
    by_unit = array.transpose(1, 0, 2).reshape(gates * units, columns)
    # The last block may have fewer rows; what it lacks is zero and weighs nothing.
    blocks = np.zeros((ceil_div(len(by_unit), rows), rows, columns), array.dtype)
    blocks.reshape(-1, columns)[: len(by_unit)] = by_unit
    size = np.abs(blocks).sum(1)
    smallest = np.argsort(size, axis=None, kind="stable")[: round(fraction * size.size)]
    where, column = np.unravel_index(smallest, size.shape)
    blocks[where, :, column] = 0.0
    kept = blocks.reshape(-1, columns)[: len(by_unit)]
    return kept.reshape(units, gates, columns).transpose(1, 0, 2).copy()
