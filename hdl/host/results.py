"""Turns output words into the packets that the host reads."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.machine import MachineConfig

from .protocol import ARGUMENT_BITS, Response

__all__ = ["ResultWriter"]


def result_word_layout(config: MachineConfig) -> data.StructLayout:
    """Outputs for the host: ``count`` of the 16-bit ``values`` count. first: begins a step."""
    return data.StructLayout(
        {
            "values": data.ArrayLayout(signed(PREACTIVATION_BITS), config.post_units),
            "count": range(config.post_units + 1),
            "first": 1,
        }
    )


class ResultWriter(wiring.Component):
    """Sends one RESULT packet per emitted step: a header, then one word per value.

    Takes a word when the one before has left; one value per cycle, and one cycle more
    for taking the word; a header costs another.
    """

    def __init__(self, config: MachineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "units": In(config.DESCRIPTOR.width("units")),
                "results": In(stream.Signature(result_word_layout(config))),
                "words": Out(stream.Signature(32)),
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        values = Signal(self.results.payload.values.as_value().shape())
        left = Signal.like(self.results.payload.count)
        header = Signal()
        units = Signal.like(self.units)  # the layer may be over before its header leaves
        value = Signal(signed(32))
        m.d.comb += [
            self.results.ready.eq(self.idle),
            self.words.valid.eq(~self.idle),
            value.eq(values[:PREACTIVATION_BITS].as_signed()),
            self.words.payload.eq(
                Mux(
                    header,
                    Cat(
                        units,
                        Const(0, ARGUMENT_BITS - len(units)),
                        Const(Response.RESULT, 4),
                    ),
                    value,
                )
            ),
        ]
        with m.If(self.idle):
            m.d.sync += [
                values.eq(self.results.payload.values.as_value()),
                units.eq(self.units),
                header.eq(self.results.valid & self.results.payload.first),
                left.eq(self.results.payload.count),
                self.idle.eq(~self.results.valid),
            ]
        with m.Elif(self.words.ready):
            m.d.sync += header.eq(0)
            with m.If(~header):
                m.d.sync += [
                    values.eq(values >> PREACTIVATION_BITS),
                    left.eq(left - 1),
                    self.idle.eq(left == 1),
                ]
        return m
