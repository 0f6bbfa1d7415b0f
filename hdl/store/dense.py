"""The sequence store of whole words."""

from amaranth.hdl import Module
from amaranth.lib import memory, wiring

from sparnn.hdl.config import MachineConfig

from .ports import store_members

__all__ = ["DenseStore"]


class DenseStore(wiring.Component):
    """``store_depth`` words of ``post_units`` activations. Latency: 1 cycle.

    Its ports are those of :func:`~sparnn.hdl.store.ports.store_members`. It never overflows, and
    words may be read in any order.
    """

    def __init__(self, config: MachineConfig) -> None:
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
        m.d.comb += [
            write.en.eq(self.write_en),
            write.addr.eq(self.write_addr),
            write.data.eq(self.write_data),
            read.en.eq(self.read_en),
            read.addr.eq(self.read_addr),
            self.read_data.eq(read.data),
        ]
        return m
