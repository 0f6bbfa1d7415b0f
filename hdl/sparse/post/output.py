"""The last step of every cell: ``out(value, n)`` of docs/numerics.md."""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.arithmetic.rounding import RoundingShifter
from sparnn.hdl.arithmetic.saturate import saturate_either
from sparnn.hdl.sparse.config import SparseConfig

__all__ = ["VALUE_BITS", "OutputRounder"]

#: A product of two 16-bit values, or a 16-bit value times 32768.
VALUE_BITS = 2 * PREACTIVATION_BITS - 1


class OutputRounder(wiring.Component):
    """``sat_b(rne(value, shift))``, b the activation bits or 16.

    A pipeline that never stops: :attr:`LATENCY` cycles, one item per cycle.

    Members
    -------
    push: In(1).
    value: In(signed(31)).
    shift: In(6), wide: In(1), static.
    wide: 16 bits instead of the activation bits.
    valid: Out(1).
    result: Out(signed(16)), sign-extended; four gates behind a register.
    """

    #: Two shifts; rounding.
    LATENCY = 3

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "push": In(1),
                "value": In(signed(VALUE_BITS)),
                "shift": In(unsigned(6)),
                "wide": In(1),
                "valid": Out(1),
                "result": Out(signed(PREACTIVATION_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.shifter = shifter = RoundingShifter(VALUE_BITS, 6, PREACTIVATION_BITS + 1)
        # Saturation follows the last register, in front of the queue's.
        rounded = Signal(signed(PREACTIVATION_BITS + 2), reset_less=True)
        valids = Signal(self.LATENCY)
        m.d.comb += [
            shifter.value.eq(self.value),
            shifter.amount.eq(self.shift),
            self.valid.eq(valids[-1]),
            self.result.eq(saturate_either(rounded, self._config.activation_bits, self.wide)),
        ]
        m.d.sync += [
            valids.eq((valids << 1) | self.push),
            rounded.eq(shifter.floor + shifter.up),
        ]
        return m
