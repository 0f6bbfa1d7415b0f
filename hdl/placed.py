"""The emitted machine as a component: what boards and buses are built around."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .common.instance import place
from .emit import TOP_MODULE

__all__ = ["PlacedMachine"]


class PlacedMachine(wiring.Component):
    """The machine as an instance of its Verilog module, in the clock domain ``sync``.

    Parameters
    ----------
    link_words: words that the machine takes at once.

    Members
    -------
    rx, tx: the machine's streams.
    """

    def __init__(self, link_words: int = 1) -> None:
        super().__init__(
            {
                "rx": In(stream.Signature(32 * link_words)),
                "tx": Out(stream.Signature(32)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        machine = place(m, "machine", self.signature, TOP_MODULE)
        m.d.comb += [
            machine.rx.valid.eq(self.rx.valid),
            machine.rx.payload.eq(self.rx.payload),
            self.rx.ready.eq(machine.rx.ready),
            self.tx.valid.eq(machine.tx.valid),
            self.tx.payload.eq(machine.tx.payload),
            machine.tx.ready.eq(self.tx.ready),
        ]
        return m
