"""The rows of a loop in the order in which a collector takes them."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.host.protocol import Kind
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR
from sparnn.hdl.sparse.post.tags import ROW_TAG

__all__ = ["COLLECTOR_PROGRAM", "RowItems", "row_item_layout"]

#: What the collector must know of the loop that runs; static between two ``start`` pulses.
COLLECTOR_PROGRAM = DESCRIPTOR.layout(("kind", "v_log2", "out_words", "tail", "rotate", "paired"))


def row_item_layout(config: SparseConfig) -> data.StructLayout:
    """A row, or a hole.

    Members
    -------
    tag: for the post unit.
    agrees: for each bit of a lane's number, whether 0 and whether 1 is of the row's group.
    thread: whose step it belongs to.
    moves: it is the last row of its block; only where a block has several.
    """
    lane_bits = max(1, clog2(config.cluster_lanes))
    return data.StructLayout(
        {
            "tag": ROW_TAG,
            "agrees": data.ArrayLayout(2, lane_bits),
            "thread": max(1, config.thread_bits),
            "moves": int(config.width > 1),
        }
    )


class RowItems(wiring.Component):
    """Works the rows out in the fixed order thread, half, word, gate, again and again.

    Word follows word and group follows group: with ``rotate`` through the whole loop, else each
    half begins with the first group. A position past the layer's end is a hole, without a sum.

    Where rows are not dealt by word, a group has ``width`` rows one after the other, whatever their
    words, and the next group those after them; a half's last block has as many as are left.

    Latency: the first row a cycle after ``start``, then one per cycle.

    Members
    -------
    program, start, cluster: as for the collector.
    o: Out(stream of :func:`row_item_layout`); valid from ``start`` on.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "program": In(COLLECTOR_PROGRAM),
                "start": In(1),
                "cluster": In(max(1, clog2(config.post_units))),
                "o": Out(stream.Signature(row_item_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, program = self._config, self.program
        lanes = config.cluster_lanes
        lane_bits = max(1, clog2(lanes))

        # What follows from the program; settled in the cycle after ``start``.
        has_hidden, hole_last, paired = Signal(), Signal(), Signal()
        gates_last = Signal(2)
        within = Signal(lane_bits)  # the bits of a lane's number that do not tell its group
        m.d.sync += [
            has_hidden.eq(program.kind != Kind.LINEAR),
            gates_last.eq(Mux(program.kind == Kind.RNN, 0, program.kind)),
            hole_last.eq((program.tail != 0) & (self.cluster >= program.tail)),
            within.eq(Cat(program.v_log2 > bit for bit in range(lane_bits))),
            paired.eq(program.paired if config.threads > 1 else 0),
        ]

        # The row that is offered.
        running = Signal()
        next_thread = Signal(max(1, config.thread_bits))
        half, gate, base = Signal(), Signal(2), Signal(lane_bits + 1)
        words = Signal(DESCRIPTOR.width("out_words"))  # left in this half
        last_word = Signal()  # known a word ahead, so that no counter is waited for
        hole = last_word & hole_last
        item_ends = hole | (gate == gates_last)
        final = half | ~has_hidden
        half_ends = item_ends & last_word
        step_ends = half_ends & final
        loop_ends = step_ends & (next_thread == paired)
        base_next = Signal(lane_bits + 1)
        onwards = base + (1 << program.v_log2)[: lane_bits + 1]
        m.d.comb += [
            base_next.eq(Mux(onwards == lanes, 0, onwards)),
            self.o.valid.eq(running),
            self.o.payload.tag.half.eq(half),
            self.o.payload.tag.gate.eq(gate),
            self.o.payload.tag.last_gate.eq(item_ends),
            self.o.payload.tag.hole.eq(hole),
            self.o.payload.tag.final.eq(final),
            self.o.payload.tag.half_end.eq(half_ends),
            self.o.payload.tag.step_end.eq(loop_ends),
            *(
                agrees.eq(Mux(hole, 0, Cat(~base[bit] | within[bit], base[bit] | within[bit])))
                for bit, agrees in enumerate(self.o.payload.agrees)
            ),
            self.o.payload.thread.eq(next_thread),
        ]

        # The one after it.
        moved = Signal()
        m.d.comb += moved.eq(self.o.valid & self.o.ready)
        block_ends = item_ends
        if not config.by_word:
            row = Signal(clog2(config.width))
            next_to_last = Signal()  # a word ahead as well
            last_row = item_ends & Mux(hole_last, next_to_last, last_word)
            full = row == config.width - 1
            block_ends = Mux(hole, row != 0, full | half_ends)
            if config.width > 1:
                m.d.comb += self.o.payload.moves.eq(full | last_row)
            with m.If(moved):
                m.d.sync += row.eq(Mux(block_ends, 0, row + ~hole))
                with m.If(item_ends):
                    m.d.sync += next_to_last.eq(words == 3)
            with m.If((moved & half_ends) | self.start):
                m.d.sync += [row.eq(0), next_to_last.eq(program.out_words == 2)]
        with m.If(moved):
            m.d.sync += gate.eq(Mux(item_ends, 0, gate + 1))
            with m.If(item_ends):
                m.d.sync += [words.eq(words - 1), last_word.eq(words == 2)]
            with m.If(block_ends):
                m.d.sync += base.eq(base_next)
            with m.If(half_ends):
                m.d.sync += [
                    words.eq(program.out_words),
                    last_word.eq(program.out_words == 1),
                    half.eq(~final),
                ]
                with m.If(~program.rotate | loop_ends):
                    m.d.sync += base.eq(0)
            with m.If(step_ends):
                m.d.sync += next_thread.eq(Mux(loop_ends, 0, next_thread + 1))
        with m.If(self.start):
            m.d.sync += [
                running.eq(1),
                next_thread.eq(0),
                half.eq(0),
                words.eq(program.out_words),
                last_word.eq(program.out_words == 1),
                base.eq(0),
                gate.eq(0),
            ]
        return m
