"""An element's activations, and the scan that offers those of one vector to the centre."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2

from .config import BaselineConfig
from .ports import nonzero_layout, scan_layout

__all__ = ["ActivationScan"]


class ActivationScan(wiring.Component):
    """Activation memory with the local leading non-zero detect (EIE, section IV).

    Holds its share of every vector of the run, dense: element k has activations k, k + lanes, …
    A scan passes over one vector, skips zeros at one per cycle, and closes with an end.

    Members
    -------
    number: this element's; constant.
    scan, start: one cycle: begin with this vector, while no other is being scanned.
    out: stream of :func:`~sparnn.hdl.baseline.ports.nonzero_layout` without element bits.
    write_en, write_addr, write_data: an activation; not of a vector that is being scanned.
    """

    def __init__(self, config: BaselineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "number": In(clog2(config.lanes)),
                "scan": In(scan_layout(config)),
                "start": In(1),
                "out": Out(stream.Signature(nonzero_layout(config, 0))),
                "write_en": In(1),
                "write_addr": In(max(1, clog2(config.activation_depth))),
                "write_data": In(signed(config.activation_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.activations = activations = memory.Memory(
            shape=signed(config.activation_bits),
            depth=config.activation_depth,
            init=[],
            attrs={"no_rw_check": 1},
        )
        write, read = activations.write_port(), activations.read_port()
        addr = Signal.like(self.write_addr, reset_less=True)
        left = Signal(config.scan_bits + 1)
        row = Signal(config.scan_bits)
        running, dense = Signal(), Signal()
        # Two stages: the memory's output, then a register.
        read_valid, read_end = Signal(), Signal()
        read_row = Signal(config.scan_bits, reset_less=True)
        held = Signal(nonzero_layout(config, 0), reset_less=True)
        held_valid, nothing = Signal(), Signal()
        read_ready, held_ready = Signal(), Signal()
        m.d.comb += [
            write.addr.eq(self.write_addr),
            write.data.eq(self.write_data),
            write.en.eq(self.write_en),
            read.addr.eq(addr),
            read.en.eq(read_ready),
            nothing.eq((held.value == 0) & ~dense & ~held.end),
            held_ready.eq(~held_valid | nothing | self.out.ready),
            read_ready.eq(~read_valid | held_ready),
            self.out.valid.eq(held_valid & ~nothing),
            self.out.payload.eq(held),
        ]
        with m.If(read_ready):
            m.d.sync += [read_valid.eq(running), read_end.eq(left == 0), read_row.eq(row)]
            with m.If(running):
                m.d.sync += [addr.eq(addr + 1), row.eq(row + 1), left.eq(left - 1)]
                with m.If(left == 0):
                    m.d.sync += running.eq(0)
        with m.If(held_ready):
            m.d.sync += [
                held_valid.eq(read_valid),
                held.value.eq(read.data),
                held.row.eq(read_row),
                held.end.eq(read_end),
            ]
        with m.If(self.start):
            m.d.sync += [
                running.eq(1),
                dense.eq(self.scan.dense),
                addr.eq(self.scan.base),
                row.eq(0),
                left.eq(self.scan.rows + (self.number < self.scan.tail)),
            ]
        return m
