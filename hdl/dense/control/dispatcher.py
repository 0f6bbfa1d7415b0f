"""Works through the layer descriptors of a run."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.dense.array.sequencer import layer_layout
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.descriptor import DESCRIPTOR
from sparnn.hdl.host.protocol import RUN_STEPS_BITS

__all__ = ["LayerDispatcher"]


class LayerDispatcher(wiring.Component):
    """Holds the program; starts the layers one after the other.

    A descriptor is one wide word, read while the layer before it runs, so changing the layer, and
    with it every tile shape, costs two cycles; one more where it goes backwards.

    Members
    -------
    load_en, load_addr, load_data: the host writes descriptor words.
    run, run_steps, run_reset: begin a run, of so many steps, from zero states. A ``run`` in the
        first cycle in which ``busy`` is low again is lost; the host port's next one comes seven
        cycles after that cycle at the earliest, behind the words of DONE.
    busy: high from the cycle after ``run`` until the last layer's outputs have left.
    cycles: from the cycle after ``run`` to the last output, of this run or the one before.
    layer, steps, fresh: what the present layer is, its steps, and whether states start at zero.
    start: the layer begins.
    in_ahead, out_ahead: words from the layer's first step to its last one, of what it reads and
        writes, where it goes backwards.
    layer_done: the layer's outputs are all in the store.
    sent: they have left for the host.
    weights_there: of a machine whose weights come from external memory: the next layer's are there.
        It waits for them, and begins a cycle later than on a machine without.
    weights_next: a pulse: it has begun, and those of the layer after it may come.
    """

    def __init__(self, config: DenseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "load_en": In(1),
                "load_addr": In(clog2(config.program_depth * DESCRIPTOR.words)),
                "load_data": In(32),
                "run": In(1),
                "run_steps": In(RUN_STEPS_BITS),
                "run_reset": In(1),
                "busy": Out(1),
                "cycles": Out(32),
                "layer": Out(layer_layout(config)),
                "steps": Out(RUN_STEPS_BITS),
                "fresh": Out(1),
                "start": Out(1),
                "in_ahead": Out(clog2(config.store_depth)),
                "out_ahead": Out(clog2(config.store_depth)),
                "layer_done": In(1),
                "sent": In(1),
            }
            | ({"weights_there": In(1), "weights_next": Out(1)} if config.stream_bits else {})
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words_log2 = clog2(DESCRIPTOR.words)
        m.submodules.program = program = Memory(
            shape=32 * DESCRIPTOR.words, depth=self._config.program_depth, init=[]
        )
        write, read = program.write_port(granularity=32), program.read_port()
        number, ahead = (
            Signal(range(self._config.program_depth + 1)),
            Signal(range(self._config.program_depth + 1)),
        )
        m.d.comb += [
            write.addr.eq(self.load_addr[words_log2:]),
            write.data.eq(self.load_data.replicate(DESCRIPTOR.words)),
            write.en.eq(self.load_en << self.load_addr[:words_log2]),
            read.addr.eq(ahead),
        ]
        descriptor = Signal(layer_layout(self._config))
        for name in descriptor.shape().members:
            word, low, width, _ = DESCRIPTOR.fields[name]
            m.d.comb += descriptor[name].eq(read.data[32 * word + low : 32 * word + low + width])

        steps = Signal(RUN_STEPS_BITS)
        counting = Signal()
        with m.If(counting):
            m.d.sync += self.cycles.eq(self.cycles + 1)
        m.d.sync += self.start.eq(0)

        def start() -> None:
            m.d.sync += [
                self.layer.eq(descriptor),
                self.start.eq(~backwards),
                number.eq(number + 1 + descriptor.paired),
            ]
            m.next = "START"
            with m.If(backwards):
                m.next = "LOCATE"

        def begin() -> None:
            if self._config.stream_bits:
                m.next = "AWAIT"
            else:
                start()

        backwards = descriptor.reverse | descriptor.paired
        m.d.comb += ahead.eq(number)
        # One product per cycle; what a single step reads lies where the run's last step does.
        m.d.sync += [
            self.in_ahead.eq(self.layer.in_words * (steps - 1)),
            self.out_ahead.eq(self.layer.out_stride * (self.steps - 1)),
        ]
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.run):
                    begin()
                    m.d.sync += [
                        steps.eq(self.run_steps),
                        self.steps.eq(Mux(descriptor.single_step, 1, self.run_steps)),
                        self.fresh.eq(self.run_reset),
                        self.cycles.eq(0),
                        counting.eq(1),
                        self.busy.eq(1),
                    ]
            if self._config.stream_bits:
                with m.State("AWAIT"), m.If(self.weights_there):
                    m.d.comb += self.weights_next.eq(descriptor.swapped)
                    start()
            with m.State("LOCATE"):  # the products are registered
                m.d.sync += self.start.eq(1)
                m.next = "START"
            with m.State("START"):  # the pulse is out; what follows from it is there afterwards
                m.next = "RUN"
            with m.State("RUN"):
                with m.If(self.layer_done):
                    m.next = "SEND"
                    with m.If(self.layer.last_layer):
                        m.d.sync += counting.eq(0)
                    with m.If(self.sent & ~self.layer.last_layer):
                        begin()
                        m.d.sync += self.steps.eq(Mux(descriptor.single_step, 1, steps))
            with m.State("SEND"):
                with m.If(self.sent):
                    with m.If(self.layer.last_layer):
                        m.d.sync += [self.busy.eq(0), number.eq(0)]
                        m.next = "SETTLE"
                    with m.Else():
                        begin()
                        m.d.sync += self.steps.eq(Mux(descriptor.single_step, 1, steps))
            with m.State("SETTLE"):
                m.next = "IDLE"
        return m
