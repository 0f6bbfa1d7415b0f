"""Where packets end: followers of the words that go into the machine and come out of it."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.host.protocol import ARGUMENT_BITS, Opcode, Response

__all__ = ["AnswerFollower", "PacketFollower"]


class PacketFollower(wiring.Component):
    """Follows the beats that go into the machine.

    Parameters
    ----------
    link_words: words in a beat; a header is the first of them, a payload whole beats.

    Members
    -------
    took: a beat goes into the machine in this cycle, and ``word`` is its first word.
    inside: a packet has begun whose payload has not all come; from the cycle after on.
    """

    def __init__(self, link_words: int) -> None:
        self._link_words = link_words
        super().__init__({"took": In(1), "word": In(32), "inside": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = Signal(ARGUMENT_BITS)  # words of payload, rounded down to whole beats before it
        opcode, argument = self.word[ARGUMENT_BITS:], self.word[:ARGUMENT_BITS]
        with m.If(self.took):
            with m.If(self.inside):
                m.d.sync += [
                    left.eq(left - self._link_words),
                    self.inside.eq(left > self._link_words),
                ]
            with m.Elif(opcode == Opcode.WRITE):
                m.d.sync += [left.eq(argument), self.inside.eq(argument != 0)]
        return m


class AnswerFollower(wiring.Component):
    """Follows the words that come out of the machine.

    Members
    -------
    took: a word leaves the machine in this cycle. word: that word, or the one that is offered.
    last: it ends what the machine has to say for now: the last word of DONE, of DATA or of ERROR;
        within the cycle.
    refused: it is the header of ERROR; within the cycle.
    """

    def __init__(self) -> None:
        super().__init__({"took": In(1), "word": In(32), "last": Out(1), "refused": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = Signal(ARGUMENT_BITS)
        results = Signal()  # the payload is that of RESULT, which DONE follows
        opcode, argument = self.word[ARGUMENT_BITS:], self.word[:ARGUMENT_BITS]
        header = left == 0
        m.d.comb += [
            self.refused.eq(header & (opcode == Response.ERROR)),
            self.last.eq(
                Mux(header, self.refused | self._empty(opcode, argument), (left == 1) & ~results)
            ),
        ]
        with m.If(self.took):
            with m.If(header):
                m.d.sync += results.eq(opcode == Response.RESULT)
                with m.Switch(opcode):
                    with m.Case(Response.RESULT, Response.DATA):
                        m.d.sync += left.eq(argument)
                    with m.Case(Response.DONE):
                        m.d.sync += left.eq(1)
            with m.Else():
                m.d.sync += left.eq(left - 1)
        return m

    @staticmethod
    def _empty(opcode: object, argument: object) -> object:
        return (opcode == Response.DATA) & (argument == 0)
