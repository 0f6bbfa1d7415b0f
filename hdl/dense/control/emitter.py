"""Sends output steps from the sequence store to the host, in its own time."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.dense.array.sequencer import layer_layout
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.host.protocol import ARGUMENT_BITS, RUN_STEPS_BITS, Response

__all__ = ["Emitter"]


class Emitter(wiring.Component):
    """One RESULT packet per emitted step: a header, then one word per value.

    The array never waits for the host: steps lie in the store until they are sent.

    Members
    -------
    layer, steps: static from ``start`` until ``idle``.
    step: another step is in the store.
    store_en, store_addr: ask for a word; granted in the same cycle by ``store_ready``; store_data
        one cycle later.
    words: to the host.
    idle: all steps so far are sent.
    """

    def __init__(self, config: DenseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "layer": In(layer_layout(config)),
                "steps": In(RUN_STEPS_BITS),
                "start": In(1),
                "step": In(1),
                "store_en": Out(1),
                "store_addr": Out(clog2(config.store_depth)),
                "store_ready": In(1),
                "store_data": In(config.store_entry_bits),
                "words": Out(stream.Signature(32)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, layer = self._config, self.layer
        bits = config.activation_bits
        pending = Signal(RUN_STEPS_BITS)  # in the store and neither sent nor skipped
        left = Signal(RUN_STEPS_BITS)
        skip = Signal()  # a step was dealt with
        base, address = Signal.like(self.store_addr), Signal.like(self.store_addr)
        to_send = Signal(16)
        here = Signal(range(config.word + 1))
        low = Signal(data.ArrayLayout(bits, config.word))
        high = Signal(data.ArrayLayout(bits, config.word))
        value = Signal(signed(32))
        whole = Cat(low[0], high[0])[:16]
        m.d.comb += [
            value.eq(Mux(layer.wide, whole.as_signed(), low[0].as_signed())),
            self.words.payload.eq(value),
            self.store_addr.eq(address),
        ]
        with m.If(self.step & ~skip):
            m.d.sync += pending.eq(pending + 1)
        with m.Elif(skip & ~self.step):
            m.d.sync += pending.eq(pending - 1)

        with m.FSM() as fsm:
            with m.State("WAIT"):
                last = left == 1
                with m.If(pending != 0):
                    m.d.sync += [
                        address.eq(Mux(last & layer.last_hidden, layer.hidden_base, base)),
                        to_send.eq(layer.units),
                    ]
                    with m.If(layer.emit & (last | ~layer.emit_last)):
                        m.next = "HEADER"
                    with m.Else():
                        m.next = "NEXT"
            with m.State("HEADER"):
                m.d.comb += [
                    self.words.valid.eq(1),
                    self.words.payload.eq(
                        Cat(layer.units, Const(0, ARGUMENT_BITS - 16), Const(Response.RESULT, 4))
                    ),
                ]
                with m.If(self.words.ready):
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += self.store_en.eq(1)
                with m.If(self.store_ready):
                    m.next = "TAKE"
            with m.State("TAKE"):
                m.d.sync += low.as_value().eq(self.store_data)
                m.d.sync += here.eq(Mux(to_send > config.word, config.word, to_send))
                m.next = "SEND"
                with m.If(layer.wide):
                    m.next = "ASK HIGH"
            with m.State("ASK HIGH"):
                m.d.comb += [self.store_en.eq(1), self.store_addr.eq(address + layer.out_words)]
                with m.If(self.store_ready):
                    m.next = "TAKE HIGH"
            with m.State("TAKE HIGH"):
                m.d.sync += high.as_value().eq(self.store_data)
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.words.valid.eq(1)
                with m.If(self.words.ready):
                    m.d.sync += [
                        low.as_value().eq(low.as_value() >> bits),
                        high.as_value().eq(high.as_value() >> bits),
                        here.eq(here - 1),
                        to_send.eq(to_send - 1),
                    ]
                    with m.If(here == 1):
                        m.d.sync += address.eq(address + 1)
                        m.next = "ASK"
                        with m.If(to_send == 1):
                            m.next = "NEXT"
            with m.State("NEXT"):
                m.d.comb += skip.eq(1)
                m.d.sync += [
                    left.eq(left - 1),
                    base.eq(base + layer.out_stride),
                ]
                m.next = "SETTLE"
            with m.State("SETTLE"):
                m.next = "WAIT"
            m.d.comb += self.idle.eq(fsm.ongoing("WAIT") & (pending == 0))
        with m.If(self.start):
            m.d.sync += [left.eq(self.steps), base.eq(layer.out_base), pending.eq(0)]
        return m
