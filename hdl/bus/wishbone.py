"""Registers behind Wishbone."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .registers import ACCESS
from .table import ADDRESS_BITS

__all__ = ["WISHBONE", "Wishbone"]

#: The slave's ports, by their Wishbone names. ``adr`` counts words.
WISHBONE = {
    "cyc": In(1),
    "stb": In(1),
    "we": In(1),
    "adr": In(ADDRESS_BITS - 2),
    "dat_w": In(32),
    "sel": In(4),
    "dat_r": Out(32),
    "ack": Out(1),
    "err": Out(1),
}


class Wishbone(wiring.Component):
    """Wishbone B4 classic slave of 32 bits, granularity 8.

    Latency: ``ack``, or ``err`` for what is refused, comes one cycle after ``cyc`` and ``stb`` and
    lasts for one; an access in two cycles.

    Members
    -------
    The ports of :data:`WISHBONE`. access: Out(ACCESS).
    """

    def __init__(self) -> None:
        super().__init__({**WISHBONE, "access": Out(ACCESS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        begins = self.cyc & self.stb & ~self.ack & ~self.err
        m.d.comb += [
            self.access.address.eq(self.adr),
            self.access.write.eq(begins & self.we),
            self.access.data.eq(self.dat_w),
            self.access.strobe.eq(self.sel),
        ]
        m.d.sync += [
            self.ack.eq(begins & ~self.access.error),
            self.err.eq(begins & self.access.error),
            self.dat_r.eq(self.access.read_data),
        ]
        return m
