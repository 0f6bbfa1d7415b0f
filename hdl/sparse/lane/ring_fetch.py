"""First part of a lane whose masks come from external memory: a ring of them."""

from typing import Any, NamedTuple

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.counting import group_counts
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.common.parity_memory import plain_bits
from sparnn.hdl.sparse.config import SparseConfig

from .activation_masks import activation_mask
from .fetch import chunk_layout
from .ports import (
    broadcast_layout,
    chunk_bits,
    lane_program,
    mask_word_layout,
    refill_layout,
    tokens_layout,
)
from .ring import LoopPlaces, Ring

__all__ = ["RingFetch"]


class _Word(NamedTuple):
    """The mask that leaves next, at most one in a cycle."""

    valid: Signal
    mask: Signal
    half_end: Signal
    final: Signal  #: its word of memory leaves with it
    empty: Signal  #: it ends no row
    follows: Signal  #: a mask is behind it, in the memory's output
    back: Signal  #: to be driven: the loop begins anew


class RingFetch(wiring.Component):
    """Walks through a ring of masks, a chunk per cycle, and waits where masks or a vector lack.

    The masks of a layer come in the order in which they are read: those of a step's halves one
    after the other, each half in whole words of external memory. A *held* layer comes once, and
    its masks stay until the next layer starts; another one comes again in each step, and a word of
    it is free as soon as its masks have left. Where a row ends is counted; where a half ends stands
    in its last word.

    Pipeline as of :class:`~sparnn.hdl.sparse.lane.fetch.ChunkFetch`: address; memory output; word;
    chunk. What lies behind a held loop is read in vain: three cycles for each step.

    Members
    -------
    layer, start, tokens, broadcast, broadcast_en, busy, chunks, drop: as of ``ChunkFetch``.
    refill: a word for the ring. room: Out(1). It has room for a block of them.
    clear: In(1). It is empty, and begins anew.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "layer": In(lane_program(config)),
                "start": In(1),
                "tokens": In(tokens_layout(config)),
                "broadcast": In(broadcast_layout(config)),
                "broadcast_en": In(1),
                "refill": In(refill_layout(config)),
                "room": Out(1),
                "clear": In(1),
                "busy": Out(1),
                "drop": In(1),
                "chunks": Out(stream.Signature(chunk_layout(config))),
            }
            | ({"wrong": Out(1)} if config.parity else {})
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        ring = Ring(
            m,
            "weight_masks",
            config,
            shape=mask_word_layout(config),
            words=config.mask_words,
            word=self.refill.word,
            write=self.refill.mask_en,
        )
        m.d.comb += [ring.clear.eq(self.clear), self.room.eq(ring.room)]
        move, room, missing = Signal(), self.chunks.ready, Signal()
        m.d.comb += move.eq(room & ~missing)

        # The word that leaves next.
        position = Signal.like(ring.written, name="position")
        leaves, loop_end = Signal(), Signal()
        loop = LoopPlaces(m, "loop", len(position), self.layer, self.start, self.clear)
        word = self._read_words(m, ring, move, position, loop)
        m.d.comb += [
            loop.ends.eq(leaves & loop_end),
            loop.after.eq(position + word.final),
            ring.oldest.eq(Mux(loop.held, loop.base, position)),
        ]
        with m.If(leaves):
            m.d.sync += position.eq(Mux(loop_end & loop.held, loop.base, loop.after))
        with m.If(self.start):
            m.d.sync += position.eq(loop.first)
        with m.If(self.clear):
            m.d.sync += position.eq(0)

        # The word's place in the local copy.
        chunk = Signal(chunk_bits(config))
        half, thread, step = Signal(), Signal(config.thread_bits), Signal(2)
        column = Cat(chunk, thread, step[0], half)
        next_place, next_step = Signal(1 + config.thread_bits), Signal(2)

        def tokens_of(thread: Value) -> Any:
            return self.tokens[thread] if config.threads > 1 else self.tokens[0]

        here = tokens_of(thread)
        x_there, h_there = here.x != step, here.h != step
        next_there = Mux(half | loop_end, tokens_of(next_place[1:]).x != next_step, h_there)
        row_end = Signal()
        m.d.comb += [
            word.back.eq(loop.ends & loop.held),
            loop_end.eq(word.half_end & (Cat(half, thread) == self.layer.last_half)),
            row_end.eq(
                (chunk == Mux(half, self.layer.h_chunks, self.layer.x_chunks)) & ~word.empty
            ),
            next_place.eq(Mux(loop_end, 0, Cat(half, thread) + 1)),
            next_step.eq(step + loop_end),
            leaves.eq(move & word.valid),
        ]
        # Of the word that will be there in the next cycle, whether its vector is missing.
        turns = leaves & word.half_end
        stays = (missing | word.follows) & ~Mux(half, h_there, x_there)
        m.d.sync += missing.eq(Mux(turns, word.follows & ~next_there, stays) & ~word.back)
        with m.If(leaves):
            m.d.sync += chunk.eq(chunk + 1)
            with m.If(row_end | word.half_end):
                m.d.sync += chunk.eq(0)
        with m.If(turns):
            m.d.sync += [Cat(half, thread).eq(next_place), step.eq(next_step)]
        with m.If(self.start):
            m.d.sync += [missing.eq(0), chunk.eq(0), half.eq(0), thread.eq(0), step.eq(0)]

        # The chunk; the activation mask is read while the weights' ones are counted.
        mask = activation_mask(m, config, self.broadcast, self.broadcast_en, column, room)
        counts = group_counts(m, word.mask, config.sub_chunk)
        payload, valid = Signal(chunk_layout(config), reset_less=True), Signal()
        m.d.comb += [
            self.chunks.valid.eq(valid),
            self.chunks.payload.eq(payload),
            self.chunks.payload.activations.eq(mask),
            self.busy.eq(valid | (word.valid & ~missing)),
        ]
        with m.If(self.drop):
            m.d.sync += valid.eq(0)
        with m.If(room):
            m.d.sync += [
                valid.eq(word.valid & ~missing),
                payload.weights.eq(word.mask),
                payload.column.eq(column),
                payload.row_end.eq(row_end),
                payload.loop_end.eq(loop_end),
            ]
            for counted, count in zip(payload.counts, counts, strict=True):
                m.d.sync += counted.eq(count)
        with m.If(self.start):
            m.d.sync += valid.eq(0)
        return m

    def _read_words(
        self, m: Module, ring: Ring, move: Value, position: Value, loop: LoopPlaces
    ) -> _Word:
        """Cycles 0 to 2: address, memory output and word move together."""
        config, slots = self._config, self._config.mask_slots
        word = _Word(
            Signal(name="word_valid"),
            Signal(config.chunk, name="word", reset_less=True),
            Signal(name="half_end"),
            Signal(name="final"),
            Signal(name="empty"),
            Signal(name="follows"),
            Signal(name="back"),
        )
        low = clog2(slots)
        address = Signal(low + len(ring.written), reset_less=True)
        onwards = (address + 1)[: len(address)]
        # Whether a word is there at ``address``; known from the cycle before, so a cycle late.
        there, advances, begins = Signal(), Signal(), Signal()
        read_valid, place = Signal(), Signal(low)
        m.d.sync += begins.eq(self.start)
        m.d.comb += [
            advances.eq(move & there),
            ring.read.addr.eq(address[low:-1]),
            ring.read.en.eq(move),
        ]
        m.d.sync += there.eq(
            Mux(advances, onwards[low:] != ring.written, address[low:] != ring.written)
        )
        with m.If(advances):
            m.d.sync += address.eq(onwards)
        found = ring.read.data
        last = found.last & (place == found.final)
        m.d.comb += word.follows.eq(read_valid & ~(found.last & (place > found.final)))
        with m.If(move):
            m.d.sync += [
                read_valid.eq(there),
                place.eq(address[:low]),
                word.valid.eq(word.follows),
                word.mask.eq(found.masks.word_select(place, config.chunk)),
                word.half_end.eq(last),
                word.final.eq(last | (place == slots - 1)),
                word.empty.eq(found.empty),
            ]
        if config.parity:
            # A word of the ring and its parity, in the cycle after a mask of it was taken.
            whole, looks = Signal(len(plain_bits(found)) + 1, reset_less=True), Signal()
            m.d.sync += [
                whole.eq(Cat(plain_bits(found), ring.read.parity)),
                looks.eq(move & word.follows),
                self.wrong.eq(looks & whole.xor()),
            ]
        with m.If(begins | word.back):
            m.d.sync += [
                there.eq(0),
                address[:low].eq(0),
                address[low:].eq(Mux(begins, position, loop.base)),
                read_valid.eq(0),
                word.valid.eq(0),
            ]
        with m.If(self.start):
            m.d.sync += [there.eq(0), read_valid.eq(0), word.valid.eq(0)]
        return word
