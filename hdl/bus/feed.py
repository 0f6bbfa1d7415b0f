"""The words of a job on their way into the machine."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.check import CRC_INIT, RESIDUE, next_crc

from .faults import Fault
from .geometry import WORD_COUNT_BITS
from .packets import PacketFollower

__all__ = ["LEAST_WORDS", "JobFeeder"]

#: Identity, one word of packets, check.
LEAST_WORDS = 3


class JobFeeder(wiring.Component):
    """Takes the words of a job apart: identity, packet words for the machine, check.

    The check runs along: what the machine gets before the last word has come may be damaged, and
    then the job ends with CHECK.

    Latency: a packet word is offered to the machine the cycle after it came, a word a cycle; what
    is wrong shows two cycles after the word that says so.

    Parameters
    ----------
    identity: of the machine. link_words: packet words that it takes at once.

    Members
    -------
    start: a job begins with the next word; words: how many it has.
    words_in: In(stream of 32 bits), taken while ``enable`` is high.
    beats: Out(stream of 32 * link_words bits), to the machine. What is offered stands until taken.
    taken: words of the job that were taken.
    done: all were, nothing was wrong, and the machine has taken them.
    fault: what was wrong, of IDENTITY, CHECK and TRUNCATED; it stays until ``start``.
    """

    def __init__(self, identity: int, link_words: int) -> None:
        assert 0 <= identity < 1 << 32
        self._identity = identity
        self._link_words = link_words
        super().__init__(
            {
                "start": In(1),
                "enable": In(1),
                "words": In(WORD_COUNT_BITS),
                "words_in": In(stream.Signature(32)),
                "beats": Out(stream.Signature(32 * link_words)),
                "taken": Out(WORD_COUNT_BITS),
                "done": Out(1),
                "fault": Out(Fault),
            }
        )

    @property
    def identity(self) -> int:
        return self._identity

    @property
    def link_words(self) -> int:
        return self._link_words

    def elaborate(self, platform: object) -> Module:
        m = Module()
        link = self._link_words
        m.submodules.packets = packets = PacketFollower(link)
        part = Signal(range(link))  # of the beat that is being filled
        first, last = Signal(), Signal()  # the next word is the identity, the check
        left = Signal(WORD_COUNT_BITS)
        takes = Signal()
        word, checks, was_first = Signal(32, reset_less=True), Signal(), Signal()
        m.d.comb += [
            first.eq(self.taken == 0),
            last.eq(left == 1),
            self.words_in.ready.eq(
                self.enable
                & (left != 0)
                & (self.fault == Fault.NONE)
                & ~(checks & was_first)  # nothing goes on before the identity is known
                & (~self.beats.valid | self.beats.ready)
            ),
            takes.eq(self.words_in.valid & self.words_in.ready),
            packets.took.eq(self.beats.valid & self.beats.ready),
            packets.word.eq(self.beats.payload),
        ]
        with m.If(self.beats.ready):
            m.d.sync += self.beats.valid.eq(0)
        with m.If(takes):
            m.d.sync += [self.taken.eq(self.taken + 1), left.eq(left - 1)]
            with m.If(~first & ~last):
                m.d.sync += [
                    self.beats.valid.eq(part == link - 1),
                    part.eq(Mux(part == link - 1, 0, part + 1)),
                ]
                with m.Switch(part):
                    for one in range(link):
                        with m.Case(one):
                            m.d.sync += self.beats.payload.word_select(one, 32).eq(
                                self.words_in.payload
                            )

        # The word of the cycle before: its check, and what it says.
        crc = Signal(32, init=CRC_INIT)
        m.d.sync += [word.eq(self.words_in.payload), checks.eq(takes), was_first.eq(first)]
        ended = Signal()
        m.d.comb += ended.eq((left == 0) & ~checks & ~self.beats.valid & (self.taken != 0))
        good = (crc == RESIDUE) & ~packets.inside & (part == 0)
        with m.If(checks):
            m.d.sync += crc.eq(next_crc(crc, word))
        with m.If(checks & was_first & (word != self._identity)):
            m.d.sync += self.fault.eq(Fault.IDENTITY)
        with m.Elif(ended & (self.fault == Fault.NONE) & ~self.done):
            m.d.sync += [
                self.done.eq(good),
                self.fault.eq(
                    Mux(good, Fault.NONE, Mux(crc == RESIDUE, Fault.TRUNCATED, Fault.CHECK))
                ),
            ]
        with m.If(self.start):
            m.d.sync += [
                left.eq(self.words),
                self.taken.eq(0),
                crc.eq(CRC_INIT),
                self.done.eq(0),
                self.fault.eq(Fault.NONE),
            ]
        return m
