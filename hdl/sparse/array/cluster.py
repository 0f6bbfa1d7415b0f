"""A cluster: the lanes that share one post unit."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.common.instance import place
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.common.reset import with_registered_reset
from sparnn.hdl.common.small_fifo import SmallFifo
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.lane.lane import lane_signature
from sparnn.hdl.sparse.lane.ports import (
    broadcast_layout,
    lane_program,
    tokens_layout,
)
from sparnn.hdl.sparse.post.ports import post_read_signature
from sparnn.hdl.sparse.post.serial import SerialPostUnit
from sparnn.hdl.sparse.post.tags import PEEPHOLE_PROGRAM, ROW_TAG, post_program, row_sum_layout
from sparnn.hdl.sparse.post.unit import PostUnit

from .collector import Collector, rows_in_flight
from .counters import SlotCounters, counter_read_signature
from .load import load_layout
from .refill import arriving_words, dealt_layout, refill_lane
from .row_items import COLLECTOR_PROGRAM
from .row_plan import plan_rows
from .tree import ReductionTree, tree_latency

__all__ = ["Cluster", "cluster_signature", "LANE_MODULE"]

LANE_MODULE = "sparnn_lane"


def cluster_signature(config: SparseConfig) -> wiring.Signature:
    """A cluster's ports, explained in :class:`Cluster`."""
    return wiring.Signature(
        {
            "number": In(max(1, clog2(config.post_units))),
            "first_lane": In(10),
            "lane_program": In(lane_program(config)),
            "collector_program": In(COLLECTOR_PROGRAM),
            "post_program": In(post_program(config)),
            "start": In(1),
            "fresh": In(1),
            "tokens": In(tokens_layout(config)),
            "broadcast": In(broadcast_layout(config)),
            "broadcast_en": In(config.max_v),
            "load": In(load_layout(config)),
            "x_taken": Out(2 * config.threads),
            "state_read": In(post_read_signature(config)),
            "out": Out(stream.Signature(signed(PREACTIVATION_BITS))),
        }
        | ({"anew": In(1)} if config.delta else {})
        | ({"peephole_program": In(PEEPHOLE_PROGRAM)} if config.peepholes else {})
        | (
            {"dealt": In(dealt_layout(config)), "rooms": Out(2 * config.cluster_lanes)}
            if config.stream_bits
            else {}
        )
        | ({"wrong": Out(1)} if config.parity else {})
        | ({"busy": In(1), "counters": In(counter_read_signature())} if config.counters else {})
    )


class Cluster(wiring.Component):
    """S lanes, their collector and adder tree, and one post unit.

    Everything that comes in is registered once here, so that a broadcast reaches any number of
    clusters without a long wire; tokens and data take the same path and keep their order.

    Members
    -------
    number, first_lane: constants that tell equal clusters apart: which cluster, and the number of
        its first lane.
    lane_program, collector_program, post_program: static between two ``start`` pulses.
    start: begins a layer.
    fresh: its states start at zero.
    peephole_program: only with ``peepholes``: as ``post_program``.
    anew: only with ``delta``: the totals of its rows start at zero as well.
    tokens, broadcast, broadcast_en: steps and activations; ``broadcast_en`` has one bit per lane
        position modulo ``max_v``.
    load: the host's load bus.
    x_taken: of each thread, input halves collected, modulo 4: two bits.
    state_read: the host's reads of the post unit, a cycle later than there; only between runs.
    dealt, rooms: only with weights from external memory: a word of it for a lane, and of each lane
        whether its rings, of weights and of masks, have room.
    wrong: only with ``parity``: a word of masks, weights or states that was read is damaged.
    busy, counters: only with ``counters``: a run is under way; host read of the counters.
    out: stream of one 16-bit output per broadcast word.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(cluster_signature(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        here = _Arrived(config)
        self._arrive(m, here)

        m.submodules.collector = collector = Collector(config)
        m.submodules.tree = tree = ReductionTree(config)
        m.submodules.post = post = (SerialPostUnit if config.compact else PostUnit)(config)
        m.d.comb += [
            collector.program.eq(here.collector_program),
            collector.start.eq(here.start),
            collector.tokens.eq(here.tokens),
            collector.cluster.eq(here.number),
            self.x_taken.eq(collector.x_taken),
            post.program.eq(here.post_program),
            post.start.eq(here.start),
            post.fresh.eq(here.fresh),
            post.parameter_load.en.eq(here.load.parameter_en & here.mine),
            post.parameter_load.addr.eq(here.load.addr),
            post.parameter_load.data.eq(here.load.data),
            post.state_load.en.eq(here.load.state_en & here.mine),
            post.state_load.addr.eq(here.load.addr),
            post.state_load.data.eq(here.load.data),
        ]

        if config.delta:
            m.d.comb += [
                post.anew.eq(here.anew),
                post.total_load.en.eq(here.load.total_en & here.mine),
                post.total_load.addr.eq(here.load.addr),
                post.total_load.data.eq(here.load.data),
            ]
            m.d.sync += post.state_read.total.eq(self.state_read.total)
        if config.peepholes:
            m.d.comb += post.peephole_program.eq(here.peephole_program)

        placed = self._place_lanes(m, here, collector, tree)
        if config.sharing:
            self._share(m, here, placed)

        m.submodules.rows = rows = self._rows(m, collector, tree)
        m.d.sync += collector.taken.eq(rows.o.valid & rows.o.ready)
        wiring.connect(m, rows.o, post.sums)
        wiring.connect(m, wiring.flipped(self.out), post.out)
        m.d.sync += [
            post.state_read.en.eq(self.state_read.en),
            post.state_read.addr.eq(self.state_read.addr),
        ]
        m.d.comb += self.state_read.data.eq(post.state_read.data)
        if config.parity:
            found = [post.wrong, *(lane.wrong for lane, _ in placed)]
            m.d.sync += self.wrong.eq(Cat(found).any())
        if config.counters:
            m.submodules.counters = counters = SlotCounters(config)
            m.d.sync += counters.counting.eq(self.busy)
            for slot, (lane, _) in zip(counters.slots, placed, strict=True):
                m.d.comb += slot.eq(lane.slot)
            wiring.connect(m, wiring.flipped(self.counters), counters.read)
        return with_registered_reset(m)

    def _arrive(self, m: Module, here: "_Arrived") -> None:
        """Register what comes in; not where this is the only cluster of a compact machine."""
        config = self._config
        arriving = m.d.comb if config.compact else m.d.sync
        arriving += [
            here.layer.eq(self.lane_program),
            here.collector_program.eq(self.collector_program),
            here.post_program.eq(self.post_program),
            here.fresh.eq(self.fresh),
            here.start.eq(self.start),
            here.tokens.eq(self.tokens),
            here.broadcast.eq(self.broadcast),
            here.broadcast_en.eq(self.broadcast_en),
            here.load.eq(self.load),
            here.lane_index.eq(self.load.index - self.first_lane),
            here.mine.eq(self.load.index == self.number),
            here.number.eq(self.number),
        ]
        m.d.sync += here.lane_load.eq(here.load)
        if config.delta:
            m.d.sync += here.anew.eq(self.anew)
        if config.peepholes:
            m.d.sync += here.peephole_program.eq(self.peephole_program)

    def _place_lanes(
        self, m: Module, here: "_Arrived", collector: Collector, tree: ReductionTree
    ) -> list[tuple[Any, Signal]]:
        """The lanes, each with the enable that loads its weights."""
        config = self._config
        plans = None
        if not config.masks:
            plans = plan_rows(m, config, here.collector_program, here.number)
        placed = []
        dealt = arriving_words(m, config, self.dealt) if config.stream_bits else None
        for index in range(config.cluster_lanes):
            lane = place(m, f"lane{index}", lane_signature(config), LANE_MODULE)
            placed.append((lane, weight_en := Signal(name=f"weight_en{index}")))
            m.d.comb += [
                lane.layer.eq(here.layer),
                lane.start.eq(here.start),
                lane.tokens.eq(here.tokens),
                lane.broadcast.eq(here.broadcast),
                lane.broadcast_en.eq(here.broadcast_en[index % config.max_v]),
            ]
            if dealt is not None:
                refill_lane(m, dealt, lane, self.first_lane + index, index)
                m.d.sync += self.rooms[2 * index : 2 * index + 2].eq(lane.rooms)
            else:
                chosen = here.lane_index == index
                mask_en = Signal(name=f"mask_en{index}")
                m.d.sync += [
                    mask_en.eq(here.load.mask_en & chosen),
                    weight_en.eq(here.load.weight_en & chosen),
                ]
                m.d.comb += [
                    lane.load_addr.eq(here.lane_load.addr),
                    lane.load_data.eq(here.lane_load.data),
                    lane.mask_load_en.eq(mask_en),
                    lane.weight_load_en.eq(weight_en),
                ]
            m.d.comb += [
                collector.arrived[index].eq(lane.arrived),
                lane.pop.eq(collector.pop[index]),
                tree.partial_sums[index].eq(lane.partial_sum),
            ]
            if config.width > 1:
                m.d.comb += lane.move.eq(collector.move)
            if plans is not None:
                m.d.comb += lane.plan.eq(plans[index])
        return placed

    def _share(self, m: Module, here: "_Arrived", placed: list[tuple[Any, Signal]]) -> None:
        """Connect neighbours, which take each other's work."""
        sharing = Signal()
        m.d.sync += sharing.eq(here.collector_program.v_log2 != 0)
        for index, (lane, _) in enumerate(placed):
            neighbor, weight_en = placed[index ^ 1]
            m.d.comb += [
                lane.sharing.eq(sharing),
                lane.neighbor_load_en.eq(weight_en),
                lane.neighbor_broadcast_en.eq(here.broadcast_en[(index ^ 1) % self._config.max_v]),
            ]
            wiring.connect(m, lane.from_neighbor, neighbor.to_neighbor)

    def _rows(self, m: Module, collector: Collector, tree: ReductionTree) -> SmallFifo:
        """The queue behind the tree.

        The tag travels beside the sum: one cycle in the lane, then the tree. Nothing of it can
        wait: the collector knows what the queue has room for.
        """
        config = self._config
        rows = SmallFifo(row_sum_layout(config), rows_in_flight(config))
        tag, tag_valid = collector.tag, collector.tag_valid
        for stage in range(1 + tree_latency(config)):
            next_tag = Signal(ROW_TAG, name=f"tag{stage}", reset_less=True)
            next_valid = Signal(name=f"tag_valid{stage}")
            m.d.sync += [next_tag.eq(tag), next_valid.eq(tag_valid)]
            tag, tag_valid = next_tag, next_valid
        m.d.comb += [
            rows.push.eq(tag_valid),
            rows.data.psum.eq(tree.sum),
            rows.data.tag.eq(tag),
        ]
        return rows


class _Arrived:
    """What has come into a cluster, a cycle after its ports.

    Members
    -------
    lane_load: beside the lanes' enables. lane_index: the lane that a load is for. mine: it is for
        the post unit.
    Others: as the cluster's.
    """

    def __init__(self, config: SparseConfig) -> None:
        self.start = Signal()
        self.tokens = Signal(tokens_layout(config))
        self.broadcast = Signal(broadcast_layout(config), reset_less=True)
        self.broadcast_en = Signal(config.max_v)
        self.load = Signal(load_layout(config))
        self.lane_load = Signal(load_layout(config), reset_less=True)
        self.lane_index = Signal(11)
        self.mine = Signal()
        self.number = Signal(max(1, clog2(config.post_units)))
        self.layer = Signal(lane_program(config), name="lane_program")
        self.collector_program = Signal(COLLECTOR_PROGRAM)
        self.post_program = Signal(post_program(config))
        self.fresh = Signal()
        self.anew = Signal()
        self.peephole_program = Signal(PEEPHOLE_PROGRAM)
