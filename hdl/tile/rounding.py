"""``rne`` of docs/numerics.md without a pipeline stage of its own."""

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed

from sparnn.hdl.post.saturate import saturate

__all__ = ["rounded"]


def rounded(m: Module, name: str, value: Value, amount: Value | int, bits: int) -> Signal:
    """``value / 2^amount``, ties to even, clamped to ``bits`` bits. Combinational."""
    wide = Signal(signed(len(value) + 1), name=f"{name}_wide")
    floor = Signal(signed(len(value) + 1), name=f"{name}_floor")
    sticky, sum_ = Signal(name=f"{name}_sticky"), Signal(signed(len(value) + 1), name=f"{name}_sum")
    result = Signal(signed(bits), name=name)
    below = ((Const(1, 1) << amount) - 1)[: len(wide)]
    m.d.comb += [
        wide.eq(Cat(Const(0, 1), value)),  # the lowest bit is worth one half after the shift
        floor.eq(wide >> amount),
        sticky.eq((wide & below).any()),
        sum_.eq((floor >> 1) + (floor[0] & (sticky | floor[1]))),
        result.eq(saturate(sum_, bits) if bits < len(sum_) else sum_),
    ]
    return result
