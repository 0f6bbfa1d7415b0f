"""The table of sections of external memory, and who asks for those that a run needs."""

from enum import IntEnum

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.memory_port import REQUEST
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.host.protocol import RUN_STEPS_BITS
from sparnn.hdl.machine import MachineConfig

__all__ = ["SECTION", "SectionReader", "When"]


class When(IntEnum):
    """How often a section is read."""

    FIRST = 0  #: in the first run only: the network fits the machine's memories
    RUN = 1  #: once in each run
    STEP = 2  #: once in each step


#: A layer's weights in external memory: ``words`` of them from ``address`` on, in words as wide as
#: the memory; ``last``: no section follows.
SECTION = data.StructLayout({"address": 32, "words": 24, "when": 2, "last": 1})


class SectionReader(wiring.Component):
    """Works through the table of sections in each run, and asks for each of them.

    Whoever answers is asked as far ahead as it takes requests, whatever the machine works on.

    Latency: a request three cycles after ``run``, and between sections.

    Members
    -------
    load_en, load_addr, load_data: the host writes an entry of the table, :data:`SECTION`. What was
        read in a first run counts no longer.
    run, steps: In, a pulse: a run begins, of so many steps.
    requests: Out(stream of :data:`~sparnn.hdl.common.memory_port.REQUEST`).
    """

    def __init__(self, config: MachineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "load_en": In(1),
                "load_addr": In(clog2(config.program_depth)),
                "load_data": In(SECTION.size),
                "run": In(1),
                "steps": In(RUN_STEPS_BITS),
                "requests": Out(stream.Signature(REQUEST)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        depth = self._config.program_depth
        m.submodules.table = table = memory.Memory(
            shape=SECTION, depth=depth, init=[], attrs={"no_rw_check": 1}
        )
        write, read = table.write_port(), table.read_port()
        number, section = Signal(range(depth + 1)), read.data
        steps, left, loaded = Signal(RUN_STEPS_BITS), Signal(RUN_STEPS_BITS), Signal()
        m.d.comb += [
            write.en.eq(self.load_en),
            write.addr.eq(self.load_addr),
            write.data.as_value().eq(self.load_data),
            read.addr.eq(number),
            self.requests.payload.address.eq(section.address),
            self.requests.payload.words.eq(section.words),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [number.eq(0), steps.eq(self.steps)]
                with m.If(self.run):
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.next = "LOOK"
            with m.State("LOOK"):
                m.d.sync += left.eq(Mux(section.when == When.STEP, steps, 1))
                m.next = "ASK"
                with m.If((section.words == 0) | (loaded & (section.when == When.FIRST))):
                    m.next = "NEXT"
            with m.State("ASK"):
                m.d.comb += self.requests.valid.eq(1)
                with m.If(self.requests.ready):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 1):
                        m.next = "NEXT"
            with m.State("NEXT"):
                m.d.sync += number.eq(number + 1)
                m.next = "FETCH"
                with m.If(section.last | (number == depth - 1)):
                    m.d.sync += loaded.eq(1)
                    m.next = "IDLE"
        with m.If(self.load_en):
            m.d.sync += loaded.eq(0)
        return m
