"""Where in the store a layer's outputs lie, in the order in which they are computed."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.config import MachineConfig
from sparnn.hdl.protocol import DESCRIPTOR_FIELDS

__all__ = ["PLACES_PROGRAM", "OutputPlaces"]

PLACES_PROGRAM = data.StructLayout(
    {name: DESCRIPTOR_FIELDS[name][2] for name in ("out_words", "out_stride", "reverse")}
)


class OutputPlaces(wiring.Component):
    """Counts through the words of a step, then goes one step on, or back in a reverse layer.

    Members
    -------
    program: static from ``start`` to the last word.
    start, first: In(1), In(address). The next place is ``first``.
    next: In(1), on to the next place; not in the two cycles after ``start``.
    word, last_word: Out, number of the word in its step, and whether it is the step's last one.
    addr: Out, its place.
    """

    def __init__(self, config: MachineConfig) -> None:
        address = (config.store_depth - 1).bit_length()
        super().__init__(
            {
                "program": In(PLACES_PROGRAM),
                "start": In(1),
                "first": In(address),
                "next": In(1),
                "word": Out(DESCRIPTOR_FIELDS["out_words"][2]),
                "last_word": Out(1),
                "addr": Out(address),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        program = self.program
        jump = Signal.like(self.addr, reset_less=True)  # from a step's last word to the next step
        backwards = program.reverse
        stride = Signal(len(program.out_stride) + 1)
        m.d.comb += [
            stride.eq(program.out_stride ^ backwards.replicate(len(stride))),
            self.last_word.eq(self.word + 1 == program.out_words),
        ]
        m.d.sync += jump.eq(stride.as_signed() + backwards - program.out_words + 1)
        with m.If(self.start):
            m.d.sync += [self.word.eq(0), self.addr.eq(self.first)]
        with m.Elif(self.next):
            m.d.sync += [
                self.word.eq(Mux(self.last_word, 0, self.word + 1)),
                self.addr.eq(self.addr + Mux(self.last_word, jump, 1)),
            ]
        return m
