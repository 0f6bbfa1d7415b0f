"""The dense machine's weights in external memory: which layers share a section, and where it goes.

A section's form is hdl/dense/control/weights.py, what it is good for is docs/external-memory.md.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sparnn.gen.machines.shared.sections import Mode, checked
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.control.weights import SECTION_HEAD
from sparnn.sim.aliases import Words

from .pack import PackedLanes

__all__ = ["LayerGroup", "groups_of", "rows_needed", "section_words"]


@dataclass(frozen=True)
class LayerGroup:
    """Layers whose weights come together.

    Members
    -------
    layers: their indices. rows: words of a lane that they take.
    base: where these begin. mode: what becomes of them.
    """

    layers: tuple[int, ...]
    rows: int
    base: int
    mode: Mode


def groups_of(
    lanes: Sequence[PackedLanes], pairs: Set[int], config: DenseConfig
) -> tuple[LayerGroup, ...]:
    """All layers are *resident* where they fit the weight memories together: read in the first run,
    they stay. Else each, or each pair that takes turns, is *swapped* in while the one before runs:
    they lie at the bottom and at the top of the memories in turn, so that any two that follow one
    another have to fit.
    """
    rows = [one.weights.shape[1] for one in lanes]
    if sum(rows) <= config.weight_depth:
        return (LayerGroup(tuple(range(len(rows))), sum(rows), 0, "resident"),)
    apart = _apart(len(rows), pairs)
    sizes = [sum(rows[index] for index in group) for group in apart]
    return tuple(
        LayerGroup(group, size, config.weight_depth - size if number % 2 else 0, "swapped")
        for number, (group, size) in enumerate(zip(apart, sizes, strict=True))
    )


def rows_needed(lanes: Sequence[PackedLanes], pairs: Set[int]) -> int:
    """Words of a lane's weight memory that swapped layers need."""
    rows = [one.weights.shape[1] for one in lanes]
    sizes = [sum(rows[index] for index in group) for group in _apart(len(rows), pairs)]
    return max([*sizes, *(one + other for one, other in pairwise(sizes))])


def _apart(layers: int, pairs: Set[int]) -> list[tuple[int, ...]]:
    """Each layer, or each pair, by itself."""
    return [
        (index, index + 1) if index in pairs else (index,)
        for index in range(layers)
        if index - 1 not in pairs
    ]


def section_words(config: DenseConfig, group: LayerGroup, weights: npt.NDArray[np.int32]) -> Words:
    """Head, rows and check of a section, [words, 32-bit words of each].

    Parameters
    ----------
    weights: of the group's layers, [lanes, rows, K].
    """
    lanes, rows, _ = weights.shape
    at_once = config.lanes_at_once
    slots = ceil_div(lanes, at_once) * at_once
    bits = np.zeros((rows, slots, config.weight_slot_bits), np.uint8)
    raised = (weights[..., np.newaxis] >> np.arange(config.weight_bits) & 1).astype(np.uint8)
    entries = raised.reshape(lanes, rows, config.weight_entry_bits)
    bits[:, :lanes, : config.weight_entry_bits] = np.moveaxis(entries, 0, 1)
    packed = np.packbits(bits.reshape(-1), bitorder="little").view("<u4")
    body = packed.reshape(-1, config.stream_bits // 32).astype(np.uint32)
    head = np.zeros((1, body.shape[1]), np.uint32)
    for name, value in (("base", group.base), ("rows", rows)):
        head[0, SECTION_HEAD[name].offset // 32] = value
    return checked(np.concatenate([head, body]))
