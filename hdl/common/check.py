"""The check of a job: CRC-32 (ISO-HDLC), a word at a time."""

import zlib
from collections.abc import Iterable

from amaranth.hdl import Cat, Value

__all__ = ["CRC_INIT", "RESIDUE", "crc_words", "next_crc"]

#: Of x^32 + x^26 + x^23 + …, bit-reversed: bits enter least significant first.
POLYNOMIAL = 0xEDB88320
CRC_INIT = 0xFFFF_FFFF
#: The register after a whole job, its check included, if nothing was damaged.
RESIDUE = 0xDEBB20E3


def _step(state: int) -> int:
    """The register after 32 bits that are already added to it."""
    for _ in range(32):
        state = state >> 1 ^ (POLYNOMIAL if state & 1 else 0)
    return state


def next_crc(crc: Value, word: Value) -> Value:
    """The register after one more word, its least significant byte first.

    Pure logic: each of the 32 bits is the exclusive or of about 16 bits of ``crc ^ word``.
    """
    added = crc ^ word
    columns = [_step(1 << bit) for bit in range(32)]  # the step is linear
    return Cat(
        Cat(added[bit] for bit in range(32) if columns[bit] >> row & 1).xor() for row in range(32)
    )


def crc_words(words: Iterable[int]) -> int:
    """The check of words as it stands behind them: zlib's crc32 of their little-endian bytes."""
    return zlib.crc32(b"".join(int(word).to_bytes(4, "little") for word in words))
