"""Joins the clusters' outputs into words and sends each word wherever it is needed."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.arithmetic.saturate import saturate
from sparnn.hdl.host.protocol import RUN_STEPS_BITS, Kind
from sparnn.hdl.host.results import result_word_layout
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR

from .places import PLACES_PROGRAM, OutputPlaces
from .vectors import vector_word_layout

__all__ = ["GATHER_PROGRAM", "Gather"]

GATHER_PROGRAM = DESCRIPTOR.layout(
    (
        "kind",
        "store_out",
        "emit",
        "emit_last",
        "units",
        "tail",
        "out_words",
        "out_stride",
        "reverse",
        "add_stored",
        "sum_shift",
        "hidden_base",
        "paired",
    )
)


class Gather(wiring.Component):
    """Takes one output of every cluster at a time.

    Each word goes to the broadcaster (recurrent layers), to the store (``store_out``; in the last
    step also to ``hidden_base``, which takes a second cycle) and to the host (``emit``). With
    ``add_stored`` the store gets the sum of the word and what lies there (docs/numerics.md, "Two
    directions"). The threads of a pair take turns, step by step; of their sums, the one that comes
    to a place second makes it, which are all in the second half of the run and none in the first.

    Members
    -------
    program, start, steps: the loop and its number of time steps.
    partner_hidden: the second thread's ``hidden_base``.
    out_first: with ``start``, the place of the first word that each thread computes.
    fetch, fetch_first: the addends of a step may be read, from this place on.
    addends: stream of those words.
    outputs: one stream per cluster.
    fresh, fresh_valid: to the broadcaster, which always takes them.
    load_en, load_addr, load_data, load_begins: the host writes a word, while no layer runs.
    store_en, store_addr, store_data: the store's write port, a cycle after the word was taken.
    store_begins: with ``store_en``, the word is the first one of its vector.
    store_host: it is the host's.
    results: stream to the host; back-pressure stops the array.
    done: all steps are out; from then to the next ``start``.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "program": In(GATHER_PROGRAM),
                "start": In(1),
                "steps": In(RUN_STEPS_BITS),
                "partner_hidden": In(config.store_address_bits),
                "out_first": In(data.ArrayLayout(config.store_address_bits, config.threads)),
                "fetch": Out(1),
                "fetch_first": Out(config.store_address_bits),
                "addends": In(
                    stream.Signature(data.ArrayLayout(config.activation_bits, config.post_units))
                ),
                "outputs": In(stream.Signature(signed(PREACTIVATION_BITS))).array(
                    config.post_units
                ),
                "fresh": Out(vector_word_layout(config)),
                "fresh_valid": Out(1),
                "load_en": In(1),
                "load_addr": In(config.store_address_bits),
                "load_data": In(config.store_entry_bits),
                "load_begins": In(1),
                "store_en": Out(1),
                "store_addr": Out(config.store_address_bits),
                "store_data": Out(config.store_entry_bits),
                "store_begins": Out(1),
                "store_host": Out(1),
                "results": Out(stream.Signature(result_word_layout(config))),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        program = self.program

        m.submodules.places = places = OutputPlaces(config)
        steps_left = Signal(RUN_STEPS_BITS)
        hidden_addr = Signal.like(self.store_addr)
        second = Signal()
        begins = Signal()
        alone = Signal(RUN_STEPS_BITS)  # steps of a pair left that come to their places first

        recurrent = program.kind != Kind.LINEAR
        last_word = places.last_word
        # Kept beside the counters, so that nobody waits for their carries, nor for the program.
        last_step, done = Signal(), Signal(init=1)
        emit, keep, twice, add = Signal(), Signal(), Signal(), Signal()  # twice: a word takes two

        def in_step(last: Value) -> list[Any]:
            """What is done with the words of a step, by whether it is the last one."""
            return [
                last_step.eq(last),
                emit.eq(program.emit & (last | ~program.emit_last)),
                keep.eq(recurrent & last),
                twice.eq(recurrent & last & program.store_out),
            ]

        loop_ends = last_word & (places.thread | ~program.paired)
        # What is written in the first of two cycles needs its addend, and the second takes it off.
        available = Cat(output.valid for output in self.outputs).all() & (self.addends.valid | ~add)
        take = Signal()
        to_hidden = keep & (second | ~program.store_out)
        sends = take & recurrent
        if config.delta:
            # No lane reads the last state in this run, and the next run begins with it: sent now as
            # well, it would then find itself as its reference, and its difference would be lost.
            sends = sends & ~last_step
        m.d.comb += [
            take.eq(available & (~emit | self.results.ready) & (~twice | second)),
            self.results.valid.eq(available & emit & (~twice | second)),
            self.results.payload.count.eq(
                Mux(last_word & (program.tail != 0), program.tail, config.post_units)
            ),
            self.results.payload.first.eq(places.word == 0),
            self.fresh_valid.eq(sends),
            self.fresh.half.eq(1),
            self.fresh.thread.eq(places.thread),
            self.fresh.last.eq(last_word),
            self.fresh.values.eq(
                Cat(output.payload[: config.activation_bits] for output in self.outputs)
            ),
            self.addends.ready.eq(take & add),
            self.fetch.eq(begins & add),
            self.fetch_first.eq(places.addr),
            places.start.eq(self.start),
            places.first.eq(self.out_first),
            places.next.eq(take),
            self.done.eq(done),
        ]
        # To the store a cycle later: adding has one of its own. What is only written meets a zero,
        # also the host's words, so that nothing has to be chosen behind the sums.
        halves = Signal()
        word = Signal.like(self.fresh.values, reset_less=True)
        addend = Signal.like(self.addends.payload, reset_less=True)
        adds = add & ~to_hidden & ~self.load_en
        m.d.sync += [
            self.store_en.eq(
                Mux(twice, available & ~second, take & program.store_out)
                | (take & keep)
                | self.load_en
            ),
            self.store_addr.eq(
                Mux(self.load_en, self.load_addr, Mux(to_hidden, hidden_addr, places.addr))
            ),
            self.store_begins.eq(Mux(self.load_en, self.load_begins, places.word == 0)),
            self.store_host.eq(self.load_en),
            halves.eq(adds & program.sum_shift),
            word.eq(Mux(self.load_en, self.load_data, self.fresh.values)),
            addend.eq(self.addends.payload),
        ]
        with m.If(~adds):
            m.d.sync += addend.eq(0)
        m.d.comb += self.store_data.eq(Cat(self._sums(m, word, addend, halves)))
        for name in PLACES_PROGRAM.members:
            m.d.comb += places.program[name].eq(program[name])
        for index, output in enumerate(self.outputs):
            m.d.comb += [
                output.ready.eq(take),
                self.results.payload.values[index].eq(output.payload),
            ]
        m.d.sync += second.eq(available & twice & ~take)
        with m.If(take):
            # Whether a step is over counts with it, and does not choose: ``take`` comes late.
            m.d.sync += [steps_left.eq(steps_left - loop_ends), alone.eq(alone - last_word)]
            with m.If(keep):
                m.d.sync += hidden_addr.eq(hidden_addr + 1)
            with m.If(loop_ends):
                m.d.sync += [*in_step(steps_left == 2), done.eq(last_step)]
            with m.If(last_word):
                with m.If(alone == 1):
                    m.d.sync += add.eq(program.add_stored)
            with m.If(keep & last_word & ~loop_ends):
                m.d.sync += hidden_addr.eq(self.partner_hidden)
        m.d.sync += begins.eq(self.start | (take & last_word & ~(last_step & loop_ends)))
        with m.If(self.start):
            m.d.sync += [
                second.eq(0),
                steps_left.eq(self.steps),
                *in_step(self.steps == 1),
                done.eq(self.steps == 0),
                alone.eq(self.steps),
                add.eq(program.add_stored & ~program.paired),
                hidden_addr.eq(program.hidden_base),
            ]
        return m

    def _sums(self, m: Module, word: Value, addend: data.View, halves: Value) -> list[Value]:
        """``sat(rne(output + addend, halves))`` of each activation of the word."""
        bits = self._config.activation_bits
        sums: list[Value] = []
        for index in range(self._config.post_units):
            total = Signal(signed(bits + 1), name=f"total{index}")
            halved = Signal(signed(bits + 1), name=f"halved{index}")
            m.d.comb += [
                total.eq(word.word_select(index, bits).as_signed() + addend[index].as_signed()),
                # A half is rounded to the even neighbour: up when the floor is odd.
                halved.eq((total >> 1) + (total[0] & total[1])),
            ]
            sums.append(Mux(halves, halved, saturate(total, bits))[:bits])
        return sums
