"""States of a sequence on their way to memory, in the form in which the machine takes them back."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.check import CRC_INIT, next_crc
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.host.protocol import (
    ARGUMENT_BITS,
    Opcode,
    Response,
    Target,
    identity,
    words_per_entry,
)
from sparnn.hdl.machine import MachineConfig

__all__ = ["StateWriter"]


class StateWriter(wiring.Component):
    """Turns the answers to READs into a job that writes back what was read.

    The identity comes first; each DATA becomes SELECT, ADDRESS and WRITE with its entries, padded
    to whole beats of the machine's link; the check comes last. So a state in memory is a job like
    any other, and damage of it is found when it is read.

    Latency: none; a word a cycle. Flow control: streams; what is offered stands until taken.

    Parameters
    ----------
    config: of the machine.

    Members
    -------
    start: begin; one cycle. took, word: a beat goes into the machine, and its first word. What goes
        in between ``start`` and ``done`` is SELECT, ADDRESS and READ alone.
    answers: In(stream of 32 bits), the machine's.
    words: Out(stream of 32 bits), to memory.
    finish: the machine has answered all. done: the check has been taken, until ``start``.
    wrong: what it answers is not DATA; within the cycle, and nothing is taken any more.
    """

    def __init__(self, config: MachineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "took": In(1),
                "word": In(32),
                "answers": In(stream.Signature(32)),
                "words": Out(stream.Signature(32)),
                "finish": In(1),
                "done": Out(1, init=1),
                "wrong": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        select, address, entries = self._follow(m)
        # Of an entry: words that are answered, and words that a WRITE has for it.
        config = self._config
        store = ceil_div(config.entry_bits(Target.STORE), 32), words_per_entry(config, Target.STORE)
        state: tuple[Any, Any] = 1, words_per_entry(config, Target.STATE)
        longest = max(store[1], state[1])
        of_store: Value = select[20:] == Target.STORE
        if Target.TOTAL in config.memories():
            of_store |= select[20:] == Target.REFERENCE
            total = words_per_entry(config, Target.TOTAL)
            if total > 1:
                longest = max(longest, total)
                each = Mux(select[20:] == Target.TOTAL, total, 1)
                state = each, each
        answered, written, left = (Signal(range(longest + 1)) for _ in range(3))
        part, words = Signal(range(longest + 1)), Signal(ARGUMENT_BITS)
        m.d.comb += [
            answered.eq(Mux(of_store, store[0], state[0])),
            written.eq(Mux(of_store, store[1], state[1])),
            left.eq(written - part),
        ]
        payload = Signal(ARGUMENT_BITS)
        m.d.comb += payload.eq(Mux(of_store, entries * store[1], entries * state[1]))
        out, takes = self.words, Signal()
        crc = Signal(32, init=CRC_INIT)
        m.d.comb += takes.eq(out.valid & out.ready)
        with m.If(takes):
            m.d.sync += crc.eq(next_crc(crc, out.payload))

        headers = (
            Cat(select, Const(Opcode.SELECT, 4)),
            Cat(address, Const(Opcode.ADDRESS, 4)),
            Cat(payload, Const(Opcode.WRITE, 4)),
        )
        with m.FSM(init="DONE"):
            with m.State("DONE"):
                with m.If(self.start):
                    m.d.sync += [crc.eq(CRC_INIT), self.done.eq(0)]
                    m.next = "IDENTITY"
            with m.State("IDENTITY"):
                m.d.comb += [out.valid.eq(1), out.payload.eq(identity(config))]
                with m.If(takes):
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                data = self.answers.payload[ARGUMENT_BITS:] == Response.DATA
                m.d.comb += [
                    self.answers.ready.eq(data),
                    self.wrong.eq(self.answers.valid & ~data),
                ]
                m.d.sync += [words.eq(self.answers.payload[:ARGUMENT_BITS]), part.eq(0)]
                with m.If(self.answers.valid & data):
                    m.next = "HEADER0"
                with m.Elif(self.finish & ~self.answers.valid):
                    m.next = "CHECK"
            for number, header in enumerate(headers):
                with m.State(f"HEADER{number}"):
                    m.d.comb += [out.valid.eq(1), out.payload.eq(Mux(part == 0, header, 0))]
                    with m.If(takes):
                        m.d.sync += part.eq(part + 1)
                        with m.If(part == config.link_words - 1):
                            m.d.sync += part.eq(0)
                            m.next = f"HEADER{number + 1}" if number < 2 else "ENTRIES"
            with m.State("ENTRIES"):
                pads = part >= answered
                m.d.comb += [
                    out.valid.eq(pads | self.answers.valid),
                    out.payload.eq(Mux(pads, 0, self.answers.payload)),
                    self.answers.ready.eq(out.ready & ~pads),
                ]
                with m.If(takes):
                    m.d.sync += part.eq(Mux(left == 1, 0, part + 1))
                    with m.If(~pads):
                        m.d.sync += words.eq(words - 1)
                    with m.If((left == 1) & ((words == 0) | (~pads & (words == 1)))):
                        m.next = "ANSWER"
            with m.State("CHECK"):
                m.d.comb += [out.valid.eq(1), out.payload.eq(~crc)]
                with m.If(takes):
                    m.d.sync += self.done.eq(1)
                    m.next = "DONE"
        return m

    def _follow(self, m: Module) -> tuple[Signal, Signal, Signal]:
        """What was selected, from which address on and how many entries were asked for."""
        select, address, entries = (Signal(ARGUMENT_BITS) for _ in range(3))
        with m.If(self.took):
            argument = self.word[:ARGUMENT_BITS]
            with m.Switch(self.word[ARGUMENT_BITS:]):
                with m.Case(Opcode.SELECT):
                    m.d.sync += [select.eq(argument), address.eq(0)]
                with m.Case(Opcode.ADDRESS):
                    m.d.sync += address.eq(argument)
                with m.Case(Opcode.READ):
                    m.d.sync += entries.eq(argument)
        return select, address, entries
