"""An addition of three in one carry chain."""

from amaranth.hdl import Cat, Const, Value

__all__ = ["add_with_carry"]


def add_with_carry(a: Value, b: Value, carry: Value) -> Value:
    """``a + b + carry`` of two signed values and a bit, combinational; no bit is lost.

    Synthesis makes two chains of an addition of three. Here the bit is the carry out of one more
    bit below the others.
    """
    return (Cat(Const(1, 1), a).as_signed() + Cat(carry, b).as_signed()) >> 1
