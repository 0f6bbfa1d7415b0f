"""The sequence store that keeps a mask of each word and its non-zero values only."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.host.protocol import OVERFLOW_BITS
from sparnn.hdl.sparse.config import SparseConfig

from .bank import ValueBank
from .ports import store_members

__all__ = ["PackedStore"]


class PackedStore(wiring.Component):
    """``store_depth`` words as masks, and ``value_rows`` values of each element, the non-zero ones.

    Element e of every word has a bank of its own
    (:class:`~sparnn.hdl.sparse.store.bank.ValueBank`), to which its non-zero values are appended:
    no value crosses to another element's place, so packing takes no network. Beside a word's mask
    lies a bit that says that a vector begins there; where its first values lie in all banks, and
    of which log, is kept in a table with one entry for each ``vector_words`` addresses, so begins
    of vectors must be as far apart. Addresses from ``store_depth`` on are rows of all banks,
    ``dense_rows`` of them, which hold words whole and may be read in any order.

    A loop's outputs go to the log of the side that its descriptor names, which begins anew where
    that says so. The host's words go to side 0; where one begins a vector at address 0, both begin
    anew. A vector's word that is written again gets another place, the old one is lost.

    One word per cycle in and out. Latency: 5 cycles to read. What is written in a cycle may be
    read from the one after next on. Ports: :func:`~sparnn.hdl.sparse.store.ports.store_members`.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(store_members(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        width, count = config.activation_bits, config.post_units
        banks = []
        for number in range(count):
            m.submodules[f"bank{number}"] = bank = ValueBank(config)
            banks.append(bank)
        m.submodules.masks = masks = memory.Memory(
            shape=count + 1, depth=config.store_depth, init=[], attrs={"no_rw_check": 1}
        )
        m.submodules.table = table = memory.Memory(
            shape=count * len(banks[0].place) + 1,
            depth=config.store_depth // config.vector_words,
            init=[],
            attrs={"no_rw_check": 1},
        )
        low = clog2(config.vector_words)
        packed = config.store_address_bits - 1  # bits of the address of a word that is not whole
        row_bits = len(banks[0].row)
        mask_write, mask_read = masks.write_port(), masks.read_port()
        table_write, table_read = table.write_port(), table.read_port()

        # Writing: a register, then mask and places.
        valid, host, begins = Signal(), Signal(), Signal()
        addr = Signal.like(self.write_addr, reset_less=True)
        word = Signal.like(self.write_data, reset_less=True)
        whole, side, restart = addr[packed], Signal(), Signal()
        mask = Cat(word.word_select(k, width).any() for k in range(count))
        anew = [Signal(name=f"anew{k}") for k in range(2)]
        m.d.sync += [
            valid.eq(self.write_en),
            addr.eq(self.write_addr),
            word.eq(self.write_data),
            begins.eq(self.write_begins),
            host.eq(self.write_host),
        ]
        m.d.comb += [
            side.eq(~host & self.program.store_side),
            restart.eq(valid & host & begins & (addr == 0)),
            mask_write.en.eq(valid & ~whole),
            mask_write.addr.eq(addr),
            mask_write.data.eq(Cat(mask, begins)),
            table_write.en.eq(valid & ~whole & begins),
            table_write.addr.eq(addr[low:packed]),
            table_write.data.eq(Cat(*(bank.place for bank in banks), side)),
        ]
        for k in range(2):
            begun = self.start & self.program.store_anew & (self.program.store_side == k)
            m.d.comb += anew[k].eq(restart | begun)
        for number, bank in enumerate(banks):
            m.d.comb += [
                bank.append.eq(valid & ~whole & mask[number]),
                bank.side.eq(side),
                bank.value.eq(word.word_select(number, width)),
                bank.anew.eq(Cat(anew)),
                bank.whole.eq(valid & whole),
                bank.row.eq(addr[:packed][:row_bits]),
            ]

        # A bank says two cycles after the append that it was one too many.
        checks = Signal(2)
        late_host = Signal(2)
        overflowed = Cat(bank.overflow for bank in banks).any()
        m.d.sync += [checks.eq(Cat(valid, checks)), late_host.eq(Cat(host, late_host))]
        m.d.comb += self.busy.eq(self.write_en | valid | checks.any())
        with m.If(restart):
            m.d.sync += self.overflow.eq(0)
        with m.Elif(checks[1] & overflowed & (self.overflow == 0)):
            m.d.sync += self.overflow.eq(Mux(late_host[1], 1, self.loop + 1)[:OVERFLOW_BITS])

        # Reading: mask and table, a register, the banks' addresses, the banks, their registers.
        asked, asked_addr = Signal(), Signal.like(self.read_addr, reset_less=True)
        asked_context, context = Signal(reset_less=True), Signal(reset_less=True)
        step, step_addr = Signal(), Signal.like(self.read_addr, reset_less=True)
        entry = Signal(count + 1, reset_less=True)
        first = Signal.like(table_read.data, reset_less=True)
        sides = Signal(2)  # of the vector that each reader is in
        backwards = Signal()
        m.d.comb += [
            mask_read.en.eq(self.read_en),
            mask_read.addr.eq(self.read_addr[:packed]),
            table_read.en.eq(self.read_en),
            table_read.addr.eq(self.read_addr[low:packed]),
            backwards.eq(Mux(entry[count], first[-1], sides.bit_select(context, 1))),
        ]
        m.d.sync += [
            asked.eq(self.read_en),
            asked_addr.eq(self.read_addr),
            asked_context.eq(self.read_context),
            step.eq(asked),
            step_addr.eq(asked_addr),
            context.eq(asked_context),
            entry.eq(mask_read.data),
            first.eq(table_read.data),
        ]
        with m.If(step & entry[count] & ~step_addr[packed]):
            m.d.sync += sides.bit_select(context, 1).eq(first[-1])
        for number, bank in enumerate(banks):
            m.d.comb += [
                bank.step.eq(step),
                bank.context.eq(context),
                bank.present.eq(entry[number]),
                bank.begins.eq(entry[count]),
                bank.first.eq(first.word_select(number, row_bits)),
                bank.backwards.eq(backwards),
                bank.step_whole.eq(step_addr[packed]),
                bank.step_row.eq(step_addr[:packed][:row_bits]),
                self.read_data.word_select(number, width).eq(bank.data),
            ]
        return m
