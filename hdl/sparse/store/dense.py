"""The sequence store of whole words."""

from amaranth.hdl import Module, Signal
from amaranth.lib import memory, wiring

from sparnn.hdl.sparse.config import SparseConfig

from .ports import store_members

__all__ = ["DenseStore"]


class DenseStore(wiring.Component):
    """``store_depth`` words of ``post_units`` activations. Latency: 3 cycles to read: a register
    before the memory and one behind it. What is written in a cycle may be read in the next one.

    Its ports are those of :func:`~sparnn.hdl.sparse.store.ports.store_members`. It never
    overflows, and words may be read in any order.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(store_members(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.words = words = memory.Memory(
            shape=self._config.store_entry_bits,
            depth=self._config.store_depth,
            init=[],
            attrs={"no_rw_check": 1},
        )
        write, read = words.write_port(), words.read_port()
        # Who writes and reads lies all over the machine: registers next to the memory. The one
        # behind it is the block RAM's own.
        write_en, read_en = Signal(), Signal()
        write_addr = Signal.like(self.write_addr, reset_less=True)
        read_addr = Signal.like(self.read_addr, reset_less=True)
        written = Signal.like(self.write_data, reset_less=True)
        shown = Signal.like(self.read_data, reset_less=True)
        m.d.sync += [
            write_en.eq(self.write_en),
            write_addr.eq(self.write_addr),
            written.eq(self.write_data),
            read_en.eq(self.read_en),
            read_addr.eq(self.read_addr),
            shown.eq(read.data),
        ]
        m.d.comb += [
            write.en.eq(write_en),
            write.addr.eq(write_addr),
            write.data.eq(written),
            read.en.eq(read_en),
            read.addr.eq(read_addr),
            self.read_data.eq(shown),
        ]
        return m
