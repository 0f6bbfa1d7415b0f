"""Joins the input half and the hidden half of each row."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.arithmetic.saturate import saturate
from sparnn.hdl.common.sequential_memory import SequentialMemory
from sparnn.hdl.sparse.config import SparseConfig

from .requantize import half_row_layout
from .tags import ROW_TAG

__all__ = ["HalfJoin", "joined_row_layout"]


def joined_row_layout(*, weight: bool = False) -> data.StructLayout:
    """A row of a neuron that completes: ``sum`` and ``hidden`` in format f_pre.

    sum: ``sat16(u + v)``; where the halves are kept apart, ``u`` alone. hidden: ``v``. weight: of
    the row's peephole, where it is asked for.
    """
    half = signed(PREACTIVATION_BITS)
    layout = {"sum": half, "hidden": half, "tag": ROW_TAG}
    return data.StructLayout(layout | ({"weight": half} if weight else {}))


class HalfJoin(wiring.Component):
    """Keeps ``u`` of the input half until ``v`` of the same row comes; ``pre = sat16(u + v)``.

    Rows of an input half that is final (a layer without hidden half) pass with ``v = 0``. All other
    rows of an input half are taken and stored in order; the rows of a final hidden half meet them
    in the same order. A hidden half ends before the next input half begins, so one copy is enough.

    Latency :attr:`LATENCY` cycles, one row per cycle, but no row of a hidden half in the two cycles
    after the end of a half. The row at the output waits in a register; its ``sum`` is two gates
    behind it.

    Parameters
    ----------
    config: ``rows``.

    Members
    -------
    start: In(1), a pulse when no row is inside.
    apart: In(1), static in a layer: gate 2 keeps its halves apart (GRU).
    i: In(stream of :func:`half_row_layout`).
    o: Out(stream of :func:`joined_row_layout`). A hole uses no stored row; it passes with zeros in
        a final half and ends here in another one.
    """

    LATENCY = 1

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "apart": In(1),
                "i": In(stream.Signature(half_row_layout(config))),
                "o": Out(stream.Signature(joined_row_layout(weight=bool(config.peepholes)))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        row, tag = self.i.payload, self.i.payload.tag
        advance, taken = Signal(), Signal()
        half = signed(PREACTIVATION_BITS)
        m.submodules.memory = memory = SequentialMemory(
            half, self._config.rows, self._config.memory_style(self._config.rows)
        )
        place = Signal.like(memory.write_addr)
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(advance & (memory.ready | ~tag.half)),
            taken.eq(self.i.valid & self.i.ready),
            memory.restart.eq(self.start | (taken & tag.half_end)),
            memory.next.eq(taken & tag.half & ~tag.hole),
            memory.write_en.eq(taken & ~tag.final & ~tag.hole),
            memory.write_addr.eq(place),
            memory.write_data.eq(row.value),
        ]
        with m.If(memory.restart):
            m.d.sync += place.eq(0)
        with m.Elif(memory.write_en):
            m.d.sync += place.eq(place + 1)

        # Saturation follows the register: whoever takes the row has a register behind it.
        valid = Signal()
        last_tag = Signal(ROW_TAG, reset_less=True)
        hidden = Signal(half, reset_less=True)
        total = Signal(signed(PREACTIVATION_BITS + 1), reset_less=True)
        first, second = Signal(half), Signal(half)
        m.d.comb += [
            first.eq(Mux(tag.half & ~tag.hole, memory.value, 0)),
            second.eq(Mux(self.apart & (tag.gate == 2), 0, row.value)),
            self.o.valid.eq(valid),
            self.o.payload.tag.eq(last_tag),
            self.o.payload.sum.eq(saturate(total, PREACTIVATION_BITS)),
            self.o.payload.hidden.eq(hidden),
        ]
        with m.If(advance):
            m.d.sync += [
                valid.eq(taken & tag.final),
                last_tag.eq(tag),
                total.eq(first + second),
                hidden.eq(row.value),
            ]
        if self._config.peepholes:
            weight = Signal(half, reset_less=True)
            m.d.comb += self.o.payload.weight.eq(weight)
            with m.If(advance):
                m.d.sync += weight.eq(row.weight)
        return m
