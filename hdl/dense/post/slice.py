"""A post slice: the sums of one row segment become neuron outputs, one segment per cycle."""

import itertools
from typing import Any, NamedTuple

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import PARAMETER_LAYOUT, PREACTIVATION_BITS
from sparnn.hdl.common.delay import later
from sparnn.hdl.common.instance import place
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.host.protocol import Activation, Kind

from .cell import CELL_MODULE, cell_signature
from .gates import GATES_MODULE, gates_signature
from .row import PEEPHOLE_SHIFT_BITS, row_kind, row_signature

__all__ = [
    "SLICE_MODULE",
    "PostSlice",
    "neuron_tag_layout",
    "post_load_layout",
    "post_program_layout",
    "segment_tag_layout",
    "slice_signature",
]

SLICE_MODULE = "sparnn_post_slice"


def post_program_layout() -> data.StructLayout:
    """Descriptor fields that a slice reads, static while a layer runs."""
    return data.StructLayout(
        {
            "kind": 2,
            "activation": 2,
            "wide": 1,
            "hard_sigmoid": 1,
            "reset_first": 1,
            "gate_major": 1,
            "pre_up": 5,
            "state_up": 4,
            "out_shift": 6,
            "parameter_base_x": 16,
            "parameter_base_h": 16,
            "state_base": 10,
            "out_words": 16,
            "pair_parameters": 12,
            "peephole": 1,
            "cell_shift": PEEPHOLE_SHIFT_BITS,
        }
    )


def segment_tag_layout(config: DenseConfig) -> data.StructLayout:
    """What goes with a row segment.

    Members
    -------
    valid: there is one.
    word: its place among the slice's parameters.
    gate: the gate of all its rows, gate by gate.
    turn: the layer or stream that it is of, where some take turns.
    hidden: it is of the hidden half.
    final: it completes neurons.
    """
    return data.StructLayout(
        {
            "valid": 1,
            "word": 16,
            "gate": 2,
            "turn": config.turn_bits,
            "hidden": 1,
            "final": 1,
        }
    )


def neuron_tag_layout(config: DenseConfig) -> data.StructLayout:
    """What goes with the neurons that are completed.

    Members
    -------
    valid: there are some.
    word: their word of the output vector.
    turn: the layer or stream that they are of, where some take turns.
    fresh: their old states are zero.
    step_end: they are the last of the step.
    """
    return data.StructLayout(
        {"valid": 1, "word": 16, "turn": config.turn_bits, "fresh": 1, "step_end": 1}
    )


def post_load_layout(config: DenseConfig) -> data.StructLayout:
    """One entry for a slice's memories, from the host; ``index`` counts the rows, or the cell
    units, of all slices."""
    return data.StructLayout(
        {
            "parameter_en": 1,
            "state_en": 1,
            "index": 12,
            "addr": 16,
            "data": PARAMETER_LAYOUT.size,
        }
    )


def slice_signature(config: DenseConfig) -> wiring.Signature:
    """A slice's ports, explained in :class:`PostSlice`."""
    return wiring.Signature(
        {
            "number": In(unsigned(max(1, clog2(config.slices)))),
            "settings": In(post_program_layout()),
            "tag": In(segment_tag_layout(config)),
            "neurons": In(neuron_tag_layout(config)),
            "sums": In(config.width * config.sum_bits),
            "load": In(post_load_layout(config)),
            "read_en": In(1),
            "read_addr": In(16),
            "read_cell": In(unsigned(max(1, clog2(config.cells)))),
            "state": Out(signed(PREACTIVATION_BITS)),
            "outputs": Out(signed(PREACTIVATION_BITS)).array(config.cells),
        }
        | ({"wrong": Out(1)} if config.parity else {})
    )


#: Stages from the gates to the new state of a GRU, the latest one.
_NEW_STATE_STAGES = 8


class _Layer(NamedTuple):
    """What the layer is."""

    lstm: Signal
    gru: Signal  #: a GRU that resets after the product
    resets: Signal  #: r and z of a GRU that resets first
    mixes: Signal  #: n of that one
    has_state: Signal
    rnn_sigmoid: Signal
    tabular: Signal  #: the activation is σ or tanh
    peephole: Value


class PostSlice(wiring.Component):
    """K row units and their cell units; nothing in it ever waits.

    Members
    -------
    number: which slice, constant.
    settings: static while a layer runs.
    tag, sums: a row segment, in cycle -1.
    neurons: what it completes, or one before it has, in cycle -1 of the cell units.
    load: from the host, while no layer runs.
    read_en, read_addr, read_cell: the host reads a state, which is in ``state`` two cycles later.
    outputs: of the cell units, sign-extended, ``config.extra_stages`` cycles before the one that
        ``config.post_latency`` says.
    """

    def __init__(self, config: DenseConfig) -> None:
        self._config = config
        super().__init__(slice_signature(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        # Both are kept here, so that nothing but registers follows from what comes from far away.
        program = Signal.like(self.settings)
        m.d.sync += program.eq(self.settings)
        gates_at = config.row_latency
        tags = [Signal(segment_tag_layout(config), name=f"tag{k}") for k in range(gates_at + 1)]
        neurons = [
            Signal(neuron_tag_layout(config), name=f"neurons{k}")
            for k in range(gates_at + _NEW_STATE_STAGES * config.post_stages + 1)
        ]
        m.d.sync += [tags[0].eq(self.tag), neurons[0].eq(self.neurons)]
        m.d.sync += [b.eq(a) for line in (tags, neurons) for a, b in itertools.pairwise(line)]
        layer = self._decode(m, program)
        load = Signal(post_load_layout(config))
        m.d.sync += load.eq(self.load)
        rows = self._rows(m, program, layer, tags, load)
        self._cells(m, program, layer, tags, neurons, rows, load)
        return m

    def _decode(self, m: Module, program: data.View) -> _Layer:
        lstm, gru, resets, mixes, has_state, has_hidden, tabular = (Signal() for _ in range(7))
        rnn_sigmoid = Signal()
        split = program.reset_first & bool(self._config.reset_first)
        m.d.sync += [
            lstm.eq(program.kind == Kind.LSTM),
            gru.eq((program.kind == Kind.GRU) & ~split),
            resets.eq((program.kind == Kind.GRU) & split),
            mixes.eq((program.kind == Kind.RNN) & split),
            has_state.eq(program.kind[1]),
            has_hidden.eq(program.kind != Kind.LINEAR),
            rnn_sigmoid.eq(program.activation == Activation.SIGMOID),
            tabular.eq(
                (program.activation == Activation.TANH) | (program.activation == Activation.SIGMOID)
            ),
        ]
        peephole = program.peephole & bool(self._config.peepholes)
        return _Layer(lstm, gru, resets, mixes, has_state, rnn_sigmoid, tabular, peephole)

    def _rows(
        self, m: Module, program: data.View, layer: _Layer, tags: list[Any], load: data.View
    ) -> list[Any]:
        """The row units."""
        config, stage = self._config, self._config.post_stages
        at_bias, at_join = tags[2 * stage], tags[3 * stage - 1]
        parameter_addr = Signal(16)
        bases: list[Value] = []
        for first in (program.parameter_base_x, program.parameter_base_h):
            other = Signal(16, name=f"other{len(bases)}")
            m.d.sync += other.eq(first + program.pair_parameters)
            bases.append(Mux(self.tag.turn.any(), other, first))
        m.d.comb += parameter_addr.eq(self.tag.word + Mux(self.tag.hidden, bases[1], bases[0]))

        rows = []
        for index in range(config.width):
            gate = index % 4
            kind = row_kind(config, gate)
            own: Value | int = gate
            if config.gate_depth:
                own = Mux(program.gate_major, tags[config.row_latency - 3 * stage].gate, gate)
            row = place(m, f"row{index}", row_signature(config, kind), kind.module)
            m.d.comb += [
                row.en.eq(self.tag.valid),
                row.psum.eq(self.sums.word_select(index, config.sum_bits)),
                row.parameter_addr.eq(parameter_addr),
                row.word1.eq(tags[3 * stage - 2].word),
                row.word2.eq(at_join.word),
                row.store.eq(at_join.valid & ~at_join.hidden),
                row.join.eq(at_join.hidden),
                row.up.eq(program.pre_up),
                row.sigmoid.eq(Mux(layer.has_state, own != 2, layer.rnn_sigmoid)),
                row.hard.eq(program.hard_sigmoid),
                row.load_en.eq(
                    load.parameter_en & (load.index == self.number * config.width + index)
                ),
                row.load_addr.eq(load.addr),
                row.load_data.eq(load.data),
            ]
            if kind.keep:
                m.d.comb += row.apart.eq(layer.gru)
            if config.peepholes:
                m.d.comb += row.unbiased.eq(layer.peephole & at_bias.hidden)
            if kind.sees_state:
                m.d.comb += row.state_shift.eq(program.cell_shift)
            rows.append(row)
        return rows

    def _state_tags(self, layer: _Layer, neurons: list[Any]) -> tuple[Any, Any, Any]:
        """The neurons whose old state is read, is used, and whose new state is written.

        The old state is used, and the new one is there, in other cycles of an LSTM, of a GRU, and
        of the gates of one that resets first. With peepholes the rows use the old one before.
        """
        config, stage, gates_at = self._config, self._config.post_stages, self._config.row_latency
        layout = neuron_tag_layout(config)
        used = gates_at, gates_at + 5 * stage, gates_at + 7 * stage
        there = (
            gates_at + 3 * stage,
            gates_at + _NEW_STATE_STAGES * stage,
            gates_at + _NEW_STATE_STAGES * stage,
        )

        def chosen(early: data.View, late: data.View, reset: data.View) -> data.View:
            return data.View(layout, Mux(layer.resets, reset, Mux(layer.gru, late, early)))

        read, visible, written = (
            chosen(*(neurons[cycle - ahead] for cycle in cycles))
            for cycles, ahead in ((used, 1), (used, 0), (there, 0))
        )
        if config.peepholes:
            read, visible = (
                data.View(layout, Mux(layer.peephole, neurons[2 * stage - ahead], otherwise))
                for otherwise, ahead in ((read, 1), (visible, 0))
            )
        return read, visible, written

    def _cells(
        self,
        m: Module,
        program: data.View,
        layer: _Layer,
        tags: list[Any],
        neurons: list[Any],
        rows: list[Any],
        load: data.View,
    ) -> None:
        """The cell units, each behind its rows."""
        config, gates_at = self._config, self._config.row_latency
        # Each layer or stream that takes turns has states of its own.
        state_bases = [Signal(16, name=f"states{k}") for k in range(1 << config.turn_bits)]
        m.d.sync += [
            base.eq(program.state_base + k * program.out_words)
            for k, base in enumerate(state_bases)
        ]

        def state_addr(tag: data.View) -> Value:
            return tag.word + Array(state_bases)[tag.turn]

        read, visible, written = self._state_tags(layer, neurons)
        states, wrong = [], []
        uses = Signal()
        if config.parity:
            # The host reads as long as it waits; the first word is there in the next cycle.
            asked = later(m, "asked", self.read_en, 1)
            recurrent = layer.has_state & ~visible.fresh & visible.valid
            m.d.comb += uses.eq(recurrent | (asked & self.read_en))
        for index in range(config.cells):
            cell = place(m, f"cell{index}", cell_signature(config), CELL_MODULE)
            own_rows = rows[config.cell_rows * index : config.cell_rows * (index + 1)]
            self._connect_gates(m, index, cell, own_rows, program, layer, tags, neurons)
            m.d.comb += [
                cell.lstm.eq(layer.lstm),
                cell.gru.eq(layer.gru),
                cell.resets.eq(layer.resets),
                cell.mixes.eq(layer.mixes),
                cell.update_en.eq(neurons[gates_at].valid & layer.resets),
                cell.update_addr.eq(state_addr(neurons[gates_at])),
                cell.tabular.eq(layer.tabular),
                cell.relu.eq(program.activation == Activation.RELU),
                cell.wide.eq(program.wide),
                cell.pre_up.eq(program.pre_up),
                cell.state_up.eq(program.state_up),
                cell.out_shift.eq(program.out_shift),
                cell.read_addr.eq(Mux(self.read_en, self.read_addr, state_addr(read))),
                cell.zero.eq(visible.fresh),
                cell.write_en.eq(written.valid & (layer.has_state & ~layer.resets | layer.mixes)),
                cell.write_addr.eq(state_addr(written)),
                cell.load_en.eq(load.state_en & (load.index == self.number * config.cells + index)),
                cell.load_addr.eq(load.addr),
                cell.load_data.eq(load.data[:PREACTIVATION_BITS]),
                self.outputs[index].eq(cell.output),
            ]
            if config.peepholes:
                m.d.comb += [
                    cell.peephole.eq(layer.peephole),
                    cell.hard.eq(program.hard_sigmoid),
                    cell.state_shift.eq(program.cell_shift),
                    cell.weight.eq(own_rows[3].weight),
                    cell.pre.eq(own_rows[3].pre),
                    own_rows[0].state.eq(cell.old),
                    own_rows[1].state.eq(cell.old),
                ]
            states.append(cell.state)
            if config.parity:
                m.d.comb += cell.uses.eq(uses)
                wrong.append(cell.wrong)
        if wrong:
            m.d.sync += self.wrong.eq(Cat(wrong).any())
        m.d.sync += self.state.eq(Array(states)[self.read_cell])

    def _connect_gates(
        self,
        m: Module,
        index: int,
        cell: Any,
        rows: list[Any],
        program: data.View,
        layer: _Layer,
        tags: list[Any],
        neurons: list[Any],
    ) -> None:
        """A cell unit's gates come from its rows, or from the buffer between them."""
        if self._config.gate_depth:
            gru = layer.gru | layer.resets
            source = self._gate_buffer(m, index, rows, tags, neurons, layer.lstm, gru, program)
            m.d.comb += [to.eq(one) for to, one in zip(cell.gates, source.gates, strict=True)]
            m.d.comb += [
                cell.plain.eq(source.plain),
                cell.candidate.eq(source.candidate),
                cell.hidden.eq(source.hidden),
            ]
        else:
            m.d.comb += [to.eq(row.gate) for to, row in zip(cell.gates, rows, strict=True)]
            m.d.comb += [
                cell.plain.eq(rows[0].kept),
                cell.candidate.eq(rows[2].kept),
                cell.hidden.eq(rows[2].hidden),
            ]

    def _gate_buffer(
        self,
        m: Module,
        index: int,
        rows: list[Any],
        tags: list[Any],
        neurons: list[Any],
        lstm: Value,
        gru: Value,
        program: data.View,
    ) -> Any:
        """The buffer between some rows and their cell unit."""
        config = self._config
        now = config.row_latency
        buffer = place(m, f"gates{index}", gates_signature(config), GATES_MODULE)
        for number, row in enumerate(rows):
            m.d.comb += [
                buffer.row_gates[number].eq(row.gate),
                buffer.row_kept[number].eq(row.kept),
                buffer.row_hidden[number].eq(row.hidden),
            ]
        m.d.comb += [
            buffer.gate_major.eq(program.gate_major),
            buffer.lstm.eq(lstm),
            buffer.gru.eq(gru),
            buffer.read_addr.eq(tags[now - 1].word >> 2),
            buffer.write_addr.eq(tags[now].word >> 2),
            buffer.gate.eq(tags[now].gate),
            buffer.write_en.eq(tags[now].valid & (tags[now].gate != 3)),
            buffer.load.eq(tags[now].valid & tags[now].final),
            buffer.next.eq(neurons[now].valid),
        ]
        return buffer
