"""What is sent of an activation: its difference from what was sent of it last."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR

from .vectors import sent_word_layout, vector_word_layout

__all__ = ["DIFFERENCES_PROGRAM", "Differences", "references_signature"]

#: What must be known of the loop that runs; static from 5 cycles before ``start``.
DIFFERENCES_PROGRAM = DESCRIPTOR.layout(
    ("in_words", "out_words", "delta_x", "delta_h", "reference_base")
)


def references_signature(config: SparseConfig) -> wiring.Signature:
    """The host writes a word of references, or reads one: ``read_data`` belongs to the
    ``read_addr`` of the cycle before, in which ``read_en`` was high. Only while no layer runs."""
    address = clog2(config.reference_depth)
    return wiring.Signature(
        {
            "load_en": Out(1),
            "load_addr": Out(address),
            "load_data": Out(config.store_entry_bits),
            "read_en": Out(1),
            "read_addr": Out(address),
            "read_data": In(config.store_entry_bits),
        }
    )


class Differences(wiring.Component):
    """Replaces each element of a word by its difference from the reference, or by zero where that
    is not above the threshold of its half; where it is, the element becomes the reference
    (docs/numerics.md, "Deltas").

    The references of a loop lie in the order of its vectors from ``reference_base`` on, a word for
    a word. Latency :attr:`LATENCY` cycles, a word per cycle. A reference is read in the cycle of
    its word and written :attr:`LATENCY` cycles later, so the same word of the same vector may come
    again after one cycle more.

    Members
    -------
    program: In(:data:`DIFFERENCES_PROGRAM`).
    start: In(1), a pulse while no word is inside.
    anew: In(1), with ``start``: references count as zero in the first vector of each kind.
    i, i_valid: In, a word (:func:`~.vectors.vector_word_layout`).
    o, o_valid: Out, what is sent of it (:func:`~.vectors.sent_word_layout`).
    references: In(:func:`references_signature`).
    """

    LATENCY = 3

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "program": In(DIFFERENCES_PROGRAM),
                "start": In(1),
                "anew": In(1),
                "i": In(vector_word_layout(config)),
                "i_valid": In(1),
                "o": Out(sent_word_layout(config)),
                "o_valid": Out(1),
                "references": In(references_signature(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, program = self._config, self.program
        bits, width = config.activation_bits, config.lane_activation_bits
        word = vector_word_layout(config)
        m.submodules.references = references = memory.Memory(
            shape=config.store_entry_bits,
            depth=config.reference_depth,
            init=[],
            attrs={"no_rw_check": 1},
        )
        write, read = references.write_port(), references.read_port()
        address, fresh = self._places(m, clog2(config.reference_depth))

        # Cycle 1: the reference is read.
        item = Signal(word, reset_less=True)
        item_fresh, valid = Signal(), Signal()
        item_addr = Signal.like(address, reset_less=True)
        host = self.references
        m.d.comb += [
            read.addr.eq(Mux(host.read_en, host.read_addr, address)),
            host.read_data.eq(read.data),
        ]
        m.d.sync += [
            item.eq(self.i),
            item_fresh.eq(fresh),
            valid.eq(self.i_valid),
            item_addr.eq(address),
        ]
        before = Signal(config.store_entry_bits)
        m.d.comb += before.eq(Mux(item_fresh, 0, read.data))

        # Cycle 2: the differences, and what they are compared with.
        late = Signal(word, reset_less=True)
        late_valid = Signal()
        late_addr = Signal.like(address, reset_less=True)
        kept = Signal.like(before, reset_less=True)
        most = Signal(signed(width), reset_less=True)
        least = Signal(signed(width), reset_less=True)
        threshold = Signal(width - 1)
        m.d.comb += threshold.eq(Mux(item.half, program.delta_h, program.delta_x))
        m.d.sync += [
            late.eq(item),
            late_valid.eq(valid),
            late_addr.eq(item_addr),
            kept.eq(before),
            most.eq(threshold),
            least.eq(-threshold),
        ]

        # Cycle 3: what is sent, and the references after it.
        written = Signal.like(before, reset_less=True)
        written_addr = Signal.like(address, reset_less=True)
        m.d.sync += [
            self.o_valid.eq(late_valid),
            *(self.o[name].eq(late[name]) for name in ("half", "thread", "last")),
            written_addr.eq(late_addr),
        ]
        m.d.comb += [
            write.en.eq(self.o_valid | host.load_en),
            write.addr.eq(Mux(host.load_en, host.load_addr, written_addr)),
            write.data.eq(Mux(host.load_en, host.load_data, written)),
        ]
        for k in range(config.post_units):
            element, old = (v.word_select(k, bits) for v in (item.values, before))
            d = Signal(signed(width), name=f"difference{k}", reset_less=True)
            sent = Signal(name=f"sent{k}")
            m.d.sync += d.eq(element.as_signed() - old.as_signed())
            m.d.comb += sent.eq((d > most) | (d < least))
            m.d.sync += [
                self.o.values.word_select(k, width).eq(Mux(sent, d, 0)),
                written.word_select(k, bits).eq(
                    Mux(sent, late.values.word_select(k, bits), kept.word_select(k, bits))
                ),
            ]
        return m

    def _places(self, m: Module, address_bits: int) -> tuple[Signal, Signal]:
        """Where the reference of the word at the input lies, and whether it counts as zero."""
        program = self.program
        vectors = range(2 * self._config.threads)  # {thread, half}
        first = [Signal(address_bits, name=f"first{one}") for one in vectors]
        at = Array(Signal(address_bits, name=f"at{one}") for one in vectors)
        fresh = Array(Signal(name=f"fresh{one}") for one in vectors)
        number = Cat(self.i.half, self.i.thread)
        address, here_fresh = Signal(address_bits), Signal()
        m.d.comb += [address.eq(at[number]), here_fresh.eq(fresh[number])]
        m.d.sync += first[0].eq(program.reference_base)
        for one in vectors[1:]:
            before = program.out_words if one % 2 == 0 else program.in_words
            m.d.sync += first[one].eq(first[one - 1] + before)
        with m.If(self.i_valid):
            m.d.sync += at[number].eq(at[number] + 1)
            with m.If(self.i.last):
                m.d.sync += [at[number].eq(Array(first)[number]), fresh[number].eq(0)]
        with m.If(self.start):
            for one in vectors:
                m.d.sync += [at[one].eq(first[one]), fresh[one].eq(self.anew)]
        return address, here_fresh
