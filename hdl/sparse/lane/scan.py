"""Second part of the lane: finds the sub-masks in which a weight meets a non-zero activation."""

from functools import reduce
from operator import or_
from typing import NamedTuple

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.counting import (
    added,
    lower_ones,
    lowest_index,
    prefix_sums,
    several,
    split,
)
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import WEIGHT_ALIGNMENT

from .fetch import chunk_layout
from .ports import factors_layout, lane_program

__all__ = ["MaskScan", "sub_mask_layout"]


def sub_mask_layout(config: SparseConfig) -> data.StructLayout:
    """Work for the pair stage: one sub-mask with at least one pair, or an empty row's end.

    Members
    -------
    work: the sub-mask's pairs.
    weights: its non-zero weights.
    base: the address of its chunk's first weight.
    offset: weights of the chunk below the sub-mask. Both have no bits without ``masks``.
    column: its place in the local copy, as {half, parity, thread, chunk, sub-mask}.
    factors: those of the row.
    last: the row ends with it.
    """
    return data.StructLayout(
        {
            "work": config.sub_chunk,
            "weights": config.sub_chunk * config.masks,
            "base": config.position_bits,
            "offset": (config.chunk - config.sub_chunk).bit_length() * config.masks,
            "column": chunk_layout(config)["column"].width + clog2(config.sub_chunks),
            "factors": factors_layout(config),
            "last": 1,
        }
    )


class _Place(NamedTuple):
    """The place of the chunk at hand, and of the sub-mask that leaves."""

    held: Signal  #: it is taken until the pair stage answers
    more: Signal  #: more than one sub-mask with work is left
    room: Signal  #: the sub-mask can leave
    take: Signal  #: the next chunk moves in
    idle: Signal  #: the chunk that comes has no work
    last: Signal  #: a row ends with the sub-mask that leaves


class _Chunk(NamedTuple):
    """The chunk at hand."""

    valid: Signal
    here: data.View
    base: Signal  #: the address of its first weight
    flags: Signal  #: its sub-masks with work that have not left
    offsets: list[Signal]  #: weights below each sub-mask but the first
    below: Value  #: the places above the lowest of ``flags``
    none: Signal  #: it is a row's end that came without work
    merge: Signal  #: that end is added to the sub-mask that waits


class MaskScan(wiring.Component):
    """ANDs the masks of a chunk, and passes on the sub-masks with work, one per cycle.

    A chunk without work takes one cycle; while the chunk before it has to wait it is dropped, and
    the next one comes two cycles later. If it ends a row, that end is added to the sub-mask that
    waits, where there is one. So chunks come at up to one per cycle and sub-masks leave at up to
    one per cycle.

    Pipeline: flags of the sub-masks; selection; 2 cycles from chunk to sub-mask. The selection is
    a register for each place that a sub-mask can have in a chunk, all but one of them zero: the OR
    of them takes a third of the multiplexer's logic.

    Without ``masks`` each activation that is not zero is work, and the chunk brings the address of
    its first weight.

    Members
    -------
    layer, start: as of :class:`~sparnn.hdl.sparse.lane.fetch.ChunkFetch`.
    chunks: stream of chunks.
    drop: Out(1). The chunk that is offered need not be taken.
    busy: Out(1). Something is held.
    subs: stream of sub-masks, ready also where none is valid. While one waits, its ``last`` may
        still become 1.

    With weights from external memory, a chunk brings the address of its first one as well:

    position: the position of the first weight that no chunk taken here is in front of.
    oldest: Out. The same of those that have left here.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "layer": In(lane_program(config)),
                "start": In(1),
                "chunks": In(stream.Signature(chunk_layout(config))),
                "drop": Out(1),
                "busy": Out(1),
                "subs": Out(stream.Signature(sub_mask_layout(config))),
            }
            | (
                {"position": In(config.position_bits), "oldest": Out(config.position_bits)}
                if config.stream_bits
                else {}
            )
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        new_flags = Signal(self._config.sub_chunks)
        idle = Signal()
        self._find_work(m, new_flags, idle)
        last = Signal(reset_less=True)
        place = _Place(Signal(), Signal(), Signal(), Signal(), idle, last)
        base: Value = self.chunks.payload.base
        totals: list[Value] = []
        if self._config.masks:
            totals = prefix_sums(m, list(self.chunks.payload.counts)[:-1], self._config.sub_chunk)
        if self._config.masks and not self._config.stream_bits:
            base = self._count_weights(m, place.take, totals)
        chunk = self._take_chunk(m, place, new_flags, base, totals)
        self._send(m, place, chunk)
        return m

    def _find_work(self, m: Module, new_flags: Signal, idle: Signal) -> None:
        """Cycle 0: some sub-masks have work. A chunk that has none and ends no row goes by, or,
        where it ends the loop, leaves from the place at hand."""
        chunk = self.chunks.payload
        pairs = chunk.activations
        if self._config.masks:
            pairs = chunk.weights & chunk.activations
        m.d.comb += [
            new_flags.eq(Cat(part.any() for part in split(pairs, self._config.sub_chunk))),
            idle.eq(~new_flags.any()),
            self.drop.eq(idle & ~(chunk.row_end | chunk.loop_end)),
        ]

    def _count_weights(self, m: Module, take: Signal, totals: list[Value]) -> Signal:
        """The address of the chunk's first weight. ``totals``: weights below each sub-mask's end.

        The address is that of the chunk before it plus the weights there. These are added up a
        cycle later, all but the last sub-mask's.
        """
        config, chunk = self._config, self.chunks.payload
        before = Signal(clog2(config.weight_depth), reset_less=True)
        most = config.chunk - config.sub_chunk
        count = Signal(range(most + 1), reset_less=True)
        last_count = Signal.like(chunk.counts[-1], reset_less=True)
        base = Signal.like(before)
        m.d.comb += base.eq(before + added(m, count, last_count, config.chunk))
        # A chunk counts when the stage in front moves on behind it, which a dropped one may wait a
        # cycle for: so its masks, which say late that it is dropped, do not decide here. The end of
        # a loop is never dropped; behind it the first address comes, whose low bits are zero.
        dropped = Signal()
        m.d.sync += dropped.eq(self.chunks.valid & self.drop & ~self.chunks.ready)
        counts = (take & self.chunks.valid) | dropped | self.start
        low = clog2(WEIGHT_ALIGNMENT)
        with m.If(counts):
            m.d.sync += [
                before[:low].eq(base),
                count.eq(totals[-1]),
                last_count.eq(chunk.counts[-1]),
                before[low:].eq(
                    Mux(self.start | chunk.loop_end, self.layer.weight_base[low:], base[low:])
                ),
            ]
        with m.If(self.start | (take & (self.chunks.valid & chunk.loop_end))):
            m.d.sync += [before[:low].eq(0), count.eq(0), last_count.eq(0)]
        return base

    def _take_chunk(
        self, m: Module, place: _Place, new_flags: Signal, base: Value, totals: list[Value]
    ) -> _Chunk:
        """Cycle 1: the sub-masks with work of the chunk at hand, if there is one, leave, the lowest
        first. A chunk without work is the end of a row."""
        config, chunk = self._config, self.chunks.payload
        valid = Signal()
        here = Signal(chunk_layout(config), reset_less=True)
        here_base = Signal(config.position_bits, reset_less=True)
        flags = Signal(config.sub_chunks, reset_less=True)
        offsets = [
            Signal(sub_mask_layout(config)["offset"].width, name=f"offset{k}", reset_less=True)
            for k in range(1, config.sub_chunks * config.masks)
        ]
        below = lower_ones(flags)
        none = Signal(reset_less=True)
        merge = Signal()
        held, more, room, take, idle, last = place
        m.d.comb += [
            more.eq(several(flags)),
            merge.eq(none & self.subs.valid & ~last),
            take.eq(~held | (room & ~more)),
            self.chunks.ready.eq(~self.chunks.valid | ~held | (room & ~more)),
        ]
        with m.If(room):
            m.d.sync += flags.eq(flags & below)
        # The place is not taken if it is free, nor by the end of a row that finds its sub-mask, or
        # leaves alone. ``held`` is a register, as the pair stage's answer comes late.
        last_next = Mux(room, here.row_end & ~more, last | (valid & none))
        with m.If(take):
            m.d.sync += [
                held.eq(self.chunks.valid & (~idle | (chunk.row_end & last_next))),
                valid.eq(self.chunks.valid & ~(idle & ~chunk.row_end)),
                here.eq(chunk),
                here_base.eq(base),
                flags.eq(new_flags),
                none.eq(idle),
                *(offset.eq(total) for offset, total in zip(offsets, totals, strict=True)),
            ]
        return _Chunk(valid, here, here_base, flags, offsets, below, none, merge)

    def _send(self, m: Module, place: _Place, chunk: _Chunk) -> None:
        """Cycle 2: the sub-mask that leaves stands in the register of its place."""
        config, subs = self._config, self._config.sub_chunks
        more, room, last = place.more, place.room, place.last
        valid, here, none = chunk.valid, chunk.here, chunk.none
        first = Signal(subs)
        m.d.comb += [
            first.eq(chunk.flags & ~chunk.below),
            room.eq(self.subs.ready),
            self.busy.eq(valid | self.subs.valid),
        ]
        layout_one = data.StructLayout(
            {"weights": config.sub_chunk * config.masks, "work": config.sub_chunk}
        )
        places = [Signal(layout_one, name=f"place{k}", reset_less=True) for k in range(subs)]
        shifted = [Signal.like(one, name=f"below{k}") for k, one in enumerate(chunk.offsets, 1)]
        sub_valid = Signal()
        sub_index = Signal(clog2(subs), reset_less=True)
        sub_base = Signal.like(chunk.base, reset_less=True)
        sub_column = Signal(len(here.column), reset_less=True)
        sub_factors = Signal(factors_layout(config), reset_less=True)
        with m.If(room):
            m.d.sync += [
                sub_valid.eq(valid & ~chunk.merge),
                sub_base.eq(chunk.base),
                sub_column.eq(here.column),
                sub_factors.eq(here.factors),
                sub_index.eq(lowest_index(chunk.flags)),
                last.eq(here.row_end & ~more),
            ]
            for k, to in enumerate(places):
                with m.If(first[k]):
                    m.d.sync += [
                        *(
                            [to.weights.eq(split(here.weights, config.sub_chunk)[k])]
                            if config.masks
                            else []
                        ),
                        to.work.eq(split(here.activations, config.sub_chunk)[k]),
                    ]
                    if k and config.masks:
                        m.d.sync += shifted[k - 1].eq(chunk.offsets[k - 1])
                with m.Else():
                    m.d.sync += to.as_value().eq(0)
                    if k and config.masks:
                        m.d.sync += shifted[k - 1].eq(0)
        with m.Elif(valid & none):
            m.d.sync += last.eq(1)
        work = reduce(or_, (to.work for to in places))
        if config.masks:
            weights = reduce(or_, (to.weights for to in places))
            work = weights & work
            m.d.comb += [
                self.subs.payload.weights.eq(weights),
                self.subs.payload.offset.eq(reduce(or_, shifted)),
            ]
        m.d.comb += [
            self.subs.valid.eq(sub_valid),
            self.subs.payload.work.eq(work),
            self.subs.payload.base.eq(sub_base),
            self.subs.payload.column.eq(Cat(sub_index, sub_column)),
            self.subs.payload.factors.eq(sub_factors),
            self.subs.payload.last.eq(last | (valid & none)),
        ]
        if config.stream_bits:
            behind = Mux(valid, chunk.base, self.position)
            m.d.comb += self.oldest.eq(Mux(sub_valid, sub_base, behind))
