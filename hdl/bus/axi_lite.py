"""Registers behind AXI4-Lite."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .registers import ACCESS
from .table import ADDRESS_BITS

__all__ = ["AXI_LITE", "AxiLite"]

#: The slave's ports, by their AXI names.
AXI_LITE = {
    "awaddr": In(ADDRESS_BITS),
    "awprot": In(3),
    "awvalid": In(1),
    "awready": Out(1),
    "wdata": In(32),
    "wstrb": In(4),
    "wvalid": In(1),
    "wready": Out(1),
    "bresp": Out(2),
    "bvalid": Out(1),
    "bready": In(1),
    "araddr": In(ADDRESS_BITS),
    "arprot": In(3),
    "arvalid": In(1),
    "arready": Out(1),
    "rdata": Out(32),
    "rresp": Out(2),
    "rvalid": Out(1),
    "rready": In(1),
}

SLVERR = 0b10


class AxiLite(wiring.Component):
    """AXI4-Lite slave of 32 bits. Address and data of a write may come in any order.

    Each channel has a register of its own, whose being empty is its ready, so that no ready depends
    on a valid. A write goes to the registers when its address, its data and the place for its
    answer are there, a read when its address and that place are; where both could, the read waits.

    Latency: an access takes place the cycle after its last part came, its answer is valid one
    later. One write and one read in two cycles at best.

    Members
    -------
    The ports of :data:`AXI_LITE`; the low two bits of addresses and ``prot`` mean nothing.
    access: Out(ACCESS). What it refuses is answered by SLVERR.
    """

    def __init__(self) -> None:
        super().__init__({**AXI_LITE, "access": Out(ACCESS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        has_aw, has_w, has_ar = Signal(), Signal(), Signal()
        aw, ar = Signal(ADDRESS_BITS - 2), Signal(ADDRESS_BITS - 2)
        data, strobe = Signal(32), Signal(4)
        writes, reads = Signal(), Signal()
        m.d.comb += [
            self.awready.eq(~has_aw),
            self.wready.eq(~has_w),
            self.arready.eq(~has_ar),
            writes.eq(has_aw & has_w & ~self.bvalid),
            reads.eq(has_ar & ~self.rvalid & ~writes),
            self.access.address.eq(Mux(writes, aw, ar)),
            self.access.write.eq(writes),
            self.access.data.eq(data),
            self.access.strobe.eq(strobe),
        ]
        with m.If(self.awvalid & self.awready):
            m.d.sync += [has_aw.eq(1), aw.eq(self.awaddr[2:])]
        with m.If(self.wvalid & self.wready):
            m.d.sync += [has_w.eq(1), data.eq(self.wdata), strobe.eq(self.wstrb)]
        with m.If(self.arvalid & self.arready):
            m.d.sync += [has_ar.eq(1), ar.eq(self.araddr[2:])]
        with m.If(self.bready):
            m.d.sync += self.bvalid.eq(0)
        with m.If(self.rready):
            m.d.sync += self.rvalid.eq(0)
        with m.If(writes):
            m.d.sync += [
                has_aw.eq(0),
                has_w.eq(0),
                self.bvalid.eq(1),
                self.bresp.eq(Mux(self.access.error, SLVERR, 0)),
            ]
        with m.If(reads):
            m.d.sync += [
                has_ar.eq(0),
                self.rvalid.eq(1),
                self.rdata.eq(self.access.read_data),
                self.rresp.eq(Mux(self.access.error, SLVERR, 0)),
            ]
        return m
