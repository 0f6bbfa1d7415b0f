"""Orders of neurons, columns and gates, as both machines lay them out."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.sim.aliases import IntArray
from sparnn.sim.network.network import IntegerLayer

__all__ = ["by_position", "side_by_side", "with_third_gate"]


def side_by_side(orders: Sequence[IntArray], post_units: int) -> IntArray:
    """Position -> column of what several layers give, each from a broadcast word of its own on."""
    parts: list[IntArray] = []
    first = 0
    for order in orders:
        if parts:
            parts.append(np.full(-sum(map(len, parts)) % post_units, -1))
        parts.append(order + first)
        first += len(order)
    return np.concatenate(parts)


def by_position(array: npt.NDArray[Any], columns: IntArray) -> npt.NDArray[Any]:
    """The last axis of an array in the order of the positions; zero where there is no column."""
    return np.where(columns < 0, array.dtype.type(0), array[..., columns])


def with_third_gate(layer: IntegerLayer) -> IntegerLayer:
    """The gates of a GRU that resets first as the machine works them out: three rows per neuron,
    the last one empty."""
    arrays: dict[str, Any] = {
        name: np.concatenate([array, np.zeros_like(array[:1])])
        for half in "xh"
        for name in (f"w_{half}", f"mult_{half}", f"shift_{half}", f"bias_{half}")
        if (array := getattr(layer, name)) is not None
    }
    for name in ("factors_x", "factors_h"):
        if (factors := getattr(layer, name)) is not None:
            arrays[name] = np.concatenate([factors, np.ones_like(factors[:, :1])], axis=1)
    return replace(layer, kind="gru", **arrays)
