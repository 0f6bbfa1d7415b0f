"""Words to memory: an AXI4 write master."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.small_fifo import SmallFifo

from .bursts import address_ports, offer_bursts
from .geometry import MemoryGeometry

__all__ = ["AxiWriter", "axi_write_ports"]


def axi_write_ports(geometry: MemoryGeometry) -> dict[str, wiring.Member]:
    """The master's ports, by their AXI names. All bursts have the ID 0."""
    return address_ports("aw", geometry) | {
        "wdata": Out(geometry.data_bits),
        "wstrb": Out(geometry.data_bits // 8),
        "wlast": Out(1),
        "wvalid": Out(1),
        "wready": In(1),
        "bid": In(1),
        "bresp": In(2),
        "bvalid": In(1),
        "bready": Out(1),
    }


class AxiWriter(wiring.Component):
    """Packs words into beats, and writes them to consecutive addresses in bursts.

    A burst begins when all of its beats wait in the queue: as many as a whole burst, or up to a
    multiple of its length, or, with ``finish``, what there is. So the memory never waits for data,
    and no burst crosses 4 KiB. Strobes leave what is beside the words as it was. Address and data
    of a burst are offered at once, neither waits for the other's ready; up to
    ``geometry.outstanding`` bursts have not been answered.

    Latency: a whole burst's address is offered two cycles after its last word came. A word a cycle.

    Parameters
    ----------
    geometry: of the memory and of the bursts.

    Members
    -------
    The ports of :func:`axi_write_ports`.
    start: begin, while ``idle`` without ``drop`` and ``error``; address: of the first word, a
        multiple of 4.
    words_in: In(stream of 32 bits).
    finish: no word comes any more; write what is there, however short. It stays until ``idle``.
    drop: as long as it is high words are taken and dropped, with what waits in the queue and is not
        of a burst that has begun.
    idle: no word is left and all bursts are answered.
    beat: a beat leaves in this cycle.
    error: the memory has answered a burst with an error; from then on as with ``drop``. It stays
        until ``drop`` has met the last answer. error_address: of that burst.
    """

    def __init__(self, geometry: MemoryGeometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                **axi_write_ports(geometry),
                "start": In(1),
                "address": In(geometry.address_bits),
                "words_in": In(stream.Signature(32)),
                "finish": In(1),
                "drop": In(1),
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
        shift, lane_bits, lanes = geometry.beat_shift, geometry.lane_bits, geometry.lanes
        depth = 2 * geometry.burst
        dropping = Signal()
        m.d.comb += dropping.eq(self.drop | self.error)

        # Words into a beat. A full one goes to the queue at once, the last one with ``finish``.
        lane = Signal(max(lane_bits, 1))
        beat = Signal(geometry.data_bits, reset_less=True)
        filled = Signal(lanes)  # which words the beat has
        full, pushes, takes = Signal(), Signal(), Signal()
        level = Signal(range(depth + 1))  # beats in the queue that belong to no burst
        begun = Signal(range(depth + 1))  # beats in the queue of bursts that have begun
        m.d.comb += [
            full.eq(filled[-1] | (self.finish & filled.any())),
            pushes.eq(full & (level + begun != depth) & ~dropping),
            self.words_in.ready.eq(~filled[-1] | pushes | dropping),
            takes.eq(self.words_in.valid & self.words_in.ready & ~dropping),
        ]
        with m.If(pushes | dropping):
            m.d.sync += filled.eq(0)
        with m.If(takes):
            for one in range(lanes):
                with m.If(lane == one):
                    m.d.sync += [
                        beat.word_select(one, 32).eq(self.words_in.payload),
                        filled[one].eq(1),
                    ]
            if lane_bits:
                m.d.sync += lane.eq(lane + 1)
        with m.If(self.start):
            m.d.sync += lane.eq(self.address[2:shift] if lane_bits else 0)

        # The queue: data with a strobe for each word.
        m.submodules.queue = queue = memory.Memory(
            shape=geometry.data_bits + lanes, depth=depth, init=[], attrs={"no_rw_check": 1}
        )
        write, read = queue.write_port(), queue.read_port()
        m.d.comb += [write.en.eq(pushes), write.data.eq(Cat(beat, filled))]
        with m.If(pushes):
            m.d.sync += write.addr.eq(write.addr + 1)

        # Bursts: one begins when the address before has been taken and all its data fetched.
        bursts = offer_bursts(m, geometry, self, "aw", level)
        begins, length = bursts.begins, bursts.length
        open_ = Signal(range(geometry.outstanding + 1))  # bursts without answer
        fetches, answered = Signal(), Signal()
        rest = self.finish & ~filled.any()
        whole = Signal(range(geometry.burst + 1))
        m.submodules.lengths = lengths = SmallFifo(
            range(geometry.burst + 1), max(2, geometry.outstanding), registers=True
        )
        m.d.comb += [
            whole.eq(geometry.burst_length(bursts.beat, geometry.burst)),
            bursts.may.eq(
                (level != 0)
                & ((level >= whole) | rest)
                & (begun == 0)
                & (open_ != geometry.outstanding)
                & ~dropping
            ),
            lengths.push.eq(begins),
            lengths.data.eq(length),
        ]
        with m.If(dropping):
            m.d.sync += level.eq(0)
        with m.Else():
            m.d.sync += level.eq(level + pushes - Mux(begins, length, 0))
        m.d.sync += begun.eq(begun + Mux(begins, length, 0) - fetches)

        # Data: out of the queue, through a register.
        fetched, last_fetched = Signal(), Signal()
        moves = Signal()
        strobes = Signal(lanes)
        m.d.comb += [
            fetches.eq((begun != 0) & (~fetched | moves)),
            read.en.eq(fetches),
            moves.eq(fetched & (~self.wvalid | self.wready)),
            self.beat.eq(self.wvalid & self.wready),
            self.wstrb.eq(Cat(strobes[one].replicate(4) for one in range(lanes))),
        ]
        with m.If(fetches):
            m.d.sync += [fetched.eq(1), last_fetched.eq(begun == 1), read.addr.eq(read.addr + 1)]
        with m.Elif(moves):
            m.d.sync += fetched.eq(0)
        with m.If(moves):
            m.d.sync += [
                self.wvalid.eq(1),
                Cat(self.wdata, strobes).eq(read.data),
                self.wlast.eq(last_fetched),
            ]
        with m.Elif(self.wready):
            m.d.sync += self.wvalid.eq(0)

        # Answers, in order.
        due_beat = Signal(geometry.address_bits - shift)
        m.d.comb += [
            self.bready.eq(lengths.o.valid),
            answered.eq(self.bvalid & self.bready),
            lengths.o.ready.eq(answered),
        ]
        m.d.sync += open_.eq(open_ + begins - answered)
        with m.If(self.drop & (open_ == 0)):
            m.d.sync += self.error.eq(0)
        with m.If(self.start):
            m.d.sync += [
                bursts.beat.eq(self.address[shift:]),
                due_beat.eq(self.address[shift:]),
            ]
        with m.Elif(answered):
            m.d.sync += due_beat.eq(due_beat + lengths.o.payload)
            with m.If(self.bresp[1] & ~self.error):
                m.d.sync += [
                    self.error.eq(1),
                    self.error_address.eq(Cat(Const(0, shift), due_beat)),
                ]
        # Beats that are dropped are no longer between the two addresses of the queue.
        with m.If(dropping & (begun == 0)):
            m.d.sync += [write.addr.eq(0), read.addr.eq(0)]
        m.d.comb += self.idle.eq(~filled.any() & (level == 0) & (open_ == 0) & ~self.start)
        return m
