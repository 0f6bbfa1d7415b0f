"""Clamping to fewer bits."""

from amaranth.hdl import Cat, Mux, Value

__all__ = ["saturate"]


def saturate(value: Value, bits: int) -> Value:
    """A signed value clamped to ``bits`` bits, as a signed value. Combinational."""
    sign, high = value[-1], value[bits - 1 : -1]
    fits = Mux(sign, high.all(), ~high.any())
    low = Mux(fits, value[: bits - 1], (~sign).replicate(bits - 1))
    return Cat(low, sign).as_signed()
