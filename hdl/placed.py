"""The emitted machine as a component: what boards and buses are built around."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .common.instance import place
from .common.memory_port import memory_members
from .emit import TOP_MODULE

__all__ = ["PlacedMachine"]


class PlacedMachine(wiring.Component):
    """The machine as an instance of its Verilog module, in the clock domain ``sync``.

    Parameters
    ----------
    link_words: words that the machine takes at once.
    stream_bits: of its words of external memory, 0: it reads none. parity: it has parity.

    Members
    -------
    rx, tx: the machine's streams. requests, words, damaged: its ports to external memory.
    wrong: with ``parity``: a word that it read is damaged.
    """

    def __init__(self, link_words: int = 1, stream_bits: int = 0, parity: int = 0) -> None:
        self._stream_bits, self._parity = stream_bits, parity
        super().__init__(
            {
                "rx": In(stream.Signature(32 * link_words)),
                "tx": Out(stream.Signature(32)),
            }
            | memory_members(stream_bits)
            | ({"wrong": Out(1)} if parity else {})
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
        if self._stream_bits:
            m.d.comb += [
                self.requests.valid.eq(machine.requests.valid),
                self.requests.payload.eq(machine.requests.payload),
                machine.requests.ready.eq(self.requests.ready),
                machine.words.valid.eq(self.words.valid),
                machine.words.payload.eq(self.words.payload),
                self.words.ready.eq(machine.words.ready),
                self.damaged.eq(machine.damaged),
            ]
        if self._parity:
            m.d.comb += self.wrong.eq(machine.wrong)
        return m
