"""Sparse-matrix read unit (EIE, arXiv 1602.01528, section IV)."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2

from .config import BaselineConfig
from .pointers import column_layout

__all__ = ["MatrixRead", "entry_layout"]


def entry_layout(config: BaselineConfig) -> data.StructLayout:
    """One multiplication. run: zeros before this entry. first: of its column.

    token: no multiplication but the end of its half.
    """
    return data.StructLayout(
        {
            "weight": signed(config.weight_bits),
            "run": config.index_bits,
            "value": signed(config.activation_bits),
            "half": 1,
            "first": 1,
            "token": 1,
        }
    )


class MatrixRead(wiring.Component):
    """Walks a column, an entry per cycle, through a memory that is several entries wide.

    Latency 4 cycles (3 with one entry per word) from a column taken to its first entry; nothing
    behind it ever waits, so the pipeline has no ready.

    Members
    -------
    columns: stream of :func:`~sparnn.hdl.baseline.pointers.column_layout`.
    valid, entry: out, :func:`entry_layout`.
    load_en, load_addr, load_data: writes a word.
    """

    def __init__(self, config: BaselineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "columns": In(stream.Signature(column_layout(config))),
                "valid": Out(1),
                "entry": Out(entry_layout(config)),
                "load_en": In(1),
                "load_addr": In(max(1, clog2(config.matrix_words))),
                "load_data": In(config.word_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.matrix = matrix = memory.Memory(
            shape=config.word_bits,
            depth=config.matrix_words,
            init=[],
            attrs={"no_rw_check": 1},
        )
        write, read = matrix.write_port(), matrix.read_port()
        m.d.comb += [
            write.addr.eq(self.load_addr),
            write.data.eq(self.load_data),
            write.en.eq(self.load_en),
        ]

        column = Signal(column_layout(config), reset_less=True)
        valid, first, last = Signal(), Signal(), Signal()
        following = Signal(config.cursor_bits)
        m.d.comb += [
            following.eq(column.start + 1),
            last.eq(column.token | (following == column.end)),
            self.columns.ready.eq(~valid | last),
        ]
        with m.If(self.columns.ready):
            m.d.sync += [valid.eq(self.columns.valid), column.eq(self.columns.payload), first.eq(1)]
        with m.Else():
            m.d.sync += [column.start.eq(following), first.eq(0)]

        place_bits = clog2(config.entries_per_read)
        m.d.comb += read.addr.eq(column.start >> place_bits)
        # What goes beside the word: memory, register, then the choice of the entry.
        beside = data.StructLayout(
            {
                "value": signed(config.activation_bits),
                "place": place_bits,
                "half": 1,
                "first": 1,
                "token": 1,
            }
        )
        stages = 3 if place_bits else 2
        items = [Signal(beside, name=f"item{k}", reset_less=True) for k in range(stages)]
        valids = [Signal(name=f"valid{k}") for k in range(stages)]
        m.d.sync += [
            valids[0].eq(valid),
            items[0].value.eq(column.value),
            items[0].place.eq(column.start[:place_bits]),
            items[0].half.eq(column.half),
            items[0].first.eq(first),
            items[0].token.eq(column.token),
        ]
        for k in range(1, stages):
            m.d.sync += [items[k].eq(items[k - 1]), valids[k].eq(valids[k - 1])]
        word = Signal(config.word_bits, reset_less=True)
        m.d.sync += word.eq(read.data)
        chosen = word
        if place_bits:
            chosen = Signal(config.entry_bits, reset_less=True)
            m.d.sync += chosen.eq(word.word_select(items[1].place, config.entry_bits))
        item = items[-1]
        m.d.comb += [
            self.valid.eq(valids[-1]),
            self.entry.weight.eq(chosen[: config.weight_bits].as_signed()),
            self.entry.run.eq(chosen[config.weight_bits :]),
            self.entry.value.eq(item.value),
            self.entry.half.eq(item.half),
            self.entry.first.eq(item.first),
            self.entry.token.eq(item.token),
        ]
        return m
