"""A queue whose writer has counted its room beforehand."""

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

__all__ = ["SmallFifo"]


class SmallFifo(wiring.Component):
    """First in, first out, in LUT RAM, or block RAM where there is none; with a registered output.

    The writer never waits: it has kept count and pushes ``depth`` items at most beyond those taken.

    Parameters
    ----------
    shape: an item.
    depth: items, a power of two; 16 or fewer cost the same on most devices.
    registers: in flip-flops, where a whole block RAM is too much for it.

    Members
    -------
    push: In(1).
    data: In(shape).
    o: Out(stream of ``shape``), :attr:`LATENCY` cycles later at best.
    """

    LATENCY = 2

    def __init__(self, shape: ShapeLike, depth: int, *, registers: bool = False) -> None:
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"SmallFifo: depth = {depth} is not a power of two")
        self._shape, self._depth = shape, depth
        # An item is read when it has been there for a cycle, so never while it is written.
        self._attrs: dict[str, int | str] = {"no_rw_check": 1}
        if registers:
            self._attrs["ram_style"] = "logic"
        super().__init__({"push": In(1), "data": In(shape), "o": Out(stream.Signature(shape))})

    @property
    def depth(self) -> int:
        return self._depth

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(
            shape=self._shape, depth=self._depth, init=[], attrs=self._attrs
        )
        write, read = memory.write_port(), memory.read_port()
        # One bit more than an address, so that full and empty differ.
        head, tail = Signal(range(2 * self._depth)), Signal(range(2 * self._depth))
        valid = Signal()
        m.d.comb += [
            write.en.eq(self.push),
            write.addr.eq(tail),
            write.data.eq(self.data),
            read.addr.eq(head),
            read.en.eq(~valid | self.o.ready),
            self.o.valid.eq(valid),
            self.o.payload.eq(read.data),
        ]
        with m.If(self.push):
            m.d.sync += tail.eq(tail + 1)
        with m.If(~valid | self.o.ready):
            # Counts with it, and is not chosen: ``ready`` comes late.
            m.d.sync += [valid.eq(head != tail), head.eq(head + (head != tail))]
        return m
