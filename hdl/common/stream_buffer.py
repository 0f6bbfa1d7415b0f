"""A two-entry buffer that cuts a stream's ready chain."""

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["StreamBuffer"]


class StreamBuffer(wiring.Component):
    """Skid buffer: every output, ready included, comes from a register.

    Latency 1 cycle, one item per cycle. ``i.ready`` is a register, so the ready chain of the blocks
    behind ends here.

    Parameters
    ----------
    shape: the payload's shape.

    Members
    -------
    i: In(stream of ``shape``).
    o: Out(stream of ``shape``).
    """

    LATENCY = 1

    def __init__(self, shape: ShapeLike) -> None:
        self._shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    @property
    def shape(self) -> ShapeLike:
        return self._shape

    def elaborate(self, platform: object) -> Module:
        m = Module()
        payload = Signal(self._shape, reset_less=True)
        skid = Signal(self._shape, reset_less=True)
        valid = Signal()
        ready = Signal(init=1)  # the skid register is empty

        m.d.comb += [self.i.ready.eq(ready), self.o.valid.eq(valid), self.o.payload.eq(payload)]
        with m.If(ready):
            m.d.sync += skid.eq(self.i.payload)
        with m.If(~valid | self.o.ready):
            with m.If(ready):
                m.d.sync += [payload.eq(self.i.payload), valid.eq(self.i.valid)]
            with m.Else():
                m.d.sync += [payload.eq(skid), valid.eq(1), ready.eq(1)]
        with m.Elif(ready):
            m.d.sync += ready.eq(~self.i.valid)
        return m
