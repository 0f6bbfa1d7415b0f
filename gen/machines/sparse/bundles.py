"""Neurons whose rows make whole blocks together: those with weights in the same columns."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sparnn.sim.aliases import IntArray

__all__ = ["bundled", "positions_of", "shared_masks", "whole_bundles"]

#: Neurons that are looked at for the next place in a bundle, at most.
_CANDIDATES = 1024


def bundled(present: npt.NDArray[np.bool_], size: int, count: int) -> IntArray:
    """Bundles of so many neurons each, [count, size]: each begins with the first neuron that is
    left and takes the one that adds the fewest columns, as often as it needs one.

    Parameters
    ----------
    present: whether a neuron has a weight in a column, of all rows that are worked off with those
        of the others, [neurons, columns].
    """
    masks = np.packbits(present, axis=1)
    left = np.arange(len(masks))
    bundles = np.empty((count, size), np.int64)
    for bundle in bundles:
        bundle[0], left = left[0], left[1:]
        union = masks[bundle[0]]
        for place in range(1, size):
            near = left[:_CANDIDATES]
            added = np.bitwise_count(masks[near] & ~union).sum(axis=1, dtype=np.int64)
            missing = np.bitwise_count(union & ~masks[near]).sum(axis=1, dtype=np.int64)
            chosen = int((added * (8 * masks.shape[1] + 1) + missing).argmin())
            bundle[place] = near[chosen]
            union = union | masks[near[chosen]]
            left = np.delete(left, chosen)
    return bundles


def positions_of(bundles: IntArray, units: int, post_units: int) -> IntArray:
    """Position -> neuron: each bundle in words that follow each other, of one post unit; the
    neurons that are in no bundle come last."""
    count, size = bundles.shape
    order = np.full(units, -1)
    place = np.arange(count)
    first = place // post_units * size * post_units + place % post_units
    order[first[:, np.newaxis] + np.arange(size) * post_units] = bundles
    rest = np.setdiff1d(np.arange(units), bundles)
    order[order < 0] = rest
    return order


def whole_bundles(units: int, size: int, post_units: int) -> int:
    """Bundles of so many neurons for which all post units have words enough."""
    return units // post_units // size * post_units


def shared_masks(weights: Sequence[npt.NDArray[np.integer]]) -> npt.NDArray[np.bool_]:
    """Of all halves whose neurons lie at the same places, [gates, neurons, columns] each."""
    return np.concatenate([(one != 0).any(axis=0) for one in weights], axis=1)
