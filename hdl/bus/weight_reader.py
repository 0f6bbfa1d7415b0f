"""Weights from memory: a second AXI4 read master, whose bursts have the ID 1."""

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.memory_port import REQUEST
from sparnn.hdl.common.small_fifo import SmallFifo

from .axi_read import axi_read_ports
from .bursts import offer_bursts
from .geometry import MemoryGeometry

__all__ = ["ReadShare", "WeightReader"]


class WeightReader(wiring.Component):
    """Answers the machine's requests with whole beats, one request after the other.

    Bursts of the next request begin while those of the one before are under way. A burst is asked
    for when the queue has room for all of it, so nothing makes the memory wait.

    Latency: two cycles from a request to its first burst, three from a beat to its word; then a
    word a cycle. Flow control: streams.

    Parameters
    ----------
    geometry: of the memory and of the bursts.

    Members
    -------
    The ports of :func:`~sparnn.hdl.bus.axi_read.axi_read_ports`.
    base: of the weights, a byte address, a multiple of a beat's bytes.
    requests: In(stream), counted in beats from there. words: Out(stream of beats).
    stop: as long as it is high no burst begins and beats are dropped.
    idle: no burst is under way. beat: one comes in this cycle.
    error, error_address: the memory has answered the beat there with an error; until ``stop``.
    """

    def __init__(self, geometry: MemoryGeometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                **axi_read_ports(geometry),
                "base": In(geometry.address_bits),
                "requests": In(stream.Signature(REQUEST)),
                "words": Out(stream.Signature(geometry.data_bits)),
                "stop": In(1),
                "idle": Out(1),
                "beat": Out(1),
                "error": Out(1),
                "error_address": Out(geometry.address_bits),
            }
        )

    @property
    def geometry(self) -> MemoryGeometry:
        return self._geometry

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry = self._geometry
        shift, depth = geometry.beat_shift, geometry.queue_beats
        halted = Signal()
        m.d.comb += halted.eq(self.stop | self.error)

        to_ask = Signal(len(self.requests.payload.words))
        room, to_come = Signal(range(depth + 1), init=depth), Signal(range(depth + 1))
        under_way = Signal(range(geometry.outstanding + 1))
        ends = Signal()
        bursts = offer_bursts(m, geometry, self, "ar", to_ask)
        beat, asks, length = bursts.beat, bursts.begins, bursts.length
        m.d.comb += [
            self.requests.ready.eq((to_ask == 0) & ~halted),
            bursts.may.eq(
                (to_ask != 0) & (room >= length) & (under_way != geometry.outstanding) & ~halted
            ),
            self.arid.eq(1),
        ]
        with m.If(asks):
            m.d.sync += to_ask.eq(to_ask - length)
        with m.Elif(self.requests.valid & self.requests.ready):
            m.d.sync += [
                beat.eq(self.base[shift:] + self.requests.payload.address),
                to_ask.eq(self.requests.payload.words),
            ]
        with m.If(halted):
            m.d.sync += to_ask.eq(0)

        # Beats, and where the burst that comes began.
        m.submodules.queue = queue = ResetInserter(halted)(SmallFifo(geometry.data_bits, depth))
        m.submodules.places = places = SmallFifo(len(beat), max(4, 2 * geometry.outstanding))
        within, taken = Signal(range(geometry.burst)), Signal()
        wiring.connect(m, queue.o, wiring.flipped(self.words))
        m.d.comb += [
            self.rready.eq(to_come != 0),
            self.beat.eq(self.rvalid & self.rready),
            ends.eq(self.beat & self.rlast),
            queue.push.eq(self.beat & ~halted & ~self.rresp[1]),
            queue.data.eq(self.rdata),
            places.push.eq(asks),
            places.data.eq(beat),
            places.o.ready.eq(ends),
            taken.eq(self.words.valid & self.words.ready),
            self.idle.eq((to_come == 0) & ~self.arvalid),
        ]
        m.d.sync += [
            to_come.eq(to_come + Mux(asks, length, 0) - self.beat),
            under_way.eq(under_way + asks - ends),
            room.eq(room - Mux(asks, length, 0) + taken),
        ]
        with m.If(self.beat):
            m.d.sync += within.eq(Mux(self.rlast, 0, within + 1))
            with m.If(self.rresp[1] & ~halted):
                m.d.sync += [
                    self.error.eq(1),
                    self.error_address.eq(Cat(Const(0, shift), places.o.payload + within)),
                ]
        # What is dropped leaves the queue empty, and its room free once all beats have come.
        with m.If(halted):
            m.d.sync += room.eq(depth - to_come)
        with m.If(self.stop & (to_come == 0)):
            m.d.sync += self.error.eq(0)
        return m


class ReadShare(wiring.Component):
    """Two read masters on one: bursts in turn, beats by their ID.

    Latency: a cycle where the other one's turn begins.

    Members
    -------
    The ports of :func:`~sparnn.hdl.bus.axi_read.axi_read_ports`, and those of each master, turned
    round, behind ``of0_`` and ``of1_``.
    """

    def __init__(self, geometry: MemoryGeometry) -> None:
        ports = axi_read_ports(geometry)
        turned = {
            f"of{number}_{name}": member.flip()
            for number in range(2)
            for name, member in ports.items()
        }
        super().__init__({**ports, **turned})
        self._names = {
            flow: [name for name, member in ports.items() if member.flow is flow]
            for flow in (In, Out)
        }

    def elaborate(self, platform: object) -> Module:
        m = Module()
        owner = Signal()
        asks = [getattr(self, f"of{number}_arvalid") for number in range(2)]
        for name in self._names[Out]:
            if name == "rready":
                m.d.comb += self.rready.eq(Mux(self.rid, self.of1_rready, self.of0_rready))
            else:
                ours = getattr(self, name)
                m.d.comb += ours.eq(
                    Mux(owner, getattr(self, f"of1_{name}"), getattr(self, f"of0_{name}"))
                )
        for number in range(2):
            mine = owner == number
            for name in self._names[In]:
                value = getattr(self, name)
                if name == "arready":
                    value = value & mine
                elif name == "rvalid":
                    value = value & (self.rid == number)
                m.d.comb += getattr(self, f"of{number}_{name}").eq(value)
        # What is offered stands until it is taken.
        with m.If(self.arready | ~self.arvalid):
            m.d.sync += owner.eq(Mux(owner, ~asks[0], asks[1]))
        return m
