"""Reads from the store what a layer's outputs are added to."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.config import MachineConfig
from sparnn.hdl.post.small_fifo import SmallFifo
from sparnn.hdl.protocol import RUN_STEPS_BITS

from .places import PLACES_PROGRAM, OutputPlaces

__all__ = ["StoredAddends"]


class StoredAddends(wiring.Component):
    """Fetches the store's words at the places of a layer's outputs, up to :attr:`AHEAD` ahead.

    Reads when nobody else does: the vectors that go out come first, and while they wait for the
    lanes there is time enough. Each place is read once, before its sum is written, so reading ahead
    sees what the other direction has left there.

    Parameters
    ----------
    config: ``store_depth``, ``activation_bits``, ``post_units``.

    Members
    -------
    program: static from ``start`` to the last word.
    start: In(1), a pulse while nothing is inside. first: In(address), of the first word.
    enable: In(1), with ``start``: there is something to add. steps: In, of the layer.
    free: In(1), nobody else reads in this cycle. read_en, read_addr: Out; only while ``free``.
    read_data: In(store word), one cycle after ``read_en``.
    o: Out(stream of the word's activations).
    """

    #: Words fetched and not yet taken.
    AHEAD = 4

    def __init__(self, config: MachineConfig) -> None:
        self._config = config
        address = (config.store_depth - 1).bit_length()
        super().__init__(
            {
                "program": In(PLACES_PROGRAM),
                "start": In(1),
                "first": In(address),
                "enable": In(1),
                "steps": In(RUN_STEPS_BITS),
                "free": In(1),
                "read_en": Out(1),
                "read_addr": Out(address),
                "read_data": In(config.store_entry_bits),
                "o": Out(
                    stream.Signature(data.ArrayLayout(config.activation_bits, config.post_units))
                ),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.places = places = OutputPlaces(self._config)
        m.submodules.fifo = fifo = SmallFifo(self.o.payload.shape(), self.AHEAD)
        steps_left = Signal(RUN_STEPS_BITS)
        ahead = Signal(range(self.AHEAD + 1))
        settled = Signal()  # a cycle after the start, when the places know their jump
        arrives, leaves = Signal(), Signal()
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        m.d.comb += [
            places.program.eq(self.program),
            places.start.eq(self.start),
            places.first.eq(self.first),
            places.next.eq(self.read_en),
            self.read_addr.eq(places.addr),
            self.read_en.eq(settled & (steps_left != 0) & self.free & (ahead != self.AHEAD)),
            leaves.eq(self.o.valid & self.o.ready),
            fifo.push.eq(arrives),
            fifo.data.eq(self.read_data),
        ]
        m.d.sync += [
            settled.eq(~self.start),
            arrives.eq(self.read_en),
            ahead.eq(ahead + self.read_en - leaves),
        ]
        with m.If(self.start):
            m.d.sync += steps_left.eq(Mux(self.enable, self.steps, 0))
        with m.Elif(self.read_en & places.last_word):
            m.d.sync += steps_left.eq(steps_left - 1)
        return m
