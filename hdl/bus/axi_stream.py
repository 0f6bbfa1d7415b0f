"""The machine's packets as AXI4-Stream, for any DMA engine."""

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.stream_buffer import StreamBuffer
from sparnn.hdl.host.protocol import ARGUMENT_BITS, Response

from .faults import Fault
from .geometry import WORD_COUNT_BITS
from .packets import AnswerFollower, PacketFollower

__all__ = ["StreamPort", "axi_stream_ports"]

#: Bits of TID: which stream a packet, and what the machine answers to it, belongs to.
STREAM_ID_BITS = 8

ANSWER = data.StructLayout({"word": 32, "last": 1, "id": STREAM_ID_BITS})

#: What ends an answer that a soft reset has cut short.
CUT = Response.ERROR << ARGUMENT_BITS


def axi_stream_ports(link_words: int) -> dict[str, wiring.Member]:
    """The ports of both streams, by their AXI names."""
    return {
        "s_axis_tdata": In(32 * link_words),
        "s_axis_tid": In(STREAM_ID_BITS),
        "s_axis_tlast": In(1),
        "s_axis_tvalid": In(1),
        "s_axis_tready": Out(1),
        "m_axis_tdata": Out(32),
        "m_axis_tid": Out(STREAM_ID_BITS),
        "m_axis_tlast": Out(1),
        "m_axis_tvalid": Out(1),
        "m_axis_tready": In(1),
    }


class StreamPort(wiring.Component):
    """Packet words straight through; the answers get TLAST where the machine has said all.

    An answer has the TID of the packet that it is to: the machine answers a packet before it takes
    the next one. What a TID means is the host's; a packet whose TID changes is a fault, TRUNCATED.
    TLAST of the answers is with the last word of DONE, of DATA and of ERROR, so a run's results and
    its DONE are one packet. A TLAST that comes inside a packet to the machine is a fault,
    TRUNCATED, and an ERROR of the machine another, REFUSED; neither stops the streams. A soft reset
    resets the machine; an answer that it cuts short is ended by the word :data:`CUT` with TLAST.

    Latency: none in, one cycle out. Flow control: AXI4-Stream; what is offered stands until taken,
    through a soft reset as well.

    Parameters
    ----------
    link_words: packet words of a beat to the machine. parity: its memories have parity.

    Members
    -------
    The ports of :func:`axi_stream_ports`. rx: Out(stream), tx: In(stream), the machine's.
    soft_reset: at any time. machine_reset: resets the machine.
    busy, failed, resetting, fault, jobs: as the registers. error_word: beats that had come, of
        TRUNCATED, or words that had left, of REFUSED, since the last reset.
    wrong: with ``parity``: a word that the machine read does not match it.
    done: a word with TLAST leaves, for one cycle. erred: something went wrong, for one cycle.
    """

    #: Cycles that a soft reset keeps the machine in reset: more than the registers on its way.
    RESET_CYCLES = 16

    def __init__(self, link_words: int, *, parity: bool = False) -> None:
        self._link_words, self._parity = link_words, parity
        super().__init__(
            {
                **axi_stream_ports(link_words),
                "rx": Out(stream.Signature(32 * link_words)),
                "tx": In(stream.Signature(32)),
                "soft_reset": In(1),
                "machine_reset": Out(1, init=1),
                "busy": Out(1),
                "failed": Out(1),
                "resetting": Out(1),
                "fault": Out(Fault),
                "error_word": Out(WORD_COUNT_BITS),
                "jobs": Out(16),
                "done": Out(1),
                "erred": Out(1),
            }
            | ({"wrong": In(1)} if parity else {})
        )

    @property
    def link_words(self) -> int:
        return self._link_words

    def elaborate(self, platform: object) -> Module:
        m = Module()
        reset = self.machine_reset
        cleared = ResetInserter(reset)
        packets, answers = PacketFollower(self._link_words), AnswerFollower()
        m.submodules.packets = cleared(packets)
        m.submodules.answers = cleared(answers)
        m.submodules.buffer = buffer = StreamBuffer(ANSWER)

        hold = Signal(range(self.RESET_CYCLES + 1), init=self.RESET_CYCLES)
        open_ = Signal()  # the answer that leaves has begun and not ended
        cuts = Signal()
        m.d.sync += reset.eq(hold != 0)
        with m.If(self.soft_reset):
            m.d.sync += [hold.eq(self.RESET_CYCLES), reset.eq(1)]
        with m.Elif((hold != 0) & ~cuts):
            m.d.sync += hold.eq(hold - 1)
        m.d.comb += [
            self.resetting.eq(reset),
            self.busy.eq(self.rx.valid | ~self.rx.ready | self.tx.valid | buffer.o.valid),
        ]

        # In.
        ended = Signal()  # the beat before had TLAST
        m.d.comb += [
            self.rx.payload.eq(self.s_axis_tdata),
            self.rx.valid.eq(self.s_axis_tvalid & ~reset),
            self.s_axis_tready.eq(self.rx.ready & ~reset),
            packets.took.eq(self.rx.valid & self.rx.ready),
            packets.word.eq(self.s_axis_tdata),
        ]
        stream_id, changed = Signal(STREAM_ID_BITS), Signal()
        m.d.sync += [
            ended.eq(packets.took & self.s_axis_tlast),
            changed.eq(packets.took & packets.inside & (self.s_axis_tid != stream_id)),
        ]
        with m.If(packets.took):
            m.d.sync += stream_id.eq(self.s_axis_tid)

        # Out.
        m.d.comb += [
            cuts.eq(reset & open_),
            buffer.i.valid.eq(Mux(reset, open_, self.tx.valid)),
            buffer.i.payload.word.eq(Mux(reset, CUT, self.tx.payload)),
            buffer.i.payload.last.eq(reset | answers.last),
            buffer.i.payload.id.eq(stream_id),
            self.tx.ready.eq(buffer.i.ready & ~reset),
            answers.took.eq(self.tx.valid & self.tx.ready),
            answers.word.eq(self.tx.payload),
            self.m_axis_tvalid.eq(buffer.o.valid),
            self.m_axis_tdata.eq(buffer.o.payload.word),
            self.m_axis_tlast.eq(buffer.o.payload.last),
            self.m_axis_tid.eq(buffer.o.payload.id),
            buffer.o.ready.eq(self.m_axis_tready),
            self.done.eq(buffer.o.valid & self.m_axis_tready & buffer.o.payload.last),
        ]
        with m.If(buffer.i.valid & buffer.i.ready):
            m.d.sync += open_.eq(~buffer.i.payload.last)
        with m.If(self.done):
            m.d.sync += self.jobs.eq(self.jobs + 1)

        # What went wrong.
        beats, words = Signal(WORD_COUNT_BITS), Signal(WORD_COUNT_BITS)
        refused = answers.took & answers.refused
        m.d.sync += [
            beats.eq(beats + packets.took),
            words.eq(words + answers.took),
            self.erred.eq(0),
        ]
        m.d.comb += self.failed.eq(self.fault != Fault.NONE)
        with m.If(~self.failed & (refused | (ended & packets.inside) | changed)):
            m.d.sync += [
                self.erred.eq(1),
                self.fault.eq(Mux(refused, Fault.REFUSED, Fault.TRUNCATED)),
                self.error_word.eq(Mux(refused, words, beats)),
            ]
        if self._parity:
            with m.If(~self.failed & self.wrong):
                m.d.sync += [
                    self.erred.eq(1),
                    self.fault.eq(Fault.PARITY),
                    self.error_word.eq(beats),
                ]
        with m.If(reset):
            m.d.sync += [
                beats.eq(0),
                words.eq(0),
                self.fault.eq(Fault.NONE),
                self.error_word.eq(0),
                self.jobs.eq(0),
            ]
        return m
