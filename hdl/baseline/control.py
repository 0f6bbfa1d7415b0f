"""Central control unit (EIE, arXiv 1602.01528, section IV)."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2

from .config import BaselineConfig
from .ports import PROGRAM, broadcast_layout, nonzero_layout, scan_layout

__all__ = ["CentralControl"]


class CentralControl(wiring.Component):
    """Has one vector after the other scanned and broadcasts what the root node finds.

    A step is its input vector, then the hidden vector that the step before has written, each closed
    by a token. EIE begins a step when the outputs of the one before are written everywhere; with
    ``overlap`` the input vector is broadcast before that.

    Members
    -------
    program: the layer, static during a run.
    run, steps: one cycle: begin.
    busy, cycles: until all outputs are written, and how long it took.
    read, read_base: one cycle, while not busy: send the vector from ``read_base`` to ``values``.
    reading: until its end.
    fresh: to the groups: a run begins.
    scan, start, root: what is scanned, and what the root node found.
    item, item_valid, room: the broadcast; all queues have room.
    x_taken, steps_done: every group has taken the input half, or written the output, of as many
        steps as ``x_begun`` and ``h_begun`` count, modulo 4. Late by some cycles.
    values: stream of {column, value} that was read.
    """

    def __init__(self, config: BaselineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "program": In(PROGRAM),
                "run": In(1),
                "steps": In(24),
                "busy": Out(1),
                "cycles": Out(32),
                "read": In(1),
                "read_base": In(20),
                "reading": Out(1),
                "fresh": Out(1),
                "scan": Out(scan_layout(config)),
                "start": Out(1),
                "root": In(stream.Signature(nonzero_layout(config, clog2(config.lanes)))),
                "item": Out(broadcast_layout(config)),
                "item_valid": Out(1),
                "room": In(1),
                "x_begun": Out(2),
                "h_begun": Out(2),
                "x_taken": In(1),
                "steps_done": In(1),
                "values": Out(
                    stream.Signature(
                        data.StructLayout({"value": signed(config.activation_bits), "column": 16})
                    )
                ),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, program = self._config, self.program
        root = self.root.payload
        x_base, h_base = Signal(20), Signal(20)
        x_left, h_left = Signal(24), Signal(24)
        half, reading = Signal(), self.reading
        column = Signal(16)
        m.d.comb += [
            column.eq(Cat(root.element, root.row)),
            self.values.payload.column.eq(column),
            self.values.payload.value.eq(root.value),
        ]
        m.d.sync += [self.start.eq(0), self.fresh.eq(0), self.item_valid.eq(0)]
        with m.If(self.busy):
            m.d.sync += self.cycles.eq(self.cycles + 1)

        def scan(base: Signal, hidden: object, dense: object) -> None:
            m.d.sync += [
                self.start.eq(1),
                self.scan.base.eq(base),
                self.scan.rows.eq(Mux(hidden, program.rows_h, program.rows_x)),
                self.scan.tail.eq(Mux(hidden, program.tail_h, program.tail_x)),
                self.scan.dense.eq(dense),
            ]

        # The groups' answers refer to the counts of some cycles ago.
        settled = Signal(range(4))
        with m.If(settled != 0):
            m.d.sync += settled.eq(settled - 1)
        written = self.steps_done & (settled == 0)
        taken = self.x_taken & (settled == 0)

        dense = not config.skip_zeros
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.run):
                    m.d.sync += [
                        self.fresh.eq(1),
                        self.busy.eq(1),
                        self.cycles.eq(1),
                        x_base.eq(0),
                        h_base.eq(program.h_base),
                        x_left.eq(self.steps),
                        h_left.eq(self.steps),
                        self.x_begun.eq(0),
                        self.h_begun.eq(0),
                        half.eq(0),
                        reading.eq(0),
                        settled.eq(3),
                    ]
                    m.next = "NEXT"
                with m.Elif(self.read):
                    scan(self.read_base, 1, 1)
                    m.d.sync += reading.eq(1)
                    m.next = "SEND"
            with m.State("NEXT"):
                with m.If(half):
                    with m.If(written):  # the hidden state is there
                        scan(h_base, 1, dense)
                        m.d.sync += [
                            h_base.eq(h_base + program.stride_h),
                            h_left.eq(h_left - 1),
                            self.h_begun.eq(self.h_begun + 1),
                            settled.eq(3),
                        ]
                        m.next = "SEND"
                with m.Elif(x_left == 0):
                    with m.If(written):
                        m.d.sync += self.busy.eq(0)
                        m.next = "IDLE"
                with m.Elif(taken & (written | (config.overlap & program.recurrent))):
                    scan(x_base, 0, dense)
                    m.d.sync += [
                        x_base.eq(x_base + program.stride_x),
                        x_left.eq(x_left - 1),
                        self.x_begun.eq(self.x_begun + 1),
                        settled.eq(3),
                    ]
                    with m.If(~program.recurrent):
                        m.d.sync += self.h_begun.eq(self.h_begun + 1)
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.sync += [
                    self.item.value.eq(root.value),
                    self.item.column.eq(column + Mux(half, program.inputs, 0)),
                    self.item.half.eq(half),
                    self.item.token.eq(root.end),
                ]
                with m.If(reading):
                    m.d.comb += [
                        self.values.valid.eq(self.root.valid & ~root.end),
                        self.root.ready.eq(self.values.ready | root.end),
                    ]
                with m.Else():
                    m.d.comb += self.root.ready.eq(self.room)
                    m.d.sync += self.item_valid.eq(self.root.valid & self.room)
                with m.If(self.root.valid & self.root.ready & root.end):
                    m.d.sync += [half.eq(~half & program.recurrent), reading.eq(0)]
                    with m.If(reading):
                        m.d.sync += half.eq(0)
                        m.next = "IDLE"
                    with m.Else():
                        m.next = "NEXT"
        return m
