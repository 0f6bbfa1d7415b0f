"""Deals the words of external memory to the lanes' rings."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.refill.check import follow_check
from sparnn.hdl.sparse.array.refill import dealt_layout
from sparnn.hdl.sparse.config import TAG_BITS, SparseConfig

from .tags import TagKind, count_bits, tag_layout

__all__ = ["WordDealer"]


class WordDealer(wiring.Component):
    """Follows the sections' headers and sends each block to its lane, as soon as there is room.

    A block that has begun goes on without a look at the room, of which there is enough for all of
    it. One that has no room holds up all behind it; that this cannot last is the compiler's work:
    blocks come in the order in which the lanes need them (docs/external-memory.md).

    Latency: a word leaves for the lanes one cycle after it comes. Flow control: a word a cycle, of
    which each header and each check is one.

    Members
    -------
    words: In(stream of ``stream_bits`` bits), of one section after the other.
    clear: In(1). All rings begin anew.
    rooms: In, two bits of each lane: its rings, of weights and of masks, have room for a block.
    dealt: Out, a word for a lane.
    damaged: Out(1). A section's check did not match, since the last reset or ``clear``.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "words": In(stream.Signature(config.stream_bits)),
                "clear": In(1),
                "rooms": In(2 * config.lanes),
                "dealt": Out(dealt_layout(config)),
                "damaged": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        taken, checks = Signal(), Signal()
        m.d.comb += taken.eq(self.words.valid & self.words.ready)
        follow_check(m, self.words.payload, taken, checks, self.damaged, self.clear)

        tags = Signal(config.stream_bits)
        tag = Signal(tag_layout(config))
        inside, begun, room = Signal(), Signal(), Signal()
        done = Signal(count_bits(config))  # words of the block
        one, ends = Signal(), Signal()
        m.d.comb += [
            tag.eq(tags[:TAG_BITS]),
            one.eq((tag.kind == TagKind.LAST) | (tag.kind == TagKind.CHECK)),
            ends.eq(one | (done == tag.count - 1)),
            checks.eq(inside & (tag.kind == TagKind.CHECK)),
            self.words.ready.eq(~inside | begun | room | checks),
        ]
        # Of the tag that will be the first one in the next cycle, whether its lane has room.
        coming = Signal(config.stream_bits)
        first = Signal(tag_layout(config))
        m.d.comb += [
            coming.eq(
                Mux(
                    ~inside,
                    self.words.payload,
                    Mux(taken & ends, tags >> TAG_BITS, tags),
                )
            ),
            first.eq(coming[:TAG_BITS]),
        ]
        m.d.sync += room.eq(
            self.rooms.bit_select(Cat(first.kind != TagKind.WEIGHTS, first.lane), 1)
        )
        with m.If(taken):
            m.d.sync += [tags.eq(coming), done.eq(done + 1), begun.eq(1)]
            with m.If(~inside):
                m.d.sync += [inside.eq(1), done.eq(0), begun.eq(0)]
            with m.Elif(ends):
                m.d.sync += [
                    done.eq(0),
                    begun.eq(0),
                    inside.eq(coming[:TAG_BITS].any() & ~checks),
                ]

        sends = taken & inside & ~checks
        word = self.dealt.refill.word
        final = clog2(config.mask_slots) if config.masks else 0
        m.d.sync += [
            word.masks.eq(self.words.payload),
            word.last.eq(tag.kind == TagKind.LAST),
            word.final.eq(Mux(tag.kind == TagKind.LAST, tag.count, Const(-1, final or 1))),
            word.empty.eq((tag.kind == TagKind.LAST) & tag.count[final]),
            self.dealt.lane.eq(tag.lane),
            self.dealt.clear.eq(self.clear),
            self.dealt.refill.weight_en.eq(sends & (tag.kind == TagKind.WEIGHTS)),
        ]
        if config.masks:
            m.d.sync += self.dealt.refill.mask_en.eq(sends & (tag.kind != TagKind.WEIGHTS))
        return m
