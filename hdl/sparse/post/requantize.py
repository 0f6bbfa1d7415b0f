"""Row sums become 16-bit pre-activation halves: multiply, shift, round, add the bias, saturate."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.carry import add_with_carry
from sparnn.hdl.arithmetic.formats import (
    MULTIPLIER_BITS,
    PARAMETER_LAYOUT,
    PREACTIVATION_BITS,
    SHIFT_BITS,
    ZERO_SHIFT,
)
from sparnn.hdl.arithmetic.rounding import RoundingShifter, shift_latency
from sparnn.hdl.arithmetic.saturate import saturate
from sparnn.hdl.common.numbers import ceil_div, clog2
from sparnn.hdl.common.sequential_memory import SequentialMemory
from sparnn.hdl.sparse.config import SparseConfig

from .tags import ROW_TAG, row_total_layout

__all__ = ["Requantizer", "half_row_layout"]

#: A multiplier is at most 32767.
_FACTOR_BITS = MULTIPLIER_BITS - 1
#: Its highest bit is 1 unless it is zero, and not kept either: so an entry has 36 bits, which a
#: block RAM is wide.
_KEPT_BITS = _FACTOR_BITS - 1
#: The part of a sum that one hardware multiplier takes beside its sign.
_LIMB_BITS = 17
#: ``floor`` is clamped to one bit more than the result, so that no bias can bring it back wrongly.
_QUOTIENT_BITS = PREACTIVATION_BITS + 1


def half_row_layout(config: SparseConfig) -> data.StructLayout:
    """One half of a row in format f_pre, and its tag; on a machine with ``peepholes`` also the
    weight of the row's peephole, 0 where there is none."""
    layout = {"value": signed(PREACTIVATION_BITS), "tag": ROW_TAG}
    weight = {"weight": signed(PREACTIVATION_BITS)} if config.peepholes else {}
    return data.StructLayout(layout | weight)


class Requantizer(wiring.Component):
    """``sat16(rne(psum * mult, shift) + bias)`` (docs/numerics.md, "Rows").

    Latency :attr:`latency` cycles, one row per cycle, none in the two cycles after ``step_end``.
    The whole pipeline stops while its last item waits; ``i.ready`` is one gate behind ``o.ready``.

    Parameters
    ----------
    config: ``total_bits`` and ``parameter_depth``.

    Members
    -------
    start: In(1), a pulse when no row is inside: the next row uses entry ``base``.
    base: In(parameter address). First entry of the layer; its entries are used in order, one per
        row that is not a hole, and again from the first after ``step_end``.
    load: In ``en``, ``addr``, ``data`` (:data:`PARAMETER_LAYOUT`). Only while no row is inside.
        ``mult`` is within 16384 … 32767, or 0 with the shift ``ZERO_SHIFT``, which means nothing
        else.
    peephole: In(1), with ``peepholes``, static in a layer: the bias of a row of the hidden half is
        the weight of its peephole, and nothing is added.
    i: In(stream of :func:`row_total_layout`).
    o: Out(stream of :func:`half_row_layout`). A hole passes in its place with value 0.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        address = unsigned(clog2(config.parameter_depth))
        super().__init__(
            {
                "start": In(1),
                "base": In(address),
                "load": In(
                    wiring.Signature(
                        {"en": Out(1), "addr": Out(address), "data": Out(PARAMETER_LAYOUT)}
                    )
                ),
                "i": In(stream.Signature(row_total_layout(config))),
                "o": Out(stream.Signature(half_row_layout(config))),
            }
            | ({"peephole": In(1)} if config.peepholes else {})
        )

    @property
    def limbs(self) -> int:
        """Hardware multipliers: parts of a sum."""
        return 1 + max(0, ceil_div(self._config.total_bits - _LIMB_BITS - 1, _LIMB_BITS))

    @property
    def latency(self) -> int:
        """Operands, products, one addition per further limb, shifts, bias and saturation."""
        return 2 + (self.limbs - 1) + shift_latency(SHIFT_BITS) + 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        limbs = self.limbs
        stored = data.StructLayout(
            {
                "mult": unsigned(_KEPT_BITS),
                "shift": unsigned(SHIFT_BITS),
                "bias": signed(PREACTIVATION_BITS),
            }
        )
        depth = self._config.parameter_depth
        m.submodules.memory = memory = SequentialMemory(
            stored, depth, self._config.memory_style(depth)
        )
        advance = Signal()
        taken = Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(advance & memory.ready),
            taken.eq(self.i.valid & memory.ready),  # if the pipeline advances
            memory.base.eq(self.base),
            memory.restart.eq(self.start | (taken & advance & self.i.payload.tag.step_end)),
            memory.next.eq(taken & advance & ~self.i.payload.tag.hole),
            memory.write_en.eq(self.load.en),
            memory.write_addr.eq(self.load.addr),
            memory.write_data.mult.eq(self.load.data.mult),
            memory.write_data.shift.eq(self.load.data.shift),
            memory.write_data.bias.eq(self.load.data.bias),
        ]

        # Valid and tag after each stage.
        tags = [Signal(ROW_TAG, name=f"tag{k}", reset_less=True) for k in range(self.latency)]
        valids = [Signal(name=f"valid{k}") for k in range(self.latency)]
        with m.If(advance):
            for k in range(self.latency):
                m.d.sync += [
                    tags[k].eq(tags[k - 1] if k else self.i.payload.tag),
                    valids[k].eq(valids[k - 1] if k else taken),
                ]

        # Stage 1: operands. All limbs but the last are unsigned and get a zero sign.
        psum = self.i.payload.psum
        factor = Signal(signed(MULTIPLIER_BITS), reset_less=True)
        parts = [
            Signal(signed(_LIMB_BITS + 1), name=f"part{k}", reset_less=True) for k in range(limbs)
        ]
        with m.If(advance):
            m.d.sync += factor.eq(Cat(memory.value.mult, memory.value.shift != ZERO_SHIFT))
            for k, part in enumerate(parts):
                if k < limbs - 1:
                    m.d.sync += part.eq(psum[k * _LIMB_BITS : (k + 1) * _LIMB_BITS])
                else:
                    m.d.sync += part.eq(psum >> k * _LIMB_BITS)

        # Stage 2: products; then the carries go up, one limb per stage.
        product_bits = _LIMB_BITS + 1 + _FACTOR_BITS
        products = [
            Signal(signed(product_bits), name=f"product{k}", reset_less=True) for k in range(limbs)
        ]
        with m.If(advance):
            m.d.sync += [p.eq(part * factor) for p, part in zip(products, parts, strict=True)]
        total = products[0]
        for k in range(1, limbs):
            shift = k * _LIMB_BITS
            wider = Signal(signed(shift + product_bits), name=f"total{k}", reset_less=True)
            with m.If(advance):
                m.d.sync += [
                    wider[:shift].eq(total[:shift]),
                    wider[shift:].eq((total >> shift) + products[k]),
                ]
                for later in range(k + 1, limbs):
                    waiting = Signal.like(products[later], name=f"product{later}_{k}")
                    m.d.sync += waiting.eq(products[later])
                    products[later] = waiting
            total = wider

        # Shift, which needs the parameters as late as this.
        m.submodules.shifter = shifter = RoundingShifter(
            self._config.total_bits + _FACTOR_BITS, SHIFT_BITS, _QUOTIENT_BITS
        )
        amount, bias = memory.value.shift, memory.value.bias
        for k in range(1 + limbs):
            next_amount = Signal.like(amount, name=f"amount{k}", reset_less=True)
            with m.If(advance):
                m.d.sync += next_amount.eq(amount)
            amount = next_amount
        for k in range(self.latency - 1):
            next_bias = Signal.like(bias, name=f"bias{k}", reset_less=True)
            with m.If(advance):
                m.d.sync += next_bias.eq(bias)
            bias = next_bias
        m.d.comb += [
            shifter.enable.eq(advance),
            shifter.value.eq(total),
            shifter.amount.eq(amount),
        ]

        # The last stage.
        biased = Signal(signed(_QUOTIENT_BITS + 1))
        value = Signal(signed(PREACTIVATION_BITS), reset_less=True)
        if self._config.peepholes:
            is_weight = Signal()
            weight = Signal.like(bias, name="weight", reset_less=True)
            m.d.comb += is_weight.eq(self.peephole & tags[-2].half & ~tags[-2].hole)
            with m.If(advance):
                m.d.sync += weight.eq(Mux(is_weight, bias, 0))
            m.d.comb += self.o.payload.weight.eq(weight)
            bias = Mux(is_weight, 0, bias)
        m.d.comb += biased.eq(add_with_carry(shifter.floor, bias, shifter.up))
        with m.If(advance):
            with m.If(tags[-2].hole):
                m.d.sync += value.eq(0)
            with m.Else():
                m.d.sync += value.eq(saturate(biased, PREACTIVATION_BITS))
        m.d.comb += [
            self.o.valid.eq(valids[-1]),
            self.o.payload.tag.eq(tags[-1]),
            self.o.payload.value.eq(value),
        ]
        return m
