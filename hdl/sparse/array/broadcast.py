"""Sends activations to every lane that needs them."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.host.protocol import Kind
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR
from sparnn.hdl.sparse.lane.ports import broadcast_layout, local_word_bits, tokens_layout

from .differences import DIFFERENCES_PROGRAM, Differences, references_signature
from .vectors import sent_word_layout, vector_word_layout

__all__ = ["BROADCAST_PROGRAM", "Broadcaster"]

#: Cycles for which stored words wait behind a vector, until references are written.
_HOLD = Differences.LATENCY

#: What the broadcaster must know of the loop that runs; static from before ``start``.
BROADCAST_PROGRAM = DESCRIPTOR.layout(
    ("kind", "v_log2", "unfolded", "rotate", "in_words", "out_words")
)


class Broadcaster(wiring.Component):
    """Merges stored vectors and fresh hidden states into one word per cycle for the local copies.

    Fresh hidden states are always taken at once; stored words fill the gaps. Word w goes to
    slice (w + o) mod V as local word w div V; with ``rotate`` the offset o is the number of words
    of the halves before it in the loop, so that slices with a word more are others each time. The
    mask chunk that it belongs to is put together here, once for all lanes, and sent again with
    every word, so that lanes need no logic for it.

    Latency: 3 cycles from a stored word to ``broadcast``, 4 from a fresh one, which is registered
    first. ``tokens`` change one cycle after a vector's last word, when it can be read; if not
    ``unfolded``, an input vector's once the hidden state that it meets has been sent as well.

    With ``delta`` words become differences (:class:`~.differences.Differences`) before they are
    placed, as many cycles later, and the next stored word waits for :data:`_HOLD` cycles behind the
    last one of a vector. So the same word of the next input vector finds its reference written. A
    fresh word does anyway: it follows from what the lanes made of the one before it.

    Members
    -------
    differences, anew, references: only with ``delta``; the first as ``program``, the second with
        ``start``: all references are zero; the last is the host's, between runs.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        word = vector_word_layout(config)
        super().__init__(
            {
                "program": In(BROADCAST_PROGRAM),
                "start": In(1),
                "stored": In(stream.Signature(word)),
                "fresh": In(word),
                "fresh_valid": In(1),
                "broadcast": Out(broadcast_layout(config)),
                "broadcast_en": Out(config.max_v),
                "tokens": Out(tokens_layout(config)),
            }
            | (
                {
                    "differences": In(DIFFERENCES_PROGRAM),
                    "anew": In(1),
                    "references": In(references_signature(config)),
                }
                if config.delta
                else {}
            )
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        banks = config.post_units
        width = config.lane_activation_bits
        slice_bits = config.v_log2_max
        program = self.program
        vectors = range(2 * config.threads)  # {thread, half}
        v_mask = Signal(config.max_v.bit_length())
        m.d.sync += v_mask.eq((1 << program.v_log2) - 1)  # static from the layer's start on

        # Where the next word of each vector goes.
        first = [Signal(max(1, slice_bits), name=f"first{one}") for one in vectors]
        slices = Array(Signal(max(1, slice_bits), name=f"slice{one}") for one in vectors)
        words = Array(Signal(local_word_bits(config) or 1, name=f"word{one}") for one in vectors)
        counts = Array(Signal(2, name=f"count{one}") for one in vectors)
        for one in vectors[1:]:
            before = program.out_words if one % 2 == 0 else program.in_words
            m.d.sync += first[one].eq(Mux(program.rotate, first[one - 1] + before, 0))

        fresh, fresh_valid = Signal(vector_word_layout(config), reset_less=True), Signal()
        item, valid = Signal(vector_word_layout(config), reset_less=True), Signal()
        m.d.comb += self.stored.ready.eq(~fresh_valid)
        offered: Value = self.stored.valid
        if config.delta:
            held = self._held(m)
            offered = offered & ~held
            m.d.comb += self.stored.ready.eq(~fresh_valid & ~held)
        m.d.sync += [
            fresh.eq(self.fresh),
            fresh_valid.eq(self.fresh_valid),
            valid.eq(fresh_valid | offered),
            item.eq(Mux(fresh_valid, fresh, self.stored.payload)),
        ]
        if config.delta:
            item, valid = self._differences(m, item, valid)
        number = Cat(item.half, item.thread)
        here, local, count = slices[number], words[number], counts[number]

        placed = Signal(sent_word_layout(config))
        placed_valid = Signal()
        placed_slice = Signal(max(1, slice_bits))
        placed_word = Signal(local_word_bits(config))
        placed_parity = Signal()
        nonzero = Signal(banks)
        m.d.sync += [
            placed_valid.eq(valid),
            placed.eq(item),
            placed_slice.eq((here + Array(first)[number]) & v_mask),
            placed_word.eq(local),
            placed_parity.eq(count[0]),
            nonzero.eq(Cat(item.values[k * width : (k + 1) * width].any() for k in range(banks))),
        ]
        with m.If(valid):
            with m.If(item.last):
                m.d.sync += [here.eq(0), local.eq(0), count.eq(count + 1)]
            with m.Elif((here & v_mask) == v_mask):
                m.d.sync += [here.eq(0), local.eq(local + 1)]
            with m.Else():
                m.d.sync += here.eq(here + 1)
        with m.If(self.start):
            for one in vectors:
                m.d.sync += [slices[one].eq(0), words[one].eq(0), counts[one].eq(0)]

        # The chunk so far, per vector and slice.
        m.submodules.chunks = chunks = memory.Memory(
            shape=config.chunk, depth=len(vectors) * config.max_v, init=[]
        )
        write, read = chunks.write_port(), chunks.read_port(domain="comb")
        granule_bits = clog2(config.chunk // banks)
        granule = placed_word[:granule_bits]
        chunk = Signal(config.chunk)
        address = Cat(placed_slice[:slice_bits], placed.half, placed.thread)
        m.d.comb += chunk.eq(
            Mux(granule == 0, 0, read.data)
            | Cat(
                nonzero & (granule == position).replicate(banks)
                for position in range(config.chunk // banks)
            )
        )
        m.d.comb += [
            read.addr.eq(address),
            write.addr.eq(address),
            write.data.eq(chunk),
            write.en.eq(placed_valid),
        ]

        m.d.sync += [
            self.broadcast.half.eq(placed.half),
            self.broadcast.thread.eq(placed.thread),
            self.broadcast.parity.eq(placed_parity),
            self.broadcast.word.eq(placed_word),
            self.broadcast.values.eq(placed.values),
            self.broadcast.mask.eq(chunk),
        ]
        for position in range(config.max_v):
            m.d.sync += self.broadcast_en[position].eq(
                placed_valid & (((placed_slice ^ position) & v_mask) == 0)
            )
        unfolded = program.unfolded | (program.kind == Kind.LINEAR)
        for thread in range(config.threads):
            tokens = self.tokens[thread]
            ends = placed_valid & placed.last
            if config.threads > 1:
                ends = ends & (placed.thread == thread)
            x_sent = Signal(2, name=f"x_sent{thread}")
            x_last, h_last = Signal(name=f"x_last{thread}"), Signal(name=f"h_last{thread}")
            m.d.sync += [x_last.eq(ends & ~placed.half), h_last.eq(ends & placed.half)]
            with m.If(h_last):
                m.d.sync += tokens.h.eq(tokens.h + 1)
            with m.If(x_last):
                m.d.sync += x_sent.eq(x_sent + 1)
            with m.If(Mux(unfolded, x_last, (tokens.x != x_sent) & (tokens.x != tokens.h))):
                m.d.sync += tokens.x.eq(tokens.x + 1)
            with m.If(self.start):
                m.d.sync += Cat(tokens.x, tokens.h, x_sent, x_last, h_last).eq(0)
        return m

    def _held(self, m: Module) -> Signal:
        """Whether the stored words have to wait behind the last one of a vector."""
        hold = Signal(_HOLD)
        m.d.sync += hold.eq(hold >> 1)
        with m.If(self.stored.valid & self.stored.ready & self.stored.payload.last):
            m.d.sync += hold.eq(-1)
        held = Signal()
        m.d.comb += held.eq(hold[0])
        return held

    def _differences(self, m: Module, item: data.View, valid: Signal) -> tuple[data.View, Signal]:
        """What is sent of a word, and whether there is one."""
        m.submodules.differences = differences = Differences(self._config)
        m.d.comb += [
            differences.program.eq(self.differences),
            differences.start.eq(self.start),
            differences.anew.eq(self.anew),
            differences.i.eq(item),
            differences.i_valid.eq(valid),
        ]
        wiring.connect(m, wiring.flipped(self.references), differences.references)
        return differences.o, differences.o_valid
