"""Takes row sums from a cluster's groups in the order in which the post unit needs them."""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.common.stream_buffer import StreamBuffer
from sparnn.hdl.host.protocol import Kind
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR
from sparnn.hdl.sparse.lane.ports import tokens_layout
from sparnn.hdl.sparse.post.tags import ROW_TAG

from .tree import tree_latency

__all__ = ["Collector", "COLLECTOR_PROGRAM", "rows_in_flight"]

#: What the collector must know of the loop that runs; static between two ``start`` pulses.
COLLECTOR_PROGRAM = DESCRIPTOR.layout(("kind", "v_log2", "out_words", "tail", "rotate", "paired"))


#: Cycles from a decision until its place is free again at the earliest, without the tree: pop,
#: popped sum, the queue's two, taken, its register, the count, and the place that is kept back when
#: a row leaves every cycle.
_ROUND_TRIP = 8


def rows_in_flight(config: SparseConfig) -> int:
    """Rows between the collector and the post unit: enough for one per cycle; a power of two."""
    return 1 << clog2(tree_latency(config) + _ROUND_TRIP)


class Collector(wiring.Component):
    """Pops the V queues of one group per cycle, in the fixed order thread, half, word, gate.

    A row's sum leaves when every lane of its group has it. Word follows word and group follows
    group: with ``rotate`` through the whole loop, else each half begins with the first group. A
    position past the layer's end ("hole") makes an item of its own, without a sum.

    Where rows are not dealt by word, a group has ``width`` rows one after the other, whatever their
    words, and the next group those after them; a half's last block has as many as are left.

    Items are worked out two ahead, and what an item waits for is a register: of each lane whether
    its sum is lacking, and one for all else. So a decision is an AND of these: one row per cycle,
    and one cycle in which a half begins.
    Nothing goes from a lane to a lane in one cycle: lanes report sums, and the collector keeps
    count, so that a decision stays within it; pops leave through registers.

    Latency: 2 cycles from ``arrived`` to ``pop`` at best; 1 from a decision to ``pop``.

    Members
    -------
    program, start, tokens: as for the lanes; the tokens keep the collector within the step.
    cluster: this cluster's number.
    arrived, pop, move: of each lane's queue: a block's first sum is written; the oldest sum is
        taken; it is the last one of its block.
    taken: a row has left the queue behind the tree, which holds :func:`rows_in_flight`.
    tag, tag_valid: what is popped in this cycle, for the post unit.
    x_taken: of each thread, input halves collected so far, modulo 4: two bits.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "program": In(COLLECTOR_PROGRAM),
                "start": In(1),
                "tokens": In(tokens_layout(config)),
                "cluster": In(max(1, clog2(config.post_units))),
                "arrived": In(config.cluster_lanes),
                "pop": Out(config.cluster_lanes),
                "move": Out(1, init=int(config.width == 1)),
                "taken": In(1),
                "tag": Out(ROW_TAG),
                "tag_valid": Out(1),
                # Not an array: Yosys's abc9 takes an output's element 0 for its bit 0.
                "x_taken": Out(2 * config.threads),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, program = self._config, self.program
        lanes = config.cluster_lanes
        lane_bits = max(1, clog2(lanes))
        thread_bits = max(1, config.thread_bits)

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

        # The item that waits, and the lanes that it takes a sum of. Those after it are in a buffer,
        # so that a decision moves this item alone and not what works the next ones out.
        running, loaded, is_open = Signal(), Signal(), Signal()
        item, need, moves = Signal(ROW_TAG), Signal(lanes), Signal(init=int(config.width == 1))
        thread = Signal(thread_bits)
        step = Signal(2)
        buffer = StreamBuffer(
            data.StructLayout(
                # agrees: for each bit of a lane's number, whether 0 and whether 1 is of the group.
                # moves: it is the last row of its block; only where a block has several.
                {
                    "tag": ROW_TAG,
                    "agrees": data.ArrayLayout(2, lane_bits),
                    "thread": thread_bits,
                    "moves": int(config.width > 1),
                }
            )
        )
        m.submodules.ahead = ResetInserter(self.start)(buffer)

        # It leaves when no sum is lacking and all else allows it.
        lacking, allowed, fire, load = Signal(lanes), Signal(), Signal(), Signal()
        m.d.comb += [
            fire.eq(allowed & ~lacking.any()),
            load.eq(fire | ~loaded),
            buffer.o.ready.eq(load),
        ]
        m.d.sync += [
            self.pop.eq(need & fire.replicate(lanes)),
            self.tag.eq(item),
            self.tag_valid.eq(fire),
        ]
        agrees = buffer.o.payload.agrees
        next_need = Cat(
            buffer.o.valid & Cat(agrees[bit][lane >> bit & 1] for bit in range(lane_bits)).all()
            for lane in range(lanes)
        )
        with m.If(load):
            m.d.sync += [
                loaded.eq(buffer.o.valid),
                item.eq(buffer.o.payload.tag),
                thread.eq(buffer.o.payload.thread),
                need.eq(next_need),
            ]
            if config.width > 1:
                m.d.sync += moves.eq(buffer.o.payload.moves)
        if config.width > 1:
            m.d.sync += self.move.eq(moves)

        # Blocks in the lanes' queues; a pop counts a cycle late, when it reaches the lane.
        for lane in range(lanes):
            count = Signal(range(config.queue_blocks + 1), name=f"count{lane}")
            arrived, pop, needs = self.arrived[lane], self.pop[lane], need[lane]
            if config.width > 1:
                pop, needs = pop & self.move, needs & moves
            m.d.sync += count.eq(count + arrived - pop)
            left = arrived | (count > pop + needs)  # behind the item that waits
            m.d.sync += lacking[lane].eq(
                Mux(load, next_need[lane] & ~left, lacking[lane] & ~arrived)
            )

        # What is free behind the tree. It is known two cycles late, so two places are kept back.
        free = Signal(range(rows_in_flight(config) + 1), init=rows_in_flight(config))
        m.d.sync += free.eq(free + self.taken - self.tag_valid)

        # A half opens with its token. It is seen a cycle late, which a token that stays allows.
        here = self.tokens[thread] if config.threads > 1 else self.tokens[0]
        opens = is_open | (Mux(item.half, here.h, here.x) != step)
        stays_open = loaded & opens & ~(fire & item.half_end)
        m.d.sync += [
            is_open.eq(stays_open),
            allowed.eq(Mux(load, buffer.o.valid, 1) & stays_open & (free > 2)),
        ]

        # The item after those.
        next_thread = Signal(thread_bits)
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
            buffer.i.valid.eq(running),
            buffer.i.payload.tag.half.eq(half),
            buffer.i.payload.tag.gate.eq(gate),
            buffer.i.payload.tag.last_gate.eq(item_ends),
            buffer.i.payload.tag.hole.eq(hole),
            buffer.i.payload.tag.final.eq(final),
            buffer.i.payload.tag.half_end.eq(half_ends),
            buffer.i.payload.tag.step_end.eq(loop_ends),
            *(
                agrees.eq(Mux(hole, 0, Cat(~base[bit] | within[bit], base[bit] | within[bit])))
                for bit, agrees in enumerate(buffer.i.payload.agrees)
            ),
            buffer.i.payload.thread.eq(next_thread),
        ]
        block_ends = item_ends
        if not config.by_word:
            row = Signal(clog2(config.width))
            next_to_last = Signal()  # a word ahead as well
            last_row = item_ends & Mux(hole_last, next_to_last, last_word)
            full = row == config.width - 1
            block_ends = Mux(hole, row != 0, full | half_ends)
            if config.width > 1:
                m.d.comb += buffer.i.payload.moves.eq(full | last_row)
            with m.If(running & buffer.i.ready):
                m.d.sync += row.eq(Mux(block_ends, 0, row + ~hole))
                with m.If(item_ends):
                    m.d.sync += next_to_last.eq(words == 3)
            with m.If((running & buffer.i.ready & half_ends) | self.start):
                m.d.sync += [row.eq(0), next_to_last.eq(program.out_words == 2)]
        with m.If(running & buffer.i.ready):
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

        with m.If(fire & item.half_end & ~item.half):
            for number in range(config.threads):
                taken = self.x_taken.word_select(number, 2)
                with m.If(thread == number):
                    m.d.sync += taken.eq(taken + 1)
        with m.If(fire & item.step_end):
            m.d.sync += step.eq(step + 1)
        with m.If(self.start):
            m.d.sync += [
                running.eq(1),
                loaded.eq(0),
                is_open.eq(0),
                allowed.eq(0),
                next_thread.eq(0),
                half.eq(0),
                step.eq(0),
                words.eq(program.out_words),
                last_word.eq(program.out_words == 1),
                base.eq(0),
                gate.eq(0),
                self.x_taken.eq(0),
            ]
        return m
