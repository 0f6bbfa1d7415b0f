"""Works through the layer descriptors and feeds each layer's vectors to the broadcaster."""

from amaranth.hdl import Cat, Module, Mux, Shape, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.array.broadcast import vector_word_layout
from sparnn.hdl.config import MachineConfig
from sparnn.hdl.protocol import DESCRIPTOR_FIELDS, DESCRIPTOR_WORDS, RUN_STEPS_BITS, Kind

from .last_step import LAST_STEP_PROGRAM, LastStep

__all__ = ["DESCRIPTOR", "Dispatcher"]


#: A whole descriptor as the program memory holds it.
DESCRIPTOR = data.FlexibleLayout(
    DESCRIPTOR_WORDS * 32,
    {
        name: data.Field(Shape(width, is_signed), word * 32 + low)
        for name, (word, low, width, is_signed) in DESCRIPTOR_FIELDS.items()
    },
)


class Dispatcher(wiring.Component):
    """Runs the program: per layer read the descriptor, start the array, send vectors, wait.

    Vectors go out in the order x0, the hidden state before the first step, x1, x2, …; each as soon
    as the local copies have room, that is when every cluster has collected the input half of two
    steps before. Between layers: 17 cycles to read the descriptor and two to start; before a layer
    that begins at the last step up to the bits of its address, to find that (LastStep).

    Members
    -------
    run, steps, reset: begin (one cycle, while not ``busy``) with this many time steps, from zero
        state or from the states that the machine holds.
    busy: from ``run`` to the last output.
    cycles: length of the last or current run, from ``run`` to its last output.
    load_en, load_addr, load_data: writes the program memory.
    descriptor, start, fresh, layer_steps: the current layer, for the rest of the machine.
    x_taken: from each cluster.
    layer_done: from the gather.
    out_first: with ``start``, where the gather's first output goes.
    store_addr, store_en, store_data: the store's read port; data one cycle after ``store_en``.
    vectors: stream to the broadcaster.
    """

    def __init__(self, config: MachineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "run": In(1),
                "steps": In(RUN_STEPS_BITS),
                "reset": In(1),
                "busy": Out(1),
                "cycles": Out(32),
                "load_en": In(1),
                "load_addr": In((config.program_depth * DESCRIPTOR_WORDS - 1).bit_length()),
                "load_data": In(32),
                "descriptor": Out(DESCRIPTOR),
                "start": Out(1),
                "fresh": Out(1),
                "layer_steps": Out(RUN_STEPS_BITS),
                "out_first": Out((config.store_depth - 1).bit_length()),
                "x_taken": In(2).array(config.post_units),
                "layer_done": In(1),
                "store_addr": Out((config.store_depth - 1).bit_length()),
                "store_en": Out(1),
                "store_data": In(config.store_entry_bits),
                "vectors": Out(stream.Signature(vector_word_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        layer = self.descriptor

        m.submodules.program = program = memory.Memory(
            shape=32,
            depth=config.program_depth * DESCRIPTOR_WORDS,
            init=[],
            attrs={"no_rw_check": 1},
        )
        write, read = program.write_port(), program.read_port()
        m.d.comb += [
            write.en.eq(self.load_en),
            write.addr.eq(self.load_addr),
            write.data.eq(self.load_data),
        ]

        # One layer after the other.
        steps = Signal(RUN_STEPS_BITS)
        fetch = Signal(range(config.program_depth * DESCRIPTOR_WORDS + 1))
        fetched = Signal(range(DESCRIPTOR_WORDS + 1))
        m.submodules.last_step = last_step = LastStep(config)
        located = Signal()
        for name in LAST_STEP_PROGRAM.members:
            m.d.comb += last_step.program[name].eq(layer[name])
        m.d.comb += [
            last_step.steps.eq(steps),
            self.out_first.eq(Mux(layer.reverse, last_step.out_addr, layer.out_base)),
            read.addr.eq(fetch),
            self.layer_steps.eq(Mux(layer.single_step, 1, steps)),
        ]
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
                # A word arrives one cycle after its address; they shift in from the top.
                m.d.sync += fetched.eq(fetched + 1)
                with m.If(fetched != DESCRIPTOR_WORDS):
                    m.d.sync += fetch.eq(fetch + 1)
                with m.If(fetched != 0):
                    m.d.sync += layer.as_value().eq(Cat(layer.as_value()[32:], read.data))
                with m.If(fetched == DESCRIPTOR_WORDS):
                    m.d.sync += fetched.eq(0)
                    m.next = "START"
            with m.State("START"):
                m.d.sync += located.eq(layer.reverse)
                with m.If(layer.reverse & ~located):
                    m.d.comb += last_step.start.eq(1)
                with m.Elif(last_step.done):
                    m.d.comb += self.start.eq(1)
                    m.d.sync += located.eq(0)
                    m.next = "SETTLE"
            with m.State("SETTLE"):
                m.next = "RUN"
            with m.State("RUN"):
                with m.If(self.layer_done):
                    m.next = "FETCH"
                    with m.If(layer.last_layer):
                        m.d.sync += self.busy.eq(0)
                        m.next = "IDLE"

        # Vectors: x0, initial hidden state, x1, x2, ...
        recurrent = layer.kind != Kind.LINEAR
        active, hidden_turn = Signal(), Signal()
        number, words_left = Signal(RUN_STEPS_BITS), Signal(DESCRIPTOR_FIELDS["in_words"][2])
        x_addr, h_addr = Signal.like(self.store_addr), Signal.like(self.store_addr)
        held, held_half, held_last = Signal(), Signal(), Signal()

        last_word = words_left == 1
        two_before = (number - 2)[:2]
        room = (number < 2) | Cat(taken != two_before for taken in self.x_taken).all()
        issue = Signal()
        # From the last word of a step to the first one of the next, or of the one before.
        x_jump = Signal.like(x_addr, reset_less=True)
        m.d.sync += x_jump.eq(Mux(layer.reverse, 1 - (layer.in_words << 1), 1))
        m.d.comb += [
            issue.eq(active & (hidden_turn | room) & (~held | self.vectors.ready)),
            self.store_en.eq(issue),
            self.store_addr.eq(Mux(hidden_turn, h_addr, x_addr)),
            self.vectors.valid.eq(held),
            self.vectors.payload.half.eq(held_half),
            self.vectors.payload.last.eq(held_last),
            self.vectors.payload.values.eq(Mux(held_half & self.fresh, 0, self.store_data)),
        ]
        with m.If(issue):
            m.d.sync += [
                held.eq(1),
                held_half.eq(hidden_turn),
                held_last.eq(last_word),
                words_left.eq(words_left - 1),
            ]
            with m.If(hidden_turn):
                m.d.sync += h_addr.eq(h_addr + 1)
            with m.Else():
                m.d.sync += x_addr.eq(x_addr + Mux(last_word, x_jump, 1))
            with m.If(last_word):
                m.d.sync += words_left.eq(layer.in_words)
                with m.If(~hidden_turn):
                    m.d.sync += [
                        number.eq(number + 1),
                        active.eq(number + 1 != self.layer_steps),
                    ]
                with m.If(hidden_turn):
                    m.d.sync += [hidden_turn.eq(0), active.eq(number != self.layer_steps)]
                with m.Elif(recurrent & (number == 0)):
                    m.d.sync += [
                        hidden_turn.eq(1),
                        active.eq(1),
                        words_left.eq(layer.out_words),
                    ]
        with m.Elif(self.vectors.ready):
            m.d.sync += held.eq(0)
        with m.If(self.start):
            m.d.sync += [
                active.eq(1),
                hidden_turn.eq(0),
                number.eq(0),
                words_left.eq(layer.in_words),
                x_addr.eq(Mux(layer.reverse, last_step.in_addr, layer.in_base)),
                h_addr.eq(layer.hidden_base),
            ]
        return m
