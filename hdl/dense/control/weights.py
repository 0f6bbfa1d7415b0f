"""Puts weights from external memory into the lanes, a section ahead of the layer that runs."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import ceil_div, clog2
from sparnn.hdl.dense.array.bank import weight_load_layout
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.refill.check import follow_check

__all__ = ["SECTION_HEAD", "WeightLoader"]

#: A section's first word: where in the weight memories its first row goes, and its rows.
SECTION_HEAD = data.StructLayout({"base": 32, "rows": 32})


class WeightLoader(wiring.Component):
    """Takes sections, word by word, and writes them into the lanes' weight memories.

    A section is a head, rows, and a check. A row is the weight words that all lanes read in one
    issue, lane 0 first: several in a word of external memory, or each in several words.
    The compiler places sections so that each lies beside the one before, which still runs.
    A section whose check does not match is never there: its layer does not begin.

    Latency: a word is written three cycles after it was taken; a section is there three cycles
    after its check. Flow control: a word a cycle, but none of the next section as long as one is
    there that has not begun.

    Members
    -------
    words: In(stream of ``stream_bits`` bits), of one section after the other.
    clear: In(1). No section is there.
    there: Out(1). The next section is there.
    next: In(1). It has begun, and the one after it may come.
    load: Out, to all banks.
    damaged: Out(1). A section's check did not match, since the last reset or ``clear``.
    """

    def __init__(self, config: DenseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "words": In(stream.Signature(config.stream_bits)),
                "clear": In(1),
                "there": Out(1),
                "next": In(1),
                "load": Out(weight_load_layout(config)),
                "damaged": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        taken, checks, writes = Signal(), Signal(), Signal()
        m.d.comb += taken.eq(self.words.valid & self.words.ready)
        compares, wrong = follow_check(
            m, self.words.payload, taken, checks, self.damaged, self.clear
        )

        head = data.View(SECTION_HEAD, self.words.payload[: SECTION_HEAD.size])
        groups = ceil_div(config.lanes, config.lanes_at_once)
        rows, row_ends = Signal(clog2(config.weight_depth + 1)), Signal()
        place = Signal(clog2(config.weight_depth))
        group, part = Signal(range(groups)), Signal(range(config.words_per_slot))
        m.d.comb += row_ends.eq(writes & (group == groups - 1))
        m.d.sync += [
            self.load.en.eq(writes),
            self.load.lane.eq(group),
            self.load.addr.eq(place),
        ]
        with m.If(writes):
            m.d.sync += group.eq(Mux(row_ends, 0, group + 1))
        with m.If(row_ends):
            m.d.sync += [place.eq(place + 1), rows.eq(rows - 1)]
        with m.If(self.next | self.clear):
            m.d.sync += self.there.eq(0)
        with m.FSM():
            with m.State("HEAD"):
                m.d.comb += self.words.ready.eq(~self.there)
                m.d.sync += [place.eq(head.base), rows.eq(head.rows)]
                with m.If(taken):
                    m.next = "ROWS"
            with m.State("ROWS"):
                m.d.comb += [
                    self.words.ready.eq(1),
                    writes.eq(taken & (part == config.words_per_slot - 1)),
                ]
                with m.If(taken):
                    entry = Cat(self.load.data, self.words.payload)
                    m.d.sync += [
                        self.load.data.eq(entry[-len(self.load.data) :]),
                        part.eq(Mux(writes, 0, part + 1)),
                    ]
                with m.If(row_ends & (rows == 1)):
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.d.comb += [self.words.ready.eq(1), checks.eq(taken)]
                with m.If(taken):
                    m.next = "COMPARE"
            with m.State("COMPARE"), m.If(compares):
                m.next = "DAMAGED"
                with m.If(~wrong):
                    m.d.sync += self.there.eq(1)
                    m.next = "HEAD"
            with m.State("DAMAGED"), m.If(self.clear):
                m.next = "HEAD"
        return m
