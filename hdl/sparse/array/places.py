"""Where in the store a loop's outputs lie, in the order in which they are computed."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR

__all__ = ["PLACES_PROGRAM", "OutputPlaces"]

PLACES_PROGRAM = DESCRIPTOR.layout(("out_words", "out_stride", "reverse", "paired"))


class OutputPlaces(wiring.Component):
    """Counts through the words of a step, then goes one step on, or back in a reverse layer.

    In a pair the steps of its threads take turns: the first goes on, the second one back.

    Members
    -------
    program: static from ``start`` to the last word.
    start, first: In(1), In(address of each thread). The next place is the first thread's.
    next: In(1), on to the next place; not in the two cycles after ``start``.
    thread: Out, whose place it is.
    word, last_word: Out, number of the word in its step, and whether it is the step's last one.
    addr: Out, its place.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        address = config.store_address_bits
        super().__init__(
            {
                "program": In(PLACES_PROGRAM),
                "start": In(1),
                "first": In(data.ArrayLayout(address, config.threads)),
                "next": In(1),
                "thread": Out(1),
                "word": Out(DESCRIPTOR.width("out_words")),
                "last_word": Out(1),
                "addr": Out(address),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        program = self.program
        # From a step's last word to the first one of the thread's next step, onwards and back.
        onwards = Signal.like(self.addr, reset_less=True)
        back = Signal.like(self.addr, reset_less=True)
        m.d.sync += [
            onwards.eq(program.out_stride - program.out_words + 1),
            back.eq(1 - program.out_stride - program.out_words),
        ]
        # Whether a word is the last one is known a word ahead, so that no counter is waited for.
        left = Signal.like(program.out_words, reset_less=True)  # words behind this one
        last_word = Signal(reset_less=True)
        m.d.comb += self.last_word.eq(last_word)
        with m.If(self.start | (self.next & last_word)):
            m.d.sync += [left.eq(program.out_words - 1), last_word.eq(program.out_words == 1)]
        with m.Elif(self.next):
            m.d.sync += [left.eq(left - 1), last_word.eq(left == 1)]
        jump = Mux(program.reverse | self.thread, back, onwards)
        after = Signal.like(self.addr)
        m.d.comb += after.eq(self.addr + Mux(self.last_word, jump, 1))
        with m.If(self.start):
            m.d.sync += [self.word.eq(0), self.thread.eq(0), self.addr.eq(self.first[0])]
        with m.Elif(self.next):
            m.d.sync += [self.word.eq(Mux(self.last_word, 0, self.word + 1)), self.addr.eq(after)]
        if self._config.threads > 1:
            other = Signal.like(self.addr)  # the other thread's next place
            with m.If(self.start):
                m.d.sync += other.eq(self.first[1])
            with m.Elif(self.next & self.last_word & program.paired):
                m.d.sync += [self.thread.eq(~self.thread), self.addr.eq(other), other.eq(after)]
        return m
