"""The machine's side of the host protocol (docs/machine.md)."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.machine import MachineConfig

from .protocol import (
    ARGUMENT_BITS,
    OVERFLOW_BITS,
    RUN_RESET,
    RUN_STEPS_BITS,
    Opcode,
    Response,
    Target,
    identity,
    words_per_entry,
)

__all__ = ["HostPort"]


class HostPort(wiring.Component):
    """Decodes packets, fills memories, starts runs and answers reads.

    The link carries ``link_words`` words in a beat: a header is the first of them; entries, and so
    payloads, are padded to whole beats. One beat of payload per cycle in, a header takes three and
    that of a READ four; while a run is on no word is taken.
    Whatever is not a packet of the protocol (unknown opcode or target, an index, address or step
    count out of range, a payload that is not whole entries) is answered by ERROR, and a WRITE's
    payload is dropped.

    Members
    -------
    rx, tx: streams of 32 * link_words and of 32 bits from and to the host.
    results, results_idle: the words of the results, passed on to the host during a run.
    write_en: one enable per memory of :meth:`MachineConfig.memories`, by its name in
        small letters; index, addr, entry go with it. begins: the entry is the first of its WRITE.
    run, steps, reset, busy, cycles: the dispatcher. overflow: the argument of DONE.
    read_addr, read_index, read_en, store_data, state_data: READ; data at most
        ``READ_LATENCY`` cycles after the address. read_counters: what is read are counters.
    """

    #: Cycles from ``read_addr`` to its data, the registers on the way to the clusters included.
    READ_LATENCY = 5

    def __init__(self, config: MachineConfig) -> None:
        self._config = config
        entry_words = max(words_per_entry(config, kind) for kind in config.memories())
        super().__init__(
            {
                "rx": In(stream.Signature(32 * config.link_words)),
                "tx": Out(stream.Signature(32)),
                "results": In(stream.Signature(32)),
                "results_idle": In(1),
                "write_en": Out(
                    data.StructLayout({kind.name.lower(): 1 for kind in config.memories()})
                ),
                "index": Out(12),
                "addr": Out(20),
                "entry": Out(32 * entry_words),
                "begins": Out(1),
                "run": Out(1),
                "steps": Out(RUN_STEPS_BITS),
                "reset": Out(1),
                "busy": In(1),
                "cycles": In(32),
                "overflow": In(OVERFLOW_BITS),
                "read_addr": Out(20),
                "read_index": Out(12),
                "read_en": Out(1),
                "store_data": In(config.store_entry_bits),
                "state_data": In(PREACTIVATION_BITS),
                "read_counters": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config

        limits, link = config.memories(), config.link_words
        beat, word = self.rx.payload, self.rx.payload[:32]
        opcode, argument = Signal(4), Signal(ARGUMENT_BITS)  # of the header
        end = Signal(ARGUMENT_BITS + 1)  # of what it wants to read
        within = Signal()  # that end
        inside, known = Signal(), Signal()  # the argument as an address, as a selection
        nothing, steps = Signal(), Signal()  # the argument is zero; it is a legal number of steps
        readable = Signal()  # what is selected
        allowed = {
            Opcode.SELECT: known,
            Opcode.ADDRESS: inside,
            Opcode.WRITE: Const(1, 1),
            Opcode.READ: readable & ~nothing,
            Opcode.RUN: steps,
            Opcode.IDENTIFY: nothing,
        }
        requested = Signal(len(allowed))  # the opcode, a bit for each

        target, index, addr = Signal(8), Signal(12), Signal(21)
        selected = Signal()
        left = Signal(ARGUMENT_BITS)  # payload words, or entries to read
        beats = len(self.entry) // len(beat)  # of the longest entry
        part = Signal(range(beats))
        parts_last = Signal(range(beats))
        depth, last = Signal(21), Signal(21)  # of the selection: entries, the last one's address
        # Of the beat that comes: it is the last one; its entry would lie beyond the memory. That is
        # compared the cycle before, as things were then and as a beat or an entry made them.
        final, beyond = Signal(), Signal()
        took, filled = Signal(), Signal()
        ends, full = Signal(2), Signal(2)
        finished = Signal()  # the run
        entry = Signal.like(self.entry)
        commit, begins = Signal(), Signal()
        answer, answer_valid = Signal(32), Signal()

        m.d.comb += [
            final.eq(Mux(took, ends[1], ends[0])),
            beyond.eq(Mux(filled, full[1], full[0])),
        ]
        with m.Switch(target):
            for kind, (_, entries) in limits.items():
                with m.Case(kind):
                    m.d.sync += [
                        parts_last.eq(words_per_entry(config, kind) // link - 1),
                        depth.eq(entries),
                        last.eq(entries - 1),
                    ]
        new_target, new_index = argument[20:], argument[:20]
        m.d.sync += [
            known.eq(
                Cat(
                    (new_target == kind) & (new_index < count)
                    for kind, (count, _) in limits.items()
                ).any()
            ),
            inside.eq(selected & (argument < depth)),
            requested.eq(Cat(opcode == one for one in allowed)),
            end.eq(addr + argument),
            within.eq(end <= depth),
            nothing.eq(argument == 0),
            ends.eq(Cat(left <= link, left <= 2 * link)),
            full.eq(Cat(addr == depth, addr == last)),
            took.eq(0),
            filled.eq(0),
            finished.eq(0),
            steps.eq(argument[:RUN_STEPS_BITS].any() & ~argument[RUN_STEPS_BITS:-1].any()),
        ]

        # Entries leave one cycle after their last beat. Which memory they go to is known since its
        # selection, so that one gate is in front of the wires to all of them.
        load_addr = Signal(20)
        chosen = Signal(len(limits))
        of_store = Signal()
        m.d.sync += [
            chosen.eq(Cat(target == kind for kind in limits)),
            of_store.eq(target == Target.STORE),
            self.read_counters.eq(target == Target.COUNTER),
            readable.eq(
                selected
                & Cat(target == one for one in (Target.STORE, Target.STATE, Target.COUNTER)).any()
            ),
        ]
        m.d.comb += [
            self.entry.eq(entry),
            self.begins.eq(begins),
            self.index.eq(index),
            self.addr.eq(load_addr),
            self.write_en.as_value().eq(chosen & commit.replicate(len(chosen))),
            self.read_addr.eq(addr),
            self.read_index.eq(index),
        ]
        m.d.sync += commit.eq(0)
        with m.If(commit):
            m.d.sync += begins.eq(0)

        m.d.comb += [
            self.tx.valid.eq(answer_valid | self.results.valid),
            self.tx.payload.eq(Mux(answer_valid, answer, self.results.payload)),
            self.results.ready.eq(self.tx.ready & ~answer_valid),
        ]

        def reply(response: Response, value: Any) -> list[Any]:
            return [answer.eq(Cat(value, Const(response, 4))), answer_valid.eq(1)]

        wait = Signal(range(self.READ_LATENCY + 1))
        store_words = -(-config.entry_bits(Target.STORE) // 32)
        sent, sent_last = Signal(range(store_words)), Signal(range(store_words))
        m.d.comb += sent_last.eq(Mux(of_store, store_words - 1, 0))
        shift = Signal(32 * store_words)
        refused = Signal()
        with m.FSM():
            with m.State("HEADER"):
                m.d.comb += self.rx.ready.eq(1)
                m.d.sync += [
                    part.eq(0),
                    refused.eq(0),
                    opcode.eq(word[ARGUMENT_BITS:]),
                    argument.eq(word),
                ]
                with m.If(self.rx.valid):
                    m.next = "COMPARE"
            with m.State("COMPARE"):
                m.d.sync += [left.eq(argument), answer[:ARGUMENT_BITS].eq(argument)]
                m.next = "DECODE"
            with m.State("DECODE"):
                with m.Switch(opcode):
                    with m.Case(Opcode.SELECT):
                        with m.If(known):
                            m.d.sync += [
                                target.eq(new_target),
                                index.eq(new_index),
                                addr.eq(0),
                                selected.eq(1),
                            ]
                        m.next = "HEADER"
                    with m.Case(Opcode.ADDRESS):
                        with m.If(inside):
                            m.d.sync += addr.eq(argument)
                        m.next = "HEADER"
                    with m.Case(Opcode.WRITE):
                        m.d.sync += [refused.eq(~selected | self.read_counters), begins.eq(1)]
                        m.next = "WRITE"
                        with m.If(nothing):
                            m.next = "WRITTEN"
                    with m.Case(Opcode.READ):
                        m.next = "BOUND"
                    with m.Case(Opcode.RUN):
                        m.next = "RUN"
                    with m.Case(Opcode.IDENTIFY):
                        m.next = "IDENTIFY"
                with m.If(~(requested & Cat(*allowed.values())).any()):
                    m.next = "REFUSE"
            with m.State("BOUND"):
                m.next = "REFUSE"
                with m.If(within):
                    m.next = "READ"
            with m.State("REFUSE"):
                m.d.sync += reply(Response.ERROR, answer[:ARGUMENT_BITS])
                m.next = "ANSWER"
            with m.State("WRITE"):
                m.d.comb += self.rx.ready.eq(1)
                with m.If(self.rx.valid):
                    with m.Switch(part):
                        for k in range(beats):
                            with m.Case(k):
                                m.d.sync += entry.word_select(k, len(beat)).eq(beat)
                    m.d.sync += [left.eq(left - link), took.eq(1), part.eq(part + 1)]
                    with m.If(part == parts_last):
                        m.d.sync += [part.eq(0), load_addr.eq(addr)]
                        with m.If(beyond):
                            m.d.sync += refused.eq(1)
                        with m.Else():
                            m.d.sync += [commit.eq(~refused), addr.eq(addr + 1), filled.eq(1)]
                    with m.If(final):
                        m.next = "WRITTEN"
                        with m.If(part != parts_last):
                            m.d.sync += refused.eq(1)
            with m.State("WRITTEN"):
                m.next = "HEADER"
                with m.If(refused):
                    m.next = "REFUSE"
            with m.State("READ"):
                # The header counts words: entries times words per entry.
                words = Signal(ARGUMENT_BITS)
                with m.If(of_store):
                    m.d.comb += words.eq(left * store_words)
                with m.Else():
                    m.d.comb += words.eq(left)
                m.d.sync += [*reply(Response.DATA, words), wait.eq(self.READ_LATENCY)]
                with m.If(answer_valid & self.tx.ready):
                    m.d.sync += answer_valid.eq(0)
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += self.read_en.eq(1)
                m.d.sync += [wait.eq(wait - 1), sent.eq(0)]
                with m.If(wait == 0):
                    m.d.sync += [
                        shift.eq(Mux(of_store, self.store_data, self.state_data.as_signed())),
                        addr.eq(addr + 1),
                        left.eq(left - 1),
                    ]
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.sync += [answer.eq(shift), answer_valid.eq(1), wait.eq(self.READ_LATENCY)]
                with m.If(answer_valid & self.tx.ready):
                    m.d.sync += [answer_valid.eq(0), sent.eq(sent + 1), shift.eq(shift >> 32)]
                    m.next = "SEND"
                    with m.If(sent == sent_last):
                        m.next = "FETCH"
                        with m.If(left == 0):
                            m.next = "HEADER"
            with m.State("RUN"):
                m.d.comb += [
                    self.run.eq(1),
                    self.steps.eq(left[:RUN_STEPS_BITS]),
                    self.reset.eq((left & RUN_RESET).any()),
                ]
                m.next = "RUNNING"
            with m.State("RUNNING"):
                m.d.sync += finished.eq(~self.busy & self.results_idle)
                with m.If(finished):
                    padded = Cat(self.overflow, Const(0, ARGUMENT_BITS - OVERFLOW_BITS))
                    m.d.sync += reply(Response.DONE, padded)
                    with m.If(answer_valid & self.tx.ready):
                        m.d.sync += answer.eq(self.cycles)
                        m.next = "ANSWER"
            with m.State("IDENTIFY"):
                m.d.sync += reply(Response.DATA, Const(1, ARGUMENT_BITS))
                with m.If(answer_valid & self.tx.ready):
                    m.d.sync += answer.eq(identity(config))
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                with m.If(answer_valid & self.tx.ready):
                    m.d.sync += answer_valid.eq(0)
                    m.next = "HEADER"
        return m
