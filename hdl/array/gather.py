"""Joins the clusters' outputs into words and sends each word wherever it is needed."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.config import PREACTIVATION_BITS, MachineConfig
from sparnn.hdl.protocol import DESCRIPTOR_FIELDS, RUN_STEPS_BITS, Kind

from .broadcast import vector_word_layout

__all__ = ["GATHER_PROGRAM", "Gather", "result_word_layout"]

GATHER_PROGRAM = data.StructLayout(
    {
        name: DESCRIPTOR_FIELDS[name][2]
        for name in (
            "kind",
            "store_out",
            "emit",
            "emit_last",
            "units",
            "tail",
            "out_words",
            "out_base",
            "hidden_base",
        )
    }
)


def result_word_layout(config: MachineConfig) -> data.StructLayout:
    """Outputs for the host: ``count`` of the 16-bit ``values`` count. first: begins a step."""
    return data.StructLayout(
        {
            "values": data.ArrayLayout(signed(PREACTIVATION_BITS), config.post_units),
            "count": range(config.post_units + 1),
            "first": 1,
        }
    )


class Gather(wiring.Component):
    """Takes one output of every cluster at a time.

    Each word goes to the broadcaster (recurrent layers), to the store (``store_out``; in the last
    step also to ``hidden_base``, which takes a second cycle) and to the host (``emit``).

    Members
    -------
    program, start, steps: the layer and its number of time steps.
    outputs: one stream per cluster.
    fresh, fresh_valid: to the broadcaster, which always takes them.
    store_en, store_addr, store_data: the store's write port.
    results: stream to the host; back-pressure stops the array.
    done: all steps are out; from then to the next ``start``.
    """

    def __init__(self, config: MachineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "program": In(GATHER_PROGRAM),
                "start": In(1),
                "steps": In(RUN_STEPS_BITS),
                "outputs": In(stream.Signature(signed(PREACTIVATION_BITS))).array(
                    config.post_units
                ),
                "fresh": Out(vector_word_layout(config)),
                "fresh_valid": Out(1),
                "store_en": Out(1),
                "store_addr": Out((config.store_depth - 1).bit_length()),
                "store_data": Out(config.store_entry_bits),
                "results": Out(stream.Signature(result_word_layout(config))),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        program = self.program

        word = Signal(DESCRIPTOR_FIELDS["out_words"][2])
        steps_left = Signal(RUN_STEPS_BITS)
        out_addr = Signal.like(self.store_addr)
        hidden_addr = Signal.like(self.store_addr)
        second = Signal()

        recurrent = program.kind != Kind.LINEAR
        last_word = word + 1 == program.out_words
        last_step = steps_left == 1
        emit = program.emit & (last_step | ~program.emit_last)
        keep = recurrent & last_step
        available = Cat(output.valid for output in self.outputs).all()
        take = Signal()
        m.d.comb += [
            take.eq(
                available & (~emit | self.results.ready) & (~(keep & program.store_out) | second)
            ),
            self.results.valid.eq(available & emit & (~(keep & program.store_out) | second)),
            self.results.payload.count.eq(
                Mux(last_word & (program.tail != 0), program.tail, config.post_units)
            ),
            self.results.payload.first.eq(word == 0),
            self.fresh_valid.eq(take & recurrent),
            self.fresh.half.eq(1),
            self.fresh.last.eq(last_word),
            self.fresh.values.eq(
                Cat(output.payload[: config.activation_bits] for output in self.outputs)
            ),
            self.store_data.eq(self.fresh.values),
            self.store_addr.eq(Mux(keep & (second | ~program.store_out), hidden_addr, out_addr)),
            self.store_en.eq(
                Mux(keep & program.store_out, available & ~second, take & program.store_out)
                | (take & keep)
            ),
            self.done.eq(steps_left == 0),
        ]
        for index, output in enumerate(self.outputs):
            m.d.comb += [
                output.ready.eq(take),
                self.results.payload.values[index].eq(output.payload),
            ]
        m.d.sync += second.eq(available & keep & program.store_out & ~take)
        with m.If(take):
            m.d.sync += [word.eq(word + 1), out_addr.eq(out_addr + 1)]
            with m.If(keep):
                m.d.sync += hidden_addr.eq(hidden_addr + 1)
            with m.If(last_word):
                m.d.sync += [word.eq(0), steps_left.eq(steps_left - 1)]
        with m.If(self.start):
            m.d.sync += [
                word.eq(0),
                second.eq(0),
                steps_left.eq(self.steps),
                out_addr.eq(program.out_base),
                hidden_addr.eq(program.hidden_base),
            ]
        return m
