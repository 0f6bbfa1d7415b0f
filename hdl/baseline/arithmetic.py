"""Arithmetic unit with the destination accumulators (EIE, arXiv 1602.01528, section IV)."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .config import BaselineConfig
from .matrix import entry_layout

__all__ = ["ArithmeticUnit"]


class ArithmeticUnit(wiring.Component):
    """``sum[row] += weight * value``, one per cycle, rows in any order.

    EIE's four stages: the row from the runs so far; accumulator read beside the multiplication;
    addition; write. The adder's output goes straight back to its input where two adjacent
    entries have one row. Each half has accumulators of its own. They are not cleared but marked:
    the first addition to a marked one takes zero for what it holds.

    Members
    -------
    valid, entry: from the matrix read unit.
    done: Out(2), per half: its end has come through. Low again after ``clear``.
    clear: In(2), per half: its sums have been taken.
    row, half: which sum ``sum`` shows, in the same cycle; of a half that is done.
    """

    def __init__(self, config: BaselineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "valid": In(1),
                "entry": In(entry_layout(config)),
                "done": Out(2),
                "clear": In(2),
                "row": In(config.row_bits),
                "half": In(1),
                "sum": Out(signed(config.sum_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        places = 2 << config.row_bits
        m.submodules.sums = sums = memory.Memory(
            shape=signed(config.sum_bits), depth=places, init=[]
        )
        write = sums.write_port()
        operand_read, sum_read = sums.read_port(domain="comb"), sums.read_port(domain="comb")
        marked = Signal(places, init=-1)
        entry = self.entry

        # Row and operands.
        row = Signal(config.row_bits)
        row_here = Signal(config.row_bits, reset_less=True)
        m.d.comb += row.eq(entry.run + Mux(entry.first, 0, row_here + 1))
        half_here, token_here, valid_here = Signal(), Signal(), Signal()
        weight = Signal(signed(config.weight_bits), reset_less=True)
        value = Signal(signed(config.activation_bits), reset_less=True)
        m.d.sync += [
            valid_here.eq(self.valid),
            token_here.eq(entry.token),
            half_here.eq(entry.half),
            weight.eq(entry.weight),
            value.eq(entry.value),
        ]
        with m.If(self.valid & ~entry.token):
            m.d.sync += row_here.eq(row)

        # Product, and the accumulator as it was.
        product = Signal(signed(config.weight_bits + config.activation_bits), reset_less=True)
        held = Signal(signed(config.sum_bits), reset_less=True)
        total = Signal(signed(config.sum_bits))
        place = Signal(range(places))
        adding = Signal()
        here = Cat(row_here, half_here)
        m.d.comb += [operand_read.addr.eq(here), total.eq(held + product)]
        m.d.sync += [
            adding.eq(valid_here & ~token_here),
            place.eq(here),
            product.eq(weight * value),
        ]
        with m.If(adding & (place == here)):
            m.d.sync += held.eq(total)
        with m.Else():
            m.d.sync += held.eq(Mux(marked.bit_select(here, 1), 0, operand_read.data))
        m.d.comb += [write.addr.eq(place), write.data.eq(total), write.en.eq(adding)]
        with m.If(adding):
            m.d.sync += marked.bit_select(place, 1).eq(0)

        # The end of a half comes as late as the last sum.
        ended, ended_half = Signal(), Signal()
        m.d.sync += [ended.eq(valid_here & token_here), ended_half.eq(half_here)]
        for half in range(2):
            with m.If(self.clear[half]):
                m.d.sync += self.done[half].eq(0)
                m.d.sync += marked[half << config.row_bits : (half + 1) << config.row_bits].eq(-1)
            with m.Elif(ended & (ended_half == half)):
                m.d.sync += self.done[half].eq(1)

        shown = Cat(self.row, self.half)
        m.d.comb += [
            sum_read.addr.eq(shown),
            self.sum.eq(Mux(marked.bit_select(shown, 1), 0, sum_read.data)),
        ]
        return m
