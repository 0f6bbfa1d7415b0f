"""Takes row sums from a cluster's groups in the order in which the post unit needs them."""

from functools import reduce
from operator import and_

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.config import MachineConfig
from sparnn.hdl.lane.ports import STEP_TOKENS
from sparnn.hdl.post.tags import ROW_TAG
from sparnn.hdl.protocol import DESCRIPTOR_FIELDS, Kind

__all__ = ["Collector", "COLLECTOR_PROGRAM"]

#: What the collector must know of the layer that runs; static between two ``start`` pulses.
COLLECTOR_PROGRAM = data.StructLayout(
    {name: DESCRIPTOR_FIELDS[name][2] for name in ("kind", "v_log2", "out_words", "tail")}
)


class Collector(wiring.Component):
    """Pops the V queues of one group per cycle, in the fixed order half, word, gate.

    A row's sum leaves when every lane of its group has it. Positions past the layer's end ("holes")
    make an item of their own in the half that completes neurons, so that each cluster delivers
    exactly one output per word.

    Members
    -------
    program, start, tokens: as for the lanes; the tokens keep the collector within the step.
    cluster: this cluster's number.
    lane_valid, pop: the lanes' queues.
    advance: the adder tree moves. Nothing is popped otherwise.
    tag, tag_valid: what is popped in this cycle, for the post unit.
    x_taken: input halves collected so far, modulo 4.
    """

    def __init__(self, config: MachineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "program": In(COLLECTOR_PROGRAM),
                "start": In(1),
                "tokens": In(STEP_TOKENS),
                "cluster": In(max(1, (config.post_units - 1).bit_length())),
                "lane_valid": In(config.cluster_lanes),
                "pop": Out(config.cluster_lanes),
                "advance": In(1),
                "tag": Out(ROW_TAG),
                "tag_valid": Out(1),
                "x_taken": Out(2),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        lanes = config.cluster_lanes
        lane_bits = (lanes - 1).bit_length()
        program = self.program

        has_hidden = program.kind != Kind.LINEAR
        gates_last = Mux(program.kind == Kind.RNN, 0, program.kind)
        # Whether this cluster has a neuron in the layer's last word.
        last_exists = (program.tail == 0) | (self.cluster < program.tail)

        # The next item. ``base`` is the first lane of the group that word belongs to.
        running = Signal()
        half, step = Signal(), Signal(2)
        word = Signal(DESCRIPTOR_FIELDS["out_words"][2])
        gate = Signal(2)
        base = Signal(lane_bits + 1)
        x_taken = Signal(2)

        final = half | ~has_hidden
        words_here = Mux(final | last_exists, program.out_words, program.out_words - 1)
        last_word = Signal()
        empty_half = Signal()
        hole = Signal()
        token = Mux(half, self.tokens.h != step, self.tokens.x != step)
        m.d.comb += [
            last_word.eq(word + 1 == words_here),
            empty_half.eq(words_here == 0),
            hole.eq(final & ~last_exists & (word + 1 == program.out_words)),
        ]

        # The group's lanes: those whose upper bits agree with ``base``.
        lane_mask = [program.v_log2 > bit for bit in range(lane_bits)]
        agree = {
            (bit, value): lane_mask[bit] | (base[bit] == value)
            for bit in range(lane_bits)
            for value in (0, 1)
        }
        need = [
            reduce(and_, (agree[bit, lane >> bit & 1] for bit in range(lane_bits)), Const(1, 1))
            for lane in range(lanes)
        ]
        complete = Signal()
        fire = Signal()
        item_ends = hole | (gate == gates_last)
        m.d.comb += [
            complete.eq((self.lane_valid | ~Cat(*need)).all()),
            fire.eq(running & token & self.advance & ~empty_half & (hole | complete)),
            self.pop.eq(Cat(*need) & (fire & ~hole).replicate(lanes)),
            self.tag_valid.eq(fire),
            self.tag.half.eq(half),
            self.tag.gate.eq(gate),
            self.tag.last_gate.eq(item_ends),
            self.tag.hole.eq(hole),
            self.tag.final.eq(final),
            self.x_taken.eq(x_taken),
        ]
        half_ends = item_ends & last_word
        m.d.comb += [
            self.tag.half_end.eq(half_ends),
            self.tag.step_end.eq(half_ends & final),
        ]

        next_base = base + (Const(1) << program.v_log2)[: lane_bits + 1]
        leave_half = Signal()
        m.d.comb += leave_half.eq((fire & half_ends) | (running & token & empty_half))
        with m.If(fire):
            m.d.sync += gate.eq(Mux(item_ends, 0, gate + 1))
            with m.If(item_ends):
                m.d.sync += [
                    word.eq(word + 1),
                    base.eq(Mux(next_base == lanes, 0, next_base)),
                ]
        with m.If(leave_half):
            m.d.sync += [word.eq(0), base.eq(0), gate.eq(0), half.eq(~final)]
            with m.If(~half):
                m.d.sync += x_taken.eq(x_taken + 1)
            with m.If(final):
                m.d.sync += step.eq(step + 1)
        with m.If(self.start):
            m.d.sync += [
                running.eq(1),
                half.eq(0),
                step.eq(0),
                word.eq(0),
                base.eq(0),
                gate.eq(0),
                x_taken.eq(0),
            ]
        return m
