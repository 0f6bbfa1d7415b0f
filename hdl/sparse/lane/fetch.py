"""First part of the lane: reads weight masks, and the activation masks that they meet."""

from typing import Any, NamedTuple

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.counting import group_counts
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.common.parity_memory import plain_bits
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import MASK_ALIGNMENT

from .activation_masks import activation_mask
from .lane_memory import lane_memory
from .ports import (
    broadcast_layout,
    chunk_bits,
    factors_layout,
    lane_program,
    mask_load_layout,
    tokens_layout,
)

__all__ = ["ChunkFetch", "chunk_layout"]


def chunk_layout(config: SparseConfig) -> data.StructLayout:
    """A chunk on its way to the scan.

    Members
    -------
    weights: the mask of the weights.
    activations: the mask of the activations.
    counts: ones of ``weights`` in each sub-mask.
    base: the address of its first weight, known here only without ``masks``, or with weights from
        external memory. Without ``masks`` there is nothing of ``weights``, ``counts`` and
        ``loop_end``.
    total: weights of the chunk, without ``masks`` and from external memory.
    column: the chunk's place in the local copy, as {half, parity, thread, chunk}.
    row_end, loop_end, factors: as in the mask word.
    """
    masks = config.masks
    return data.StructLayout(
        {
            "weights": config.chunk * masks,
            "activations": config.chunk,
            "counts": data.ArrayLayout(config.sub_chunk.bit_length(), config.sub_chunks * masks),
            "base": config.position_bits * (not masks or bool(config.stream_bits)),
            "column": 2 + config.thread_bits + chunk_bits(config),
            "row_end": 1,
            "loop_end": masks,
            "factors": factors_layout(config),
        }
        | ({"total": config.chunk.bit_length()} if config.stream_bits and not masks else {})
    )


class _Words(NamedTuple):
    """The mask words on their way."""

    word: data.View
    word_valid: Signal
    read_valid: Signal  #: another one is behind it
    move: Signal  #: all of them move on
    room: Signal  #: the chunk before them leaves
    missing: Signal  #: the word's vector is not there yet


class ChunkFetch(wiring.Component):
    """Walks through the mask memory, a chunk per cycle, and waits where a vector is missing.

    The lane's program is its mask memory: from ``mask_base`` on lie the words of a step's halves,
    input then hidden half of thread 0, then of thread 1 where there is one. Flags in the words say
    where rows, halves and the loop end. The address turns back two words after a *jump*: those two
    are under way when the flag is seen, so that nothing is ever read in vain.

    Pipeline: address; memory output; word, where its place is known and its token awaited; chunk.
    All of it runs ahead through ends of halves as far as back-pressure and tokens allow.

    Members
    -------
    layer: the layer's part of the mask memory.
    start: In(1), a pulse while the lane is idle: step 0 begins.
    tokens: what has been broadcast so far, of each thread.
    broadcast, broadcast_en: a word of activations, whose mask is written.
    load_addr, load_data, load_en: the host writes a word of the mask memory.
    busy: a chunk is there; low while the next half has to wait.
    chunks: stream of chunks, also ready where none is valid.
    drop: In(1). The chunk that is offered is taken back.
    wrong: Out(1), with ``parity``: a mask word does not match its parity.
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
                "load_addr": In(clog2(config.mask_depth)),
                "load_data": In(config.mask_entry_bits),
                "load_en": In(1),
                "busy": Out(1),
                "drop": In(1),
                "chunks": Out(stream.Signature(chunk_layout(config))),
            }
            | ({"wrong": Out(1)} if config.parity else {})
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        entry = mask_load_layout(config)
        load, read = lane_memory(m, "weight_masks", config, shape=entry, depth=config.mask_depth)
        m.d.comb += [
            load.addr.eq(self.load_addr),
            load.data.as_value().eq(self.load_data),
            load.en.eq(self.load_en),
        ]
        word = Signal(entry, reset_less=True)
        word_valid = Signal()
        room = Signal()
        words = _Words(word, word_valid, Signal(), Signal(), room, Signal())
        self._read_words(m, words, read)
        column = self._place(m, words)
        self._send(m, words, column)
        return m

    def _read_words(self, m: Module, words: _Words, read: Any) -> None:
        """Cycles 0 to 2: address, memory output and word move together, so that a word's distance
        from the address is always two."""
        address = Signal(range(self._config.mask_depth), reset_less=True)
        word, word_valid, read_valid, move = words[:4]
        # One cycle after ``start``, when nothing holds the words: the first word's address comes.
        begins = Signal()
        m.d.comb += [read.addr.eq(address), read.en.eq(move)]
        m.d.sync += begins.eq(self.start)
        # A base's low bits are zero. They are not written as a constant, which would become the
        # flip-flops' reset, a gate behind ``move``, which comes last.
        turns = begins | (word_valid & word.jump)
        low = clog2(MASK_ALIGNMENT)
        onwards = (address + 1)[: len(address)]
        with m.If(move):
            m.d.sync += [
                read_valid.eq(~begins),
                word_valid.eq(read_valid),
                word.eq(read.data),
                address[:low].eq(onwards[:low] & ~turns.replicate(low)),
                address[low:].eq(Mux(turns, self.layer.mask_base[low:], onwards[low:])),
            ]
        with m.If(self.start):
            m.d.sync += [read_valid.eq(0), word_valid.eq(0)]
        if self._config.parity:
            parity = Signal()
            with m.If(move):
                m.d.sync += parity.eq(read.parity)
            m.d.sync += self.wrong.eq(move & word_valid & (plain_bits(word).xor() ^ parity))

    def _place(self, m: Module, words: _Words) -> Value:
        """Cycle 2: the word gets its place in the local copy, and waits for its vector.

        Whether the vector is missing is known from the cycle before, so that back-pressure of the
        stages behind stops the memory four gates later.
        """
        config = self._config
        word, word_valid, read_valid, move, room, missing = words
        chunk = Signal(chunk_bits(config))
        half, thread, step = Signal(), Signal(config.thread_bits), Signal(2)
        column = Cat(chunk, thread, step[0], half)
        next_place, next_step = Signal(1 + config.thread_bits), Signal(2)
        leave = Signal()

        def tokens_of(thread: Value) -> Any:
            return self.tokens[thread] if config.threads > 1 else self.tokens[0]

        here = tokens_of(thread)
        x_there, h_there = here.x != step, here.h != step
        next_there = Mux(half | word.loop_end, tokens_of(next_place[1:]).x != next_step, h_there)
        m.d.comb += [
            next_place.eq(Mux(word.loop_end, 0, Cat(half, thread) + 1)),
            next_step.eq(step + word.loop_end),
            # ``room`` is enough where there are no words: none of them becomes a chunk.
            move.eq(room & ~missing),
            leave.eq(move & word_valid),
        ]
        # ``room`` comes late, so it chooses last.
        ends = ~missing & word_valid & word.half_end
        turn = room & ends
        stays = read_valid & ~Mux(half, h_there, x_there)
        m.d.sync += missing.eq(Mux(room, Mux(ends, read_valid & ~next_there, stays), stays))
        with m.If(leave):
            m.d.sync += chunk.eq(chunk + 1)
            with m.If(word.row_end | word.half_end):
                m.d.sync += chunk.eq(0)
        with m.If(turn):
            m.d.sync += [Cat(half, thread).eq(next_place), step.eq(next_step)]
        with m.If(self.start):
            m.d.sync += [missing.eq(0), chunk.eq(0), half.eq(0), thread.eq(0), step.eq(0)]
        return column

    def _send(self, m: Module, words: _Words, column: Value) -> None:
        """Cycle 3: the chunk; the activation mask is read while the weights' ones are counted."""
        config, word, word_valid = self._config, words.word, words.word_valid
        room, missing = words.room, words.missing
        mask = activation_mask(m, config, self.broadcast, self.broadcast_en, column, room)
        counts = group_counts(m, word.mask, config.sub_chunk)
        payload = Signal(chunk_layout(config), reset_less=True)
        valid = Signal()
        m.d.comb += [
            room.eq(self.chunks.ready),
            self.chunks.valid.eq(valid),
            self.chunks.payload.eq(payload),
            self.chunks.payload.activations.eq(mask),
            self.busy.eq(valid | (word_valid & ~missing)),
        ]
        with m.If(self.drop):
            m.d.sync += valid.eq(0)
        with m.If(room):
            m.d.sync += [
                valid.eq(word_valid & ~missing),
                payload.weights.eq(word.mask),
                payload.column.eq(column),
                payload.row_end.eq(word.row_end),
                payload.loop_end.eq(word.loop_end),
                payload.factors.eq(word.factors),
            ]
            for counted, count in zip(payload.counts, counts, strict=True):
                m.d.sync += counted.eq(count)
        with m.If(self.start):
            m.d.sync += valid.eq(0)
