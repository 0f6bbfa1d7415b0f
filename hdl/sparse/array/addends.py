"""Reads from the store what a layer's outputs are added to."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.small_fifo import SmallFifo
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR

__all__ = ["StoredAddends"]


class StoredAddends(wiring.Component):
    """Fetches the words that lie at the places of a step's outputs, up to :attr:`ahead` ahead.

    It begins when the step before has been written to its last word: what two directions add to may
    have been written only then.

    Parameters
    ----------
    config: the store's parameters, ``activation_bits``, ``post_units``. Without ``backwards``
        nothing is inside.

    Members
    -------
    start, first, words: a step begins: In(1), a pulse while nothing is inside; In(address) and
        In(number) of its words.
    read_en, read_addr: Out, the read port, from registers. Nobody else may use it in that cycle.
    read_data: In(store word), ``store_latency`` cycles after ``read_en``.
    o: Out(stream of the word's activations).
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        #: Words fetched and not yet taken: what hides the latency of the store.
        self.ahead = 8
        address = config.store_address_bits
        super().__init__(
            {
                "start": In(1),
                "first": In(address),
                "words": In(DESCRIPTOR.width("out_words")),
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
        if not self._config.backwards:
            return m
        m.submodules.fifo = fifo = SmallFifo(self.o.payload.shape(), self.ahead)
        left = Signal.like(self.words)
        ahead = Signal(range(self.ahead + 1))
        reading, leaves = Signal(self._config.store_latency), Signal()
        ask, addr = Signal(), Signal.like(self.read_addr)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        m.d.comb += [
            ask.eq((left != 0) & (ahead != self.ahead)),
            fifo.push.eq(reading[-1]),
            fifo.data.eq(self.read_data),
        ]
        m.d.sync += [
            reading.eq(Cat(self.read_en, reading)),
            leaves.eq(self.o.valid & self.o.ready),
            ahead.eq(ahead + ask - leaves),
            self.read_en.eq(ask),
            self.read_addr.eq(addr),
        ]
        with m.If(self.start):
            m.d.sync += [left.eq(self.words), addr.eq(self.first)]
        with m.Elif(ask):
            m.d.sync += [left.eq(left - 1), addr.eq(addr + 1)]
        return m
