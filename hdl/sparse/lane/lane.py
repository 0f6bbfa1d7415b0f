"""One lane: chunk fetch, mask scan, pair stage, partial-sum queue."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.sparse.config import SparseConfig

from .counted_fetch import CountedFetch
from .fetch import ChunkFetch
from .neighbor import sharing_members
from .pairs import PairStage
from .ports import (
    broadcast_layout,
    lane_program,
    refill_layout,
    row_plan_layout,
    tokens_layout,
)
from .ring_fetch import RingFetch
from .scan import MaskScan
from .slots import Slot
from .sums import SumQueue
from .weight_gate import WeightGate

__all__ = ["Lane", "lane_signature"]


def lane_signature(config: SparseConfig) -> wiring.Signature:
    """A lane's ports, explained in :class:`Lane`."""
    return wiring.Signature(
        {
            "layer": In(lane_program(config)),
            "start": In(1),
            "tokens": In(tokens_layout(config)),
            "broadcast": In(broadcast_layout(config)),
            "broadcast_en": In(1),
            **(_refill_members(config) if config.stream_bits else _load_members(config)),
            "arrived": Out(1),
            "pop": In(1),
            "partial_sum": Out(signed(config.lane_sum_bits)),
        }
        | ({"move": In(1)} if config.width > 1 else {})
        | ({} if config.masks else {"plan": In(row_plan_layout(config))})
        | ({"slot": Out(Slot)} if config.counters else {})
        | ({"wrong": Out(1)} if config.parity else {})
        | sharing_members(config)
    )


def _load_members(config: SparseConfig) -> dict[str, wiring.Member]:
    return {
        "load_addr": In(20),
        "load_data": In(max(config.mask_entry_bits, config.weight_entry_bits)),
        "mask_load_en": In(1),
        "weight_load_en": In(1),
    }


def _refill_members(config: SparseConfig) -> dict[str, wiring.Member]:
    return {"refill": In(refill_layout(config)), "rooms": Out(2), "clear": In(1)}


class Lane(wiring.Component):
    """``width`` multipliers behind one front end, with its own weights, masks and copy of the
    activations.

    MASR's lane (arXiv 1908.08976, section V-B) with hierarchical masks: the scan works on
    chunks, the pair logic on sub-masks of ``sub_chunk`` bits.

    Members
    -------
    layer, start, tokens: see :class:`~sparnn.hdl.sparse.lane.fetch.ChunkFetch`.
    broadcast: a word for the local copies.
    broadcast_en: the word is for this lane's slice, and written.
    load_addr, load_data: the host's bus.
    mask_load_en, weight_load_en: the host writes that memory.
    refill: a word from external memory for a ring, in place of the host's bus. rooms: the ring of
        weights, that of masks, have room for a block of them; clear: they are empty, and begin
        anew.
    arrived, pop, move: see :class:`~sparnn.hdl.sparse.lane.sums.SumQueue`; whoever pops keeps count
        of what arrived.
    plan: of a machine without masks; see
        :class:`~sparnn.hdl.sparse.lane.counted_fetch.CountedFetch`.
    partial_sum: the popped sum one cycle later, zero if none was popped.
    slot: what the cycle before was used for; only on a machine with ``counters``.
    wrong: only on a machine with ``parity``: a word of masks or weights that was read is damaged.
    sharing, neighbor_load_en, neighbor_broadcast_en, to_neighbor, from_neighbor: only on a machine
        with ``sharing``; see :class:`~sparnn.hdl.sparse.lane.pairs.PairStage`.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(lane_signature(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.fetch = fetch = self._fetch()
        m.submodules.scan = scan = MaskScan(config)
        m.submodules.pairs = pairs = PairStage(config)
        m.submodules.sums = sums = SumQueue(config)
        if config.stream_bits:
            self._gate(m, fetch, scan, pairs)
        else:
            wiring.connect(m, fetch.chunks, scan.chunks)
        wiring.connect(m, scan.subs, pairs.subs)
        m.d.comb += fetch.tokens.eq(self.tokens)
        if not config.stream_bits:
            m.d.comb += [
                fetch.drop.eq(scan.drop),
                pairs.load_addr.eq(self.load_addr),
                pairs.load_data.eq(self.load_data),
                pairs.load_en.eq(self.weight_load_en),
            ]
        if isinstance(fetch, ChunkFetch):
            m.d.comb += [
                fetch.load_addr.eq(self.load_addr),
                fetch.load_data.eq(self.load_data),
                fetch.load_en.eq(self.mask_load_en),
            ]
        elif isinstance(fetch, CountedFetch):
            m.d.comb += fetch.plan.eq(self.plan)
        for front in (fetch, scan):
            m.d.comb += [front.layer.eq(self.layer), front.start.eq(self.start)]
        for part in (fetch, pairs):
            m.d.comb += [
                part.broadcast.eq(self.broadcast),
                part.broadcast_en.eq(self.broadcast_en),
            ]

        if config.sharing:
            m.d.comb += [
                pairs.sharing.eq(self.sharing),
                pairs.neighbor_load_en.eq(self.neighbor_load_en),
                pairs.neighbor_broadcast_en.eq(self.neighbor_broadcast_en),
            ]
            wiring.connect(m, wiring.flipped(self.to_neighbor), pairs.to_neighbor)
            wiring.connect(m, wiring.flipped(self.from_neighbor), pairs.from_neighbor)

        for k in range(config.width):
            m.d.comb += sums.sums[k].eq(pairs.sums[k])
        m.d.comb += [
            pairs.room.eq(sums.room),
            sums.commit.eq(pairs.commit),
            sums.push.eq(pairs.push),
            sums.pop.eq(self.pop),
            sums.move.eq(self.move if config.width > 1 else 1),
            self.arrived.eq(sums.arrived),
            self.partial_sum.eq(sums.partial_sum),
        ]
        if config.parity:
            found = [part.wrong for part in (fetch, pairs) if hasattr(part, "wrong")]
            m.d.sync += self.wrong.eq(Cat(found).any())
        if config.counters:
            m.d.sync += self.slot.eq(
                Mux((pairs.slot == Slot.IDLE) & (fetch.busy | scan.busy), Slot.EMPTY, pairs.slot)
            )
        return m

    def _fetch(self) -> ChunkFetch | CountedFetch | RingFetch:
        config = self._config
        if not config.masks:
            return CountedFetch(config)
        return RingFetch(config) if config.stream_bits else ChunkFetch(config)

    def _gate(
        self,
        m: Module,
        fetch: ChunkFetch | CountedFetch | RingFetch,
        scan: MaskScan,
        pairs: PairStage,
    ) -> None:
        """Weights from external memory: a gate in front of the scan, and the rings' room."""
        m.submodules.gate = gate = WeightGate(self._config)
        wiring.connect(m, fetch.chunks, gate.chunks_in)
        wiring.connect(m, gate.chunks, scan.chunks)
        m.d.comb += [
            fetch.drop.eq(gate.drop_in),
            fetch.clear.eq(self.clear),
            gate.drop.eq(scan.drop),
            gate.start.eq(self.start),
            gate.written.eq(pairs.written),
            pairs.refill.eq(self.refill),
            pairs.clear.eq(self.clear),
            pairs.oldest.eq(scan.oldest),
            self.rooms[0].eq(pairs.room_there),
        ]
        walker: Any = fetch
        if isinstance(fetch, RingFetch):
            walker = gate
            m.d.comb += [
                gate.layer.eq(self.layer),
                gate.clear.eq(self.clear),
                fetch.refill.eq(self.refill),
                self.rooms[1].eq(fetch.room),
            ]
        else:
            m.d.comb += [gate.position.eq(fetch.position), self.rooms[1].eq(1)]
        m.d.comb += [
            scan.position.eq(gate.oldest),
            pairs.held.eq(walker.held),
            pairs.base.eq(walker.base),
        ]
