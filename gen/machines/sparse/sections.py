"""Masks and weights in external memory: a section for each loop, in the order of their use.

A section's form is hdl/sparse/refill/tags.py, its order and what it is good for is
docs/external-memory.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from sparnn.gen.machines.shared.sections import Mode, checked
from sparnn.hdl.common.numbers import ceil_div, clog2
from sparnn.hdl.sparse.config import RING_DELAY, TAG_BITS, SparseConfig
from sparnn.hdl.sparse.refill.tags import TagKind, count_bits
from sparnn.sim.aliases import IntArray, Words

from .pack import PackedHalf, PackedLoop

__all__ = [
    "LoopWords",
    "fits_rings",
    "loop_modes",
    "ring_needs",
    "section_words",
]

#: Places of a row that the order of blocks tells apart.
_PLACES = 1 << 12


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Words for one ring of one lane, and when they are needed.

    Members
    -------
    words: [words, 32-bit words of each]. keys: of each word, when its first entry is needed.
    last: of a word in which a half ends, the count of its tag, else -1.
    """

    lane: int
    kind: TagKind
    words: Words
    keys: IntArray
    last: IntArray


@dataclass(frozen=True, eq=False)
class LoopWords:
    """A loop's masks and weights as words of external memory.

    Members
    -------
    masks, weights: of each lane.
    row_masks, row_weights: words of the longest row of any lane.
    """

    config: SparseConfig
    masks: tuple[_Blocks, ...]
    weights: tuple[_Blocks, ...]
    row_masks: int
    row_weights: int

    @classmethod
    def of(cls, pack: PackedLoop, config: SparseConfig) -> "LoopWords":
        """Those of a packed loop."""
        masks, weights, rows = [], [], []
        for lane in range(config.lanes):
            places = [_places(half, lane, config) for half in pack.halves]
            rows.append(max(int(counts.max(initial=0)) for _, counts, _ in places))
            keys = np.concatenate(
                [number << 40 | keys for number, (_, _, keys) in enumerate(places)]
            )
            counts = np.concatenate([counts for counts, _, _ in places])
            if config.masks:
                masks.append(_mask_blocks(pack, places, lane, config))
            weights.append(_weight_blocks(pack, keys, counts, lane, config))
        chunks = max(half.chunks for half in pack.halves) if config.masks else 0
        row_masks = ceil_div(chunks, config.mask_slots) + 1 if config.masks else 0
        row_weights = ceil_div(max(rows), config.weight_slots) + 1
        return cls(config, tuple(masks), tuple(weights), row_masks, row_weights)

    @property
    def most(self) -> tuple[int, int]:
        """Words of masks and of weights of the lane with the most of each."""
        masks = max((len(one.words) for one in self.masks), default=0)
        return masks, max(len(one.words) for one in self.weights)

    @cached_property
    def section(self) -> Words:
        """All of it, [words, 32-bit words of each]."""
        return section_words(self.config, [*self.masks, *self.weights])


def loop_modes(loops: Sequence[LoopWords], config: SparseConfig) -> tuple[Mode, ...]:
    """What becomes of each loop's words.

    All of them are *resident* where they fit the rings together: read in the first run, they stay.
    Else a loop is *swapped* in once in each run, behind those before it, where its words fit, or
    else *streamed*, once in each step.
    """
    if fits_rings(loops, config):
        return ("resident",) * len(loops)
    return tuple("swapped" if fits_rings([loop], config) else "streamed" for loop in loops)


def fits_rings(loops: Sequence[LoopWords], config: SparseConfig) -> bool:
    """Whether the rings have room for some loops together."""
    rooms = [config.mask_words - config.ring_reserve if config.masks else 0]
    rooms.append(config.weight_words - config.ring_reserve)
    return bool((np.sum([loop.most for loop in loops], axis=0) <= rooms).all())


def ring_needs(loops: Sequence[LoopWords], config: SparseConfig) -> dict[str, int]:
    """Entries that the rings must have at least, by the parameter of SparseConfig: for the longest
    row, and what is kept free, a block and a little."""

    def with_free(words: int) -> int:
        return ceil_div(16 * (words + RING_DELAY + 2), 15)

    weights = max(loop.row_weights for loop in loops)
    needs = {"weight_depth": with_free(weights) * config.weight_slots}
    if config.masks:
        masks = max(loop.row_masks for loop in loops)
        needs["mask_depth"] = with_free(masks) * config.mask_slots
    return needs


def _places(
    half: PackedHalf, lane: int, config: SparseConfig
) -> tuple[IntArray, IntArray, IntArray]:
    """The chunks of a lane's half: weights of each, weights of each row, and keys."""
    blocks = int(half.blocks[lane])
    if not config.masks:
        per_block = int(half.weight_counts[lane]) // max(1, blocks)
        chunks = ceil_div(per_block, config.chunk)
        counts = np.full((blocks, chunks), config.chunk, np.int64)
        if chunks:
            counts[:, -1] = per_block - (chunks - 1) * config.chunk
    else:
        chunks = half.chunks
        bits = np.bitwise_count(_mask_bytes(half, lane, config)).sum(axis=1, dtype=np.int64)
        counts = bits.reshape(-1, chunks) if blocks else bits[:, np.newaxis]
    row, place = np.indices(counts.shape)
    keys = row * _PLACES + place * _PLACES // max(1, chunks)
    return counts.reshape(-1), counts.sum(axis=1), keys.reshape(-1)


def _mask_bytes(half: PackedHalf, lane: int, config: SparseConfig) -> np.ndarray:
    """The masks of a lane's half, without flags, [masks, bytes]."""
    words = half.masks[lane, : half.mask_counts[lane]]
    return np.ascontiguousarray(words).astype("<u4").view(np.uint8)[:, : config.chunk // 8]


def _mask_blocks(
    pack: PackedLoop,
    places: Sequence[tuple[IntArray, IntArray, IntArray]],
    lane: int,
    config: SparseConfig,
) -> _Blocks:
    words, keys, last = [], [], []
    slots, low = config.mask_slots, clog2(config.mask_slots)
    for number, half in enumerate(pack.halves):
        masks = _mask_bytes(half, lane, config)
        count = ceil_div(len(masks), slots)
        padded = np.zeros((count * slots, masks.shape[1]), np.uint8)
        padded[: len(masks)] = masks
        words.append(padded.reshape(count, config.stream_bits // 8).view("<u4"))
        # A half without rows goes first: nobody waits for the lane, so it must not be late.
        empty = int(half.blocks[lane] == 0)
        keys.append((number << 40 | places[number][2][::slots]) - empty)
        ends = np.full(count, -1)
        ends[-1] = (len(masks) - 1) % slots | empty << low
        last.append(ends)
    return _Blocks(
        lane, TagKind.MASKS, np.concatenate(words), np.concatenate(keys), np.concatenate(last)
    )


def _weight_blocks(
    pack: PackedLoop, keys: IntArray, counts: IntArray, lane: int, config: SparseConfig
) -> _Blocks:
    """The weights of the whole loop without a gap, in whole words."""
    slots, bits = config.weight_slots, config.stream_bits // config.weight_slots
    entries = np.concatenate(
        [half.weights[lane, : half.weight_counts[lane]] for half in pack.halves]
    )
    count = ceil_div(len(entries), slots)
    # Bits of each entry, least significant first, in a slot of its own.
    raised = np.unpackbits(
        np.ascontiguousarray(entries).astype("<u4").view(np.uint8), axis=1, bitorder="little"
    )
    full = np.zeros((count * slots, bits), np.uint8)
    full[: len(entries), : raised.shape[1]] = raised[:, :bits]
    flat = np.packbits(full.reshape(-1), bitorder="little")
    words = flat.view("<u4").reshape(count, config.stream_bits // 32)
    ends = np.cumsum(counts)
    first = np.searchsorted(ends, np.arange(count) * slots, side="right")
    return _Blocks(lane, TagKind.WEIGHTS, words, keys[first], np.full(count, -1))


def section_words(config: SparseConfig, rings: Sequence[_Blocks]) -> Words:
    """Blocks in the order in which they are needed, behind headers, and the check."""
    found = []
    for ring in rings:
        cuts = set(range(0, len(ring.words), config.block_words))
        for end in np.flatnonzero(ring.last >= 0):
            cuts |= {int(end), int(end) + 1}
        edges = sorted(cuts | {len(ring.words)})
        for first, behind in pairwise(edges):
            weights = ring.kind == TagKind.WEIGHTS
            found.append((int(ring.keys[first]), weights, ring.lane, first, behind, ring))
    found.sort(key=lambda block: block[:3])
    tags, parts = [], []
    for _, _, lane, first, behind, ring in found:
        kind, count = ring.kind, behind - first
        if ring.last[first] >= 0:
            kind, count = TagKind.LAST, int(ring.last[first])
        tags.append(_tag(config, kind, lane, count))
        parts.append(ring.words[first:behind])
    tags.append(_tag(config, TagKind.CHECK, 0, 0))
    each = config.stream_bits // TAG_BITS
    words: list[Words] = []
    for at in range(0, len(tags), each):
        header = np.zeros(each, "<u2")
        header[: len(tags[at : at + each])] = tags[at : at + each]
        words += [header.view("<u4")[np.newaxis], *parts[at : at + each]]
    return checked(np.concatenate(words).astype(np.uint32))


def _tag(config: SparseConfig, kind: TagKind, lane: int, count: int) -> int:
    lane_bits = clog2(config.lanes)
    assert 0 <= count < 1 << count_bits(config)
    return lane | count << lane_bits | kind << TAG_BITS - 2
