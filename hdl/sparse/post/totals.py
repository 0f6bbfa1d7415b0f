"""The sum of each row over all that was sent of its columns."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.common.sequential_memory import SequentialMemory
from sparnn.hdl.sparse.config import SparseConfig

from .tags import ROW_TAG, row_sum_layout, row_total_layout

__all__ = ["RowTotals", "total_load_signature", "total_read_signature"]


def total_load_signature(config: SparseConfig) -> wiring.Signature:
    """The host writes one total. Only while no layer runs."""
    return wiring.Signature(
        {
            "en": Out(1),
            "addr": Out(unsigned(clog2(config.parameter_depth))),
            "data": Out(signed(config.total_bits)),
        }
    )


def total_read_signature(config: SparseConfig) -> wiring.Signature:
    """The host reads one total: explained in :class:`RowTotals`."""
    return wiring.Signature(
        {
            "en": Out(1),
            "addr": Out(unsigned(clog2(config.parameter_depth))),
            "data": In(signed(config.total_bits)),
        }
    )


class RowTotals(wiring.Component):
    """Adds each row's products of differences to the row's total, which goes on
    (docs/numerics.md, "Deltas").

    A total is the sum over the references, so it fits ``total_bits`` and may be worked out modulo
    that, though a sum of differences has a bit more. Totals lie as the requantizer's parameters
    do, one for each row that is not a hole.

    Latency :attr:`LATENCY` cycles, one row per cycle, none in the three cycles after ``step_end``:
    the memory starts again a cycle late, when the step's last total has been written.

    Parameters
    ----------
    config: ``sum_bits``, ``total_bits`` and ``parameter_depth``.

    Members
    -------
    start: In(1), a pulse when no row is inside: the next row has the total at ``base``.
    base: In(parameter address).
    anew: In(1), with ``start``: totals are zero before the first step.
    load: In ``en``, ``addr``, ``data``: the host writes one. read: ``en`` and ``addr`` in, ``data``
        out three cycles after ``en`` rose. Both only while no layer runs.
    i: In(stream of :func:`row_sum_layout`).
    o: Out(stream of :func:`row_total_layout`). A hole passes in its place.
    """

    LATENCY = 1

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "base": In(unsigned(clog2(config.parameter_depth))),
                "anew": In(1),
                "load": In(total_load_signature(config)),
                "read": In(total_read_signature(config)),
                "i": In(stream.Signature(row_sum_layout(config))),
                "o": Out(stream.Signature(row_total_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, tag = self._config, self.i.payload.tag
        depth = config.parameter_depth
        m.submodules.memory = memory = SequentialMemory(
            signed(config.total_bits), depth, config.memory_style(depth)
        )
        place = Signal.like(memory.write_addr)
        taken, again, first = Signal(), Signal(), Signal()
        valid, write, reading = Signal(), Signal(), Signal()
        total = Signal(signed(config.total_bits), reset_less=True)
        last_tag = Signal(ROW_TAG, reset_less=True)
        m.d.comb += [
            self.i.ready.eq((~valid | self.o.ready) & memory.ready & ~again),
            taken.eq(self.i.valid & self.i.ready),
            memory.base.eq(Mux(self.read.en, self.read.addr, self.base)),
            memory.restart.eq(self.start | again | (self.read.en & ~reading)),
            memory.next.eq(taken & ~tag.hole),
            memory.write_en.eq(write | self.load.en),
            memory.write_addr.eq(Mux(self.load.en, self.load.addr, place)),
            memory.write_data.eq(Mux(self.load.en, self.load.data, total)),
            self.read.data.eq(memory.value),
            self.o.valid.eq(valid),
            self.o.payload.psum.eq(total),
            self.o.payload.tag.eq(last_tag),
        ]
        m.d.sync += [
            write.eq(taken & ~tag.hole),
            again.eq(taken & tag.step_end),
            reading.eq(self.read.en),
        ]
        with m.If(self.o.ready):
            m.d.sync += valid.eq(0)
        with m.If(taken):
            m.d.sync += [
                valid.eq(1),
                total.eq(Mux(first, 0, memory.value) + self.i.payload.psum),
                last_tag.eq(tag),
            ]
            with m.If(tag.step_end):
                m.d.sync += first.eq(0)
        with m.If(memory.restart):
            m.d.sync += place.eq(self.base)
        with m.Elif(write):
            m.d.sync += place.eq(place + 1)
        with m.If(self.start):
            m.d.sync += first.eq(self.anew)
        return m
