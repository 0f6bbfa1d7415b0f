"""Fetches input vectors, and the hidden state a run starts from, out of the sequence store."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.protocol import RUN_STEPS_BITS, Kind

from .bank import broadcast_layout
from .config import TileConfig
from .sequencer import layer_layout

__all__ = ["VectorLoader", "WordPlace"]


class WordPlace(wiring.Component):
    """Where the words of a vector go in the lanes' copies, in order.

    Members
    -------
    word: the present word is complete, end: and is the vector's last. place, column: of it.
    """

    def __init__(self, config: TileConfig) -> None:
        self._config = config
        super().__init__(
            {
                "clear": In(1),
                "word": In(1),
                "end": In(1),
                "place": Out(range(max(1, config.words_per_column))),
                "column": Out(range(config.columns + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.If(self.word):
            m.d.sync += self.place.eq(self.place + 1)
            with m.If(self.place == self._config.words_per_column - 1):
                m.d.sync += [self.place.eq(0), self.column.eq(self.column + 1)]
        with m.If(self.clear | (self.word & self.end)):
            m.d.sync += [self.place.eq(0), self.column.eq(0)]
        return m


class VectorLoader(wiring.Component):
    """x_0, then the hidden state unless it is zero, then x_1, x_2, … as buffers become free.

    One word per cycle. A word is on the bus two cycles after its address.

    Members
    -------
    layer, steps, fresh: static from ``start``. x_whole: see the sequencer.
    store_en, store_addr, store_data: the store's read port, data one cycle later.
    x_word, x_end, h_word, h_end: with the address, for the sequencer.
    bus: a word for the lanes; to_hidden: it belongs to the hidden state.
    """

    def __init__(self, config: TileConfig) -> None:
        self._config = config
        super().__init__(
            {
                "layer": In(layer_layout()),
                "steps": In(RUN_STEPS_BITS),
                "fresh": In(1),
                "start": In(1),
                "x_whole": In(2),
                "store_en": Out(1),
                "store_addr": Out((config.store_depth - 1).bit_length()),
                "store_data": In(config.store_entry_bits),
                "x_word": Out(1),
                "x_end": Out(1),
                "h_word": Out(1),
                "h_end": Out(1),
                "bus": Out(broadcast_layout(config)),
                "to_hidden": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, layer = self._config, self.layer
        m.submodules.place = place = WordPlace(config)
        address = Signal.like(self.store_addr)
        onward = Signal.like(address)  # where the next step of x lies
        word = Signal(16)
        left = Signal(RUN_STEPS_BITS)
        hidden, reading, initial = Signal(), Signal(), Signal()
        buffer = Signal()
        words = Mux(hidden, layer.out_words, layer.in_words)
        last = Signal()
        m.d.comb += [
            last.eq(word + 1 == words),
            self.store_en.eq(reading),
            self.store_addr.eq(address),
            self.x_word.eq(reading & ~hidden),
            self.x_end.eq(last),
            self.h_word.eq(reading & hidden),
            self.h_end.eq(last),
        ]
        with m.If(reading):
            m.d.sync += [word.eq(word + 1), address.eq(address + 1)]
            with m.If(last):
                m.d.sync += [reading.eq(0), hidden.eq(0), word.eq(0)]
                with m.If(~hidden):
                    m.d.sync += [onward.eq(address + 1), left.eq(left - 1), buffer.eq(~buffer)]
        with m.Elif(initial):
            m.d.sync += [
                initial.eq(0),
                reading.eq(1),
                hidden.eq(1),
                address.eq(layer.hidden_base),
            ]
        with m.Elif((left != 0) & ~self.x_whole[1]):
            m.d.sync += [
                reading.eq(1),
                address.eq(Mux(layer.last_apart & (left == 1), layer.in_last_base, onward)),
            ]
        with m.If(self.start):
            m.d.sync += [
                word.eq(0),
                buffer.eq(0),
                left.eq(self.steps),
                reading.eq(1),
                hidden.eq(0),
                initial.eq(~self.fresh & (layer.kind != Kind.LINEAR)),
                onward.eq(layer.in_base),
                address.eq(
                    Mux(layer.last_apart & (self.steps == 1), layer.in_last_base, layer.in_base)
                ),
            ]

        # One cycle later the store has answered; one more and the word is on the bus.
        side = data.StructLayout({"valid": 1, "hidden": 1, "end": 1, "buffer": 1})
        asked, there = Signal(side), Signal(side)
        m.d.sync += [
            asked.valid.eq(reading),
            asked.hidden.eq(hidden),
            asked.end.eq(last),
            asked.buffer.eq(buffer | hidden),  # the state before step 0 lies where step -1 would be
            there.eq(asked),
        ]
        values = Signal(data.ArrayLayout(signed(config.activation_bits), config.word))
        m.d.sync += values.as_value().eq(self.store_data)
        m.d.comb += [
            place.clear.eq(self.start),
            place.word.eq(there.valid),
            place.end.eq(there.end),
            self.to_hidden.eq(there.hidden),
            self.bus.valid.eq(there.valid.replicate(config.slices)),
            self.bus.place.eq(place.place),
            self.bus.addr.eq(place.column + Mux(there.buffer, config.columns, 0)),
            self.bus.data.eq(values),
        ]
        return m
