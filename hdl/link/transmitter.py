"""Link words into bytes."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from .check import RESTARTED, checked, rotated
from .protocol import CRC_BITS, GROUP_BITS, GROUPS, KIND_BITS, WORD_BITS, Kind

__all__ = ["LINK_WORD", "LinkTransmitter"]

LINK_WORD = StructLayout({"kind": KIND_BITS, "word": WORD_BITS})


class LinkTransmitter(wiring.Component):
    """Puts link words together, bit by bit while the byte before is on the line.

    The first link word after a reset must be RESET: it starts the check. A byte takes 8 cycles to
    make, less than any line takes to send one.

    Members
    -------
    words: In(stream of ``LINK_WORD``), taken when the one before has left but for its last byte.
    bytes: Out(stream of 8 bits).
    """

    def __init__(self) -> None:
        super().__init__(
            {"words": In(stream.Signature(LINK_WORD)), "bytes": Out(stream.Signature(8))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        payload = KIND_BITS + WORD_BITS
        shift = Signal(payload)
        group = Signal(range(GROUPS + 1), init=GROUPS)
        made = Signal(range(GROUP_BITS + 1))  # bits of the byte that are there
        crc = Signal(CRC_BITS)
        bits = Signal(GROUP_BITS)
        restart = Signal()

        idle = group == GROUPS
        complete = made == GROUP_BITS
        in_check = (group == GROUPS - 1) | (
            (group == payload // GROUP_BITS) & (made == GROUP_BITS - 1)
        )
        bit = Mux(in_check, crc[0], shift[0])
        m.d.comb += [
            self.words.ready.eq(idle),
            self.bytes.valid.eq(complete & ~idle),
            self.bytes.payload.eq(Cat(bits, group == 0)),
        ]
        with m.If(idle):
            m.d.sync += [
                shift.eq(self.words.payload.as_value()),
                restart.eq(self.words.payload.kind == Kind.RESET),
                made.eq(0),
            ]
            with m.If(self.words.valid):
                m.d.sync += group.eq(0)
        with m.Elif(complete):
            with m.If(self.bytes.ready):
                m.d.sync += [group.eq(group + 1), made.eq(0)]
        with m.Else():
            m.d.sync += [made.eq(made + 1), bits.eq(Cat(bits[1:], bit))]
            with m.If(in_check):
                m.d.sync += crc.eq(rotated(crc))
            with m.Else():
                m.d.sync += [crc.eq(checked(crc, bit)), shift.eq(shift >> 1)]
                with m.If(restart & (group == 0) & (made == KIND_BITS - 1)):
                    m.d.sync += crc.eq(RESTARTED)
        return m
