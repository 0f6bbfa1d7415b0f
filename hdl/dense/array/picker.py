"""Picks the columns of a pass that a lane has weights for: block sparsity, K rows a block."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.common.parity_memory import parity_memory
from sparnn.hdl.dense.config import DenseConfig

__all__ = ["ColumnPicker"]


class ColumnPicker(wiring.Component):
    """One mask word per pass, one bit per column of the lane; one picked column per cycle.

    The bit says whether any of the K weights of that column is not zero; only such columns have a
    weight word. A lane that has no column left multiplies by zero until the pass ends, which is
    when the last lane is done.

    Members
    -------
    read_en, first, mask_addr: an issue; with ``first`` the mask word is read.
    pick_en: one cycle later, picks.
    column, none: one cycle later, the column's place in the lane's copies; there is none.
    load_en, load_addr, load_data: the host writes a mask word.
    wrong: only with ``parity``: the mask word that was picked from is damaged; one cycle later.
    """

    def __init__(self, config: DenseConfig) -> None:
        self._config = config
        address = unsigned(clog2(config.mask_depth))
        super().__init__(
            {
                "read_en": In(1),
                "first": In(1),
                "mask_addr": In(address),
                "pick_en": In(1),
                "column": Out(unsigned(max(1, clog2(config.columns)))),
                "none": Out(1),
                "load_en": In(1),
                "load_addr": In(address),
                "load_data": In(config.columns),
            }
            | ({"wrong": Out(1)} if config.parity else {})
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        columns = self._config.columns
        depth, attrs = self._config.mask_depth, {"no_rw_check": 1}
        write: Any
        read: Any
        if self._config.parity:
            write, read = parity_memory(m, "masks", shape=columns, depth=depth, attrs=attrs)
        else:
            m.submodules.masks = masks = Memory(shape=columns, depth=depth, init=[], attrs=attrs)
            write, read = masks.write_port(), masks.read_port()
        fresh = Signal()
        left = Signal(columns, reset_less=True)
        now, lowest = Signal(columns), Signal(columns)
        m.d.comb += [
            write.en.eq(self.load_en),
            write.addr.eq(self.load_addr),
            write.data.eq(self.load_data),
            read.en.eq(self.read_en & self.first),
            read.addr.eq(self.mask_addr),
            now.eq(Mux(fresh, read.data, left)),
            lowest.eq(now & -now),
        ]
        with m.If(self.read_en):
            m.d.sync += fresh.eq(self.first)
        if self._config.parity:
            m.d.sync += self.wrong.eq(self.pick_en & fresh & (read.data.xor() ^ read.parity))
        with m.If(self.pick_en):
            m.d.sync += [
                left.eq(now ^ lowest),
                self.none.eq(now == 0),
                self.column.eq(
                    Cat(
                        Cat(lowest[k] for k in range(columns) if k >> bit & 1).any()
                        for bit in range(clog2(columns))
                    )
                ),
            ]
        return m
