"""The form in which a layer's masks and weights lie in external memory.

A section is words as wide as the memory: a header, the blocks of words that it tells of, the next
header, and so on, and at its end the check. A header has a tag for each 16 bits, the first one
lowest; a tag of zero, and all behind it, tell of nothing.
"""

from enum import IntEnum

from amaranth.lib import data

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import TAG_BITS, TAG_KIND_BITS, SparseConfig

__all__ = ["TagKind", "count_bits", "tag_layout"]


class TagKind(IntEnum):
    """What a block is."""

    WEIGHTS = 0  #: ``count`` words of weights
    MASKS = 1  #: ``count`` words of masks
    LAST = 2  #: one word of masks in which a half ends; ``count``: {no row ends, the last mask}
    CHECK = 3  #: one word: of each 32 bits across the section the CRC-32; nothing follows


def count_bits(config: SparseConfig) -> int:
    """Width of ``count``."""
    return TAG_BITS - TAG_KIND_BITS - clog2(config.lanes)


def tag_layout(config: SparseConfig) -> data.StructLayout:
    """A tag: the lane that the block is for, how long it is, and what it is."""
    return data.StructLayout(
        {"lane": clog2(config.lanes), "count": count_bits(config), "kind": TagKind}
    )
