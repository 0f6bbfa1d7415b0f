"""Takes row sums from a cluster's groups in the order in which the post unit needs them."""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.common.stream_buffer import StreamBuffer
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.lane.ports import tokens_layout
from sparnn.hdl.sparse.post.tags import ROW_TAG

from .row_items import COLLECTOR_PROGRAM, RowItems, row_item_layout
from .tree import tree_latency

__all__ = ["Collector", "COLLECTOR_PROGRAM", "rows_in_flight"]


#: Cycles from a decision until its place is free again at the earliest, without the tree: pop,
#: popped sum, the queue's two, taken, its register, the count, and the place that is kept back when
#: a row leaves every cycle.
_ROUND_TRIP = 8


def rows_in_flight(config: SparseConfig) -> int:
    """Rows between the collector and the post unit: enough for one per cycle; a power of two."""
    return 1 << clog2(tree_latency(config) + _ROUND_TRIP)


class Collector(wiring.Component):
    """Pops the V queues of one group per cycle, in the fixed order thread, half, word, gate.

    A row's sum leaves when every lane of its group has it. Rows come from :class:`RowItems`.

    They are worked out two ahead, and what a row waits for is a register: of each lane whether
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

        # The row that waits, and the lanes that it takes a sum of. Those after it are in a buffer,
        # so that a decision moves this one alone and not what works the next ones out.
        loaded, is_open = Signal(), Signal()
        item, need, moves = Signal(ROW_TAG), Signal(lanes), Signal(init=int(config.width == 1))
        thread = Signal(max(1, config.thread_bits))
        step = Signal(2)
        m.submodules.items = items = RowItems(config)
        buffer = StreamBuffer(row_item_layout(config))
        m.submodules.ahead = ResetInserter(self.start)(buffer)
        m.d.comb += [
            items.program.eq(program),
            items.start.eq(self.start),
            items.cluster.eq(self.cluster),
        ]
        wiring.connect(m, items.o, buffer.i)

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

        with m.If(fire & item.half_end & ~item.half):
            for number in range(config.threads):
                taken = self.x_taken.word_select(number, 2)
                with m.If(thread == number):
                    m.d.sync += taken.eq(taken + 1)
        with m.If(fire & item.step_end):
            m.d.sync += step.eq(step + 1)
        with m.If(self.start):
            m.d.sync += [
                loaded.eq(0),
                is_open.eq(0),
                allowed.eq(0),
                step.eq(0),
                self.x_taken.eq(0),
            ]
        return m
