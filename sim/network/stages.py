"""Which layers of a chain read the same input."""

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Joined", "stages"]


class Joined(Protocol):
    """What :func:`stages` has to know of a layer."""

    @property
    def join(self) -> str: ...


def stages(layers: Sequence[Joined]) -> list[tuple[int, ...]]:
    """Indices of the layers that read the same input: one, or the two directions of a layer."""
    grouped: list[tuple[int, ...]] = []
    for index, layer in enumerate(layers):
        if layer.join and grouped:
            grouped[-1] = (*grouped[-1], index)
        else:
            grouped.append((index,))
    return grouped
