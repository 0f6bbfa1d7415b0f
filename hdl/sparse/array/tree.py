"""Adder tree of a cluster (SHARP's R-Add-Reduce, arXiv 1911.01258, section 4.2)."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.sparse.config import SparseConfig

__all__ = ["ReductionTree", "tree_latency"]

#: Operands that one OR level merges: what a 4-input LUT takes.
_OR_WIDTH = 4


def tree_latency(config: SparseConfig) -> int:
    """Cycles from the lanes' partial sums to the group's sum."""
    levels = config.v_log2_max
    groups = config.cluster_lanes // config.max_v
    while groups > 1:
        groups = ceil_div(groups, _OR_WIDTH)
        levels += 1
    return levels


class ReductionTree(wiring.Component):
    """Sums the partial sums of the group that was popped.

    Lanes outside the group hold zero, so the tree needs no taps: any run-time V uses the same
    adders. The first log2(max_v) levels add; above them at most one operand is not zero and an OR
    does. Every level is registered.

    Latency: :func:`tree_latency` cycles, one row per cycle; it never waits.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "partial_sums": In(signed(config.lane_sum_bits)).array(config.cluster_lanes),
                "sum": Out(signed(config.sum_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        level = list(self.partial_sums)

        def register(values: list[Any]) -> list[Signal]:
            registers = []
            for value in values:
                register = Signal.like(
                    value if isinstance(value, Signal) else Signal(value.shape())
                )
                registers.append(register)
                m.d.sync += register.eq(value)
            return registers

        for _ in range(config.v_log2_max):
            level = register([level[k] + level[k + 1] for k in range(0, len(level), 2)])
        while len(level) > 1:
            level = register(
                [
                    reduce(or_, level[k : k + _OR_WIDTH]).as_signed()
                    for k in range(0, len(level), _OR_WIDTH)
                ]
            )
        m.d.comb += self.sum.eq(level[0])
        return m
