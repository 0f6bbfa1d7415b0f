"""Issues passes: which tile, which columns, which half, and when."""

from typing import NamedTuple

from amaranth.hdl import Array, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from sparnn.hdl.dense.config import PASS_LENGTH_BITS, DenseConfig
from sparnn.hdl.dense.descriptor import DESCRIPTOR, HALVES, PHASES, phase_field
from sparnn.hdl.host.protocol import RUN_STEPS_BITS, Kind

from .bank import copy_share, issue_layout
from .tap import pass_layout

__all__ = ["Arrival", "Sequencer", "layer_layout"]


def layer_layout(config: DenseConfig) -> data.StructLayout:
    """A decoded layer descriptor."""
    return DESCRIPTOR.layout(name for name in DESCRIPTOR.fields if name not in config.unused)


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


class _At(NamedTuple):
    """What the next issue is of."""

    active: Signal  #: the layer has issues left
    hidden: Signal  #: the half
    first_step: Signal
    left: Signal  #: steps
    phase: Signal
    passes: Signal  #: done in this phase
    column: Signal
    segment: Signal
    weight: Signal
    mask: Signal  #: passes of all layers, so far
    buffer: Signal  #: of h, where this step's goes; that of the step before is in the other
    x_buffer: Signal
    turn: Signal  #: of layers or streams that take turns
    gate: Signal


def _at(config: DenseConfig, weight_addr: Value) -> _At:
    left = Signal(RUN_STEPS_BITS)
    phase = Signal(range(PHASES))
    passes = Signal(14)
    column = Signal(12)
    segment = Signal(16)
    weight = Signal.like(weight_addr)
    buffer = Signal()
    x_buffer = Signal()
    turn = Signal(config.turn_bits)
    gate = Signal(2)
    mask = Signal(range(max(2, config.mask_depth)))
    return _At(
        active=Signal(),
        hidden=Signal(),
        first_step=Signal(),
        left=left,
        phase=phase,
        passes=passes,
        column=column,
        segment=segment,
        weight=weight,
        mask=mask,
        buffer=buffer,
        x_buffer=x_buffer,
        turn=turn,
        gate=gate,
    )


class _Phase(NamedTuple):
    """The fields of the phase that the next issue is of."""

    length_last: Signal  #: cycles of a pass less one
    total: Value  #: passes
    following: Value  #: passes of the phase after it; 0: there is none
    groups_log2: Signal
    joined: Signal  #: log2 of the banks that a tile joins
    gates_last: Signal  #: gates less one that each pass is made for


class _Ends(NamedTuple):
    """What ends with the next issue."""

    go: Signal  #: it is made in this cycle
    pass_: Signal
    tile: Signal
    phase: Signal
    half: Signal
    both: Signal  #: both halves
    gate: Signal
    step: Signal
    turn: Signal  #: no turn is left in this step


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
                "layer": In(layer_layout(config)),
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
        at = _at(config, self.issue.weight_addr)
        mask_now = Signal.like(at.mask)
        phase = self._phase(m, at, mask_now)
        ends = self._ends(m, at, phase, x, h, has_hidden, turns_last)
        self._advance(m, at, phase, ends, has_hidden)
        m.d.sync += mask_now.eq(at.mask)
        self._issue(m, at, phase, ends, has_hidden)
        return m

    def _phase(self, m: Module, at: _At, mask_now: Signal) -> _Phase:
        config, layer = self._config, self.layer
        gates_last = Signal(2)
        with m.If(layer.gate_major):
            with m.Switch(layer.kind):
                for kind, last in ((Kind.LSTM, 3), (Kind.GRU, 2)):
                    with m.Case(kind):
                        m.d.comb += gates_last.eq(last)

        def field(part: str, number: int) -> Signal:
            return Mux(at.hidden, *(layer[phase_field(one, number, part)] for one in HALVES[::-1]))

        index = Array(field("groups_log2", k) for k in range(PHASES))[at.phase]
        half_length = Array(field("length_last", k) for k in range(PHASES))[at.phase]
        length_last = Signal(PASS_LENGTH_BITS)
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
                read.addr.eq(at.mask),
                length_last.eq(read.data),
                self.issue.mask_addr.eq(mask_now),
            ]
        total = Array(field("passes", k) for k in range(PHASES))[at.phase]
        following = Array([*(field("passes", k) for k in range(1, PHASES)), 0])[at.phase]
        groups_log2 = Signal(4)
        joined = Signal(4)
        m.d.comb += [
            groups_log2.eq(index),
            joined.eq(config.banks_log2 - groups_log2),
        ]
        return _Phase(length_last, total, following, groups_log2, joined, gates_last)

    def _ends(
        self,
        m: Module,
        at: _At,
        phase: _Phase,
        x: Arrival,
        h: Arrival,
        has_hidden: Signal,
        turns_last: Signal,
    ) -> _Ends:
        """The issue is made as soon as its activations are there."""
        config, layer = self._config, self.layer
        hidden = at.hidden
        needed = Signal(17)
        # Columns that are masked come in no order: then the whole vector has to be there.
        ordered = int(not config.mask_depth)
        ready = Signal()
        turn_end = Signal()
        names = ("pass", "tile", "phase", "half", "both", "gate", "step")
        go = Signal()
        pass_, tile, phase_, half, both, gate, step = (Signal(name=f"{one}_end") for one in names)
        ends = _Ends(go, pass_, tile, phase_, half, both, gate, step, turn_end)
        m.d.comb += [
            needed.eq((at.column + 1) << phase.joined[: max(1, config.banks_log2.bit_length())]),
            ready.eq(
                Mux(
                    hidden,
                    (h.whole != 0) | ((needed <= h.columns) & ordered),
                    ((x.whole != 0) | ((needed <= x.columns) & ordered))
                    & (layer.unfolded | ~has_hidden | (h.whole != 0)),
                )
            ),
            go.eq(at.active & ready),
            ends.pass_.eq(at.column == phase.length_last),
            ends.gate.eq(at.gate == phase.gates_last),
            ends.tile.eq(ends.pass_ & (ends.gate | layer.gate_outer)),
            ends.phase.eq(ends.tile & (at.passes + 1 == phase.total)),
            ends.half.eq(ends.phase & (phase.following == 0)),
            ends.both.eq(ends.half & (hidden | ~has_hidden)),
            ends.step.eq(ends.both & ends.gate),
            turn_end.eq(at.turn == turns_last),
            x.used.eq(go & ends.half & ends.gate & ~hidden),
            h.used.eq(go & ends.half & ends.gate & hidden),
        ]
        return ends

    def _advance(self, m: Module, at: _At, phase: _Phase, ends: _Ends, has_hidden: Signal) -> None:
        layer = self.layer
        with m.If(ends.go):
            m.d.sync += [at.column.eq(at.column + 1), at.weight.eq(at.weight + 1)]
            with m.If(ends.pass_):
                m.d.sync += [at.column.eq(0), at.mask.eq(at.mask + 1)]
            with m.If(Mux(layer.gate_outer, ends.both, ends.pass_)):
                m.d.sync += at.gate.eq(Mux(ends.gate, 0, at.gate + 1))
            with m.If(ends.tile):
                m.d.sync += [
                    at.passes.eq(at.passes + 1),
                    at.segment.eq(at.segment + (1 << phase.groups_log2[:3])),
                ]
            with m.If(ends.phase):
                m.d.sync += [at.passes.eq(0), at.phase.eq(at.phase + 1)]
            with m.If(ends.half):
                m.d.sync += [
                    at.phase.eq(0),
                    at.segment.eq(0),
                    at.hidden.eq(has_hidden & ~at.hidden),
                ]
            with m.If(ends.step):
                m.d.sync += [
                    at.turn.eq(Mux(ends.turn, 0, at.turn + 1)),
                    at.x_buffer.eq(~at.x_buffer),
                ]
            with m.If(ends.step & (ends.turn | ~layer.paired)):
                m.d.sync += [at.weight.eq(layer.weight_base), at.mask.eq(layer.mask_base)]
            with m.If(ends.step & ends.turn):
                m.d.sync += [
                    at.buffer.eq(~at.buffer),
                    at.first_step.eq(0),
                    at.left.eq(at.left - 1),
                    at.active.eq(at.left != 1),
                ]
        with m.If(self.start):
            m.d.sync += [
                at.active.eq(1),
                at.hidden.eq(0),
                at.first_step.eq(1),
                at.left.eq(self.steps),
                at.phase.eq(0),
                at.passes.eq(0),
                at.column.eq(0),
                at.segment.eq(0),
                at.gate.eq(0),
                at.turn.eq(0),
                at.x_buffer.eq(0),
                at.weight.eq(layer.weight_base),
                at.mask.eq(layer.mask_base),
                at.buffer.eq(0),
            ]

    def _issue(self, m: Module, at: _At, phase: _Phase, ends: _Ends, has_hidden: Signal) -> None:
        go, hidden = ends.go, at.hidden
        fresh = at.first_step & self.fresh
        share = copy_share(self._config, self.layer, at.turn)
        m.d.sync += [
            self.issue.valid.eq(go),
            self.issue.weight_addr.eq(at.weight),
            self.issue.column.eq(at.column),
            self.issue.joined_log2.eq(phase.joined),
            self.issue.buffer.eq(Mux(hidden, ~at.buffer, at.x_buffer)),
            self.issue.share.eq(Mux(hidden, share, 0)),
            self.issue.hidden.eq(hidden),
            self.issue.zero.eq(hidden & fresh),
            self.issue.first.eq(at.column == 0),
            self.issue.last.eq(ends.pass_),
            self.finished.valid.eq(go & ends.pass_),
            self.finished.joined_log2.eq(phase.joined),
            self.finished.segment.eq(at.segment),
            self.finished.hidden.eq(hidden),
            self.finished.gate.eq(at.gate),
            self.finished.turn.eq(at.turn),
            self.finished.end.eq(ends.half),
            self.finished.final.eq((hidden | ~has_hidden) & ends.gate),
            self.finished.fresh.eq(fresh),
        ]
