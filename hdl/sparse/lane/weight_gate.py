"""Between the fetch and the scan of a lane whose weights come from external memory."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import SparseConfig

from .fetch import chunk_layout
from .ports import lane_program
from .ring import LoopPlaces, weight_places_members, whole_words

__all__ = ["WeightGate"]


class WeightGate(wiring.Component):
    """Lets a chunk through when all of its weights are in the ring, and says where they begin.

    While several chunks' weights are there, chunks go by as if there were no gate. Else a chunk
    waits for two cycles at least, in which its last weight's position is worked out and compared.
    Behind the last chunk of a loop, whose weights fill whole words of memory, one cycle lies.

    Latency: none; ``chunks_in.ready`` and ``drop_in`` follow from ``chunks`` and ``drop``.

    Members
    -------
    layer, start: as of the fetch.
    chunks_in, drop_in: from the fetch; chunks, drop: to the scan. Without masks the fetch says
        where the weights begin.
    written: of the ring, in words.
    oldest: Out, the position of the first weight that no chunk let through is in front of.
    clear, position, held, base: see
        :func:`~sparnn.hdl.sparse.lane.ring.weight_places_members`; without masks the fetch's own.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "chunks_in": In(stream.Signature(chunk_layout(config))),
                "drop_in": Out(1),
                "chunks": Out(stream.Signature(chunk_layout(config))),
                "drop": In(1),
                "written": In(clog2(config.weight_words) + 1),
                "oldest": Out(config.position_bits),
            }
            | (
                {"layer": In(lane_program(config)), **weight_places_members(config)}
                if config.masks
                else {"position": In(config.position_bits)}
            )
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, chunk, bits = self._config, self.chunks_in, self._config.position_bits
        there, aligns = Signal(), Signal()
        offered, leaves = Signal(), Signal()
        base, before = Signal(bits), Signal(bits)
        total = Signal(range(config.chunk + 1))
        m.d.comb += [
            offered.eq(chunk.valid & there & ~aligns),
            self.chunks.valid.eq(offered),
            self.chunks.payload.eq(chunk.payload),
            self.chunks.payload.base.eq(base),
            self.drop_in.eq(offered & self.drop),
            chunk.ready.eq(~chunk.valid | (offered & self.chunks.ready)),
            leaves.eq(offered & (self.chunks.ready | self.drop)),
        ]
        if config.masks:
            m.d.comb += total.eq(sum(chunk.payload.counts))
            self._count(m, base, before, total, aligns)
            m.d.comb += self.oldest.eq(before)
        else:
            m.d.comb += [
                total.eq(chunk.payload.total),
                base.eq(chunk.payload.base),
                # The fetch may have gone back to the loop's beginning behind the chunk that waits.
                before.eq(Mux(chunk.valid, base, self.position)),
                self.oldest.eq(before),
            ]

        # From a position to the end of what was written.
        written = Signal(bits)
        m.d.comb += written[bits - len(self.written) :].eq(self.written)
        ahead, lacking = Signal(bits), Signal(bits)
        need, stays = Signal(bits, reset_less=True), Signal()
        m.d.comb += [ahead.eq(written - before), lacking.eq(written - need)]
        # Enough for all chunks that may begin before this is looked at again.
        plenty = (ahead >= 4 * config.chunk + config.weight_slots) & ~ahead[-1]
        exact = stays & ~lacking[-1]
        m.d.sync += [
            need.eq(base + total),
            stays.eq(chunk.valid & ~leaves & ~aligns & ~self.start),
            there.eq((plenty | ((exact | there) & chunk.valid & ~leaves)) & ~self.start),
        ]
        return m

    def _count(
        self, m: Module, base: Signal, before: Signal, total: Signal, aligns: Signal
    ) -> None:
        """Where a chunk's weights begin: behind those of the chunk before it."""
        config, chunk = self._config, self.chunks_in
        loop = LoopPlaces(m, "loop", len(base), self.layer, self.start, self.clear)
        count = Signal.like(total, name="count")
        # A dropped chunk counts a cycle later, as its masks say late that it is dropped.
        dropped = Signal()
        takes = self.chunks.valid & self.chunks.ready
        m.d.sync += [
            dropped.eq(self.chunks.valid & self.drop & ~self.chunks.ready),
            aligns.eq(takes & chunk.payload.loop_end),
        ]
        m.d.comb += [
            base.eq(before + count),
            loop.ends.eq(aligns),
            loop.after.eq(whole_words(config, base)),
            self.position.eq(before),
            self.held.eq(loop.held),
            self.base.eq(loop.base),
        ]
        with m.If(takes | dropped):
            m.d.sync += [before.eq(base), count.eq(total)]
        with m.If(aligns):
            m.d.sync += [before.eq(Mux(loop.held, loop.base, loop.after)), count.eq(0)]
        with m.If(self.start):
            m.d.sync += [before.eq(loop.first), count.eq(0)]
        with m.If(self.clear):
            m.d.sync += [before.eq(0), count.eq(0)]
