"""σ and tanh from one table with linear interpolation (docs/numerics.md, "σ and tanh")."""

from collections.abc import Mapping

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .formats import PREACTIVATION_BITS
from .sigma_table import GUARD_BITS, INDEX_BITS, REST_BITS, SLOPE_BITS, sigma_table

__all__ = ["ActivationUnit"]

_MAGNITUDE_BITS = INDEX_BITS + REST_BITS


class ActivationUnit(wiring.Component):
    """``tanh(value)``, ``sigmoid(value)`` or ``hard_sigmoid(value)`` of a value in format f.

    A pipeline that never stops: :attr:`LATENCY` cycles, one item per cycle. Whoever asks has room
    for every answer.

    Parameters
    ----------
    meta_bits: bits that travel with a request.
    table: attributes of the table, for synthesis.
    with_hard: the table has a second half, for the hard σ.
    with_clip: arguments may be clipped.

    Members
    -------
    request: In(1), what follows is a request.
    value: In(signed(16)), format f.
    shift: In(signed), f - 12, -12 … 3.
    sigmoid: In(1).
    meta: In(meta_bits).
    response: Out(1), what follows is an answer.
    result: Out(signed(16)), Q15.
    result_meta: Out(meta_bits).
    hard: In(1), static: σ is the hard one. Only with ``with_hard``.
    clip: In(15), static: the largest magnitude of an argument, in 2^-11, but for requests that are
        ``unclipped``. Only with ``with_clip``.
    coming, coming_meta: Out. The response and its meta of the next cycle.
    """

    #: Magnitude; coarse shift; fine shift and rounding; read; memory output register; product; sum
    #: and sign.
    LATENCY = 7

    def __init__(
        self,
        meta_bits: int = 0,
        table: Mapping[str, str] | None = None,
        *,
        with_hard: bool = False,
        with_clip: bool = False,
    ) -> None:
        self._meta_bits = meta_bits
        self._with_hard = with_hard
        self._with_clip = with_clip
        self._table = dict(table or {})
        super().__init__(
            {
                "request": In(1),
                "value": In(signed(PREACTIVATION_BITS)),
                "shift": In(signed(6)),
                "sigmoid": In(1),
                "meta": In(unsigned(meta_bits)),
                "hard": In(1),
                "clip": In(_MAGNITUDE_BITS),
                "unclipped": In(1),
                "response": Out(1),
                "result": Out(signed(PREACTIVATION_BITS)),
                "result_meta": Out(unsigned(meta_bits)),
                "coming": Out(1),
                "coming_meta": Out(unsigned(meta_bits)),
            }
        )

    @property
    def meta_bits(self) -> int:
        return self._meta_bits

    def elaborate(self, platform: object) -> Module:
        m = Module()
        marks = {"unclipped": 1} if self._with_clip else {}
        carried = data.StructLayout({"meta": self._meta_bits, "negative": 1, "sigmoid": 1} | marks)
        valids = [Signal(name=f"valid{k}") for k in range(self.LATENCY)]
        sides = [Signal(carried, name=f"side{k}", reset_less=True) for k in range(self.LATENCY)]
        negative = self.value[-1]
        m.d.sync += [
            valids[0].eq(self.request),
            sides[0].meta.eq(self.meta),
            sides[0].negative.eq(negative),
            sides[0].sigmoid.eq(self.sigmoid),
        ]
        for k in range(1, self.LATENCY):
            m.d.sync += [valids[k].eq(valids[k - 1]), sides[k].eq(sides[k - 1])]

        # Magnitude: rounding is symmetric. tanh takes twice what σ takes. A negative operand gives
        # its complement; the 1 that this lacks comes with the rounding: before, ones go in.
        operand = Mux(self.sigmoid, Cat(self.value, negative), Cat(Const(0, 1), self.value))
        width = len(operand)
        magnitude = Signal(width, reset_less=True)
        up = Signal(4, reset_less=True)
        m.d.sync += [
            magnitude.eq(operand ^ negative.replicate(width)),
            up.eq(3 - self.shift),  # 15 - f
        ]

        # Left by 15 - f. What leaves the kept bits makes the result the largest one.
        kept = GUARD_BITS + _MAGNITUDE_BITS
        coarse, coarse_over = Signal(kept, reset_less=True), Signal(reset_less=True)
        fine, fine_over = Signal(kept), Signal()
        up_fine = Signal(reset_less=True)
        m.d.sync += up_fine.eq(up[0])
        for domain, amount, step, one, source, source_over, target, target_over in (
            ("sync", up[1:], 2, sides[0].negative, magnitude, Const(0, 1), coarse, coarse_over),
            ("comb", up_fine, 1, sides[1].negative, coarse, coarse_over, fine, fine_over),
        ):
            with m.Switch(amount):
                for choice in range(1 << len(amount)):
                    with m.Case(choice):
                        left = step * choice
                        m.d[domain] += [
                            target.eq(Cat(one.replicate(left), source)),
                            target_over.eq(source_over | source[kept - left :].any()),
                        ]

        # Round to the nearest, ties to even.
        argument = Signal(_MAGNITUDE_BITS)
        rounded = Signal(_MAGNITUDE_BITS + 1, reset_less=True)
        over = Signal(reset_less=True)
        half, below, odd = fine[GUARD_BITS - 1], fine[: GUARD_BITS - 1], fine[GUARD_BITS]
        round_up = Mux(
            sides[1].negative,  # + 1 below: more than the half from it on, the half just under it
            half | (below.all() & odd),
            half & (below.any() | odd),
        )
        m.d.sync += [over.eq(fine_over), rounded.eq(fine[GUARD_BITS:] + round_up)]
        m.d.comb += argument.eq(rounded | (over | rounded[-1]).replicate(_MAGNITUDE_BITS))
        if self._with_clip:  # what clips a in 2^-11 clips a / 2 in 2^-12, which σ reads
            twice = (self.clip << 1)[:_MAGNITUDE_BITS] | self.clip[-1].replicate(_MAGNITUDE_BITS)
            most = Signal(_MAGNITUDE_BITS)
            m.d.sync += [
                sides[0].unclipped.eq(self.unclipped),
                most.eq(
                    Mux(sides[1].sigmoid, self.clip, twice)
                    | sides[1].unclipped.replicate(_MAGNITUDE_BITS)
                ),
            ]
            with m.If(over | (rounded > most)):
                m.d.comb += argument.eq(most)

        # Read T[i] and the slope behind it, then interpolate.
        m.submodules.table = table = sigma_table(with_hard=self._with_hard, attrs=self._table)
        read = table.read_port()
        m.d.comb += read.addr.eq(Cat(argument[REST_BITS:], self.hard & sides[2].sigmoid))
        rest4, rest5 = Signal(REST_BITS, reset_less=True), Signal(REST_BITS, reset_less=True)
        entry5 = Signal(table.shape, reset_less=True)
        base6 = Signal(signed(16), reset_less=True)
        product = Signal(SLOPE_BITS + REST_BITS, reset_less=True)
        flip5, flip = sides[4].negative, sides[5].negative
        m.d.sync += [
            rest4.eq(argument[:REST_BITS]),
            rest5.eq(rest4),
            entry5.eq(read.data),
            base6.eq((entry5.base ^ flip5.replicate(16)) + flip5),
            product.eq(entry5.slope * rest5),
        ]

        # Sign and rounding in one addition: -floor((P + 64) / 128) = floor((63 - P) / 128), and
        # 63 - P = ~P + 64.
        half = 1 << REST_BITS - 1
        width = _MAGNITUDE_BITS + REST_BITS + 2
        turned = Signal(signed(width))
        step = (Cat(product, Const(0, width - len(product))) ^ flip.replicate(width)).as_signed()
        m.d.comb += turned.eq(Cat(Const(half, REST_BITS), base6).as_signed() + step)

        # For σ, 32768 is added and half of it taken, which moves bits only.
        result = Signal(signed(PREACTIVATION_BITS), reset_less=True)
        value = turned[REST_BITS:][:PREACTIVATION_BITS]
        m.d.sync += result.eq(
            Mux(sides[5].sigmoid, Cat(value[1:15], ~value[15], Const(0, 1)), value)
        )
        m.d.comb += [
            self.response.eq(valids[-1]),
            self.result.eq(result),
            self.result_meta.eq(sides[-1].meta),
            self.coming.eq(valids[-2]),
            self.coming_meta.eq(sides[-2].meta),
        ]
        return m
