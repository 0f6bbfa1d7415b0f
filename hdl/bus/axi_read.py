"""Words from memory: an AXI4 read master."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .bursts import address_ports, offer_bursts
from .geometry import WORD_COUNT_BITS, MemoryGeometry

__all__ = ["AxiReader", "axi_read_ports"]


def axi_read_ports(geometry: MemoryGeometry) -> dict[str, wiring.Member]:
    """The master's ports, by their AXI names. All bursts have the ID 0."""
    return address_ports("ar", geometry) | {
        "rid": In(1),
        "rdata": In(geometry.data_bits),
        "rresp": In(2),
        "rlast": In(1),
        "rvalid": In(1),
        "rready": Out(1),
    }


class AxiReader(wiring.Component):
    """Reads consecutive words in bursts and gives them one at a time.

    A burst is asked for when the queue has room for all of its beats, so ``rready`` is high
    whenever a beat is due, and nothing makes the memory wait. So many beats as
    ``geometry.outstanding`` whole bursts have are under way. No burst crosses 4 KiB. The first and
    the last beat may hold fewer words.

    Latency: the first burst is asked for the cycle after ``start``, its first word comes three
    cycles after its beat; then a word a cycle.

    Parameters
    ----------
    geometry: of the memory and of the bursts.

    Members
    -------
    The ports of :func:`axi_read_ports`.
    start: begin, while ``idle`` without ``stop`` and ``error``; address: of the first word, a
        multiple of 4, words: how many, 1 or more.
    words_out: Out(stream of 32 bits). A word that ``stop`` meets may be lost.
    stop: as long as it is high no burst begins, beats are dropped and no word is offered.
    idle: no burst is under way, no word is left.
    beat: a beat comes in this cycle.
    error: the memory has answered a beat with an error; no word of it or behind it is offered.
        It stays until ``stop`` has met the last beat. error_address: of that beat.
    """

    def __init__(self, geometry: MemoryGeometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                **axi_read_ports(geometry),
                "start": In(1),
                "address": In(geometry.address_bits),
                "words": In(WORD_COUNT_BITS),
                "words_out": Out(stream.Signature(32)),
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
        shift, lane_bits = geometry.beat_shift, geometry.lane_bits
        depth = geometry.queue_beats
        halted = Signal()
        m.d.comb += halted.eq(self.stop | self.error)

        # Addresses: beats that are still to be asked for, and room in the queue for them.
        to_ask = Signal(WORD_COUNT_BITS + 1)
        room = Signal(range(depth + 1), init=depth)
        to_come = Signal(range(depth + 1))  # beats asked for that have not come
        pops = Signal()
        bursts = offer_bursts(m, geometry, self, "ar", to_ask)
        asks, length = bursts.begins, bursts.length
        m.d.comb += bursts.may.eq((to_ask != 0) & (room >= length) & ~halted)
        with m.If(self.start):
            head = self.address[2:shift] if lane_bits else Const(0, 1)
            m.d.sync += [
                bursts.beat.eq(self.address[shift:]),
                to_ask.eq((self.words + head + (geometry.lanes - 1)) >> lane_bits),
            ]
        with m.If(asks):
            m.d.sync += to_ask.eq(to_ask - length)
        with m.If(halted):
            m.d.sync += to_ask.eq(0)

        # Beats: into the queue, unless they are dropped.
        m.submodules.queue = queue = memory.Memory(
            shape=geometry.data_bits, depth=depth, init=[], attrs={"no_rw_check": 1}
        )
        write, read = queue.write_port(), queue.read_port()
        level = Signal(range(depth + 1))
        due_beat = Signal(geometry.address_bits - shift)  # address of the beat that comes next
        bad = Signal()
        m.d.comb += [
            self.rready.eq(to_come != 0),
            self.beat.eq(self.rvalid & self.rready),
            bad.eq(self.beat & self.rresp[1]),
            write.en.eq(self.beat & ~halted & ~bad),
            write.data.eq(self.rdata),
        ]
        m.d.sync += to_come.eq(to_come + Mux(asks, length, 0) - self.beat)
        with m.If(self.start):
            m.d.sync += due_beat.eq(self.address[shift:])
        with m.Elif(self.beat):
            m.d.sync += due_beat.eq(due_beat + 1)
            with m.If(bad & ~self.error):
                m.d.sync += [
                    self.error.eq(1),
                    self.error_address.eq(Cat(Const(0, shift), due_beat)),
                ]
        with m.If(self.stop & (to_come == 0)):
            m.d.sync += self.error.eq(0)
        with m.If(write.en):
            m.d.sync += write.addr.eq(write.addr + 1)

        # Words: a beat behind the queue, a word of it at a time.
        fetched, held = Signal(), Signal()  # in the memory's output; in the register behind it
        beat = Signal(geometry.data_bits, reset_less=True)
        lane = Signal(max(lane_bits, 1))
        to_give = Signal(WORD_COUNT_BITS)
        moves, gives, ends = Signal(), Signal(), Signal()
        m.d.comb += [
            pops.eq((level != 0) & (~fetched | moves)),
            read.en.eq(pops),
            moves.eq(fetched & (~held | (gives & ends))),
            self.words_out.valid.eq(held & ~halted),
            self.words_out.payload.eq(beat.word_select(lane, 32) if lane_bits else beat),
            gives.eq(self.words_out.valid & self.words_out.ready),
            ends.eq((lane == geometry.lanes - 1) | (to_give == 1)),
        ]
        m.d.sync += [
            level.eq(level + write.en - pops),
            room.eq(room - Mux(asks, length, 0) + pops),
        ]
        with m.If(pops):
            m.d.sync += [read.addr.eq(read.addr + 1), fetched.eq(1)]
        with m.Elif(moves):
            m.d.sync += fetched.eq(0)
        with m.If(moves):
            m.d.sync += [beat.eq(read.data), held.eq(1)]
        with m.Elif(gives & ends):
            m.d.sync += held.eq(0)
        with m.If(gives):
            m.d.sync += to_give.eq(to_give - 1)
            if lane_bits:
                m.d.sync += lane.eq(lane + 1)
        with m.If(self.start):
            m.d.sync += to_give.eq(self.words)
            if lane_bits:
                m.d.sync += lane.eq(self.address[2:shift])
        # What is dropped leaves the queue empty, and its room free once all beats have come.
        with m.If(halted):
            m.d.sync += [
                level.eq(0),
                write.addr.eq(0),
                read.addr.eq(0),
                fetched.eq(0),
                held.eq(0),
                to_give.eq(0),
                room.eq(depth - to_come),
            ]
        m.d.comb += self.idle.eq(
            (to_ask == 0) & (to_come == 0) & (to_give == 0) & ~self.arvalid & ~self.start
        )
        return m
