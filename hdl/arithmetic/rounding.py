"""Division by a power of two, to the nearest, ties to even: ``rne`` of docs/numerics.md."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.delay import later
from sparnn.hdl.common.numbers import ceil_div

from .saturate import saturate

__all__ = ["RoundingShifter", "rounded", "shift_latency"]

#: Multiplexers in a row in one pipeline stage; each works off two bits of the amount.
_LEVELS = 2


def shift_latency(amount_bits: int) -> int:
    """Cycles that a :class:`RoundingShifter` takes."""
    return ceil_div(amount_bits, 2 * _LEVELS)


def _multiplex(select: Value, choices: list[Value]) -> Value:
    if len(choices) == 1:
        return choices[0]
    half = len(choices) // 2
    below, top = select[:-1], select[-1]
    return Mux(top, _multiplex(below, choices[half:]), _multiplex(below, choices[:half]))


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


class RoundingShifter(wiring.Component):
    """``floor(value / 2^amount)`` and whether rounding adds one; no adder of its own.

    Four-way multiplexers, two in a row per pipeline stage, one item per cycle. Wherever all later
    ones together cannot bring a high bit back into range, it is folded into an overflow flag.

    Parameters
    ----------
    width: bits of ``value``.
    amount_bits: bits of ``amount``; every amount is legal, also above ``width``.
    result_bits: bits of ``floor``.

    Members
    -------
    enable: In(1), high unless connected. The pipeline moves.
    value: In(signed(width)).
    amount: In(unsigned(amount_bits)).
    floor: Out(signed(result_bits)), saturated; combinational after a register.
    up: Out(1). ``rne`` is ``floor + up``; of a saturated ``floor``, ``up`` means nothing.
    """

    def __init__(self, width: int, amount_bits: int, result_bits: int) -> None:
        self._width, self._amount_bits, self._result_bits = width, amount_bits, result_bits
        super().__init__(
            {
                "enable": In(1, init=1),
                "value": In(signed(width)),
                "amount": In(unsigned(amount_bits)),
                "floor": Out(signed(result_bits)),
                "up": Out(1),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from ``value`` to ``floor`` and ``up``."""
        return shift_latency(self._amount_bits)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # The lowest bit is worth one half; ``sticky`` is the or of all bits below it.
        kept: Value = Cat(Const(0, 1), self.value)
        sign: Value = self.value[-1]
        amount: Value = self.amount
        sticky: Value = Const(0, 1)
        over: Value = Const(0, 1)
        low, level = self._amount_bits, 0
        while low:
            low -= 1 if low % 2 else 2
            select, rest = amount[low:], amount[:low]
            width = len(kept)
            width_out = min(width, self._result_bits + 1 + (1 << low) - 1)
            offsets = [choice << low for choice in range(1 << len(select))]

            def shifted(bit: int, kept: Value = kept, sign: Value = sign) -> Value:
                return kept[bit] if bit < len(kept) else sign

            def dropped(offset: int, bits: Value = kept, step: int = 1 << low) -> Value:
                return bits[offset : offset + step].any()

            def outside(
                offset: int,
                last: bool,
                bits: Value = kept,
                sign: Value = sign,
                step: int = 1 << low,
                base: int = width_out - 1,
            ) -> Value:
                high = bits[base + offset : None if last else base + offset + step]
                return Mux(sign, ~high.all(), high.any()) if len(high) else Const(0, 1)

            moved = Cat(
                _multiplex(select, [shifted(bit + offset) for offset in offsets])
                for bit in range(width_out)
            )
            lost = [
                dropped(offset) & (select > choice) for choice, offset in enumerate(offsets[:-1])
            ]
            excess = (
                [
                    outside(offset, offset == offsets[-1]) & (select <= choice)
                    for choice, offset in enumerate(offsets)
                ]
                if width_out < width
                else []
            )

            level += 1
            last = low == 0 or level % _LEVELS == 0  # of a stage
            domain = m.d.sync if last else m.d.comb
            next_kept = Signal(width_out, name=f"kept_{low}", reset_less=last)
            next_sign = Signal(name=f"sign_{low}", reset_less=last)
            next_amount = Signal(low, name=f"amount_{low}", reset_less=last)
            next_sticky = Signal(name=f"sticky_{low}", reset_less=last)
            next_over = Signal(name=f"over_{low}", reset_less=last)
            with m.If(self.enable if last else Const(1, 1)):
                domain += [
                    next_kept.eq(moved),
                    next_sign.eq(sign),
                    next_amount.eq(rest),
                    next_sticky.eq(sticky | Cat(lost).any()),
                    next_over.eq(over | Cat(excess).any()),
                ]
            kept, sign, amount = next_kept, next_sign, next_amount
            sticky, over = next_sticky, next_over

        below = kept[1 : self._result_bits]
        if len(below) < self._result_bits - 1:
            below = Cat(below, sign.replicate(self._result_bits - 1 - len(below)))
        m.d.comb += [
            self.floor.eq(Cat(Mux(over, (~sign).replicate(len(below)), below), sign)),
            self.up.eq(kept[0] & (sticky | kept[1])),
        ]
        return m
