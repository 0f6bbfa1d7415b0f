"""A value, some cycles later."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

__all__ = ["DelayLine", "delayed", "later"]


class DelayLine(wiring.Component):
    """``o`` is ``i`` of ``cycles`` cycles ago: a memory that is read just before it is written.

    Until then it is 0, the memory's first content.

    Parameters
    ----------
    width: bits.
    cycles: at least 2.
    """

    def __init__(self, width: int, cycles: int) -> None:
        self._cycles = cycles
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Read in one cycle, written in the next: an entry comes round every cycles - 1.
        depth = self._cycles - 1
        m.submodules.line = line = Memory(shape=len(self.i), depth=depth, init=[])
        write, read = line.write_port(), line.read_port(domain="comb")
        place = Signal(range(depth))
        m.d.comb += [
            write.en.eq(1),
            write.addr.eq(place),
            write.data.eq(self.i),
            read.addr.eq(place),
        ]
        m.d.sync += [self.o.eq(read.data), place.eq(place + 1)]
        with m.If(place == depth - 1):
            m.d.sync += place.eq(0)
        return m


def delayed(m: Module, name: str, value: Value, cycles: int) -> Signal:
    """``value`` as it was ``cycles`` cycles ago, as plain bits."""
    bits = Signal(len(value), name=name)
    if cycles == 0:
        m.d.comb += bits.eq(value)
    elif cycles == 1:
        m.d.sync += bits.eq(value)
    else:
        m.submodules[name] = line = DelayLine(len(bits), cycles)
        m.d.comb += [line.i.eq(value), bits.eq(line.o)]
    return bits


def later(m: Module, name: str, value: Value, cycles: int) -> Value:
    """``value`` of so many cycles ago; it is not reset."""
    for number in range(cycles):
        register = Signal.like(value, name=f"{name}_later{number}", reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value
