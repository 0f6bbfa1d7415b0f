"""A queue of words in block RAM."""

from amaranth.hdl import Module, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["WordQueue"]


class WordQueue(wiring.Component):
    """First in, first out; block RAM without logic for reading what is being written.

    Latency 4 cycles from ``i`` to ``o`` when empty; one word per two cycles out.

    Parameters
    ----------
    width: of a word.
    depth: a power of two, 4 or more; so many words fit, and two more on their way out.

    Members
    -------
    i, o: streams.
    """

    LATENCY = 4

    def __init__(self, width: int, depth: int) -> None:
        assert depth >= 4
        assert depth & (depth - 1) == 0
        self._width = width
        self._depth = depth
        super().__init__({"i": In(stream.Signature(width)), "o": Out(stream.Signature(width))})

    @property
    def width(self) -> int:
        return self._width

    @property
    def depth(self) -> int:
        return self._depth

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.words = words = memory.Memory(
            shape=self._width, depth=self._depth, init=[], attrs={"no_rw_check": 1}
        )
        write, read = words.write_port(), words.read_port()
        level = Signal(range(self._depth + 1))
        written, taken = Signal(), Signal()
        fetched, moved, valid = Signal(), Signal(), Signal()  # in the memory's output; behind it
        payload = Signal(self._width, reset_less=True)
        m.d.comb += [
            self.i.ready.eq(level != self._depth),
            write.en.eq(written),
            write.data.eq(self.i.payload),
            written.eq(self.i.valid & self.i.ready),
            # ``level`` counts a word a cycle after it was written: never read while written.
            read.en.eq(taken),
            taken.eq((level != 0) & ~fetched),
            moved.eq(fetched & (~valid | self.o.ready)),
            self.o.valid.eq(valid),
            self.o.payload.eq(payload),
        ]
        m.d.sync += level.eq(level + written - taken)
        with m.If(written):
            m.d.sync += write.addr.eq(write.addr + 1)
        with m.If(taken):
            m.d.sync += [read.addr.eq(read.addr + 1), fetched.eq(1)]
        with m.Elif(moved):
            m.d.sync += fetched.eq(0)
        with m.If(moved):
            m.d.sync += [valid.eq(1), payload.eq(read.data)]
        with m.Elif(self.o.ready):
            m.d.sync += valid.eq(0)
        return m
