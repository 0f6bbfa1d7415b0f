"""The cell states of one post unit: LSTM ``c``, GRU ``s``."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.common.delay import later
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.common.parity_memory import parity_memory
from sparnn.hdl.sparse.config import SparseConfig

__all__ = ["StateMemory", "state_load_signature", "state_read_signature"]


def state_load_signature(config: SparseConfig) -> wiring.Signature:
    """The host writes one state: ``en``, ``addr``, ``data``. Only while no layer runs."""
    return wiring.Signature(
        {
            "en": Out(1),
            "addr": Out(unsigned(clog2(config.state_depth))),
            "data": Out(signed(PREACTIVATION_BITS)),
        }
    )


def state_read_signature(config: SparseConfig) -> wiring.Signature:
    """The host reads one state: ``data`` belongs to the ``addr`` of three cycles ago, in which
    ``en`` was high. Only while no layer runs."""
    return wiring.Signature(
        {
            "en": Out(1),
            "addr": Out(unsigned(clog2(config.state_depth))),
            "data": In(signed(PREACTIVATION_BITS)),
        }
    )


class StateMemory(wiring.Component):
    """States in the order of a step's neurons, one index for reading and one for writing.

    Members
    -------
    restart: In(1). Both indices return to ``base``.
    zero: In(1). ``value`` is zero, whatever the memory holds.
    base: In(address).
    value: Out(signed(16)), the state at the reading index, valid from :attr:`NEXT_LATENCY` cycles
        after ``next``.
    next: In(1). The reading index advances.
    write, new: In(1), In(signed(16)). Stored at the writing index, which advances.
    skip: In(1). Both indices advance.
    load, read: the host's ports.
    wrong: Out(1), with ``parity``: a state that was used is damaged.
    """

    #: Index, memory, output register.
    NEXT_LATENCY = 3
    #: ``read.addr`` to ``read.data``: the same.
    READ_LATENCY = NEXT_LATENCY

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "restart": In(1),
                "zero": In(1),
                "base": In(unsigned(clog2(config.state_depth))),
                "value": Out(signed(PREACTIVATION_BITS)),
                "next": In(1),
                "write": In(1),
                "new": In(signed(PREACTIVATION_BITS)),
                "skip": In(1),
                "load": In(state_load_signature(config)),
                "read": In(state_read_signature(config)),
            }
            | ({"wrong": Out(1)} if config.parity else {})
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # The reading index stands still for cycles before and after its entry is written, and the
        # entry is read again in each of them: what a collision returns is never used.
        depth = self._config.state_depth
        shape = signed(PREACTIVATION_BITS)
        attrs: dict[str, Any] = {"no_rw_check": 1} | self._config.memory_style(depth)
        write: Any
        read: Any
        if self._config.parity:
            write, read = parity_memory(m, "memory", shape=shape, depth=depth, attrs=attrs)
        else:
            m.submodules.memory = memory = Memory(shape=shape, depth=depth, init=[], attrs=attrs)
            write, read = memory.write_port(), memory.read_port()
        reading, writing = Signal.like(self.base), Signal.like(self.base)
        value = Signal(signed(PREACTIVATION_BITS), reset_less=True)
        cleared = Signal()
        m.d.comb += [
            read.addr.eq(reading),
            write.en.eq(self.write | self.load.en),
            write.addr.eq(Mux(self.load.en, self.load.addr, writing)),
            write.data.eq(Mux(self.load.en, self.load.data, self.new)),
            self.value.eq(Mux(cleared, 0, value)),
            self.read.data.eq(value),
        ]
        # Nothing between the memory and its register: the block RAM's own does.
        m.d.sync += [value.eq(read.data), cleared.eq(self.zero)]
        if self._config.parity:
            parity, uses = Signal(), Signal()
            asked = later(m, "asked", self.read.en, self.READ_LATENCY)
            m.d.comb += uses.eq((self.next & ~cleared) | (asked & self.read.en))
            m.d.sync += [
                parity.eq(read.parity),
                self.wrong.eq(uses & (value.xor() ^ parity)),
            ]
        # The host's address takes the reading index, which every layer begins anew.
        with m.If(self.read.en):
            m.d.sync += reading.eq(self.read.addr)
        with m.Elif(self.restart):
            m.d.sync += [reading.eq(self.base), writing.eq(self.base)]
        with m.Else():
            with m.If(self.next | self.skip):
                m.d.sync += reading.eq(reading + 1)
            with m.If(self.write | self.skip):
                m.d.sync += writing.eq(writing + 1)
        return m
