"""The machine's packet stream over a serial line."""

from amaranth.hdl import (
    C,
    Cat,
    ClockDomain,
    ClockSignal,
    DomainRenamer,
    Module,
    ResetSignal,
    Signal,
)
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.word_queue import WordQueue

from .protocol import CREDITS_PER_DEPTH, VERSION, WORD_BITS, Kind
from .receiver import LinkReceiver
from .transmitter import LinkTransmitter
from .uart_receiver import UartReceiver
from .uart_transmitter import UartTransmitter

__all__ = ["SerialLink"]


class SerialLink(wiring.Component):
    """Carries :mod:`sparnn.hdl.host.protocol` over 8N1 bytes, with credits, a check and a way back.

    The host sends at most as many words as it holds credit for, so the receive queue cannot
    overflow however long the machine takes no word. A RESET from the host empties the queues and
    resets the machine, whatever either was doing, and is answered by RESET.

    Parameters
    ----------
    divisor: clock cycles per bit, at least 4.
    receive_depth, transmit_depth: words in the queues, powers of two, 4 to 32768.

    Members
    -------
    line_in, line_out: the pins.
    words: Out(stream of 32 bits), to the machine.
    answers: In(stream of 32 bits), from it.
    machine_reset: resets the machine.
    open: a host has said RESET, and nothing went wrong since.
    faulty: something did, and FAULT was or is being sent.
    """

    #: Cycles for which a RESET keeps the machine in reset: more than the registers on its way.
    RESET_CYCLES = 16

    def __init__(
        self, divisor: int, *, receive_depth: int = 512, transmit_depth: int = 512
    ) -> None:
        for depth in (receive_depth, transmit_depth):
            assert 4 <= depth <= 1 << 15
            assert depth & (depth - 1) == 0
        self._divisor = divisor
        self._receive_depth = receive_depth
        self._transmit_depth = transmit_depth
        super().__init__(
            {
                "line_in": In(1, init=1),
                "line_out": Out(1, init=1),
                "words": Out(stream.Signature(WORD_BITS)),
                "answers": In(stream.Signature(WORD_BITS)),
                "machine_reset": Out(1),
                "open": Out(1),
                "faulty": Out(1),
            }
        )

    @property
    def divisor(self) -> int:
        return self._divisor

    @property
    def receive_depth(self) -> int:
        return self._receive_depth

    @property
    def transmit_depth(self) -> int:
        return self._transmit_depth

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.uart_receiver = uart_receiver = UartReceiver(self._divisor)
        m.submodules.uart_transmitter = uart_transmitter = UartTransmitter(self._divisor)
        m.submodules.receiver = receiver = LinkReceiver()

        # What RESET resets: everything but the receiver, and a byte that is on the line.
        m.domains.session = session = ClockDomain("session", local=True)
        in_reset = Signal(range(self.RESET_CYCLES + 1), init=self.RESET_CYCLES)
        with m.If(receiver.reset):
            m.d.sync += in_reset.eq(self.RESET_CYCLES)
        with m.Elif(in_reset != 0):
            m.d.sync += in_reset.eq(in_reset - 1)
        resetting = Signal(init=1)
        m.d.sync += resetting.eq(in_reset != 0)
        m.d.comb += [
            session.clk.eq(ClockSignal("sync")),
            session.rst.eq(resetting | ResetSignal("sync")),
            self.machine_reset.eq(resetting),
        ]
        renamed = DomainRenamer("session")
        transmitter, received, sent = (
            LinkTransmitter(),
            WordQueue(WORD_BITS, self._receive_depth),
            WordQueue(WORD_BITS, self._transmit_depth),
        )
        m.submodules.transmitter = renamed(transmitter)
        m.submodules.received = renamed(received)
        m.submodules.sent = renamed(sent)

        m.d.comb += [
            uart_receiver.line.eq(self.line_in),
            self.line_out.eq(uart_transmitter.line),
            receiver.byte.eq(uart_receiver.byte),
            receiver.valid.eq(uart_receiver.valid),
            receiver.broken.eq(uart_receiver.broken),
            received.i.valid.eq(receiver.word_valid),
            received.i.payload.eq(receiver.word),
            receiver.room.eq(received.i.ready),
            self.faulty.eq(receiver.fault != 0),
        ]
        wiring.connect(m, received.o, wiring.flipped(self.words))
        wiring.connect(m, wiring.flipped(self.answers), sent.i)
        wiring.connect(m, transmitter.bytes, uart_transmitter.bytes)
        opened = Signal()
        with m.If(receiver.reset):
            m.d.sync += opened.eq(1)
        m.d.comb += self.open.eq(opened & ~self.faulty)

        # Words that left the queue and have not been credited; a credit at a time.
        quantum = self._receive_depth // CREDITS_PER_DEPTH
        freed = Signal(range(self._receive_depth + 2))
        crediting = Signal()
        owed = freed >= quantum
        m.d.session += freed.eq(
            freed + (self.words.valid & self.words.ready) - crediting * C(quantum)
        )

        greeted, complained = Signal(), Signal()
        word = transmitter.words
        with m.If(~greeted):
            m.d.comb += [
                word.valid.eq(1),
                word.payload.kind.eq(Kind.RESET),
                word.payload.word.eq(
                    Cat(
                        receiver.nonce,
                        C(self._receive_depth.bit_length() - 1, 8),
                        C(VERSION, 8),
                    )
                ),
            ]
            with m.If(word.ready):
                m.d.session += greeted.eq(1)
        with m.Elif(self.faulty & ~complained):
            m.d.comb += [
                word.valid.eq(1),
                word.payload.kind.eq(Kind.FAULT),
                word.payload.word.eq(receiver.fault),
            ]
            with m.If(word.ready):
                m.d.session += complained.eq(1)
        with m.Elif(owed):
            m.d.comb += [
                word.valid.eq(1),
                word.payload.kind.eq(Kind.CREDIT),
                word.payload.word.eq(quantum),
                crediting.eq(word.ready),
            ]
        with m.Else():
            m.d.comb += [
                word.valid.eq(sent.o.valid),
                word.payload.kind.eq(Kind.DATA),
                word.payload.word.eq(sent.o.payload),
                sent.o.ready.eq(word.ready),
            ]
        return m
