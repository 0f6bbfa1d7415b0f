"""A processing element of EIE or ESE."""

from amaranth.hdl import Module, signed
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2

from .arithmetic import ArithmeticUnit
from .config import BaselineConfig
from .matrix import MatrixRead
from .pointers import PointerRead
from .ports import broadcast_layout, element_load_layout, nonzero_layout, scan_layout
from .scanner import ActivationScan

__all__ = ["ProcessingElement", "element_signature"]


def element_signature(config: BaselineConfig) -> wiring.Signature:
    """Ports, explained in :class:`ProcessingElement`."""
    return wiring.Signature(
        {
            "number": In(clog2(config.lanes)),
            "item": In(broadcast_layout(config)),
            "item_valid": In(1),
            "room": Out(1),
            "scan": In(scan_layout(config)),
            "start": In(1),
            "nonzero": Out(stream.Signature(nonzero_layout(config, 0))),
            "done": Out(2),
            "clear": In(2),
            "row": In(config.row_bits),
            "half": In(1),
            "sum": Out(signed(config.sum_bits)),
            "write_en": In(1),
            "write_addr": In(max(1, clog2(config.activation_depth))),
            "write_data": In(signed(config.activation_bits)),
            "load": In(element_load_layout(config)),
        }
    )


class ProcessingElement(wiring.Component):
    """Activation queue, pointer read, sparse-matrix read, arithmetic unit, activations.

    EIE's element (arXiv 1602.01528, figure 4b); ESE's (arXiv 1612.00694, figure 10b) is the same
    with other parameters.

    Members
    -------
    number: this element's; constant.
    item, item_valid: the broadcast; only while there was ``room``.
    room: the queue has a place beyond those for what is under way.
    scan, start, nonzero: see :class:`~sparnn.hdl.baseline.scanner.ActivationScan`.
    done, clear, row, half, sum: see :class:`~sparnn.hdl.baseline.arithmetic.ArithmeticUnit`.
    write_en, write_addr, write_data: an output of this element.
    load: from the host, while nothing runs.
    """

    def __init__(self, config: BaselineConfig) -> None:
        self._config = config
        super().__init__(element_signature(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.pointers = pointers = PointerRead(config)
        m.submodules.matrix = matrix = MatrixRead(config)
        m.submodules.arithmetic = arithmetic = ArithmeticUnit(config)
        m.submodules.activations = activations = ActivationScan(config)
        layout = broadcast_layout(config)
        m.submodules.queue = queue = fifo.SyncFIFO(width=layout.size, depth=config.queue_entries)

        load = self.load
        m.d.comb += [
            pointers.load_en.eq(load.pointer_en),
            pointers.load_addr.eq(load.addr),
            pointers.load_data.eq(load.pair),
            matrix.load_en.eq(load.matrix_en),
            matrix.load_addr.eq(load.addr),
            matrix.load_data.eq(load.word),
            activations.number.eq(self.number),
            activations.scan.eq(self.scan),
            activations.start.eq(self.start),
        ]
        with m.If(load.activation_en):
            m.d.comb += [
                activations.write_addr.eq(load.addr),
                activations.write_data.eq(load.value),
            ]
        with m.Else():
            m.d.comb += [
                activations.write_addr.eq(self.write_addr),
                activations.write_data.eq(self.write_data),
            ]
        m.d.comb += activations.write_en.eq(load.activation_en | self.write_en)
        wiring.connect(m, activations.out, wiring.flipped(self.nonzero))

        m.d.comb += [
            queue.w_data.eq(self.item),
            queue.w_en.eq(self.item_valid),
            pointers.items.payload.eq(queue.r_data),
            pointers.items.valid.eq(queue.r_rdy),
            queue.r_en.eq(pointers.items.ready),
            self.room.eq(queue.level + self.item_valid < config.queue_depth),
        ]
        wiring.connect(m, pointers.columns, matrix.columns)
        m.d.comb += [
            arithmetic.valid.eq(matrix.valid),
            arithmetic.entry.eq(matrix.entry),
            arithmetic.clear.eq(self.clear),
            arithmetic.row.eq(self.row),
            arithmetic.half.eq(self.half),
            self.done.eq(arithmetic.done),
            self.sum.eq(arithmetic.sum),
        ]
        return m
