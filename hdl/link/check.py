"""One bit of the running check."""

from typing import Any

from amaranth.hdl import Cat, Const, Mux, Value

from .protocol import CRC_BITS, CRC_INIT, CRC_POLYNOMIAL, KIND_BITS, Kind

__all__ = ["RESTARTED", "checked", "rotated"]


def checked(crc: Value, bit: Any) -> Value:
    """The check after one more bit."""
    shifted = Cat(crc[1:], Const(0, 1))
    return Mux(crc[0] ^ bit, shifted ^ CRC_POLYNOMIAL, shifted)


def rotated(crc: Value) -> Value:
    """The check after its lowest bit was sent or compared; after all bits it is what it was."""
    return Cat(crc[1:], crc[0])


def _restarted() -> int:
    crc = CRC_INIT
    for position in range(KIND_BITS):
        bit = Kind.RESET >> position & 1
        crc = crc >> 1 ^ (CRC_POLYNOMIAL if (crc ^ bit) & 1 else 0)
    return crc


#: The check after the kind of a RESET, which starts it anew.
RESTARTED = _restarted()
assert 0 <= RESTARTED < 1 << CRC_BITS
