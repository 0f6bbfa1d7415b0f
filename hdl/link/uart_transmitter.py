"""Bytes onto an asynchronous serial line."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .protocol import LEAST_DIVISOR

__all__ = ["UartTransmitter"]


class UartTransmitter(wiring.Component):
    """8 data bits, no parity, 1 stop bit. A byte takes 10 bits and one cycle.

    Parameters
    ----------
    divisor: clock cycles per bit.

    Members
    -------
    bytes: In(stream of 8 bits).
    line: the pin, from a register, high when idle.
    """

    def __init__(self, divisor: int) -> None:
        assert divisor >= LEAST_DIVISOR
        self._divisor = divisor
        super().__init__({"bytes": In(stream.Signature(8)), "line": Out(1, init=1)})

    @property
    def divisor(self) -> int:
        return self._divisor

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = Signal(range(11))
        timer = Signal(range(self._divisor))
        shift = Signal(9, init=0x1FF)
        m.d.comb += self.bytes.ready.eq(left == 0)
        with m.If(left == 0):
            m.d.sync += timer.eq(self._divisor - 1)
            with m.If(self.bytes.valid):
                m.d.sync += [left.eq(10), shift.eq(self.bytes.payload), shift[8].eq(1)]
                m.d.sync += self.line.eq(0)
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [timer.eq(self._divisor - 1), left.eq(left - 1)]
            with m.If(left != 1):
                m.d.sync += [self.line.eq(shift[0]), shift.eq(Cat(shift[1:], Const(1, 1)))]
        return m
