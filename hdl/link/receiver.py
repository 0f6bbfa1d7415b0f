"""Link words out of bytes."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .check import RESTARTED, checked, rotated
from .protocol import CRC_BITS, GROUP_BITS, GROUPS, KIND_BITS, WORD_BITS, Fault, Kind

__all__ = ["LinkReceiver"]


class LinkReceiver(wiring.Component):
    """Takes link words apart, bit by bit while the next byte is on the line.

    From power-up, and from a fault, everything but RESET is dropped. The first fault after a RESET
    stays in ``fault`` until the next.

    A byte takes 8 cycles, so bytes must come at least 9 apart.

    Members
    -------
    byte, valid, broken: from :class:`~sparnn.hdl.link.uart_receiver.UartReceiver`.
    word, word_valid: a word of the packet stream, for one cycle.
    room: it can be taken; it is lost where it cannot, and that is a fault.
    reset: a RESET, for one cycle.
    nonce: of the last RESET.
    fault: a :class:`~sparnn.hdl.link.protocol.Fault`, or 0.
    """

    #: Cycles from ``valid`` of a link word's last byte to ``word_valid``.
    LATENCY = GROUP_BITS + 1

    def __init__(self) -> None:
        super().__init__(
            {
                "byte": In(8),
                "valid": In(1),
                "broken": In(1),
                "word": Out(WORD_BITS),
                "word_valid": Out(1),
                "room": In(1),
                "reset": Out(1),
                "nonce": Out(8),
                "fault": Out(3),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        payload = KIND_BITS + WORD_BITS
        shift = Signal(payload)
        group = Signal(range(GROUPS + 1), init=GROUPS)  # of the bits being shifted; GROUPS: none
        bits = Signal(GROUP_BITS)
        left = Signal(range(GROUP_BITS + 1))
        crc = Signal(CRC_BITS)
        matches = Signal()
        open_ = Signal()

        kind = shift[:KIND_BITS]
        bit = bits[0]
        # The check's first bit is the last of its group.
        in_check = (group == GROUPS - 1) | ((group == payload // GROUP_BITS) & (left == 1))
        second = (group == 0) & (left == GROUP_BITS - 1)
        m.d.comb += self.word.eq(shift[KIND_BITS:])

        def give_up(fault: Fault) -> None:
            with m.If(open_):
                m.d.sync += [open_.eq(0), self.fault.eq(fault)]

        done = Signal()
        m.d.sync += done.eq(0)
        with m.If(self.broken):
            m.d.sync += group.eq(GROUPS)
            give_up(Fault.LINE)
        with m.Elif(self.valid):
            m.d.sync += [bits.eq(self.byte[:GROUP_BITS]), left.eq(GROUP_BITS)]
            with m.If(self.byte[GROUP_BITS]):
                m.d.sync += [group.eq(0), matches.eq(1)]
                with m.If(group < GROUPS - 1):
                    give_up(Fault.FRAME)
            with m.Elif(group < GROUPS - 1):
                m.d.sync += group.eq(group + 1)
            with m.Else():
                m.d.sync += group.eq(GROUPS)
                give_up(Fault.FRAME)
        with m.Elif((left != 0) & (group != GROUPS)):
            m.d.sync += [left.eq(left - 1), bits.eq(bits[1:])]
            with m.If(in_check):
                m.d.sync += [crc.eq(rotated(crc)), matches.eq(matches & (bit == crc[0]))]
            with m.Else():
                restarts = second & bit & shift[payload - 1]
                m.d.sync += [
                    crc.eq(Mux(restarts, RESTARTED, checked(crc, bit))),
                    shift.eq(Cat(shift[1:], bit)),
                ]
            m.d.sync += done.eq((group == GROUPS - 1) & (left == 1))

        with m.If(done):
            with m.If(~matches):
                give_up(Fault.CHECK)
            with m.Elif(kind == Kind.RESET):
                m.d.comb += self.reset.eq(1)
                m.d.sync += [open_.eq(1), self.fault.eq(0), self.nonce.eq(self.word[:8])]
            with m.Elif(kind != Kind.DATA):
                give_up(Fault.FRAME)
            with m.Elif(~self.room):
                give_up(Fault.OVERRUN)
            with m.Else():
                m.d.comb += self.word_valid.eq(open_)
        return m
