"""Weights in external memory, as all machines read them that do: sections, one behind the other."""

import zlib
from collections.abc import Sequence

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.hdl.refill.sections import SECTION, When
from sparnn.sim.aliases import Words

__all__ = ["Mode", "checked", "section_table"]

#: Names of what becomes of a section, as reports say it: ``resident``, ``swapped``, ``streamed``.
Mode = str


def checked(section: Words) -> Words:
    """A section and its last word, the check. [words, 32-bit words of each]"""
    check = [
        zlib.crc32(np.ascontiguousarray(column).astype("<u4").tobytes()) for column in section.T
    ]
    return np.concatenate([section, np.array([check], np.uint32)])


def section_table(sizes: Sequence[int], modes: Sequence[Mode], single: Sequence[bool]) -> Words:
    """The machine's table of sections, [sections, host words].

    Parameters
    ----------
    sizes: words of memory of each section. single: those of layers that run one step.

    Raises
    ------
    SparnnError: a section is too large, or lies too far behind.
    """
    table = np.zeros((len(sizes), 2), np.uint32)
    address = 0
    for number, (words, mode, once) in enumerate(zip(sizes, modes, single, strict=True)):
        when = {"resident": When.FIRST, "swapped": When.RUN, "streamed": When.STEP}[mode]
        if once and when == When.STEP:
            when = When.RUN
        fields = {
            "address": address,
            "words": words,
            "when": when,
            "last": number == len(sizes) - 1,
        }
        entry = 0
        for name, value in fields.items():
            member = SECTION[name]
            if value >> member.width:
                raise SparnnError(
                    f"{words} words of external memory for a loop, from word {address} on, are "
                    f"more than the machine can count; raise stream_bits, or use a smaller network"
                )
            entry |= int(value) << member.offset
        table[number] = entry & 0xFFFFFFFF, entry >> 32
        address += words
    return table
