"""Bytes off an asynchronous serial line."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from .protocol import LEAST_DIVISOR

__all__ = ["UartReceiver"]


class UartReceiver(wiring.Component):
    """8 data bits, no parity, 1 stop bit; each bit is sampled once, in its middle.

    The line passes two flip-flops. A start bit that is not low in its middle is a glitch and
    ignored. After a byte without stop bit, the next start bit is the next falling edge. There is no
    back-pressure: a byte is there for one cycle. It comes half a bit before its stop bit ends, so a
    sender that is a little fast is followed.

    Parameters
    ----------
    divisor: clock cycles per bit, at least 4.

    Members
    -------
    line: the pin.
    byte, valid: a byte, for one cycle.
    broken: a byte without stop bit, one cycle.
    """

    def __init__(self, divisor: int) -> None:
        assert divisor >= LEAST_DIVISOR
        self._divisor = divisor
        super().__init__({"line": In(1, init=1), "byte": Out(8), "valid": Out(1), "broken": Out(1)})

    @property
    def divisor(self) -> int:
        return self._divisor

    def elaborate(self, platform: object) -> Module:
        m = Module()
        divisor = self._divisor
        now = Signal(init=1)
        before = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.line, now, init=1)
        m.d.sync += [before.eq(now), self.valid.eq(0), self.broken.eq(0)]

        left = Signal(range(11))  # bits to sample: start, eight, stop
        timer = Signal(range(divisor))
        with m.If(left == 0):
            m.d.sync += timer.eq(divisor // 2 - 1)
            with m.If(before & ~now):
                m.d.sync += left.eq(10)
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [timer.eq(divisor - 1), left.eq(left - 1)]
            with m.If(left == 1):
                m.d.sync += [self.valid.eq(now), self.broken.eq(~now)]
            with m.Else():
                m.d.sync += self.byte.eq(Cat(self.byte[1:], now))
            with m.If((left == 10) & now):
                m.d.sync += left.eq(0)
        return m
