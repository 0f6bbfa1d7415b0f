"""The host's words of a baseline array."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2

from .config import BaselineConfig
from .ports import PROGRAM, PROGRAM_FIELDS, Opcode, beat_bits, load_layout

__all__ = ["BaselineHost"]


class BaselineHost(wiring.Component):
    """Reads packets (:class:`~sparnn.hdl.baseline.ports.Opcode`), sends what is asked for.

    Members
    -------
    rx: stream of beats, a header or an entry each: loading takes a cycle per entry.
    tx: of 32-bit words.
    load: the load bus.
    program: as set up.
    run, steps, busy, cycles: of the central control.
    read, read_base, reading, values: of the central control.
    """

    def __init__(self, config: BaselineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "rx": In(stream.Signature(beat_bits(config))),
                "tx": Out(stream.Signature(32)),
                "load": Out(load_layout(config)),
                "program": Out(PROGRAM),
                "run": Out(1),
                "steps": Out(24),
                "busy": In(1),
                "cycles": In(32),
                "read": Out(1),
                "read_base": Out(20),
                "reading": In(1),
                "values": In(
                    stream.Signature(
                        data.StructLayout({"value": signed(config.activation_bits), "column": 16})
                    )
                ),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        word = self.rx.payload[:32]
        opcode, argument = word[28:], word[:28]
        entries = Signal(28)
        field = Signal(range(len(PROGRAM_FIELDS) + 1))
        waiting, drain = Signal(), Signal()
        m.d.sync += [self.load.en.eq(0), self.run.eq(0), self.read.eq(0)]
        with m.If(self.load.en):
            m.d.sync += self.load.addr.eq(self.load.addr + 1)
        with m.FSM():
            with m.State("HEADER"):
                m.d.comb += self.rx.ready.eq(1)
                with m.If(self.rx.valid):
                    with m.Switch(opcode):
                        with m.Case(Opcode.SELECT):
                            m.d.sync += [
                                self.load.target.eq(argument >> 20),
                                self.load.index.eq(argument),
                                self.load.addr.eq(0),
                            ]
                        with m.Case(Opcode.WRITE):
                            m.d.sync += entries.eq(argument)
                            with m.If(argument != 0):
                                m.next = "ENTRY"
                        with m.Case(Opcode.SETUP):
                            m.d.sync += field.eq(0)
                            m.next = "SETUP"
                        with m.Case(Opcode.RUN):
                            m.d.sync += [self.run.eq(1), self.steps.eq(argument), waiting.eq(1)]
                            m.next = "RUN"
                        with m.Case(Opcode.READ):
                            m.d.sync += [self.read.eq(1), self.read_base.eq(argument)]
                            m.next = "READ"
            with m.State("ENTRY"):
                m.d.comb += self.rx.ready.eq(1)
                m.d.sync += self.load.data.eq(self.rx.payload)
                with m.If(self.rx.valid):
                    m.d.sync += [self.load.en.eq(1), entries.eq(entries - 1)]
                    with m.If(entries == 1):
                        m.next = "HEADER"
            with m.State("SETUP"):
                m.d.comb += self.rx.ready.eq(1)
                with m.If(self.rx.valid):
                    m.d.sync += field.eq(field + 1)
                    for k, name in enumerate(PROGRAM_FIELDS):
                        with m.If(field == k):
                            m.d.sync += self.program[name].eq(word)
                    with m.If(field == len(PROGRAM_FIELDS) - 1):
                        m.next = "HEADER"
            with m.State("RUN"):
                # busy rises two cycles after the header was taken.
                with m.If(waiting):
                    m.d.sync += waiting.eq(self.run)
                with m.Elif(~self.busy):
                    m.d.comb += [self.tx.valid.eq(1), self.tx.payload.eq(self.cycles)]
                    with m.If(self.tx.ready):
                        m.next = "HEADER"
            with m.State("READ"):
                # All values of the vector, of which there are as many as units.
                shift = clog2(config.lanes)
                sent = Signal(24)
                value = Signal(signed(16))
                m.d.comb += [
                    value.eq(self.values.payload.value),
                    self.tx.valid.eq(self.values.valid),
                    self.tx.payload.eq(Cat(value, self.values.payload.column)),
                    self.values.ready.eq(self.tx.ready),
                ]
                with m.If(self.tx.valid & self.tx.ready):
                    m.d.sync += sent.eq(sent + 1)
                    with m.If(sent + 1 == (self.program.rows_h << shift) + self.program.tail_h):
                        m.d.sync += [sent.eq(0), drain.eq(1)]
                with m.If(drain):
                    # The vector's end still has to arrive at the centre.
                    with m.If(~self.busy & ~self.reading):
                        m.d.sync += drain.eq(0)
                        m.next = "HEADER"
        return m
