"""Reads from the store what a layer's outputs are added to."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.config import MachineConfig
from sparnn.hdl.post.small_fifo import SmallFifo
from sparnn.hdl.protocol import DESCRIPTOR_FIELDS

__all__ = ["StoredAddends"]


class StoredAddends(wiring.Component):
    """Fetches the words that lie at the places of a step's outputs, up to :attr:`AHEAD` ahead.

    It begins when the step before has been written to its last word: what two directions add to may
    have been written only then.

    Parameters
    ----------
    config: ``store_depth``, ``activation_bits``, ``post_units``.

    Members
    -------
    start, first, words: a step begins: In(1), a pulse while nothing is inside; In(address) and
        In(number) of its words.
    free: In(1), the read port may be used in this cycle. read_en, read_addr: Out; ``read_en`` is
        high only while ``free``. wanted: Out(1), it would be used.
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
                "start": In(1),
                "first": In(address),
                "words": In(DESCRIPTOR_FIELDS["out_words"][2]),
                "free": In(1),
                "wanted": Out(1),
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
        m.submodules.fifo = fifo = SmallFifo(self.o.payload.shape(), self.AHEAD)
        left = Signal.like(self.words)
        ahead = Signal(range(self.AHEAD + 1))
        arrives, leaves = Signal(), Signal()
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        m.d.comb += [
            self.wanted.eq((left != 0) & (ahead != self.AHEAD)),
            self.read_en.eq(self.wanted & self.free),
            leaves.eq(self.o.valid & self.o.ready),
            fifo.push.eq(arrives),
            fifo.data.eq(self.read_data),
        ]
        m.d.sync += [arrives.eq(self.read_en), ahead.eq(ahead + self.read_en - leaves)]
        with m.If(self.start):
            m.d.sync += [left.eq(self.words), self.read_addr.eq(self.first)]
        with m.Elif(self.read_en):
            m.d.sync += [left.eq(left - 1), self.read_addr.eq(self.read_addr + 1)]
        return m
