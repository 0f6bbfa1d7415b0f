"""The points that no other one dominates."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["front"]


def front(points: Sequence[Mapping[str, Any]], objectives: Sequence[str]) -> list[int]:
    """Indices of the points for which no other is at least as good in all objectives and better in
    one; less is better. Of equal ones the first. In the order of the first objective."""
    if not points:
        return []
    values = np.array([[float(one[name]) for name in objectives] for one in points])
    kept: list[int] = []
    # Whatever dominates a point comes before it in this order.
    for index in np.lexsort(values.T[::-1]):
        one = values[index]
        if not kept or not (values[kept] <= one).all(axis=1).any():
            kept.append(int(index))
    return kept
