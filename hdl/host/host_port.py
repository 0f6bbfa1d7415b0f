"""The machine's side of the host protocol (docs/machine.md)."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.machine import MachineConfig

from .packet import Answer, Header, Payload, Selection, new_header, new_payload, new_selection
from .protocol import (
    ARGUMENT_BITS,
    OVERFLOW_BITS,
    RUN_ANEW,
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
    rx: In(stream of 32 * link_words bits) from the host.
    tx: Out(stream of 32 bits) to the host.
    results: In(stream of 32 bits), the words of the results, passed on to the host during a run.
    results_idle: In(1). No word of the results is on its way.
    write_en: one enable per memory of :meth:`MachineConfig.memories`, by its name in small letters.
    index: Out(12), the memory among those of its kind that is written or read.
    addr: Out(20), where ``entry`` goes.
    entry: Out, what is written.
    begins: Out(1). The entry is the first of its WRITE.
    run: Out(1), a pulse: a run begins, of ``steps`` steps.
    steps: Out, with ``run``.
    reset: Out(1), with ``run``: it begins with zero states.
    busy: In(1). The run is on, from the cycle after ``run`` at the latest.
    cycles: In(32), the length of the run.
    overflow: In, the argument of DONE.
    read_addr: Out(20), the entry that is read.
    read_index: Out(12), the same as ``index``.
    read_en: Out(1), high while the entry is waited for.
    store_data: In, an entry of the store at most ``READ_LATENCY`` cycles after its address.
    state_data: In, the same of a state, a counter or a total, signed.
    read_counters: Out(1). What is read are counters.
    read_references, read_totals: likewise, of a machine with ``delta``; a reference is read from
        ``store_data``.
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
                "state_data": In(config.read_bits),
                "read_counters": Out(1),
            }
            | (
                {"anew": Out(1), "read_references": Out(1), "read_totals": Out(1)}
                if config.delta
                else {}
            )
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beats = len(self.entry) // len(self.rx.payload)  # of the longest entry
        header, selection = new_header(), new_selection(beats)
        payload, answer = new_payload(beats, len(self.entry)), Answer(Signal(32), Signal())
        finished = Signal()  # the run

        self._compare(m, header, selection, payload, finished)
        self._connect(m, header, selection, payload, answer)
        with m.FSM():
            self._decode(m, header, selection, payload, answer)
            self._write(m, selection, payload)
            self._read(m, selection, payload, answer)
            self._run(m, payload, answer, finished)
            self._identify(m, answer)
            with m.State("ANSWER"):
                with m.If(answer.valid & self.tx.ready):
                    m.d.sync += answer.valid.eq(0)
                    m.next = "HEADER"
        return m

    def _compare(
        self,
        m: Module,
        header: Header,
        selection: Selection,
        payload: Payload,
        finished: Signal,
    ) -> None:
        """Compares the argument and the address with what the selected memory has room for."""
        limits, link = self._config.memories(), self._config.link_words
        argument, addr, left = header.argument, selection.addr, payload.left
        m.d.comb += [
            payload.final.eq(Mux(payload.took, payload.ends[1], payload.ends[0])),
            payload.beyond.eq(Mux(payload.filled, payload.full[1], payload.full[0])),
        ]
        with m.Switch(selection.target):
            for kind, (_, entries) in limits.items():
                with m.Case(kind):
                    m.d.sync += [
                        selection.parts_last.eq(words_per_entry(self._config, kind) // link - 1),
                        selection.depth.eq(entries),
                        selection.last.eq(entries - 1),
                    ]
        new_target, new_index = header.selects
        flags = argument[RUN_STEPS_BITS : -2 if self._config.delta else -1]  # that RUN may not have
        m.d.sync += [
            header.known.eq(
                Cat(
                    (new_target == kind) & (new_index < count)
                    for kind, (count, _) in limits.items()
                ).any()
            ),
            header.inside.eq(selection.selected & (argument < selection.depth)),
            header.requested.eq(Cat(header.opcode == one for one in header.allowed)),
            header.end.eq(addr + argument),
            header.within.eq(header.end <= selection.depth),
            header.nothing.eq(argument == 0),
            payload.ends.eq(Cat(left <= link, left <= 2 * link)),
            payload.full.eq(Cat(addr == selection.depth, addr == selection.last)),
            payload.took.eq(0),
            payload.filled.eq(0),
            finished.eq(0),
            header.steps.eq(argument[:RUN_STEPS_BITS].any() & ~flags.any()),
        ]

    def _connect(
        self,
        m: Module,
        header: Header,
        selection: Selection,
        payload: Payload,
        answer: Answer,
    ) -> None:
        """Drives the memories' ports and the words to the host.

        Entries leave one cycle after their last beat. Which memory they go to is known since its
        selection, so that one gate is in front of the wires to all of them.
        """
        limits, target, commit = self._config.memories(), selection.target, payload.commit
        chosen = Signal(len(limits))
        readable = [Target.STORE, Target.STATE, Target.COUNTER]
        of_store = target == Target.STORE
        if self._config.delta:
            readable += [Target.REFERENCE, Target.TOTAL]
            of_store |= target == Target.REFERENCE
            m.d.sync += [
                self.read_references.eq(target == Target.REFERENCE),
                self.read_totals.eq(target == Target.TOTAL),
            ]
        m.d.sync += [
            chosen.eq(Cat(target == kind for kind in limits)),
            selection.of_store.eq(of_store),
            self.read_counters.eq(target == Target.COUNTER),
            header.readable.eq(selection.selected & Cat(target == one for one in readable).any()),
        ]
        m.d.comb += [
            self.entry.eq(payload.entry),
            self.begins.eq(payload.begins),
            self.index.eq(selection.index),
            self.addr.eq(payload.load_addr),
            self.write_en.as_value().eq(chosen & commit.replicate(len(chosen))),
            self.read_addr.eq(selection.addr),
            self.read_index.eq(selection.index),
        ]
        m.d.sync += commit.eq(0)
        with m.If(commit):
            m.d.sync += payload.begins.eq(0)

        m.d.comb += [
            self.tx.valid.eq(answer.valid | self.results.valid),
            self.tx.payload.eq(Mux(answer.valid, answer.word, self.results.payload)),
            self.results.ready.eq(self.tx.ready & ~answer.valid),
        ]

    def _decode(
        self,
        m: Module,
        header: Header,
        selection: Selection,
        payload: Payload,
        answer: Answer,
    ) -> None:
        """Takes a header, a state for each cycle of it."""
        word, argument = self.rx.payload[:32], header.argument
        # Cycle 0: the header comes.
        with m.State("HEADER"):
            m.d.comb += self.rx.ready.eq(1)
            m.d.sync += [
                payload.part.eq(0),
                payload.refused.eq(0),
                header.opcode.eq(word[ARGUMENT_BITS:]),
                argument.eq(word),
            ]
            with m.If(self.rx.valid):
                m.next = "COMPARE"
        # Cycle 1: its argument is compared.
        with m.State("COMPARE"):
            m.d.sync += [payload.left.eq(argument), answer.word[:ARGUMENT_BITS].eq(argument)]
            m.next = "DECODE"
        # Cycle 2: what it asks for begins.
        with m.State("DECODE"):
            with m.Switch(header.opcode):
                with m.Case(Opcode.SELECT):
                    with m.If(header.known):
                        target, index = header.selects
                        m.d.sync += [
                            selection.target.eq(target),
                            selection.index.eq(index),
                            selection.addr.eq(0),
                            selection.selected.eq(1),
                        ]
                    m.next = "HEADER"
                with m.Case(Opcode.ADDRESS):
                    with m.If(header.inside):
                        m.d.sync += selection.addr.eq(argument)
                    m.next = "HEADER"
                with m.Case(Opcode.WRITE):
                    m.d.sync += [
                        payload.refused.eq(~selection.selected | self.read_counters),
                        payload.begins.eq(1),
                    ]
                    m.next = "WRITE"
                    with m.If(header.nothing):
                        m.next = "WRITTEN"
                with m.Case(Opcode.READ):
                    m.next = "BOUND"
                with m.Case(Opcode.RUN):
                    m.next = "RUN"
                with m.Case(Opcode.IDENTIFY):
                    m.next = "IDENTIFY"
            with m.If(~(header.requested & Cat(*header.allowed.values())).any()):
                m.next = "REFUSE"
        # Cycle 3, of a READ alone: its end is compared.
        with m.State("BOUND"):
            m.next = "REFUSE"
            with m.If(header.within):
                m.next = "READ"
        with m.State("REFUSE"):
            m.d.sync += answer.reply(Response.ERROR, answer.word[:ARGUMENT_BITS])
            m.next = "ANSWER"

    def _write(self, m: Module, selection: Selection, payload: Payload) -> None:
        """Collects entries from a payload, a beat per cycle."""
        beat, addr, link = self.rx.payload, selection.addr, self._config.link_words
        part, parts_last = payload.part, selection.parts_last
        with m.State("WRITE"):
            m.d.comb += self.rx.ready.eq(1)
            with m.If(self.rx.valid):
                with m.Switch(part):
                    for k in range(len(self.entry) // len(beat)):
                        with m.Case(k):
                            m.d.sync += payload.entry.word_select(k, len(beat)).eq(beat)
                m.d.sync += [
                    payload.left.eq(payload.left - link),
                    payload.took.eq(1),
                    part.eq(part + 1),
                ]
                with m.If(part == parts_last):
                    m.d.sync += [part.eq(0), payload.load_addr.eq(addr)]
                    with m.If(payload.beyond):
                        m.d.sync += payload.refused.eq(1)
                    with m.Else():
                        m.d.sync += [
                            payload.commit.eq(~payload.refused),
                            addr.eq(addr + 1),
                            payload.filled.eq(1),
                        ]
                with m.If(payload.final):
                    m.next = "WRITTEN"
                    with m.If(part != parts_last):
                        m.d.sync += payload.refused.eq(1)
        with m.State("WRITTEN"):
            m.next = "HEADER"
            with m.If(payload.refused):
                m.next = "REFUSE"

    def _read(self, m: Module, selection: Selection, payload: Payload, answer: Answer) -> None:
        """Answers with DATA, and an entry after the other, word by word."""
        left, of_store, addr = payload.left, selection.of_store, selection.addr
        wait = Signal(range(self.READ_LATENCY + 1))
        store_words = ceil_div(self._config.entry_bits(Target.STORE), 32)
        # Of all else an entry is a word, but for wide totals.
        total_words = ceil_div(self._config.read_bits, 32)
        most = max(store_words, total_words)
        other_words: Value | int = 1
        if total_words > 1:
            other_words = Mux(self.read_totals, total_words, 1)
        sent, sent_last = Signal(range(most)), Signal(range(most))
        m.d.comb += sent_last.eq(Mux(of_store, store_words - 1, other_words - 1))
        shift = Signal(32 * most)
        with m.State("READ"):
            # The header counts words: entries times words per entry.
            words = Signal(ARGUMENT_BITS)
            with m.If(of_store):
                m.d.comb += words.eq(left * store_words)
            with m.Else():
                m.d.comb += words.eq(left * other_words if total_words > 1 else left)
            m.d.sync += [*answer.reply(Response.DATA, words), wait.eq(self.READ_LATENCY)]
            with m.If(answer.valid & self.tx.ready):
                m.d.sync += answer.valid.eq(0)
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
            m.d.sync += [
                answer.word.eq(shift),
                answer.valid.eq(1),
                wait.eq(self.READ_LATENCY),
            ]
            with m.If(answer.valid & self.tx.ready):
                m.d.sync += [answer.valid.eq(0), sent.eq(sent + 1), shift.eq(shift >> 32)]
                m.next = "SEND"
                with m.If(sent == sent_last):
                    m.next = "FETCH"
                    with m.If(left == 0):
                        m.next = "HEADER"

    def _run(self, m: Module, payload: Payload, answer: Answer, finished: Signal) -> None:
        """Starts a run, waits for its end, and answers with DONE and its cycles."""
        left = payload.left
        with m.State("RUN"):
            m.d.comb += [
                self.run.eq(1),
                self.steps.eq(left[:RUN_STEPS_BITS]),
                self.reset.eq((left & RUN_RESET).any()),
            ]
            if self._config.delta:
                m.d.comb += self.anew.eq((left & (RUN_RESET | RUN_ANEW)).any())
            m.next = "RUNNING"
        with m.State("RUNNING"):
            m.d.sync += finished.eq(~self.busy & self.results_idle)
            with m.If(finished):
                padded = Cat(self.overflow, Const(0, ARGUMENT_BITS - OVERFLOW_BITS))
                m.d.sync += answer.reply(Response.DONE, padded)
                with m.If(answer.valid & self.tx.ready):
                    m.d.sync += answer.word.eq(self.cycles)
                    m.next = "ANSWER"

    def _identify(self, m: Module, answer: Answer) -> None:
        with m.State("IDENTIFY"):
            m.d.sync += answer.reply(Response.DATA, Const(1, ARGUMENT_BITS))
            with m.If(answer.valid & self.tx.ready):
                m.d.sync += answer.word.eq(identity(self._config))
                m.next = "ANSWER"
