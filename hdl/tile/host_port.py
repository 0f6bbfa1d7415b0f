"""The dense machine's side of the host protocol (docs/machine.md), with a link of any width."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.config import PREACTIVATION_BITS
from sparnn.hdl.protocol import (
    ARGUMENT_BITS,
    RUN_RESET,
    RUN_STEPS_BITS,
    Opcode,
    Response,
    Target,
    entry_bits,
    identity,
    words_per_entry,
)

from .config import TileConfig
from .descriptor import TILE_DESCRIPTOR_WORDS

__all__ = ["TileHostPort", "host_targets"]


def host_targets(config: TileConfig) -> list[Target]:
    """The memories of a dense machine."""
    masks = [Target.MASK] if config.mask_depth else []
    return [Target.PROGRAM, *masks, Target.WEIGHT, Target.PARAMETER, Target.STATE, Target.STORE]


class TileHostPort(wiring.Component):
    """Decodes packets, fills memories, starts runs and answers reads.

    One word per cycle in; while a run is on no word is taken. Whatever is not a packet of the
    protocol (unknown opcode or target, an index, address or step count out of range, a payload that
    is not whole entries) is answered by ERROR, and a WRITE's payload is dropped.

    The link carries ``link_words`` words at once: a header is the first of them; entries, and so
    payloads, are padded to whole beats.

    Members
    -------
    rx, tx: streams of 32 * link_words and of 32 bits from and to the host.
    results, results_idle: the words of :class:`~sparnn.hdl.tile.emitter.Emitter`.
    target_en: one write enable per memory of :func:`host_targets`; index, addr, entry go with it.
    run, steps, reset, busy, cycles: the dispatcher.
    read_addr, read_index, read_en, store_data, state_data: READ; data at most ``READ_LATENCY``
        cycles after the address.
    """

    #: Cycles from ``read_addr`` to its data, registers on the way included.
    READ_LATENCY = 3

    def __init__(self, config: TileConfig) -> None:
        self._config = config
        targets = host_targets(config)
        super().__init__(
            {
                "rx": In(stream.Signature(32 * config.link_words)),
                "tx": Out(stream.Signature(32)),
                "results": In(stream.Signature(32)),
                "results_idle": In(1),
                "target_en": Out(len(targets)),
                "index": Out(12),
                "addr": Out(20),
                "entry": Out(32 * max(words_per_entry(config, kind) for kind in targets)),
                "run": Out(1),
                "steps": Out(RUN_STEPS_BITS),
                "reset": Out(1),
                "busy": In(1),
                "cycles": In(32),
                "read_addr": Out(20),
                "read_index": Out(12),
                "read_en": Out(1),
                "store_data": In(config.store_entry_bits),
                "state_data": In(PREACTIVATION_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config

        word, opcode, argument = (
            self.rx.payload,
            self.rx.payload[ARGUMENT_BITS:32],
            Signal(ARGUMENT_BITS),
        )
        m.d.comb += argument.eq(word[:ARGUMENT_BITS])

        target, index, addr = Signal(8), Signal(12), Signal(21)
        selected = Signal()
        left = Signal(ARGUMENT_BITS)  # payload words, or entries to read
        link, targets = config.link_words, host_targets(config)
        entry_words = max(words_per_entry(config, kind) for kind in targets)
        part = Signal(range(entry_words // link))
        parts_last = Signal(range(entry_words // link))
        depth = Signal(21)
        entry = Signal(32 * entry_words)
        commit = Signal()
        answer, answer_valid = Signal(32), Signal()

        limits = {
            Target.PROGRAM: (1, config.program_depth * TILE_DESCRIPTOR_WORDS),
            Target.WEIGHT: (config.lanes, config.weight_depth),
            Target.PARAMETER: (config.slices * config.width, config.parameter_depth),
            Target.STATE: (config.word, config.state_depth),
            Target.STORE: (1, config.store_depth),
        }
        if config.mask_depth:  # the masks of each lane, then the lengths of the passes
            limits[Target.MASK] = (config.lanes + 1, config.mask_depth)
        with m.Switch(target):
            for kind, (_, entries) in limits.items():
                with m.Case(kind):
                    m.d.comb += [
                        parts_last.eq(words_per_entry(config, kind) // link - 1),
                        depth.eq(entries),
                    ]
        new_target, new_index = argument[20:], argument[:20]
        known = Signal()
        with m.Switch(new_target):
            for kind, (count, _) in limits.items():
                with m.Case(kind):
                    m.d.comb += known.eq(new_index < count)

        # Entries leave one cycle after their last word.
        m.d.comb += [
            self.entry.eq(entry),
            self.index.eq(index),
            self.target_en.eq(Cat(commit & (target == kind) for kind in targets)),
            self.read_addr.eq(addr),
            self.read_index.eq(index),
        ]
        load_addr = Signal(20)
        m.d.comb += self.addr.eq(load_addr)
        m.d.sync += commit.eq(0)

        m.d.comb += [
            self.tx.valid.eq(answer_valid | self.results.valid),
            self.tx.payload.eq(Mux(answer_valid, answer, self.results.payload)),
            self.results.ready.eq(self.tx.ready & ~answer_valid),
        ]

        def reply(response: Response, value: Any) -> list[Any]:
            return [answer.eq(Cat(value, Const(response, 4))), answer_valid.eq(1)]

        store_words = -(-entry_bits(config, Target.STORE) // 32)
        wait = Signal(range(self.READ_LATENCY + 1))
        sent = Signal(range(store_words))
        sent_last = Signal(range(store_words))
        m.d.comb += sent_last.eq(Mux(target == Target.STATE, 0, store_words - 1))
        shift = Signal(32 * store_words)
        refused = Signal()
        with m.FSM():
            with m.State("HEADER"):
                m.d.comb += self.rx.ready.eq(1)
                m.d.sync += part.eq(0)
                with m.If(self.rx.valid):
                    m.d.sync += [
                        left.eq(argument),
                        refused.eq(0),
                        answer[:ARGUMENT_BITS].eq(argument),
                    ]
                    m.next = "REFUSE"
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
                            with m.If(selected & (argument < depth)):
                                m.d.sync += addr.eq(argument)
                                m.next = "HEADER"
                        with m.Case(Opcode.WRITE):
                            m.d.sync += refused.eq(~selected)
                            m.next = "WRITE"
                            with m.If(argument == 0):
                                m.next = "WRITTEN"
                        with m.Case(Opcode.READ):
                            with m.If(
                                selected
                                & ((target == Target.STORE) | (target == Target.STATE))
                                & (addr + argument <= depth)
                                & (argument != 0)
                            ):
                                m.next = "READ"
                        with m.Case(Opcode.RUN):
                            with m.If(
                                argument[:RUN_STEPS_BITS].any() & ~argument[RUN_STEPS_BITS:-1].any()
                            ):
                                m.next = "RUN"
                        with m.Case(Opcode.IDENTIFY):
                            with m.If(argument == 0):
                                m.next = "IDENTIFY"
            with m.State("REFUSE"):
                m.d.sync += reply(Response.ERROR, answer[:ARGUMENT_BITS])
                m.next = "ANSWER"
            with m.State("WRITE"):
                m.d.comb += self.rx.ready.eq(1)
                with m.If(self.rx.valid):
                    with m.Switch(part):
                        for k in range(entry_words // link):
                            with m.Case(k):
                                m.d.sync += entry[32 * link * k : 32 * link * (k + 1)].eq(word)
                    m.d.sync += [left.eq(left - link), part.eq(part + 1)]
                    with m.If(part == parts_last):
                        m.d.sync += [part.eq(0), load_addr.eq(addr)]
                        with m.If(addr < depth):
                            m.d.sync += [commit.eq(~refused), addr.eq(addr + 1)]
                        with m.Else():
                            m.d.sync += refused.eq(1)
                    with m.If(left <= link):
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
                with m.If(target == Target.STATE):
                    m.d.comb += words.eq(left)
                with m.Else():
                    m.d.comb += words.eq(left * store_words)
                m.d.sync += [*reply(Response.DATA, words), wait.eq(self.READ_LATENCY)]
                with m.If(answer_valid & self.tx.ready):
                    m.d.sync += answer_valid.eq(0)
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += self.read_en.eq(1)
                m.d.sync += [wait.eq(wait - 1), sent.eq(0)]
                with m.If(wait == 0):
                    m.d.sync += [
                        shift.eq(
                            Mux(
                                target == Target.STATE,
                                self.state_data.as_signed(),
                                self.store_data,
                            )
                        ),
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
                with m.If(~self.busy & self.results_idle):
                    m.d.sync += reply(Response.DONE, Const(0, ARGUMENT_BITS))
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
