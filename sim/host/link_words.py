"""Link words and their bytes, as the host sees them: docs/link.md in numpy."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparnn.hdl.link.protocol import (
    CRC_INIT,
    CRC_POLYNOMIAL,
    GROUP_BITS,
    GROUPS,
    KIND_BITS,
    MARKER,
    WORD_BITS,
    Kind,
)

__all__ = ["BadByteError", "LinkDecoder", "LinkEncoder", "LinkWord"]

_CRC_AT = KIND_BITS + WORD_BITS
_GROUP = (1 << GROUP_BITS) - 1


def _advance(crc: int, value: int, bits: int) -> int:
    for position in range(bits):
        crc = crc >> 1 ^ (CRC_POLYNOMIAL if (crc ^ value >> position) & 1 else 0)
    return crc


#: The check after two or eight zero bits; a value is added to the check before.
_KIND = np.array([_advance(crc, 0, KIND_BITS) for crc in range(256)], np.uint8)
_BYTE = np.array([_advance(crc, 0, 8) for crc in range(256)], np.uint8)


def _checks(kind: Kind, words: npt.NDArray[np.uint32], start: int) -> npt.NDArray[np.uint8]:
    """The check after each of some link words.

    The check is linear over GF(2): what a word adds to it does not depend on what was before.
    """
    added = np.full(len(words), _KIND[kind], np.uint8)
    before = _KIND.copy()  # check -> check after a word of zeroes
    for shift in range(0, WORD_BITS, 8):
        added = _BYTE[added ^ (words >> np.uint32(shift) & np.uint32(0xFF)).astype(np.uint8)]
        before = _BYTE[before]
    table = before.tolist()
    checks = np.empty(len(words), np.uint8)
    crc = start
    for number, value in enumerate(added.tolist()):
        crc = table[crc] ^ value
        checks[number] = crc
    return checks


class LinkEncoder:
    """Makes the bytes of link words; the check runs on from one to the next."""

    def __init__(self) -> None:
        self._crc = CRC_INIT

    def encode(self, kind: Kind, words: npt.ArrayLike) -> bytes:
        """The bytes of some link words of a kind, six for each word of 32 bits."""
        values = np.asarray(words, np.uint32).reshape(-1)
        if not len(values):
            return b""
        checks = _checks(kind, values, CRC_INIT if kind == Kind.RESET else self._crc)
        self._crc = int(checks[-1])
        whole = (
            np.uint64(kind)
            | values.astype(np.uint64) << np.uint64(KIND_BITS)
            | checks.astype(np.uint64) << np.uint64(_CRC_AT)
        )
        shifts = np.arange(GROUPS, dtype=np.uint64) * np.uint64(GROUP_BITS)
        groups = (whole[:, np.newaxis] >> shifts & np.uint64(_GROUP)).astype(np.uint8)
        groups[:, 0] |= MARKER
        return groups.tobytes()


@dataclass(frozen=True)
class LinkWord:
    """A link word that arrived whole."""

    kind: Kind
    word: int


class BadByteError(Exception):
    """Bytes that are not the link words that should follow."""


class LinkDecoder:
    """Takes link words out of bytes.

    Until the first whole RESET everything else is passed over; after it, everything must be right.
    """

    def __init__(self) -> None:
        self._groups: list[int] = []
        self._crc: int | None = None
        #: Bytes passed over before the first RESET.
        self.passed = 0

    def feed(self, data: bytes) -> list[LinkWord]:
        """The link words that these bytes complete.

        Raises
        ------
        BadByteError: after the first RESET, something that does not belong.
        """
        found = []
        for byte in data:
            if byte & MARKER:
                if self._groups:
                    self._refuse(len(self._groups), f"{byte:#04x} starts a word inside another")
                self._groups = [byte & _GROUP]
            elif self._groups:
                self._groups.append(byte)
            else:
                self._refuse(1, f"{byte:#04x} starts no word")
            if len(self._groups) == GROUPS:
                word = self._word()
                if word is not None:
                    found.append(word)
        return found

    def _word(self) -> LinkWord | None:
        whole = sum(group << GROUP_BITS * k for k, group in enumerate(self._groups))
        self._groups = []
        kind = Kind(whole & (1 << KIND_BITS) - 1)
        word = whole >> KIND_BITS & (1 << WORD_BITS) - 1
        start = CRC_INIT if kind == Kind.RESET else self._crc
        if start is None or _advance(start, whole, _CRC_AT) != whole >> _CRC_AT:
            self._refuse(GROUPS, f"{kind.name} {word:#010x} does not match its check")
            return None
        self._crc = whole >> _CRC_AT
        return LinkWord(kind, word)

    def _refuse(self, count: int, why: str) -> None:
        if self._crc is not None:
            raise BadByteError(why)
        self.passed += count
