"""Write-back of a group: sums of a half in, activations of the next vector out."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import PARAMETER_LAYOUT, PREACTIVATION_BITS
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.common.stream_buffer import StreamBuffer
from sparnn.hdl.sparse.post.halves import HalfJoin
from sparnn.hdl.sparse.post.output import OutputRounder
from sparnn.hdl.sparse.post.requantize import Requantizer
from sparnn.hdl.sparse.post.tags import row_sum_layout

from .config import GROUP, BaselineConfig
from .ports import PROGRAM

__all__ = ["WriteBack"]


class WriteBack(wiring.Component):
    """Reads a half's sums once all elements of the group are done with it, one row per cycle.

    sparnn's own requantizer and join of the halves, then ReLU and rounding (docs/numerics.md,
    "Rows" and "Cells"), so that these figure alike in every design. The input half is taken as soon
    as it is done, under the hidden half's multiplications.

    Members
    -------
    number: this group's; constant.
    layer, start: the layer; one cycle, while nothing is inside.
    done, clear, row, half, sums: of the elements' arithmetic units; ``sums`` in the same cycle.
    write_en, write_addr, write_data: an output, for one of the elements.
    x_taken, steps_done: input halves taken and output vectors written, modulo 4.
    load_en, load_addr, load_data: a requantization entry, in the order half, row, element.
    """

    def __init__(self, config: BaselineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "number": In(clog2(config.lanes)),
                "layer": In(PROGRAM),
                "start": In(1),
                "done": In(data.ArrayLayout(2, GROUP)),
                "clear": Out(2),
                "row": Out(config.row_bits),
                "half": Out(1),
                "sums": In(data.ArrayLayout(signed(config.sum_bits), GROUP)),
                "write_en": Out(GROUP),
                "write_addr": Out(max(1, clog2(config.activation_depth))),
                "write_data": Out(signed(config.activation_bits)),
                "x_taken": Out(2),
                "steps_done": Out(2),
                "load_en": In(1),
                "load_addr": In(clog2(config.post.parameter_depth)),
                "load_data": In(PARAMETER_LAYOUT),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        program = self.layer
        m.submodules.buffer = buffer = StreamBuffer(row_sum_layout(config.post))
        m.submodules.requantizer = requantizer = Requantizer(config.post)
        m.submodules.join = join = HalfJoin(config.post)
        m.submodules.rounder = rounder = OutputRounder(config.post)
        wiring.connect(m, buffer.o, requantizer.i)
        wiring.connect(m, requantizer.o, join.i)
        m.d.comb += [
            requantizer.start.eq(self.start),
            requantizer.load.en.eq(self.load_en),
            requantizer.load.addr.eq(self.load_addr),
            requantizer.load.data.eq(self.load_data),
            join.start.eq(self.start),
        ]

        # Rows of this group: those that every element has, and one more in its first few.
        count_bits = config.row_bits + 3
        count = Signal(count_bits)
        first = Cat(Const(0, 2), self.number)  # the group's first element
        beyond = Signal(signed(12))
        m.d.comb += beyond.eq(program.tail_h - first)
        m.d.sync += count.eq(
            (program.rows_h << 2) + Mux(beyond < 0, 0, Mux(beyond > GROUP, GROUP, beyond))
        )

        # Reading.
        reading, final, last, finished = Signal(), Signal(), Signal(), Signal()
        left = Signal(count_bits)
        place = Signal(config.row_bits + 2)  # row, element
        all_done = Cat(pair.bit_select(self.half, 1) for pair in self.done).all()
        tag = buffer.i.payload.tag
        m.d.comb += [
            final.eq(self.half == program.recurrent),
            last.eq(left == 1),
            self.row.eq(place >> 2),
            buffer.i.valid.eq(reading),
            buffer.i.payload.psum.eq(Array(self.sums)[place[:2]]),
            tag.half.eq(self.half),
            tag.last_gate.eq(1),
            tag.half_end.eq(last),
            tag.step_end.eq(last & final),
            tag.final.eq(final),
            finished.eq(
                Mux(reading, last & buffer.i.ready, all_done & (count == 0) & ~self.clear.any())
            ),
        ]
        m.d.sync += self.clear.eq(0)
        with m.If(reading & buffer.i.ready):
            m.d.sync += [place.eq(place + 1), left.eq(left - 1)]
        with m.If(~reading & all_done & (count != 0) & ~self.clear.any()):
            m.d.sync += [reading.eq(1), place.eq(0), left.eq(count)]
        with m.If(finished):
            m.d.sync += [
                reading.eq(0),
                self.clear.eq(Mux(self.half, 0b10, 0b01)),
                self.half.eq(~self.half & program.recurrent),
            ]
            with m.If(~self.half):
                m.d.sync += self.x_taken.eq(self.x_taken + 1)

        # Writing.
        row, whole = join.o.payload.sum, Signal(signed(PREACTIVATION_BITS))
        m.d.comb += [
            whole.eq(Mux(row[-1], 0, row)),
            join.o.ready.eq(1),
            rounder.push.eq(join.o.valid),
            rounder.value.eq(Cat(Const(0, 15), whole).as_signed()),
            rounder.shift.eq(program.out_shift),
        ]
        written = Signal.like(place)
        base = Signal(20)
        vector_done = Signal()
        m.d.comb += [
            self.write_addr.eq(base + (written >> 2)),
            self.write_data.eq(rounder.result),
            vector_done.eq(
                Mux(count == 0, finished & final, rounder.valid & (written + 1 == count))
            ),
        ]
        for element in range(GROUP):
            m.d.comb += self.write_en[element].eq(rounder.valid & (written[:2] == element))
        with m.If(rounder.valid):
            m.d.sync += written.eq(written + 1)
        with m.If(vector_done):
            m.d.sync += [
                written.eq(0),
                base.eq(base + program.stride_h),
                self.steps_done.eq(self.steps_done + 1),
            ]
        with m.If(self.start):
            m.d.sync += [
                self.half.eq(0),
                self.x_taken.eq(0),
                self.steps_done.eq(0),
                written.eq(0),
                base.eq(program.h_base + program.stride_h),
            ]
        return m
