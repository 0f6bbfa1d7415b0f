"""Works through the layer descriptors and feeds each layer's vectors to the broadcaster."""

from collections.abc import Iterable
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.read_ahead import ReadAhead
from sparnn.hdl.host.protocol import RUN_STEPS_BITS, Kind
from sparnn.hdl.sparse.array.broadcast import vector_word_layout
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR

from .last_step import LAST_STEP_PROGRAM, LastStep

__all__ = ["PARTNER", "Dispatcher"]

#: What the second thread of a pair has of its own; all else is as in the first one's descriptor,
#: except for what :data:`_PAIR` names.
PARTNER = DESCRIPTOR.layout(("in_base", "out_base", "hidden_base"))
#: Fields that a pair takes from the second descriptor. All of them lie in one word.
_PAIR = ("add_stored", "sum_shift", "last_layer")


class Dispatcher(wiring.Component):
    """Runs the program: per layer read the descriptor, start the array, send vectors, wait.

    Vectors go out in the order x0, the hidden state before the first step, x1, x2, …; each as soon
    as the local copies have room, that is when every cluster has collected the input half of two
    steps before. Between layers: 18 cycles to read the descriptor and three to start; before a
    layer that begins at the last step up to the bits of its address, to find that (LastStep).

    A pair of layers runs as one loop (``threads`` = 2): its second descriptor takes 18 cycles more,
    each vector of the first thread is followed by the same one of the second, which goes backwards.

    Members
    -------
    run, steps, reset: begin (one cycle, while not ``busy``) with this many time steps, from zero
        state or from the states that the machine holds.
    busy: from ``run`` to the last output.
    cycles: length of the last or current run, from ``run`` to its last output.
    load_en, load_addr, load_data: writes the program memory.
    descriptor, start, fresh, layer_steps: the current layer, for the rest of the machine. loop:
        descriptors read so far in this run.
    partner: what the second thread of a pair has of its own.
    x_taken: from each cluster, two bits of each thread; seen a cycle later.
    layer_done: from the gather.
    out_first: with ``start``, where each thread's first output goes.
    store_addr, store_en, store_data: the store's read port; data ``store_latency`` cycles after
        ``store_en``.
    store_free: In(1), without it ``store_en`` stays low.
    vectors: stream to the broadcaster.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "run": In(1),
                "steps": In(RUN_STEPS_BITS),
                "reset": In(1),
                "busy": Out(1),
                "cycles": Out(32),
                "load_en": In(1),
                "load_addr": In((config.program_depth * DESCRIPTOR.words - 1).bit_length()),
                "load_data": In(32),
                "descriptor": Out(DESCRIPTOR.whole()),
                "start": Out(1),
                "fresh": Out(1),
                "layer_steps": Out(RUN_STEPS_BITS),
                "loop": Out(range(config.program_depth + 1)),
                "partner": Out(PARTNER),
                "out_first": Out(data.ArrayLayout(config.store_address_bits, config.threads)),
                "x_taken": In(2 * config.threads).array(config.post_units),
                "layer_done": In(1),
                "store_addr": Out(config.store_address_bits),
                "store_en": Out(1),
                "store_free": In(1),
                "store_data": In(config.store_entry_bits),
                "vectors": Out(stream.Signature(vector_word_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        layer, partner = self.descriptor, self.partner
        paired = layer.paired if config.threads > 1 else Const(0, 1)

        m.submodules.program = program = memory.Memory(
            shape=32,
            depth=config.program_depth * DESCRIPTOR.words,
            init=[],
            attrs={"no_rw_check": 1},
        )
        write, read = program.write_port(), program.read_port()
        m.d.comb += [
            write.en.eq(self.load_en),
            write.addr.eq(self.load_addr),
            write.data.eq(self.load_data),
        ]

        read_word = Signal(32, reset_less=True)
        m.d.sync += read_word.eq(read.data)

        def keep(record: data.View, names: Iterable[str]) -> None:
            """The fields of the word that is read. Others are nobody's flip-flops."""
            with m.Switch(fetched):
                for word, fields in _by_word(names).items():
                    with m.Case(word + 2):
                        for name, (low, width) in fields.items():
                            m.d.sync += record[name].eq(read_word[low : low + width])

        # One layer after the other.
        steps = Signal(RUN_STEPS_BITS)
        fetch = Signal(range(config.program_depth * DESCRIPTOR.words + 1))
        fetched = Signal(range(DESCRIPTOR.words + 2))
        m.submodules.last_step = last_step = LastStep(config)
        located = Signal()
        for name in LAST_STEP_PROGRAM.members:
            backwards = layer[name]
            if name in PARTNER.members:
                backwards = Mux(paired, partner[name], backwards)
            m.d.comb += last_step.program[name].eq(backwards)
        m.d.comb += [
            last_step.steps.eq(steps),
            self.out_first[0].eq(Mux(layer.reverse, last_step.out_addr, layer.out_base)),
            read.addr.eq(fetch),
            self.loop.eq(fetch[(DESCRIPTOR.words - 1).bit_length() :]),
            self.layer_steps.eq(Mux(layer.single_step, 1, steps)),
        ]
        if config.threads > 1:
            m.d.comb += self.out_first[1].eq(last_step.out_addr)
        m.d.sync += self.start.eq(0)
        with m.If(self.busy):
            m.d.sync += self.cycles.eq(self.cycles + 1)
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.run):
                    m.d.sync += [
                        self.busy.eq(1),
                        self.cycles.eq(0),
                        steps.eq(self.steps),
                        self.fresh.eq(self.reset),
                        fetch.eq(0),
                    ]
                    m.next = "FETCH"
            with m.State("FETCH"):
                # A word arrives two cycles after its address.
                m.d.sync += fetched.eq(fetched + 1)
                with m.If(fetched < DESCRIPTOR.words):
                    m.d.sync += fetch.eq(fetch + 1)
                keep(layer, _kept(config))
                with m.If(fetched == DESCRIPTOR.words + 1):
                    m.d.sync += fetched.eq(0)
                    m.next = "FETCHED" if config.threads > 1 else "START"
            if config.threads > 1:
                with m.State("FETCHED"):
                    m.next = "START"
                    with m.If(layer.paired):
                        m.d.sync += fetched.eq(1)
                        m.d.sync += fetch.eq(fetch + 1)
                        m.next = "PARTNER"
                with m.State("PARTNER"):
                    m.d.sync += fetched.eq(fetched + 1)
                    with m.If(fetched < DESCRIPTOR.words):
                        m.d.sync += fetch.eq(fetch + 1)
                    keep(partner, PARTNER.members)
                    keep(layer, _PAIR)
                    with m.If(fetched == DESCRIPTOR.words + 1):
                        m.d.sync += fetched.eq(0)
                        m.next = "START"
            with m.State("START"):
                m.d.sync += located.eq(layer.reverse | paired)
                with m.If((layer.reverse | paired) & ~located):
                    m.d.comb += last_step.start.eq(1)
                with m.Elif(last_step.done):
                    m.d.sync += [self.start.eq(1), located.eq(0)]
                    m.next = "SETTLE"
            with m.State("SETTLE"):  # ``start`` is high
                m.next = "RUN"
            with m.State("RUN"):
                with m.If(self.layer_done):
                    m.next = "FETCH"
                    with m.If(layer.last_layer):
                        m.d.sync += self.busy.eq(0)
                        m.next = "IDLE"

        # Vectors: x0, initial hidden state, x1, x2, ...; of a pair each for both threads in turn.
        recurrent = layer.kind != Kind.LINEAR
        active, hidden_turn, thread = Signal(), Signal(), Signal()
        number, words_left = Signal(2), Signal(DESCRIPTOR.width("in_words"))
        x_addr, h_addr = Signal.like(self.store_addr), Signal.like(self.store_addr)
        x_other = Signal.like(self.store_addr)  # the other thread's next word
        m.submodules.ahead = ahead = ReadAhead(
            config.store_entry_bits,
            _tag_layout(config),
            config.store_latency,
            registers=bool(config.compact),
        )

        read_ahead = ahead.o.payload
        # Known a word ahead, so that no counter is waited for.
        last_word = Signal()

        def next_vector(words: Value) -> list[Any]:
            return [words_left.eq(words), last_word.eq(words == 1)]

        steps_left, final = Signal(RUN_STEPS_BITS), Signal()  # final: the last one
        first, early = Signal(), Signal()  # step 0; steps 0 and 1
        # A vector is there two steps before its turn: every cluster must then have collected the
        # input half that its place was for. Compared before a register, as clusters are far away
        # and issuing comes late, so for this step and for the next one.
        advanced = Signal()  # the step has changed since the comparison
        missing = [Signal(config.threads, name=f"missing{later}") for later in range(2)]
        for later, bits in enumerate(missing):
            uncollected = (number + later - 2)[:2]
            for k, bit in enumerate(bits):
                counts = [taken.word_select(k, 2) for taken in self.x_taken]
                m.d.sync += bit.eq(Cat(count == uncollected for count in counts).any())
        room = early | ~Mux(advanced, missing[1], missing[0]).bit_select(thread, 1)
        issue = Signal()
        # From the last word of a step to the first one of the next, or of the one before.
        back = Signal.like(x_addr, reset_less=True)
        x_after = Signal.like(x_addr)
        m.d.sync += back.eq(1 - (layer.in_words << 1))
        m.d.comb += [
            x_after.eq(x_addr + Mux(last_word & (layer.reverse | thread), back, 1)),
            issue.eq(active & self.store_free & (hidden_turn | room) & ahead.free),
            self.store_en.eq(issue),
            self.store_addr.eq(Mux(hidden_turn, h_addr, x_addr)),
            ahead.issue.eq(issue),
            ahead.tag.half.eq(hidden_turn),
            ahead.tag.thread.eq(thread),
            ahead.tag.last.eq(last_word),
            ahead.data.eq(self.store_data),
            ahead.o.ready.eq(self.vectors.ready),
            self.vectors.valid.eq(ahead.o.valid),
            self.vectors.payload.values.eq(
                Mux(read_ahead.tag.half & self.fresh, 0, read_ahead.word)
            ),
        ]
        for name in read_ahead.tag.shape().members:
            m.d.comb += self.vectors.payload[name].eq(read_ahead.tag[name])
        # Whether a step is over counts with it, and does not choose: issuing comes late.
        goes_on = last_word & (hidden_turn | ~recurrent | ~first) & (~paired | thread)
        m.d.sync += advanced.eq(issue & goes_on)
        with m.If(issue):
            m.d.sync += [
                words_left.eq(words_left - 1),
                last_word.eq(words_left == 2),
                number.eq(number + goes_on),
                steps_left.eq(steps_left - goes_on),
            ]
            with m.If(hidden_turn):
                m.d.sync += h_addr.eq(h_addr + 1)
            with m.Else():
                m.d.sync += x_addr.eq(x_after)
            with m.If(goes_on):
                m.d.sync += [
                    first.eq(0),
                    early.eq(first),
                    final.eq(steps_left == 2),
                    active.eq(~final),
                ]
            with m.If(last_word):
                with m.If(~hidden_turn & recurrent & first):
                    m.d.sync += [hidden_turn.eq(1), *next_vector(layer.out_words)]
                with m.Else():
                    m.d.sync += [hidden_turn.eq(0), *next_vector(layer.in_words)]
                    with m.If(paired):
                        m.d.sync += [
                            thread.eq(~thread),
                            x_addr.eq(x_other),
                            x_other.eq(Mux(hidden_turn, x_addr, x_after)),
                            h_addr.eq(partner.hidden_base),
                        ]
        with m.If(self.start):
            m.d.sync += [
                active.eq(1),
                hidden_turn.eq(0),
                thread.eq(0),
                number.eq(0),
                first.eq(1),
                early.eq(1),
                steps_left.eq(self.layer_steps),
                final.eq(self.layer_steps == 1),
                *next_vector(layer.in_words),
                x_addr.eq(Mux(layer.reverse, last_step.in_addr, layer.in_base)),
                x_other.eq(last_step.in_addr),
                h_addr.eq(layer.hidden_base),
            ]
        return m


def _tag_layout(config: SparseConfig) -> data.StructLayout:
    """What the broadcaster must know of a word besides its values."""
    members = vector_word_layout(config).members
    return data.StructLayout({name: members[name] for name in members if name != "values"})


def _by_word(names: Iterable[str]) -> dict[int, dict[str, tuple[int, int]]]:
    """Low bit and width of descriptor fields, by the word that they lie in."""
    words: dict[int, dict[str, tuple[int, int]]] = {}
    for name in names:
        word, low, width, _ = DESCRIPTOR.fields[name]
        words.setdefault(word, {})[name] = low, width
    return words


def _kept(config: SparseConfig) -> list[str]:
    """Descriptor fields that a machine keeps; the others are constants of its, zero."""
    constant = set() if config.backwards else {"reverse", "add_stored", "sum_shift"}
    if config.compact:  # one post unit
        constant |= {"tail"} | ({"v_log2"} if config.max_v == 1 else set())
    return [name for name in DESCRIPTOR.fields if name not in constant]
