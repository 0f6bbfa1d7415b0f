"""Front end of the lane: which weights meet a non-zero activation."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.config import MachineConfig

from .counting import group_counts
from .ports import LANE_PROGRAM, STEP_TOKENS, broadcast_layout, local_word_bits, mask_load_layout

__all__ = ["MaskScan", "sub_mask_layout"]


def sub_mask_layout(config: MachineConfig) -> data.StructLayout:
    """Work for the pair stage: one sub-mask with at least one pair, or an empty row's end.

    work, weights: the sub-mask's pairs and its non-zero weights. base: address of its first weight.
    column: its place in the local copy, as {half, parity, chunk, sub-mask}. last: ends the row.
    """
    return data.StructLayout(
        {
            "work": config.sub_chunk,
            "weights": config.sub_chunk,
            "base": (config.weight_depth - 1).bit_length(),
            "column": 2 + _chunk_bits(config) + (config.sub_chunks - 1).bit_length(),
            "last": 1,
        }
    )


def _chunk_bits(config: MachineConfig) -> int:
    return (config.column_chunks - 1).bit_length()


class MaskScan(wiring.Component):
    """Reads weight masks and activation masks chunk by chunk and passes on the sub-masks with work.

    The lane's program is its mask memory: rows of the input half, then of the hidden half, each
    ``chunks`` words; the word that ends a half says so. At that point the scan waits for the token
    of the next half, so lanes need no other control.

    Pipeline: address; memory output; registered chunk; AND, sub-mask flags and counts; sub-mask
    selection. A chunk takes as many cycles as it has sub-masks with work, at least one. The end of
    a half costs three cycles, since two reads beyond it are under way when it is seen.

    Members
    -------
    layer, start: the layer; ``start`` (one cycle, while the lane is idle) begins step 0.
    tokens: what has been broadcast so far.
    broadcast, broadcast_en: writes the activation masks.
    load_addr, load_data, load_en: writes the mask memory.
    busy: rows are being read; low while the next half has to wait.
    subs: stream of sub-masks; held under back-pressure.
    """

    def __init__(self, config: MachineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "layer": In(LANE_PROGRAM),
                "start": In(1),
                "tokens": In(STEP_TOKENS),
                "broadcast": In(broadcast_layout(config)),
                "broadcast_en": In(1),
                "load_addr": In((config.mask_depth - 1).bit_length()),
                "load_data": In(config.mask_entry_bits),
                "load_en": In(1),
                "busy": Out(1),
                "subs": Out(stream.Signature(sub_mask_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        layer = self.layer
        chunk_bits = _chunk_bits(config)
        subs = config.sub_chunks

        entry = mask_load_layout(config)
        m.submodules.weight_masks = weight_masks = memory.Memory(
            shape=entry, depth=config.mask_depth, init=[], attrs={"no_rw_check": 1}
        )
        load = weight_masks.write_port()
        read = weight_masks.read_port()
        m.submodules.activation_masks = activation_masks = memory.Memory(
            shape=unsigned(config.chunk), depth=4 << chunk_bits, init=[], attrs={"no_rw_check": 1}
        )
        mask_write = activation_masks.write_port()
        mask_read = activation_masks.read_port()
        words_per_chunk = config.chunk // config.post_units
        chunk_low = (words_per_chunk - 1).bit_length()
        m.d.comb += [
            load.addr.eq(self.load_addr),
            load.data.as_value().eq(self.load_data),
            load.en.eq(self.load_en),
            mask_write.addr.eq(
                Cat(
                    self.broadcast.word[chunk_low : local_word_bits(config)],
                    self.broadcast.parity,
                    self.broadcast.half,
                )
            ),
            mask_write.data.eq(self.broadcast.mask),
            mask_write.en.eq(self.broadcast_en),
        ]

        def of(bits: Any, sub: int) -> Any:
            return bits[sub * config.sub_chunk : (sub + 1) * config.sub_chunk]

        # Where the scan stands. ``address`` runs ahead of what is known about ends of halves.
        advance = Signal()
        waiting = Signal(init=1)
        half = Signal()
        step = Signal(2)
        address = Signal(range(config.mask_depth))
        chunk = Signal(max(chunk_bits, 1))
        chunks_last = Mux(half, layer.chunks_h_last, layer.chunks_x_last)[: max(chunk_bits, 1)]
        row_last = chunk == chunks_last

        # Stage 1: the memories read.
        where = data.StructLayout(
            {"chunk": max(chunk_bits, 1), "parity": 1, "half": 1, "row_last": 1}
        )
        issued, issued_at = Signal(), Signal(where, reset_less=True)
        # Stage 2: their output, registered (block RAM is slow).
        read_valid, read_at = Signal(), Signal(where, reset_less=True)
        weights = Signal(entry, reset_less=True)
        activations = Signal(config.chunk, reset_less=True)
        # Stage 3: pairs, which sub-masks have any, and weights per sub-mask.
        count_bits = config.sub_chunk.bit_length()
        met_valid, met_at = Signal(), Signal(where, reset_less=True)
        met_work = Signal(config.chunk, reset_less=True)
        met_weights = Signal(config.chunk, reset_less=True)
        met_flags = Signal(subs, reset_less=True)
        met_counts = [
            Signal(count_bits, name=f"met_count{k}", reset_less=True) for k in range(subs)
        ]
        met_half_end, met_null = Signal(reset_less=True), Signal(reset_less=True)

        x_ready = (self.tokens.x != step) & (layer.unfolded | (self.tokens.h != step))
        ready = Mux(half, self.tokens.h != step, x_ready)
        m.d.comb += self.busy.eq(~waiting)
        half_end = read_valid & weights.half_end
        next_half = layer.has_hidden & ~half
        m.d.comb += [
            read.addr.eq(address),
            mask_read.addr.eq(Cat(chunk[:chunk_bits], step[0], half)),
            read.en.eq(advance),
            mask_read.en.eq(advance),
        ]
        weight_counts = group_counts(m, weights.mask, config.sub_chunk)
        with m.If(advance):
            m.d.sync += [
                issued.eq(~waiting),
                Cat(issued_at.chunk, issued_at.parity, issued_at.half, issued_at.row_last).eq(
                    Cat(chunk, step[0], half, row_last)
                ),
                read_valid.eq(issued),
                read_at.eq(issued_at),
                weights.eq(read.data),
                activations.eq(mask_read.data),
            ]
            with m.If(waiting):
                m.d.sync += waiting.eq(~ready)
            with m.Else():
                m.d.sync += [address.eq(address + 1), chunk.eq(Mux(row_last, 0, chunk + 1))]
            with m.If(half_end):
                # What was read beyond the end is dropped.
                m.d.sync += [
                    issued.eq(0),
                    read_valid.eq(0),
                    waiting.eq(1),
                    half.eq(next_half),
                    step.eq(step + ~next_half),
                    chunk.eq(0),
                    address.eq(Mux(next_half, layer.mask_base_h, layer.mask_base_x)),
                ]
            m.d.sync += [
                met_valid.eq(read_valid),
                met_at.eq(read_at),
                met_work.eq(weights.mask & activations),
                met_weights.eq(weights.mask),
                met_half_end.eq(weights.half_end),
                met_null.eq(weights.null),
            ]
            for k in range(subs):
                m.d.sync += [
                    met_flags[k].eq((of(weights.mask, k) & of(activations, k)).any()),
                    met_counts[k].eq(weight_counts[k]),
                ]
        with m.If(self.start):
            m.d.sync += [
                waiting.eq(1),
                half.eq(0),
                step.eq(0),
                chunk.eq(0),
                address.eq(layer.mask_base_x),
            ]

        # Stage 4: one sub-mask with work per cycle.
        valid, at = Signal(), Signal(where, reset_less=True)
        work = Signal(config.chunk, reset_less=True)
        present = Signal(config.chunk, reset_less=True)
        flags = Signal(subs, reset_less=True)
        before = [
            Signal(config.chunk.bit_length(), name=f"before{k}", reset_less=True)
            for k in range(subs + 1)
        ]
        ends_half, null = Signal(reset_less=True), Signal(reset_less=True)
        base = Signal(range(config.weight_depth))

        first = flags & ~(flags - 1)[:subs]
        single = (flags & (flags - 1)[:subs]) == 0
        any_work = flags.any()
        end_only = ~any_work & at.row_last & ~null
        done = Signal()
        m.d.comb += [
            done.eq(valid & single & (self.subs.ready | ~(any_work | end_only))),
            advance.eq(~valid | done),
            self.subs.valid.eq(valid & (any_work | end_only)),
        ]

        def select(parts: list[Any]) -> Any:
            return reduce(
                or_, (part & first[k].replicate(len(part)) for k, part in enumerate(parts))
            )

        sub_index = [
            reduce(or_, (first[k] for k in range(subs) if k >> bit & 1))
            for bit in range((subs - 1).bit_length())
        ]
        m.d.comb += [
            self.subs.payload.work.eq(select([of(work, k) for k in range(subs)])),
            self.subs.payload.weights.eq(select([of(present, k) for k in range(subs)])),
            self.subs.payload.base.eq(base + select(before[:subs])),
            self.subs.payload.column.eq(Cat(*sub_index, at.chunk[:chunk_bits], at.parity, at.half)),
            self.subs.payload.last.eq(at.row_last & single),
        ]
        with m.If(self.subs.valid & self.subs.ready):
            m.d.sync += flags.eq(flags & (flags - 1)[:subs])
        with m.If(advance):
            m.d.sync += [
                valid.eq(met_valid),
                at.eq(met_at),
                work.eq(met_work),
                present.eq(met_weights),
                flags.eq(met_flags),
                ends_half.eq(met_half_end),
                null.eq(met_null),
            ]
            for k in range(1, subs + 1):
                m.d.sync += before[k].eq(sum(met_counts[:k], start=Const(0, 1)))
        with m.If(done):
            m.d.sync += base.eq(base + before[subs])
            with m.If(ends_half):
                m.d.sync += base.eq(
                    Mux(layer.has_hidden & ~at.half, layer.weight_base_h, layer.weight_base_x)
                )
        with m.If(self.start):
            m.d.sync += base.eq(layer.weight_base_x)
        return m
