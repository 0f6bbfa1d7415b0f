"""σ and tanh in three stages, for a post slice: the sparse machine's table, not its pipeline."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.arithmetic.sigma_table import GUARD_BITS, REST_BITS, sigma_table
from sparnn.hdl.common.delay import later

__all__ = ["SIGMA_MODULE", "Sigma", "sigma_signature"]

SIGMA_MODULE = "sparnn_tile_sigma"


def sigma_signature() -> wiring.Signature:
    """The ports, explained in :class:`Sigma`."""
    return wiring.Signature(
        {
            "value": In(signed(PREACTIVATION_BITS)),
            "up": In(unsigned(4)),
            "sigmoid": In(1),
            "hard": In(1),
            "result": Out(signed(PREACTIVATION_BITS)),
        }
    )


class Sigma(wiring.Component):
    """``tanh(value)`` or ``sigmoid(value)`` of a value in format f; one each cycle.

    Members
    -------
    value: signed, format f.
    up: 15 - f.
    sigmoid: instead of tanh.
    hard: static, σ is the hard one; only with ``with_hard``.
    result: Q15, :attr:`latency` cycles later.

    Parameters
    ----------
    stages: 1 or 2 registers for each stage.
    with_hard: the table of the hard σ as well.
    """

    #: Magnitude, shift and rounding; table; interpolation and sign.
    STAGES = 3

    def __init__(self, stages: int = 1, *, with_hard: bool = False) -> None:
        self._stages, self._with_hard = stages, with_hard
        super().__init__(sigma_signature())

    @property
    def latency(self) -> int:
        """Cycles from ``value`` to ``result``."""
        return self.STAGES * self._stages

    def elaborate(self, platform: object) -> Module:
        m = Module()
        more = self._stages - 1  # registers within a stage
        negative = self.value[-1]
        # tanh takes twice what σ takes.
        operand = Mux(self.sigmoid, Cat(self.value, negative), Cat(Const(0, 1), self.value))
        magnitude = Signal(len(operand))
        moved = Signal(len(operand) + 15)
        near = Signal(len(moved) - GUARD_BITS + 1)
        m.d.comb += [
            magnitude.eq((operand ^ negative.replicate(len(operand))) + negative),
            moved.eq(magnitude << self.up),
        ]
        shifted = later(m, "moved", moved, more)
        odd, below = shifted[GUARD_BITS], shifted[: GUARD_BITS - 1].any()
        m.d.comb += near.eq(shifted[GUARD_BITS:] + (shifted[GUARD_BITS - 1] & (below | odd)))
        argument = Signal(15, reset_less=True)
        m.d.sync += argument.eq(near[:15] | near[15:].any().replicate(15))

        m.submodules.table = table = sigma_table(with_hard=self._with_hard)
        read = table.read_port()
        sides = Cat(negative, self.sigmoid)
        at_table = later(m, "side", sides, self._stages)
        m.d.comb += read.addr.eq(Cat(argument[REST_BITS:], self.hard & at_table[1]))
        rest = later(m, "rest", argument[:REST_BITS], self._stages)
        base = later(m, "base", read.data.base, more)
        slope = later(m, "slope", read.data.slope, more)
        rise = later(m, "rise", slope * rest, more)
        minus, is_sigmoid = later(m, "at_sum", at_table, 2 * self._stages - 1)

        height, turned = Signal(16), Signal(signed(PREACTIVATION_BITS))
        half = 1 << REST_BITS - 1
        foot = Cat(Const(half, REST_BITS), later(m, "foot", base, more))
        m.d.comb += [
            height.eq((foot + rise) >> REST_BITS),
            turned.eq((height ^ minus.replicate(16)) + minus),
        ]
        # For σ, 32768 is added and half of it taken, which moves bits only.
        m.d.sync += self.result.eq(
            Mux(is_sigmoid, Cat(turned[1:15], ~turned[15], Const(0, 1)), turned)
        )
        return m
