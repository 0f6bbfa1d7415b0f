"""Where the lanes' cycles go: counted in the hardware, read by the host."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.counting import population_count
from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.host.protocol import COUNTER_WORDS, Counter
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.lane.slots import Slot

__all__ = ["SlotCounters", "counter_read_signature"]


def counter_read_signature() -> wiring.Signature:
    """The host reads 16 bits: ``data`` belongs to the ``addr`` of two cycles ago. ``addr`` is the
    counter times :data:`COUNTER_WORDS` plus which of its bits, least significant first."""
    return wiring.Signature(
        {
            "addr": Out(unsigned(clog2(len(Counter) * COUNTER_WORDS))),
            "data": In(unsigned(PREACTIVATION_BITS)),
        }
    )


class SlotCounters(wiring.Component):
    """Sums what the lanes of a cluster do, by :class:`~sparnn.hdl.host.protocol.Counter`.

    Idle lanes count as *tail* while no lane of the cluster has anything to do: the sums are on
    their way through the post units, or the last word of a step on its way back.

    Members
    -------
    slots: each lane's :class:`~sparnn.hdl.sparse.lane.slots.Slot` in this cycle.
    counting: a run is under way; its rise clears the counters. Their sum is then lanes times
        cycles.
    read: the host's port; only between runs.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "slots": In(unsigned(2)).array(config.cluster_lanes),
                "counting": In(1),
                "read": In(counter_read_signature()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = self._config.cluster_lanes
        width = PREACTIVATION_BITS * COUNTER_WORDS

        flags = {slot: Signal(lanes, name=f"flags_{slot.name.lower()}") for slot in Slot}
        counts = {
            slot: Signal(range(lanes + 1), name=f"count_{slot.name.lower()}") for slot in Slot
        }
        flagged, counted = Signal(), Signal()
        m.d.sync += [flagged.eq(self.counting), counted.eq(flagged)]
        for slot in Slot:
            m.d.sync += [
                flags[slot].eq(Cat(one == slot for one in self.slots)),
                counts[slot].eq(population_count(m, flags[slot])),
            ]

        totals = {one: Signal(width, name=f"total_{one.name.lower()}") for one in Counter}
        all_idle = counts[Slot.IDLE] == lanes
        amounts = {
            Counter.PAIR: counts[Slot.PAIR],
            Counter.STALL: counts[Slot.STALL],
            Counter.EMPTY: counts[Slot.EMPTY],
            Counter.IDLE: Mux(all_idle, 0, counts[Slot.IDLE]),
            Counter.TAIL: Mux(all_idle, lanes, 0),
        }
        for one, total in totals.items():
            with m.If(counted):
                m.d.sync += total.eq(total + amounts[one])
            with m.Elif(flagged):
                m.d.sync += total.eq(0)

        words = Array(
            totals[one][k * PREACTIVATION_BITS : (k + 1) * PREACTIVATION_BITS]
            for one in Counter
            for k in range(COUNTER_WORDS)
        )
        chosen = Signal(PREACTIVATION_BITS)
        m.d.sync += [chosen.eq(words[self.read.addr]), self.read.data.eq(chosen)]
        return m
