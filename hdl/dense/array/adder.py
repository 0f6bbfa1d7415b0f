"""A node of the reduction tree: adds K-row vectors (SHARP's R-Add-Reduce, section 4.2)."""

from functools import reduce
from operator import add

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2

__all__ = ["VectorAdder", "adder_module", "adder_signature"]


def adder_module(bits: int, operands: int) -> str:
    """Name of the Verilog module."""
    return f"sparnn_vector_add_{operands}x{bits}"


def adder_signature(rows: int, bits: int, operands: int) -> wiring.Signature:
    """A node's ports, explained in :class:`VectorAdder`."""
    return wiring.Signature(
        {
            "en": In(1),
            "operands": In(rows * bits).array(operands),
            "sum": Out(rows * (bits + clog2(operands))),
        }
    )


class VectorAdder(wiring.Component):
    """Row by row sums of a few vectors, registered while ``en``. Latency 1.

    Parameters
    ----------
    rows: of a vector.
    bits: of an operand's row, signed.
    operands: how many.
    """

    LATENCY = 1

    def __init__(self, rows: int, bits: int, operands: int) -> None:
        self._rows, self._bits, self._operands = rows, bits, operands
        super().__init__(adder_signature(rows, bits, operands))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # One register, so that a simulator has nothing to put together while the node rests.
        sums = Signal(len(self.sum), reset_less=True)
        m.d.comb += self.sum.eq(sums)
        with m.If(self.en):
            for row in range(self._rows):
                parts = [v.word_select(row, self._bits).as_signed() for v in self.operands]
                total = sums.word_select(row, len(sums) // self._rows)
                m.d.sync += total.eq(reduce(add, parts))
        return m
