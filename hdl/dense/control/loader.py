"""Fetches input vectors, and the hidden state a run starts from, out of the sequence store."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.dense.array.bank import broadcast_layout, copy_base, copy_share, times
from sparnn.hdl.dense.array.sequencer import layer_layout
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.host.protocol import RUN_STEPS_BITS, Kind

__all__ = ["VectorLoader", "WordPlace"]


class WordPlace(wiring.Component):
    """Where the words of a vector go in the lanes' copies, in order.

    Members
    -------
    word: the present word is complete, end: and is the vector's last.
    place, column: of it.
    """

    def __init__(self, config: DenseConfig) -> None:
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

    One word per cycle. A word is on the bus two cycles after its address. A reverse layer begins
    with its last step. Paired layers take turns, the second one backwards. The vectors of streams
    that take turns lie one after the other, step by step.

    Members
    -------
    layer, steps, fresh, in_ahead: static from ``start``.
    x_whole: see the sequencer.
    store_en, store_addr, store_data: the store's read port, data one cycle later.
    x_word, x_end, h_word, h_end: with the address, for the sequencer.
    bus: a word for the lanes.
    to_hidden: it belongs to the hidden state.
    """

    def __init__(self, config: DenseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "layer": In(layer_layout(config)),
                "steps": In(RUN_STEPS_BITS),
                "fresh": In(1),
                "start": In(1),
                "in_ahead": In(clog2(config.store_depth)),
                "x_whole": In(2),
                "store_en": Out(1),
                "store_addr": Out(clog2(config.store_depth)),
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
        up, down = Signal.like(address), Signal.like(address)  # where the next steps of x lie
        up_left, down_left = Signal(RUN_STEPS_BITS), Signal(RUN_STEPS_BITS)
        backwards = Signal()  # the next vector of x is of the layer that goes backwards
        turn = Signal(config.turn_bits)  # of the next hidden state
        turns_last, next_stream = Signal(2), Signal(2)
        round_end = Signal()  # the next vector of x is the last stream's
        word = Signal(16)
        hidden, reading, initial = Signal(), Signal(), Signal()
        buffer = Signal()
        words = Mux(hidden, layer.out_words, layer.in_words)
        last = Signal()
        left = Signal()
        onward = Signal.like(address)
        m.d.comb += [
            last.eq(word + 1 == words),
            self.store_en.eq(reading),
            self.store_addr.eq(address),
            self.x_word.eq(reading & ~hidden),
            self.x_end.eq(last),
            self.h_word.eq(reading & hidden),
            self.h_end.eq(last),
            left.eq(Mux(backwards, down_left, up_left) != 0),
            onward.eq(Mux(backwards, down, up)),
            turns_last.eq(layer.streams_last | layer.paired),
            round_end.eq(next_stream == layer.streams_last),
        ]
        # The last step may lie apart: going backwards it comes first.
        with m.If(layer.last_apart & Mux(backwards, down_left == self.steps, up_left == 1)):
            m.d.comb += onward.eq(layer.in_last_base + times(layer.in_words, next_stream))
        with m.If(reading):
            m.d.sync += [word.eq(word + 1), address.eq(address + 1)]
            with m.If(last):
                m.d.sync += [reading.eq(0), hidden.eq(0), word.eq(0)]
                with m.If(hidden):
                    m.d.sync += [initial.eq(turn != turns_last), turn.eq(turn + 1)]
                with m.Else():
                    m.d.sync += buffer.eq(~buffer)
        with m.Elif(initial):
            m.d.sync += [
                initial.eq(0),
                reading.eq(1),
                hidden.eq(1),
                address.eq(layer.hidden_base + times(layer.out_words, turn)),
            ]
        with m.Elif(left & ~self.x_whole[1]):
            m.d.sync += [
                reading.eq(1),
                address.eq(onward),
                backwards.eq(backwards ^ layer.paired),
            ]
            with m.If(backwards):
                m.d.sync += [down.eq(down - layer.in_words), down_left.eq(down_left - 1)]
            with m.Else():
                m.d.sync += [
                    up.eq(up + layer.in_words),
                    up_left.eq(up_left - round_end),
                    next_stream.eq(Mux(round_end, 0, next_stream + 1)),
                ]
        with m.If(self.start):
            end = Signal.like(address)
            m.d.comb += end.eq(layer.in_base + self.in_ahead)
            m.d.sync += [
                word.eq(0),
                buffer.eq(0),
                turn.eq(0),
                next_stream.eq(Mux(layer.streams_last == 0, 0, 1)),
                reading.eq(1),
                hidden.eq(0),
                initial.eq(~self.fresh & (layer.kind != Kind.LINEAR)),
                backwards.eq(layer.reverse | layer.paired),
                up.eq(layer.in_base + layer.in_words),
                up_left.eq(Mux(layer.reverse, 0, self.steps - (layer.streams_last == 0))),
                down.eq(Mux(layer.reverse, end - layer.in_words, end)),
                down_left.eq(Mux(layer.paired, self.steps, Mux(layer.reverse, self.steps - 1, 0))),
                address.eq(Mux(layer.reverse, end, layer.in_base)),
            ]
            with m.If(layer.last_apart & (layer.reverse | (self.steps == 1))):
                m.d.sync += address.eq(layer.in_last_base)

        # One cycle later the store has answered; one more and the word is on the bus.
        side = data.StructLayout(
            {"valid": 1, "hidden": 1, "share": config.turn_bits, "end": 1, "buffer": 1}
        )
        asked, there = Signal(side), Signal(side)
        m.d.sync += [
            asked.valid.eq(reading),
            asked.hidden.eq(hidden),
            asked.share.eq(Mux(hidden, copy_share(config, layer, turn), 0)),
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
            self.bus.addr.eq(place.column + copy_base(config, there.buffer, there.share)),
            self.bus.data.eq(values),
        ]
        return m
