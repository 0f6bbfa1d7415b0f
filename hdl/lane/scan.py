"""Second part of the lane: finds the sub-masks in which a weight meets a non-zero activation."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.config import MachineConfig

from .counting import prefix_sums
from .fetch import chunk_layout
from .ports import LANE_PROGRAM

__all__ = ["MaskScan", "sub_mask_layout"]


def sub_mask_layout(config: MachineConfig) -> data.StructLayout:
    """Work for the pair stage: one sub-mask with at least one pair, or an empty row's end.

    work, weights: the sub-mask's pairs and its non-zero weights. base: address of its chunk's first
    weight. offset: weights of the chunk below the sub-mask. column: its place in the local copy, as
    {half, parity, thread, chunk, sub-mask}. last: ends the row.
    """
    return data.StructLayout(
        {
            "work": config.sub_chunk,
            "weights": config.sub_chunk,
            "base": (config.weight_depth - 1).bit_length(),
            "offset": (config.chunk - config.sub_chunk).bit_length(),
            "column": chunk_layout(config)["column"].width + (config.sub_chunks - 1).bit_length(),
            "last": 1,
        }
    )


class MaskScan(wiring.Component):
    """ANDs the masks of a chunk, and passes on the sub-masks with work.

    Two chunks are held: one whose sub-masks leave, one per cycle, and the next one. A chunk without
    work is dropped there in one cycle, also while the other one has to wait; if it ends a row, that
    end is added to the other one where it can be. So chunks come at up to one per cycle and
    sub-masks leave at up to one per cycle, neither of them waiting for the other without need.

    Pipeline: flags of the sub-masks; selection; 2 cycles from chunk to sub-mask.

    Members
    -------
    layer, start: as of :class:`~sparnn.hdl.lane.fetch.ChunkFetch`.
    chunks: stream of chunks.
    busy: something is held.
    subs: stream of sub-masks. While one waits, its ``last`` may still become 1.
    """

    def __init__(self, config: MachineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "layer": In(LANE_PROGRAM),
                "start": In(1),
                "chunks": In(stream.Signature(chunk_layout(config))),
                "busy": Out(1),
                "subs": Out(stream.Signature(sub_mask_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        subs = config.sub_chunks
        chunk = self.chunks.payload

        def of(bits: Any, sub: int) -> Any:
            return bits[sub * config.sub_chunk : (sub + 1) * config.sub_chunk]

        held = data.StructLayout(
            {
                "weights": config.chunk,
                "activations": config.chunk,
                "flags": subs,
                "column": chunk.column.shape(),
                "row_end": 1,
            }
        )
        offset = sub_mask_layout(config)["offset"].width

        # The next chunk: which sub-masks have work, and the weights below each of them.
        next_valid, next_chunk = Signal(), Signal(held, reset_less=True)
        next_offsets = [
            Signal(offset, name=f"next_offset{k}", reset_less=True) for k in range(subs)
        ]
        next_count = Signal(config.chunk.bit_length(), reset_less=True)
        loop_end = Signal(reset_less=True)
        drop, taken = Signal(), Signal()
        m.d.comb += self.chunks.ready.eq(~next_valid | drop | taken)
        sums = prefix_sums(list(chunk.counts))
        with m.If(self.chunks.ready):
            m.d.sync += [
                next_valid.eq(self.chunks.valid),
                next_chunk.weights.eq(chunk.weights),
                next_chunk.activations.eq(chunk.activations),
                next_chunk.column.eq(chunk.column),
                next_chunk.row_end.eq(chunk.row_end),
                loop_end.eq(chunk.loop_end),
                next_count.eq(sums[-1]),
            ]
            for k in range(subs):
                pairs = of(chunk.weights, k) & of(chunk.activations, k)
                m.d.sync += next_chunk.flags[k].eq(pairs.any())
            for k in range(1, subs):
                m.d.sync += next_offsets[k].eq(sums[k - 1])

        # Address of the next chunk's first weight.
        base = Signal(range(config.weight_depth))
        with m.If(next_valid & (drop | taken)):
            m.d.sync += base.eq(base + next_count)
        with m.If(self.start | (next_valid & (drop | taken) & loop_end)):
            m.d.sync += base.eq(self.layer.weight_base)

        # The chunk at hand: its sub-masks with work leave, the lowest first.
        valid, now = Signal(), Signal(held, reset_less=True)
        offsets = [Signal(offset, name=f"offset{k}", reset_less=True) for k in range(subs)]
        now_base = Signal.like(base, reset_less=True)
        rest = (now.flags - 1)[:subs]
        first = now.flags & ~rest
        single = (now.flags & rest) == 0
        next_work = next_chunk.flags.any()
        merge = next_valid & ~next_work & next_chunk.row_end & ~now.row_end
        m.d.comb += [
            drop.eq(~next_work & (~next_chunk.row_end | (valid & ~now.row_end))),
            taken.eq(~valid | (self.subs.ready & single)),
            self.busy.eq(next_valid | valid),
        ]
        with m.If(self.subs.ready):
            m.d.sync += now.flags.eq(now.flags & rest)
        with m.If(merge):
            m.d.sync += now.row_end.eq(1)
        with m.If(taken):
            m.d.sync += [
                valid.eq(next_valid & ~drop),
                now.eq(next_chunk),
                now_base.eq(base),
                *(offsets[k].eq(next_offsets[k]) for k in range(1, subs)),
            ]

        def select(parts: list[Any]) -> Any:
            return reduce(
                or_, (part & first[k].replicate(len(part)) for k, part in enumerate(parts))
            )

        sub_index = [
            reduce(or_, (first[k] for k in range(subs) if k >> bit & 1))
            for bit in range((subs - 1).bit_length())
        ]
        weights = Signal(config.sub_chunk)
        activations = Signal(config.sub_chunk)
        m.d.comb += [
            weights.eq(select([of(now.weights, k) for k in range(subs)])),
            activations.eq(select([of(now.activations, k) for k in range(subs)])),
            self.subs.valid.eq(valid),
            self.subs.payload.work.eq(weights & activations),
            self.subs.payload.weights.eq(weights),
            self.subs.payload.base.eq(now_base),
            self.subs.payload.offset.eq(select(offsets)),
            self.subs.payload.column.eq(Cat(*sub_index, now.column)),
            self.subs.payload.last.eq((now.row_end | merge) & single),
        ]
        return m
