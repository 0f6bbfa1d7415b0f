"""What a job costs, and whether it still moves."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["JobCounters"]


class JobCounters(wiring.Component):
    """Counters of 32 bits, wrapping, from ``begin`` on; and a watchdog.

    Latency 1 cycle.

    Members
    -------
    begin: all become 0. count: the job is at work.
    read_beat, write_beat, read_stall, write_stall: in this cycle; each is counted.
    moved: something did in this cycle. timeout: cycles; 0: never.
    expired: for ``timeout`` cycles of the job nothing has.
    cycles, read_beats, write_beats, read_stalls, write_stalls: the counters.
    """

    NAMES = ("cycles", "read_beats", "write_beats", "read_stalls", "write_stalls")

    def __init__(self) -> None:
        super().__init__(
            {
                "begin": In(1),
                "count": In(1),
                "read_beat": In(1),
                "write_beat": In(1),
                "read_stall": In(1),
                "write_stall": In(1),
                "moved": In(1),
                "timeout": In(32),
                "expired": Out(1),
                **{name: Out(32) for name in self.NAMES},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        events = (self.count, self.read_beat, self.write_beat, self.read_stall, self.write_stall)
        for name, event in zip(self.NAMES, events, strict=True):
            counter = getattr(self, name)
            with m.If(self.begin):
                m.d.sync += counter.eq(0)
            with m.Elif(event):
                m.d.sync += counter.eq(counter + 1)
        quiet = Signal(32)
        with m.If(self.begin | self.moved | ~self.count):
            m.d.sync += [quiet.eq(0), self.expired.eq(0)]
        with m.Else():
            m.d.sync += [
                quiet.eq(quiet + 1),
                self.expired.eq((self.timeout != 0) & (quiet >= self.timeout)),
            ]
        return m
