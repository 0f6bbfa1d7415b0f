"""Words on their way from the store to a stream."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .small_fifo import SmallFifo

__all__ = ["ReadAhead"]


class ReadAhead(wiring.Component):
    """Joins what is read with a tag that goes along, and holds it until it is taken.

    A queue has room for all that has been asked for. One word per cycle.

    Parameters
    ----------
    word: bits of what is read.
    tag: of what goes along.
    latency: cycles of the memory.
    registers: the queue is in flip-flops.

    Members
    -------
    free: Out(1), a word may be asked for.
    issue, tag: In(1), In, it is; only while ``free``.
    data: In, the word, ``latency`` cycles after ``issue``.
    o: Out(stream of ``word`` and ``tag``); ``latency`` cycles after ``issue`` at best, and those of
        the queue.
    """

    def __init__(
        self, word: int, tag: data.StructLayout, latency: int, *, registers: bool = False
    ) -> None:
        self._latency, self._registers = latency, registers
        #: Words that may have been asked for and not been taken: one per cycle of the way there.
        #: Two more, because ``free`` and what it counts are registers.
        self.ahead = 1 << (latency + SmallFifo.LATENCY + 2).bit_length()
        self._item = data.StructLayout({"word": word, "tag": tag})
        super().__init__(
            {
                "free": Out(1),
                "issue": In(1),
                "tag": In(tag),
                "data": In(word),
                "o": Out(stream.Signature(self._item)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = SmallFifo(self._item, self.ahead, registers=self._registers)
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        valid, tag = self.issue, self.tag
        for cycle in range(self._latency):
            valid_next = Signal(name=f"valid{cycle}")
            tag_next = Signal.like(self.tag, name=f"tag{cycle}", reset_less=True)
            m.d.sync += [valid_next.eq(valid), tag_next.eq(tag)]
            valid, tag = valid_next, tag_next
        ahead, taken = Signal(range(self.ahead + 1)), Signal()
        m.d.comb += [
            queue.push.eq(valid),
            queue.data.word.eq(self.data),
            queue.data.tag.eq(tag),
        ]
        m.d.sync += [
            taken.eq(self.o.valid & self.o.ready),
            ahead.eq(ahead + self.issue - taken),
            # The word that is asked for in this cycle is not counted yet.
            self.free.eq(ahead < self.ahead - 1),
        ]
        return m
