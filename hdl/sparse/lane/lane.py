"""One lane: chunk fetch, mask scan, pair stage, partial-sum queue."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.sparse.config import SparseConfig

from .fetch import ChunkFetch
from .neighbor import sharing_members
from .pairs import PairStage, issue_to_sum
from .ports import LANE_PROGRAM, broadcast_layout, tokens_layout
from .scan import MaskScan
from .slots import Slot

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
            "load_data": In(max(config.mask_entry_bits, config.weight_bits)),
            "mask_load_en": In(1),
            "weight_load_en": In(1),
            "arrived": Out(1),
            "pop": In(1),
            "partial_sum": Out(signed(config.lane_sum_bits)),
        }
        | ({"slot": Out(Slot)} if config.counters else {})
        | sharing_members(config)
    )


class Lane(wiring.Component):
    """A multiply-accumulate lane with its own weights, masks and copy of the activations.

    MASR's lane (arXiv 1908.08976, section V-B) with hierarchical masks: the scan works on
    chunks, the pair logic on sub-masks of ``sub_chunk`` bits.

    Members
    -------
    layer, start, tokens: see :class:`~sparnn.hdl.sparse.lane.fetch.ChunkFetch`.
    broadcast: a word for the local copies.
    broadcast_en: the word is for this lane's slice, and written.
    load_addr, load_data: the host's bus.
    mask_load_en, weight_load_en: the host writes that memory.
    arrived: a row's sum is written to the queue; it may be popped from the next cycle on.
    pop: the oldest sum is taken; whoever pops keeps count of what arrived.
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
        m.submodules.fetch = fetch = ChunkFetch(config)
        m.submodules.scan = scan = MaskScan(config)
        m.submodules.pairs = pairs = PairStage(config)
        wiring.connect(m, fetch.chunks, scan.chunks)
        wiring.connect(m, scan.subs, pairs.subs)
        m.d.comb += [
            fetch.tokens.eq(self.tokens),
            fetch.drop.eq(scan.drop),
            fetch.load_addr.eq(self.load_addr),
            fetch.load_data.eq(self.load_data),
            fetch.load_en.eq(self.mask_load_en),
            pairs.load_addr.eq(self.load_addr),
            pairs.load_data.eq(self.load_data),
            pairs.load_en.eq(self.weight_load_en),
        ]
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

        # The partial-sum queue: a row claims its place when its last pair is issued, so that a sum
        # always finds room when it arrives, at the place that was claimed. Pointers that are equal
        # after a claim mean that no place is left.
        depth = config.queue_places
        m.submodules.sums = sums = memory.Memory(
            shape=signed(config.lane_sum_bits), depth=depth, init=[]
        )
        write, read = sums.write_port(), sums.read_port(domain="comb")
        head, claim = Signal(range(depth)), Signal(range(depth))
        next_claim = (claim + 1)[: len(claim)]
        full = Signal()
        tail = claim
        for stage in range(issue_to_sum(config) - 1):
            arriving = Signal.like(claim, name=f"tail{stage}")
            m.d.sync += arriving.eq(tail)
            tail = arriving
        m.d.comb += [
            pairs.room.eq(~full),
            write.addr.eq(tail),
            write.data.eq(pairs.sum),
            write.en.eq(pairs.push),
            read.addr.eq(head),
            self.arrived.eq(pairs.push),
        ]
        with m.If(pairs.commit):
            m.d.sync += [claim.eq(next_claim), full.eq(next_claim == head)]
        with m.If(self.pop):
            m.d.sync += [head.eq(head + 1), full.eq(0)]
        popped = Signal(signed(config.lane_sum_bits), reset_less=True)
        m.d.comb += self.partial_sum.eq(popped)
        m.d.sync += popped.eq(Mux(self.pop, read.data, 0))
        if config.counters:
            m.d.sync += self.slot.eq(
                Mux((pairs.slot == Slot.IDLE) & (fetch.busy | scan.busy), Slot.EMPTY, pairs.slot)
            )
        return m
