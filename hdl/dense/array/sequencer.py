"""Issues passes: which tile, which columns, which half, and when."""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from sparnn.hdl.dense.config import PASS_LENGTH_BITS, DenseConfig
from sparnn.hdl.dense.descriptor import DESCRIPTOR, HALVES, PHASES, phase_field
from sparnn.hdl.host.protocol import RUN_STEPS_BITS, Kind

from .bank import copy_share, issue_layout
from .tap import pass_layout

__all__ = ["Arrival", "Sequencer", "layer_layout"]


def layer_layout() -> data.StructLayout:
    """A decoded layer descriptor."""
    return data.StructLayout({name: width for name, (_, _, width, _) in DESCRIPTOR.fields.items()})


class Arrival(wiring.Component):
    """Keeps count of a vector that arrives word by word: how many columns of each lane are there.

    Members
    -------
    clear: forget all; ``preset`` vectors are there.
    word, end: a word will be there, the vector's last.
    used: a whole vector has been worked through.
    whole: vectors that are there from end to end.
    columns: of each lane, of the vector that comes next.
    """

    def __init__(self, config: DenseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "clear": In(1),
                "preset": In(3),
                "word": In(1),
                "end": In(1),
                "used": In(1),
                "whole": Out(3),
                "columns": Out(range(config.columns + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        each = self._config.words_per_column
        place = Signal(range(each + 1))
        ended = self.word & self.end
        with m.If(self.word):
            m.d.sync += place.eq(place + 1)
            with m.If(self.end | (place == each - 1)):
                m.d.sync += [place.eq(0), self.columns.eq(self.columns + 1)]
            with m.If(self.end):
                m.d.sync += self.columns.eq(0)
        with m.If(ended & ~self.used):
            m.d.sync += self.whole.eq(self.whole + 1)
        with m.Elif(self.used & ~ended):
            m.d.sync += self.whole.eq(self.whole - 1)
        with m.If(self.clear):
            m.d.sync += [place.eq(0), self.columns.eq(0), self.whole.eq(self.preset)]
        return m


class Sequencer(wiring.Component):
    """Works through X0 H0 X1 H1 … of a layer, one issue per cycle while its activations are there.

    With ``unfolded`` the input half of the next step follows at once; without it, it waits until
    the step's output is there. Tiles change between phases without a lost cycle.

    With ``gate_major`` each pass works on one gate, and is made once for each gate; with
    ``gate_outer`` as well the step is X H of the first gate, X H of the second, and so on.

    ``paired`` layers take turns: X0 H0 of the one, X0 H0 of the other, X1 H1 of the one, …; their
    weights follow one another. Streams take turns in the same way, on the same weights.

    Members
    -------
    layer, steps, fresh: static from ``start``.
    start: begins a layer.
    x_word, x_end, h_word, h_end: a word of x or h is on the broadcast bus at most ``issue_to_read``
        cycles after the cycle in which this is registered.
    length_en, length_addr, length_data: with masks, the host writes the cycles of a pass less one.
    x_whole: input vectors that wait or are being used.
    issue: to the banks.
    finished: what the pass's last issue makes, in the same cycle.
    """

    def __init__(self, config: DenseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "layer": In(layer_layout()),
                "steps": In(RUN_STEPS_BITS),
                "fresh": In(1),
                "start": In(1),
                "x_word": In(1),
                "x_end": In(1),
                "h_word": In(1),
                "h_end": In(1),
                "length_en": In(1),
                "length_addr": In(12),
                "length_data": In(PASS_LENGTH_BITS),
                "x_whole": Out(2),
                "issue": Out(issue_layout(config)),
                "finished": Out(pass_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, layer = self._config, self.layer
        turns_last = Signal(2)  # layers or streams that take turns, less one
        m.d.comb += turns_last.eq(layer.streams_last | layer.paired)
        m.submodules.x = x = Arrival(config)
        m.submodules.h = h = Arrival(config)
        m.d.comb += [
            x.clear.eq(self.start),
            x.word.eq(self.x_word),
            x.end.eq(self.x_end),
            h.clear.eq(self.start),
            h.preset.eq(Mux(self.fresh, turns_last + 1, 0)),
            h.word.eq(self.h_word),
            h.end.eq(self.h_end),
            self.x_whole.eq(x.whole),
        ]

        has_hidden = Signal()
        m.d.comb += has_hidden.eq(layer.kind != Kind.LINEAR)
        active, hidden, first_step = Signal(), Signal(), Signal()
        left = Signal(RUN_STEPS_BITS)
        phase = Signal(range(PHASES))
        passes = Signal(14)  # done in this phase
        column = Signal(12)
        segment = Signal(16)
        weight = Signal.like(self.issue.weight_addr)
        buffer = Signal()  # of h, where this step's goes; that of the step before is in the other
        x_buffer = Signal()
        turn = Signal(config.turn_bits)  # of layers or streams
        turn_end = Signal()  # none is left in this step
        gate = Signal(2)
        gates_last = Signal(2)
        with m.If(layer.gate_major):
            with m.Switch(layer.kind):
                for kind, last in ((Kind.LSTM, 3), (Kind.GRU, 2)):
                    with m.Case(kind):
                        m.d.comb += gates_last.eq(last)

        def field(part: str, number: int) -> Signal:
            return Mux(hidden, *(layer[phase_field(one, number, part)] for one in HALVES[::-1]))

        index = Array(field("groups_log2", k) for k in range(PHASES))[phase]
        half_length = Array(field("length_last", k) for k in range(PHASES))[phase]
        length_last = Signal(PASS_LENGTH_BITS)
        mask_now = Signal(range(max(2, config.mask_depth)))
        mask = Signal(range(max(2, config.mask_depth)))  # passes of all layers, so far
        m.d.comb += length_last.eq(half_length)
        if config.mask_depth:
            m.submodules.lengths = lengths = Memory(
                shape=PASS_LENGTH_BITS, depth=config.mask_depth, init=[]
            )
            write, read = lengths.write_port(), lengths.read_port(domain="comb")
            m.d.comb += [
                write.en.eq(self.length_en),
                write.addr.eq(self.length_addr),
                write.data.eq(self.length_data),
                read.addr.eq(mask),
                length_last.eq(read.data),
                self.issue.mask_addr.eq(mask_now),
            ]
        total = Array(field("passes", k) for k in range(PHASES))[phase]
        following = Array([*(field("passes", k) for k in range(1, PHASES)), 0])[phase]
        groups_log2 = Signal(4)
        joined = Signal(4)
        needed = Signal(17)
        ordered = int(not config.mask_depth)
        ready = Signal()
        go, pass_end, tile_end, phase_end, half_end, both_end, gate_end, step_end = (
            Signal(name=name)
            for name in (
                "go",
                "pass_end",
                "tile_end",
                "phase_end",
                "half_end",
                "both_end",
                "gate_end",
                "step_end",
            )
        )
        m.d.comb += [
            groups_log2.eq(index),
            joined.eq(config.banks_log2 - groups_log2),
            needed.eq((column + 1) << joined[: max(1, config.banks_log2.bit_length())]),
            # Columns that are masked come in no order: then the whole vector has to be there.
            ready.eq(
                Mux(
                    hidden,
                    (h.whole != 0) | ((needed <= h.columns) & ordered),
                    ((x.whole != 0) | ((needed <= x.columns) & ordered))
                    & (layer.unfolded | ~has_hidden | (h.whole != 0)),
                )
            ),
            go.eq(active & ready),
            pass_end.eq(column == length_last),
            gate_end.eq(gate == gates_last),
            tile_end.eq(pass_end & (gate_end | layer.gate_outer)),
            phase_end.eq(tile_end & (passes + 1 == total)),
            half_end.eq(phase_end & (following == 0)),
            both_end.eq(half_end & (hidden | ~has_hidden)),
            step_end.eq(both_end & gate_end),
            turn_end.eq(turn == turns_last),
            x.used.eq(go & half_end & gate_end & ~hidden),
            h.used.eq(go & half_end & gate_end & hidden),
        ]
        with m.If(go):
            m.d.sync += [column.eq(column + 1), weight.eq(weight + 1)]
            with m.If(pass_end):
                m.d.sync += [column.eq(0), mask.eq(mask + 1)]
            with m.If(Mux(layer.gate_outer, both_end, pass_end)):
                m.d.sync += gate.eq(Mux(gate_end, 0, gate + 1))
            with m.If(tile_end):
                m.d.sync += [
                    passes.eq(passes + 1),
                    segment.eq(segment + (1 << groups_log2[:3])),
                ]
            with m.If(phase_end):
                m.d.sync += [passes.eq(0), phase.eq(phase + 1)]
            with m.If(half_end):
                m.d.sync += [phase.eq(0), segment.eq(0), hidden.eq(has_hidden & ~hidden)]
            with m.If(step_end):
                m.d.sync += [turn.eq(Mux(turn_end, 0, turn + 1)), x_buffer.eq(~x_buffer)]
            with m.If(step_end & (turn_end | ~layer.paired)):
                m.d.sync += [weight.eq(layer.weight_base), mask.eq(layer.mask_base)]
            with m.If(step_end & turn_end):
                m.d.sync += [
                    buffer.eq(~buffer),
                    first_step.eq(0),
                    left.eq(left - 1),
                    active.eq(left != 1),
                ]
        with m.If(self.start):
            m.d.sync += [
                active.eq(1),
                hidden.eq(0),
                first_step.eq(1),
                left.eq(self.steps),
                phase.eq(0),
                passes.eq(0),
                column.eq(0),
                segment.eq(0),
                gate.eq(0),
                turn.eq(0),
                x_buffer.eq(0),
                weight.eq(layer.weight_base),
                mask.eq(layer.mask_base),
                buffer.eq(0),
            ]
        m.d.sync += mask_now.eq(mask)
        fresh = first_step & self.fresh
        m.d.sync += [
            self.issue.valid.eq(go),
            self.issue.weight_addr.eq(weight),
            self.issue.column.eq(column),
            self.issue.joined_log2.eq(joined),
            self.issue.buffer.eq(Mux(hidden, ~buffer, x_buffer)),
            self.issue.share.eq(Mux(hidden, copy_share(config, layer, turn), 0)),
            self.issue.hidden.eq(hidden),
            self.issue.zero.eq(hidden & fresh),
            self.issue.first.eq(column == 0),
            self.issue.last.eq(pass_end),
            self.finished.valid.eq(go & pass_end),
            self.finished.joined_log2.eq(joined),
            self.finished.segment.eq(segment),
            self.finished.hidden.eq(hidden),
            self.finished.gate.eq(gate),
            self.finished.turn.eq(turn),
            self.finished.end.eq(half_end),
            self.finished.final.eq((hidden | ~has_hidden) & gate_end),
            self.finished.fresh.eq(fresh),
        ]
        return m
