"""Joins the input half and the hidden half of each row."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..config import PREACTIVATION_BITS, MachineConfig
from .requantize import half_row_layout
from .saturate import saturate
from .tags import ROW_TAG

__all__ = ["HalfJoin", "joined_row_layout"]


def joined_row_layout() -> data.StructLayout:
    """A row of a neuron that completes: ``sum`` and ``hidden`` in format f_pre.

    sum: ``sat16(u + v)``; where the halves are kept apart, ``u`` alone. hidden: ``v``.
    """
    half = signed(PREACTIVATION_BITS)
    return data.StructLayout({"sum": half, "hidden": half, "tag": ROW_TAG})


class HalfJoin(wiring.Component):
    """Keeps ``u`` of the input half until ``v`` of the same row comes; ``pre = sat16(u + v)``.

    Rows of an input half that is final (a layer without hidden half) pass with ``v = 0``. All other
    rows of an input half are taken and stored in order; the rows of a final hidden half meet them in
    the same order. A hidden half ends before the next input half begins, so one copy is enough.

    Latency :attr:`LATENCY` cycles, one row per cycle, also from the last row of a half to the first
    of the next. The pipeline stops while its last item waits.

    Parameters
    ----------
    config: ``rows``.

    Members
    -------
    start: In(1), a pulse when no row is inside.
    apart: In(1), static in a layer: gate 2 keeps its halves apart (GRU).
    i: In(stream of :func:`half_row_layout`). o: Out(stream of :func:`joined_row_layout`). A hole
        passes with zeros and uses no stored row.
    """

    #: Read, memory output register, sum.
    LATENCY = 3

    def __init__(self, config: MachineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "apart": In(1),
                "i": In(stream.Signature(half_row_layout())),
                "o": Out(stream.Signature(joined_row_layout())),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        row, tag = self.i.payload, self.i.payload.tag
        stores = ~tag.final
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]

        half = signed(PREACTIVATION_BITS)
        # A cycle reads or writes, as one row comes at a time.
        m.submodules.memory = memory = Memory(
            shape=half, depth=self._config.rows, init=[], attrs={"no_rw_check": 1}
        )
        write, read = memory.write_port(), memory.read_port()
        pointer = Signal.like(write.addr)
        m.d.comb += [
            write.addr.eq(pointer),
            write.data.eq(row.value),
            write.en.eq(self.i.valid & stores & advance),
            read.addr.eq(pointer),
            read.en.eq(advance & ~(self.i.valid & stores)),
        ]
        with m.If(advance & self.i.valid):
            with m.If(tag.half_end):
                m.d.sync += pointer.eq(0)
            with m.Elif(~tag.hole & (stores | tag.half)):
                m.d.sync += pointer.eq(pointer + 1)
        with m.If(self.start):
            m.d.sync += pointer.eq(0)

        valid1, valid2, valid3 = Signal(), Signal(), Signal()
        tag1 = Signal(ROW_TAG, reset_less=True)
        tag2 = Signal(ROW_TAG, reset_less=True)
        value1, value2 = Signal(half, reset_less=True), Signal(half, reset_less=True)
        stored2 = Signal(half, reset_less=True)
        joined = Signal(joined_row_layout(), reset_less=True)
        alone = Signal(reset_less=True)  # value2 is all there is to add
        with m.If(advance):
            m.d.sync += [
                valid1.eq(self.i.valid & tag.final),
                tag1.eq(tag),
                value1.eq(row.value),
                valid2.eq(valid1),
                tag2.eq(tag1),
                value2.eq(value1),
                stored2.eq(Mux(tag1.half & ~tag1.hole, read.data, 0)),
                alone.eq(self.apart & (tag1.gate == 2)),
                valid3.eq(valid2),
                joined.tag.eq(tag2),
                joined.sum.eq(Mux(alone, stored2, saturate(stored2 + value2, PREACTIVATION_BITS))),
                joined.hidden.eq(value2),
            ]
        m.d.comb += [self.o.valid.eq(valid3), self.o.payload.eq(joined)]
        return m
