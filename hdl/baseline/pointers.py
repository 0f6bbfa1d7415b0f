"""Pointer read unit (EIE, arXiv 1602.01528, section IV)."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2

from .config import BaselineConfig
from .ports import broadcast_layout

__all__ = ["PointerRead", "column_layout"]


def column_layout(config: BaselineConfig) -> data.StructLayout:
    """A column to walk: entries ``start`` to ``end - 1``, each times ``value``.

    token: no column but the end of its half.
    """
    return data.StructLayout(
        {
            "start": config.cursor_bits,
            "end": config.cursor_bits,
            "value": signed(config.activation_bits),
            "half": 1,
            "token": 1,
        }
    )


class PointerRead(wiring.Component):
    """Looks up where a column starts and ends: both pointers in one cycle, from two banks.

    Pointer p lies in the even bank for even p, in the odd bank for odd p, so p and p + 1 never
    meet. Latency 2 cycles, one column per cycle. A column without entries goes no further; while
    a longer one is being walked, empty ones behind it are dropped, one per cycle.

    Members
    -------
    items: stream of :func:`~sparnn.hdl.baseline.ports.broadcast_layout`.
    columns: stream of :func:`column_layout`, none of them empty.
    load_en, load_addr, load_data: writes pointers 2a and 2a + 1.
    """

    def __init__(self, config: BaselineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "items": In(stream.Signature(broadcast_layout(config))),
                "columns": Out(stream.Signature(column_layout(config))),
                "load_en": In(1),
                "load_addr": In(clog2(config.pointer_words)),
                "load_data": In(2 * config.cursor_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        item = self.items.payload
        reads = []
        for bank, name in enumerate(("even", "odd")):
            pointers = memory.Memory(
                shape=config.cursor_bits,
                depth=config.pointer_words,
                init=[],
                attrs={"no_rw_check": 1},
            )
            m.submodules[f"pointers_{name}"] = pointers
            write, read = pointers.write_port(), pointers.read_port()
            reads.append(read)
            m.d.comb += [
                write.addr.eq(self.load_addr),
                write.data.eq(self.load_data.word_select(bank, config.cursor_bits)),
                write.en.eq(self.load_en),
                # The even bank holds the end of an odd column.
                read.addr.eq((item.column >> 1) + (item.column[0] if bank == 0 else 0)),
            ]
        even, odd = reads

        read_item = Signal(broadcast_layout(config), reset_less=True)
        column = Signal(column_layout(config), reset_less=True)
        read_valid, column_valid = Signal(), Signal()
        empty = Signal()
        read_ready, column_ready = Signal(), Signal()
        m.d.comb += [
            empty.eq((column.start == column.end) & ~column.token),
            column_ready.eq(~column_valid | empty | self.columns.ready),
            read_ready.eq(~read_valid | column_ready),
            self.items.ready.eq(read_ready),
            even.en.eq(read_ready),
            odd.en.eq(read_ready),
            self.columns.valid.eq(column_valid & ~empty),
            self.columns.payload.eq(column),
        ]
        with m.If(read_ready):
            m.d.sync += [read_valid.eq(self.items.valid), read_item.eq(item)]
        with m.If(column_ready):
            swapped = read_item.column[0]
            m.d.sync += [
                column_valid.eq(read_valid),
                column.start.eq(Mux(swapped, odd.data, even.data)),
                column.end.eq(Mux(swapped, even.data, odd.data)),
                Cat(column.value, column.half, column.token).eq(
                    Cat(read_item.value, read_item.half, read_item.token)
                ),
            ]
        return m
