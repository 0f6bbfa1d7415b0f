"""A memory that is read in order, with the next word always at hand."""

from collections.abc import Mapping

from amaranth.hdl import Module, ShapeLike, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .numbers import clog2

__all__ = ["SequentialMemory"]


class SequentialMemory(wiring.Component):
    """Reads ahead by the latency of a block RAM and its output register, so that a user sees none.

    Parameters
    ----------
    shape: a word.
    depth: words.
    attributes: of the memory, for synthesis.

    Members
    -------
    restart, base: In(1), In(address). The next word is the one at ``base``; wins over ``next``.
    ready: Out(1). ``value`` is the next word; low for :attr:`RESTART_LATENCY` - 1 cycles after
        ``restart``.
    value: Out(shape), a register.
    next: In(1). ``value`` is used; the following word is there in the next cycle. Only while ready.
    write_en, write_addr, write_data: In. What is written is seen by reads that start later; so
        nothing at or after the place of reading may be written without a ``restart`` after it.
    """

    #: Cycles from ``restart`` to ``ready``.
    RESTART_LATENCY = 3

    def __init__(
        self, shape: ShapeLike, depth: int, attributes: Mapping[str, str | int] | None = None
    ) -> None:
        self._shape, self._depth = shape, depth
        self._attributes = dict(attributes or {})
        address = unsigned(clog2(depth))
        super().__init__(
            {
                "restart": In(1),
                "base": In(address),
                "ready": Out(1),
                "value": Out(shape),
                "next": In(1),
                "write_en": In(1),
                "write_addr": In(address),
                "write_data": In(shape),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # A word that is read while it is written is never used: see `write_en`.
        m.submodules.memory = memory = Memory(
            shape=self._shape,
            depth=self._depth,
            init=[],
            attrs={"no_rw_check": 1} | self._attributes,
        )
        write, read = memory.write_port(), memory.read_port()
        pointer = Signal.like(self.base)
        value = Signal(self._shape, reset_less=True)
        missing = Signal(2)  # one bit for each word that is not read yet
        step = self.next | missing[0]
        m.d.comb += [
            write.en.eq(self.write_en),
            write.addr.eq(self.write_addr),
            write.data.eq(self.write_data),
            read.addr.eq(pointer),
            read.en.eq(step),
            self.ready.eq(~missing[0]),
            self.value.eq(value),
        ]
        with m.If(step):
            m.d.sync += [pointer.eq(pointer + 1), value.eq(read.data), missing.eq(missing >> 1)]
        with m.If(self.restart):
            m.d.sync += [pointer.eq(self.base), missing.eq(0b11)]
        return m
