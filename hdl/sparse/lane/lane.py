"""One lane: chunk fetch, mask scan, pair stage, partial-sum queue."""

from amaranth.hdl import Module, Mux, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.sparse.config import SparseConfig

from .counted_fetch import CountedFetch
from .fetch import ChunkFetch
from .neighbor import sharing_members
from .pairs import PairStage
from .ports import LANE_PROGRAM, broadcast_layout, row_plan_layout, tokens_layout
from .scan import MaskScan
from .slots import Slot
from .sums import SumQueue

__all__ = ["Lane", "lane_signature"]


def lane_signature(config: SparseConfig) -> wiring.Signature:
    """A lane's ports, explained in :class:`Lane`."""
    return wiring.Signature(
        {
            "layer": In(LANE_PROGRAM),
            "start": In(1),
            "tokens": In(tokens_layout(config)),
            "broadcast": In(broadcast_layout(config)),
            "broadcast_en": In(1),
            "load_addr": In(20),
            "load_data": In(max(config.mask_entry_bits, config.weight_entry_bits)),
            "mask_load_en": In(1),
            "weight_load_en": In(1),
            "arrived": Out(1),
            "pop": In(1),
            "partial_sum": Out(signed(config.lane_sum_bits)),
        }
        | ({"move": In(1)} if config.width > 1 else {})
        | ({} if config.masks else {"plan": In(row_plan_layout(config))})
        | ({"slot": Out(Slot)} if config.counters else {})
        | sharing_members(config)
    )


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
    arrived, pop, move: see :class:`~sparnn.hdl.sparse.lane.sums.SumQueue`; whoever pops keeps count
        of what arrived.
    plan: of a machine without masks; see
        :class:`~sparnn.hdl.sparse.lane.counted_fetch.CountedFetch`.
    partial_sum: the popped sum one cycle later, zero if none was popped.
    slot: what the cycle before was used for; only on a machine with ``counters``.
    sharing, neighbor_load_en, neighbor_broadcast_en, to_neighbor, from_neighbor: only on a machine
        with ``sharing``; see :class:`~sparnn.hdl.sparse.lane.pairs.PairStage`.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(lane_signature(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.fetch = fetch = (ChunkFetch if config.masks else CountedFetch)(config)
        m.submodules.scan = scan = MaskScan(config)
        m.submodules.pairs = pairs = PairStage(config)
        m.submodules.sums = sums = SumQueue(config)
        wiring.connect(m, fetch.chunks, scan.chunks)
        wiring.connect(m, scan.subs, pairs.subs)
        m.d.comb += [
            fetch.tokens.eq(self.tokens),
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
        else:
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
        if config.counters:
            m.d.sync += self.slot.eq(
                Mux((pairs.slot == Slot.IDLE) & (fetch.busy | scan.busy), Slot.EMPTY, pairs.slot)
            )
        return m
