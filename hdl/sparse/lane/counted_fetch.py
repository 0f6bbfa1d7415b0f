"""First part of a lane without weight masks: counts rows and columns instead of reading them."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import SparseConfig

from .activation_masks import activation_mask
from .fetch import chunk_layout
from .ports import (
    broadcast_layout,
    chunk_bits,
    lane_program,
    local_word_bits,
    row_plan_layout,
    tokens_layout,
)
from .ring import LoopPlaces, weight_places_members, whole_words

__all__ = ["CountedFetch"]


class CountedFetch(wiring.Component):
    """Offers the chunks of activations for each block of the lane's rows, one per cycle.

    In place of a mask memory it counts: blocks of rows, which are dealt to the groups in turn
    through all halves of a loop, and the chunks of a vector, as many as were broadcast to this
    lane. Between two blocks lie two cycles, in which it works out whether another block of this
    half is the lane's; a block takes longer behind it.

    Pipeline: 2 cycles from a token to the chunk.

    Members
    -------
    layer: the layer's part of the weight memory.
    plan: how its blocks are dealt; settled before the first token comes.
    start, tokens, broadcast, broadcast_en, busy, chunks, drop: as of
        :class:`~sparnn.hdl.sparse.lane.fetch.ChunkFetch`.

    With weights from external memory:

    clear: In(1). Their ring begins anew. position: Out, that of the next chunk's first weight.
    held, base: Out. Weights are kept from that position on.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "layer": In(lane_program(config)),
                "plan": In(row_plan_layout(config)),
                "start": In(1),
                "tokens": In(tokens_layout(config)),
                "broadcast": In(broadcast_layout(config)),
                "broadcast_en": In(1),
                "busy": Out(1),
                "drop": In(1),
                "chunks": Out(stream.Signature(chunk_layout(config))),
            }
            | (weight_places_members(config) if config.stream_bits else {})
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        half, thread, step = Signal(), Signal(config.thread_bits), Signal(2)
        chunk = Signal(chunk_bits(config))
        column = Cat(chunk, thread, step[0], half)
        base = Signal(config.position_bits, reset_less=True)
        first = again = self.layer.weight_base if not config.stream_bits else Const(0)
        if config.stream_bits:
            loop = LoopPlaces(m, "loop", len(base), self.layer, self.start, self.clear)
            m.d.comb += [
                loop.after.eq(whole_words(config, base)),
                self.position.eq(base),
                self.held.eq(loop.held),
                self.base.eq(loop.base),
            ]
            first, again = loop.base, Mux(loop.held, loop.base, loop.after)
            with m.If(self.clear):
                m.d.sync += base.eq(0)
        last = self._last_word(m, Cat(half, thread))
        low = clog2(config.chunk // config.post_units)  # bits of a word's place in its chunk
        room, leaves, row_end = self.chunks.ready, Signal(), Signal()
        m.d.comb += row_end.eq(chunk == last[low:])

        # Blocks of this half from the lane's next one on. Where the blocks of a half end, those of
        # the next one go on with the groups.
        plan = self.plan
        blocks = signed(len(plan.blocks) + 2)
        left, less, all_left = Signal(blocks), Signal(blocks), Signal(blocks)
        none, ends_loop = Signal(), Signal()
        here = self.tokens[thread] if config.threads > 1 else self.tokens[0]
        there = Mux(half, here.h, here.x) != step
        m.d.sync += [
            all_left.eq(plan.blocks - plan.first),
            none.eq(left <= 0),
            ends_loop.eq((half | ~plan.hidden) & (thread == plan.paired)),
        ]
        with m.FSM() as states:
            with m.State("BEGIN"):
                m.d.sync += [left.eq(all_left), base.eq(first)]
                with m.If(there):
                    m.next = "SETTLE"
            with m.State("SETTLE"):
                m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(there & ~none):
                    m.next = "BLOCK"
                with m.Elif(there):
                    m.d.sync += less.eq(left)
                    m.next = "TURN"
                with m.If(self.start):  # that is where a lane without anything to do is
                    m.next = "BEGIN"
            with m.State("BLOCK"):
                m.d.comb += leaves.eq(room)
                with m.If(leaves & row_end):
                    m.next = "NEXT"
            with m.State("NEXT"):
                m.d.sync += less.eq(left - plan.groups)
                m.next = "TURN"
            with m.State("TURN"):
                with m.If(less > 0):
                    m.d.sync += left.eq(less)
                    m.next = "BLOCK"
                with m.Else():
                    m.d.sync += [left.eq(less + plan.blocks), half.eq(~half & plan.hidden)]
                    with m.If(half | ~plan.hidden):
                        m.d.sync += thread.eq(thread + 1)
                    with m.If(ends_loop):
                        m.d.sync += [
                            thread.eq(0),
                            step.eq(step + 1),
                            base.eq(again),
                        ]
                        if config.stream_bits:
                            m.d.comb += loop.ends.eq(1)
                    with m.If(ends_loop | ~plan.rotate):
                        m.d.sync += left.eq(all_left)
                    m.next = "SETTLE"
        words = Mux(row_end, Cat(last[:low], 0) + 1, 1 << low)
        with m.If(leaves):
            m.d.sync += [
                chunk.eq(Mux(row_end, 0, chunk + 1)),
                base.eq(base + (words << clog2(config.post_units))),
            ]

        payload, valid = Signal(chunk_layout(config), reset_less=True), Signal()
        mask = activation_mask(m, config, self.broadcast, self.broadcast_en, column, room)
        m.d.comb += [
            self.chunks.valid.eq(valid),
            self.chunks.payload.eq(payload),
            self.chunks.payload.activations.eq(mask),
            self.busy.eq(
                valid
                | states.ongoing("BLOCK")
                | states.ongoing("NEXT")
                | (states.ongoing("TURN") & (less > 0))
            ),
        ]
        with m.If(self.drop):
            m.d.sync += valid.eq(0)
        with m.If(room):
            m.d.sync += [
                valid.eq(states.ongoing("BLOCK")),
                payload.base.eq(base),
                payload.column.eq(column),
                payload.row_end.eq(row_end),
            ]
            if config.stream_bits:
                m.d.sync += payload.total.eq(words << clog2(config.post_units))
        with m.If(self.start):
            m.d.sync += [valid.eq(0), chunk.eq(0), half.eq(0), thread.eq(0), step.eq(0)]
        return m

    def _last_word(self, m: Module, vector: Cat) -> Signal:
        """The highest word of a vector, {thread, half}, that was broadcast to this lane in this
        layer. The vectors of a half are alike, so one that arrives does not change it."""
        config = self._config
        bits = local_word_bits(config)
        vectors = range(2 << config.thread_bits)
        words = Array(Signal(bits, name=f"last_word{one}") for one in vectors)
        arriving = words[Cat(self.broadcast.half, self.broadcast.thread)]
        with m.If(self.broadcast_en & (self.broadcast.word > arriving)):
            m.d.sync += arriving.eq(self.broadcast.word)
        with m.If(self.start):
            for one in vectors:
                m.d.sync += words[one].eq(0)
        last = Signal(bits)
        m.d.comb += last.eq(words[vector])
        return last
