"""``rne`` of docs/numerics.md within one stage, and registers between stages."""

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed

from sparnn.hdl.arithmetic.saturate import saturate

__all__ = ["later", "rounded"]


def later(m: Module, name: str, value: Value, cycles: int) -> Value:
    """``value`` of so many cycles ago; it is not reset."""
    for number in range(cycles):
        register = Signal.like(value, name=f"{name}_later{number}", reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value


def rounded(
    m: Module, name: str, value: Value, amount: Value | int, bits: int, *, split: int = 0
) -> Signal:
    """``value / 2^amount``, ties to even, clamped to ``bits`` bits.

    Combinational; with ``split`` = 1 there is a register behind the shift.
    """
    wide = Signal(signed(len(value) + 1), name=f"{name}_wide")
    floor = Signal(signed(len(value) + 1), name=f"{name}_floor")
    sticky, sum_ = Signal(name=f"{name}_sticky"), Signal(signed(len(value) + 1), name=f"{name}_sum")
    result = Signal(signed(bits), name=name)
    below = ((Const(1, 1) << amount) - 1)[: len(wide)]
    m.d.comb += [
        wide.eq(Cat(Const(0, 1), value)),  # the lowest bit is worth one half after the shift
        floor.eq(wide >> amount),
        sticky.eq((wide & below).any()),
    ]
    whole, rest = later(m, f"{name}_floor", floor, split), later(m, f"{name}_rest", sticky, split)
    m.d.comb += [
        sum_.eq((whole >> 1) + (whole[0] & (rest | whole[1]))),
        result.eq(saturate(sum_, bits) if bits < len(sum_) else sum_),
    ]
    return result
