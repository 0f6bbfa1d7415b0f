"""Clamping to fewer bits."""

from amaranth.hdl import Cat, Mux, Value

from .formats import PREACTIVATION_BITS

__all__ = ["saturate", "saturate_either"]


def saturate(value: Value, bits: int) -> Value:
    """A signed value clamped to ``bits`` bits, as a signed value. Combinational."""
    sign, high = value[-1], value[bits - 1 : -1]
    fits = Mux(sign, high.all(), ~high.any())
    low = Mux(fits, value[: bits - 1], (~sign).replicate(bits - 1))
    return Cat(low, sign).as_signed()


def saturate_either(value: Value, narrow: int, wide: Value) -> Value:
    """A signed value clamped to ``narrow`` bits, or where ``wide`` to 16, and sign-extended to 16.

    Combinational. One choice of what fits, and one gate behind it for each bit.
    """
    sign = value[-1]

    def fits(bits: int) -> Value:
        return ~Cat(bit ^ sign for bit in value[bits - 1 : -1]).any()

    fit = fits(PREACTIVATION_BITS) & (wide | fits(narrow))
    low, high = value[: narrow - 1], value[narrow - 1 : PREACTIVATION_BITS - 1]
    return Cat(
        Mux(fit, low, (~sign).replicate(len(low))),
        Mux(fit, high, (sign ^ wide).replicate(len(high))),
        sign,
    ).as_signed()
