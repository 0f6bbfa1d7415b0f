"""σ and tanh in three cycles: the table of :mod:`sparnn.hdl.post.activation`, fewer stages."""

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from sparnn.hdl.config import PREACTIVATION_BITS
from sparnn.hdl.post.activation import HARD_TABLE, TANH_TABLE

__all__ = ["SIGMA_MODULE", "Sigma", "sigma_signature"]

SIGMA_MODULE = "sparnn_tile_sigma"

_REST_BITS = 7
_GUARD_BITS = 4
_SLOPE_BITS = max(b - a for a, b in pairwise(TANH_TABLE)).bit_length()


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
    value: signed, format f. up: 15 - f. sigmoid: instead of tanh. hard: static, σ is the hard one;
    only with ``with_hard``. result: Q15, :attr:`LATENCY` cycles later.
    """

    #: Magnitude, shift and rounding; table; interpolation and sign.
    LATENCY = 3

    def __init__(self, *, with_hard: bool = False) -> None:
        self._with_hard = with_hard
        super().__init__(sigma_signature())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        negative = self.value[-1]
        # tanh takes twice what σ takes.
        operand = Mux(self.sigmoid, Cat(self.value, negative), Cat(Const(0, 1), self.value))
        magnitude = Signal(len(operand))
        moved = Signal(len(operand) + 15)
        near = Signal(len(moved) - _GUARD_BITS + 1)
        m.d.comb += [
            magnitude.eq((operand ^ negative.replicate(len(operand))) + negative),
            moved.eq(magnitude << self.up),
            near.eq(
                moved[_GUARD_BITS:]
                + (moved[_GUARD_BITS - 1] & (moved[: _GUARD_BITS - 1].any() | moved[_GUARD_BITS]))
            ),
        ]
        argument = Signal(15, reset_less=True)
        m.d.sync += argument.eq(near[:15] | near[15:].any().replicate(15))

        entry = data.StructLayout({"base": 15, "slope": _SLOPE_BITS})
        m.submodules.table = table = Memory(
            shape=entry,
            depth=len(TANH_TABLE) - 1 << self._with_hard,
            init=[
                {"base": a, "slope": b - a}
                for half in (TANH_TABLE, HARD_TABLE)[: 1 + self._with_hard]
                for a, b in pairwise(half)
            ],
        )
        read = table.read_port()
        rest = Signal(_REST_BITS, reset_less=True)
        m.d.sync += rest.eq(argument[:_REST_BITS])

        signs = [Signal(2, name=f"side{k}", reset_less=True) for k in range(2)]
        m.d.sync += [signs[0].eq(Cat(negative, self.sigmoid)), signs[1].eq(signs[0])]
        m.d.comb += read.addr.eq(Cat(argument[_REST_BITS:], self.hard & signs[0][1]))
        height, turned = Signal(16), Signal(signed(PREACTIVATION_BITS))
        minus = signs[1][0]
        half = 1 << _REST_BITS - 1
        m.d.comb += [
            height.eq(
                (Cat(Const(half, _REST_BITS), read.data.base) + read.data.slope * rest)
                >> _REST_BITS
            ),
            turned.eq((height ^ minus.replicate(16)) + minus),
        ]
        # For σ, 32768 is added and half of it taken, which moves bits only.
        m.d.sync += self.result.eq(
            Mux(signs[1][1], Cat(turned[1:15], ~turned[15], Const(0, 1)), turned)
        )
        return m
