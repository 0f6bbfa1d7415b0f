"""Works through the layer descriptors and feeds each layer's vectors to the broadcaster."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.common.read_ahead import ReadAhead
from sparnn.hdl.host.protocol import RUN_STEPS_BITS, Kind
from sparnn.hdl.sparse.array.vectors import vector_word_layout
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR

from .last_step import LAST_STEP_PROGRAM, LastStep

__all__ = ["PARTNER", "Dispatcher"]

#: What the second thread of a pair has of its own; all else is as in the first one's descriptor,
#: except for what :data:`_PAIR` names.
PARTNER = DESCRIPTOR.layout(("in_base", "out_base", "hidden_base"))
#: Fields that a pair takes from the second descriptor. All of them lie in one word.
_PAIR = ("add_stored", "sum_shift", "last_layer")


#: Cycles from a word's address to the word.
_FETCH_LATENCY = 2


class _Turn(NamedTuple):
    """Which word is issued next. What is compared is known a word or a step ahead, so that no
    counter is waited for."""

    active: Signal  #: the layer has words left
    hidden: Signal  #: the initial hidden state, not an input
    thread: Signal
    number: Signal  #: of the step, modulo 4
    words_left: Signal  #: of the vector
    last_word: Signal
    steps_left: Signal
    final: Signal  #: the last step
    first: Signal  #: step 0
    early: Signal  #: step 0 or 1

    def vector(self, words: Value) -> list[Any]:
        """Statements that begin a vector of so many words."""
        return [self.words_left.eq(words), self.last_word.eq(words == 1)]


def _turn() -> _Turn:
    thread = Signal()
    last_word = Signal()
    final = Signal()
    early = Signal()
    return _Turn(
        active=Signal(),
        hidden=Signal(),
        thread=thread,
        number=Signal(2),
        words_left=Signal(DESCRIPTOR.width("in_words")),
        last_word=last_word,
        steps_left=Signal(RUN_STEPS_BITS),
        final=final,
        first=Signal(),
        early=early,
    )


class _Addresses(NamedTuple):
    """Where the next words lie: of x, of the initial hidden state, of the other thread's x."""

    x: Signal
    h: Signal
    x_other: Signal


def _addresses(store_addr: Signal) -> _Addresses:
    h_addr = Signal.like(store_addr)
    x_other = Signal.like(store_addr)
    return _Addresses(Signal.like(store_addr), h_addr, x_other)


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
    run: In(1), a pulse while ``busy`` is low: a run begins.
    steps: In, with ``run``: its time steps.
    reset: In(1), with ``run``: it begins with zero states, not with those that the machine holds.
    busy: Out(1), high from the cycle after ``run`` to the last output.
    cycles: length of the last or current run, from ``run`` to its last output.
    load_en, load_addr, load_data: the host writes a word of the program memory.
    run_anew: In(1), with ``run`` on a machine with ``delta``: references and totals are zero.
    anew: of the current run.
    descriptor, start, fresh, layer_steps: the current layer, for the rest of the machine.
    loop: descriptors read so far in this run.
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
                "load_addr": In(clog2(config.program_depth * DESCRIPTOR.words)),
                "load_data": In(32),
                "descriptor": Out(DESCRIPTOR.whole(without=config.unused)),
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
            | ({"run_anew": In(1), "anew": Out(1)} if config.delta else {})
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        program = self._program_memory(m)
        m.submodules.last_step = last_step = LastStep(self._config)
        self._run_layers(m, program, last_step)
        self._send_vectors(m, last_step)
        return m

    @property
    def _paired(self) -> Value:
        return self.descriptor.paired if self._config.threads > 1 else Const(0, 1)

    def _program_memory(self, m: Module) -> memory.ReadPort:
        m.submodules.program = program = memory.Memory(
            shape=32,
            depth=self._config.program_depth * DESCRIPTOR.words,
            init=[],
            attrs={"no_rw_check": 1},
        )
        write, read = program.write_port(), program.read_port()
        m.d.comb += [
            write.en.eq(self.load_en),
            write.addr.eq(self.load_addr),
            write.data.eq(self.load_data),
        ]
        return read

    # One layer after the other -------------------------------------------------------------------

    def _run_layers(self, m: Module, program: memory.ReadPort, last_step: LastStep) -> None:
        """Reads a descriptor, finds the last step where it is needed, starts, waits, and again."""
        config, layer = self._config, self.descriptor
        read_word = Signal(32, reset_less=True)
        m.d.sync += read_word.eq(program.data)

        steps = Signal(RUN_STEPS_BITS)
        fetch = Signal(range(config.program_depth * DESCRIPTOR.words + 1))
        located = Signal()
        self._program_last_step(m, last_step)
        m.d.comb += [
            last_step.steps.eq(steps),
            self.out_first[0].eq(Mux(layer.reverse, last_step.out_addr, layer.out_base)),
            program.addr.eq(fetch),
            self.loop.eq(fetch[clog2(DESCRIPTOR.words) :]),
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
                    if config.delta:
                        m.d.sync += self.anew.eq(self.run_anew)
                    m.next = "FETCH"
            self._fetch(m, fetch, read_word)
            with m.State("START"):
                m.d.sync += located.eq(layer.reverse | self._paired)
                with m.If((layer.reverse | self._paired) & ~located):
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

    def _program_last_step(self, m: Module, last_step: LastStep) -> None:
        """It is asked for the layer that goes backwards: of a pair, the second one."""
        for name in LAST_STEP_PROGRAM.members:
            backwards = self.descriptor[name]
            if name in PARTNER.members:
                backwards = Mux(self._paired, self.partner[name], backwards)
            m.d.comb += last_step.program[name].eq(backwards)

    def _fetch(self, m: Module, fetch: Signal, read_word: Signal) -> None:
        """The states that read a descriptor, and of a pair the second one after it."""
        config, layer, partner = self._config, self.descriptor, self.partner
        fetched = Signal(range(DESCRIPTOR.words + _FETCH_LATENCY))

        def keep(record: data.View, names: Iterable[str]) -> None:
            """The fields of the word that is read. Others are nobody's flip-flops."""
            with m.Switch(fetched):
                for word, fields in _by_word(names).items():
                    with m.Case(word + _FETCH_LATENCY):
                        for name, (low, width) in fields.items():
                            m.d.sync += record[name].eq(read_word[low : low + width])

        def next_word() -> None:
            m.d.sync += fetched.eq(fetched + 1)
            with m.If(fetched < DESCRIPTOR.words):
                m.d.sync += fetch.eq(fetch + 1)

        def end(state: str) -> None:
            with m.If(fetched == DESCRIPTOR.words + _FETCH_LATENCY - 1):
                m.d.sync += fetched.eq(0)
                m.next = state

        with m.State("FETCH"):
            next_word()
            keep(layer, _kept(config))
            end("FETCHED" if config.threads > 1 else "START")
        if config.threads > 1:
            with m.State("FETCHED"):
                m.next = "START"
                with m.If(layer.paired):
                    m.d.sync += fetched.eq(1)
                    m.d.sync += fetch.eq(fetch + 1)
                    m.next = "PARTNER"
            with m.State("PARTNER"):
                next_word()
                keep(partner, PARTNER.members)
                keep(layer, _PAIR)
                end("START")

    # Vectors: x0, initial hidden state, x1, x2, ...; of a pair each for both threads in turn ------

    def _send_vectors(self, m: Module, last_step: LastStep) -> None:
        config, layer = self._config, self.descriptor
        turn, at = _turn(), _addresses(self.store_addr)
        m.submodules.ahead = ahead = ReadAhead(
            config.store_entry_bits,
            _tag_layout(config),
            config.store_latency,
            registers=bool(config.compact),
        )
        read_ahead = ahead.o.payload
        advanced = Signal()  # the step has changed since the comparison
        room = self._room(m, turn, advanced)
        issue = Signal()
        # From the last word of a step to the first one of the next, or of the one before.
        back = Signal(len(at.x), reset_less=True)
        x_after = Signal(len(at.x))
        m.d.sync += back.eq(1 - (layer.in_words << 1))
        m.d.comb += [
            x_after.eq(at.x + Mux(turn.last_word & (layer.reverse | turn.thread), back, 1)),
            issue.eq(turn.active & self.store_free & (turn.hidden | room) & ahead.free),
            self.store_en.eq(issue),
            self.store_addr.eq(Mux(turn.hidden, at.h, at.x)),
            ahead.issue.eq(issue),
            ahead.tag.half.eq(turn.hidden),
            ahead.tag.thread.eq(turn.thread),
            ahead.tag.last.eq(turn.last_word),
            ahead.data.eq(self.store_data),
            ahead.o.ready.eq(self.vectors.ready),
            self.vectors.valid.eq(ahead.o.valid),
            self.vectors.payload.values.eq(
                Mux(read_ahead.tag.half & self.fresh, 0, read_ahead.word)
            ),
        ]
        for name in read_ahead.tag.shape().members:
            m.d.comb += self.vectors.payload[name].eq(read_ahead.tag[name])
        self._advance(m, turn, at, issue, advanced, x_after)
        with m.If(self.start):
            m.d.sync += [
                turn.active.eq(1),
                turn.hidden.eq(0),
                turn.thread.eq(0),
                turn.number.eq(0),
                turn.first.eq(1),
                turn.early.eq(1),
                turn.steps_left.eq(self.layer_steps),
                turn.final.eq(self.layer_steps == 1),
                *turn.vector(layer.in_words),
                at.x.eq(Mux(layer.reverse, last_step.in_addr, layer.in_base)),
                at.x_other.eq(last_step.in_addr),
                at.h.eq(layer.hidden_base),
            ]

    def _room(self, m: Module, turn: _Turn, advanced: Signal) -> Value:
        """Whether the clusters have room for the input half at hand.

        A vector is there two steps before its turn: every cluster must then have collected the
        input half that its place was for. Compared before a register, as clusters are far away and
        issuing comes late, so for this step and for the next one.
        """
        missing = [Signal(self._config.threads, name=f"missing{later}") for later in range(2)]
        for later, bits in enumerate(missing):
            uncollected = (turn.number + later - 2)[:2]
            for k, bit in enumerate(bits):
                counts = [taken.word_select(k, 2) for taken in self.x_taken]
                m.d.sync += bit.eq(Cat(count == uncollected for count in counts).any())
        return turn.early | ~Mux(advanced, missing[1], missing[0]).bit_select(turn.thread, 1)

    def _advance(
        self,
        m: Module,
        turn: _Turn,
        at: _Addresses,
        issue: Signal,
        advanced: Signal,
        x_after: Signal,
    ) -> None:
        """What follows the word that is issued."""
        layer, paired = self.descriptor, self._paired
        recurrent = layer.kind != Kind.LINEAR
        # The step is over. That counts with it and does not choose, as issuing comes late; below,
        # the same condition chooses between a hidden vector and the next step's.
        goes_on = (
            turn.last_word & (turn.hidden | ~recurrent | ~turn.first) & (~paired | turn.thread)
        )
        m.d.sync += advanced.eq(issue & goes_on)
        with m.If(issue):
            m.d.sync += [
                turn.words_left.eq(turn.words_left - 1),
                turn.last_word.eq(turn.words_left == 2),
                turn.number.eq(turn.number + goes_on),
                turn.steps_left.eq(turn.steps_left - goes_on),
            ]
            with m.If(turn.hidden):
                m.d.sync += at.h.eq(at.h + 1)
            with m.Else():
                m.d.sync += at.x.eq(x_after)
            with m.If(goes_on):
                m.d.sync += [
                    turn.first.eq(0),
                    turn.early.eq(turn.first),
                    turn.final.eq(turn.steps_left == 2),
                    turn.active.eq(~turn.final),
                ]
            with m.If(turn.last_word):
                with m.If(~turn.hidden & recurrent & turn.first):
                    m.d.sync += [turn.hidden.eq(1), *turn.vector(layer.out_words)]
                with m.Else():
                    m.d.sync += [turn.hidden.eq(0), *turn.vector(layer.in_words)]
                    with m.If(paired):
                        m.d.sync += [
                            turn.thread.eq(~turn.thread),
                            at.x.eq(at.x_other),
                            at.x_other.eq(Mux(turn.hidden, at.x, x_after)),
                            at.h.eq(self.partner.hidden_base),
                        ]


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
    constant = {*config.unused}
    if not config.backwards:
        constant |= {"reverse", "add_stored", "sum_shift"}
    if config.compact:  # one post unit
        constant |= {"tail"} | ({"v_log2"} if config.max_v == 1 else set())
    return [name for name in DESCRIPTOR.fields if name not in constant]
