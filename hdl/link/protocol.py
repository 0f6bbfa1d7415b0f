"""Words on a serial line: the constants that both ends share (docs/link.md)."""

from enum import IntEnum

from sparnn.hdl.errors import ConfigurationError

__all__ = [
    "CREDITS_PER_DEPTH",
    "CRC_BITS",
    "CRC_INIT",
    "CRC_POLYNOMIAL",
    "GROUP_BITS",
    "GROUPS",
    "KIND_BITS",
    "LEAST_DIVISOR",
    "MARKER",
    "VERSION",
    "WORD_BITS",
    "Fault",
    "Kind",
    "uart_divisor",
]

#: Answered with READY, so that a host knows what it talks to.
VERSION = 1

WORD_BITS = 32
KIND_BITS = 2
CRC_BITS = 8
#: A link word is sent in groups of 7 bits, one a byte, least significant group first.
GROUP_BITS = 7
GROUPS = 6
#: Set in a link word's first byte and in no other.
MARKER = 1 << GROUP_BITS

#: Of x^8 + x^5 + x^4 + 1, bit-reversed: bits enter least significant first.
CRC_POLYNOMIAL = 0x8C
#: The check runs on from link word to link word; RESET starts it from here.
CRC_INIT = 0xFF

#: A credit stands for this part of the receive queue.
CREDITS_PER_DEPTH = 4

#: Fewer clock cycles a bit leave no middle to sample, and no time to serialize a byte.
LEAST_DIVISOR = 4
#: Of the bit rate: a tenth of it is half a bit by the stop bit, and the other end takes its part.
LARGEST_ERROR = 0.02


class Kind(IntEnum):
    """What the 32 bits of a link word are. The host sends DATA and RESET only."""

    DATA = 0  #: a word of the machine's packet stream
    CREDIT = 1  #: words that left the receive queue: the host may send as many more
    FAULT = 2  #: a :class:`Fault`; what the host sends is dropped until RESET
    RESET = 3  #: host: nonce in the low byte. Board, as answer: nonce, log2 depth, VERSION, 0


class Fault(IntEnum):
    """Why the board gave up."""

    LINE = 1  #: a byte without stop bit
    FRAME = 2  #: a link word that is too short or too long, or of a kind that hosts do not send
    CHECK = 3  #: a check that does not match: something was lost or damaged
    OVERRUN = 4  #: a word without credit


def uart_divisor(clock_hz: float, baud: float) -> int:
    """Clock cycles per bit.

    Raises
    ------
    ConfigurationError: the clock is too slow for the rate, or no whole number comes within 2 %.
    """
    divisor = round(clock_hz / baud)
    if divisor < LEAST_DIVISOR:
        raise ConfigurationError(
            f"link: {baud:g} baud needs a clock of at least {LEAST_DIVISOR * baud / 1e6:g} MHz, "
            f"this one has {clock_hz / 1e6:g} MHz; lower the baud rate"
        )
    error = clock_hz / divisor / baud - 1
    if abs(error) > LARGEST_ERROR:
        raise ConfigurationError(
            f"link: {baud:g} baud from {clock_hz / 1e6:g} MHz is off by {100 * error:.1f} %, more "
            f"than {100 * LARGEST_ERROR:g} %; choose a rate that divides the clock"
        )
    return divisor
