"""Gate pre-activations become neuron outputs (docs/numerics.md, "Cells")."""

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.arithmetic.sigma import ActivationUnit
from sparnn.hdl.arithmetic.sigma_table import TANH_TABLE
from sparnn.hdl.common.small_fifo import SmallFifo
from sparnn.hdl.host.protocol import Activation, CellFunction, Kind
from sparnn.hdl.sparse.config import SparseConfig

from .halves import joined_row_layout
from .output import VALUE_BITS, OutputRounder
from .pipeline import (
    NEW,
    PRODUCT,
    Answers,
    End,
    Layer,
    Products,
    Units,
    add_products,
    keep_gates,
    meta_layout,
    multiply,
    sort_answers,
)
from .state import StateMemory, state_load_signature, state_read_signature
from .tags import post_program

__all__ = ["CellUpdater"]


class _Rows(NamedTuple):
    """What the rows that are taken come to."""

    empty: Signal  #: nothing is inside
    skip: Value  #: a hole of a recurrent layer is taken
    direct: Value  #: a row is taken that does not go to the activation unit


class CellUpdater(wiring.Component):
    """LSTM, GRU, RNN and linear cells, with one activation unit and one 17 x 16 multiplier.

    A neuron gets a credit when its first gate is taken and returns it when its output is; so
    whatever is inside has room at the end, and nothing before the output queue ever waits.
    Only the activation unit's input is contended: ``tanh(c')`` and the GRU's ``n`` go first.

    Everything follows from the answers of the activation unit, which come in the order of asking:

    - LSTM: ``i`` and ``g`` are kept; ``f`` starts ``f · c``; ``o`` is queued and starts ``i · g``;
      their sum becomes ``c'``, is stored, and goes back for its tanh; that starts ``o · tanh(c')``.
    - GRU: ``r`` and ``z`` are queued; an ``r`` and the row of ``n`` start ``r · v_n``; with ``u_n``
      it goes to the activation unit; ``n`` starts ``z · s`` and then ``(32768 - z) · n``.
    - LSTM with peepholes: its ``o`` comes when ``c'`` is written, so ``g`` starts ``i · g``, the
      tanh of ``c'`` is kept, and ``o`` starts the last product; one neuron at a time.
    - RNN and linear: the answer, or the row itself, is the output.
    - With ``cell_functions``, an answer of ReLU or identity is what was asked, which goes through
      the activation unit beside its request.
    - With ``gate_functions``, so are an LSTM's i, f and o; what they multiply is brought to Q15.
    - With ``reset_first``, a GRU that resets before the product, in two layers. Its gates: ``r`` is
      kept; ``z`` is stored and starts ``r · s``, the output; the third row is dropped. Its
      candidate: an answer ``n`` goes on like a GRU's, with the stored ``z``.

    Latency, from the last row taken to its output, and interval: docs/post.md.

    Parameters
    ----------
    config: ``state_depth``, ``activation_bits``, ``reset_first``.

    Members
    -------
    program: In(:func:`post_program`), static from ``start`` until the last output is taken.
    start: In(1), a pulse when nothing is inside, at least 4 cycles before the first row.
    fresh: In(1), with ``start``: the states of the first step are zero.
    load: the host's port that writes a state (hdl/sparse/post/state.py).
    read: the host's port that reads a state.
    peephole, new, written: with ``peepholes``; In(1), static: an LSTM whose o waits for the new
        state; Out(signed(16)), Out(1): a state that is written.
    i: In(stream of :func:`joined_row_layout`).
    o: Out(stream of signed(16)), one item per neuron or hole.
    """

    #: Items between input and output.
    CREDITS = 16
    #: Neurons of recurrent kinds among them.
    NEURONS = 8

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "program": In(post_program(config)),
                "start": In(1),
                "fresh": In(1),
                "load": In(state_load_signature(config)),
                "read": In(state_read_signature(config)),
                "i": In(stream.Signature(joined_row_layout())),
                "o": Out(stream.Signature(signed(PREACTIVATION_BITS))),
            }
            | ({"wrong": Out(1)} if config.parity else {})
            | (
                {"peephole": In(1), "new": Out(signed(PREACTIVATION_BITS)), "written": Out(1)}
                if config.peepholes
                else {}
            )
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer = self._decode(m)
        units = self._place_units(m)
        back = Signal()
        new = Signal(signed(PREACTIVATION_BITS), reset_less=True)
        end = End(back, new)
        rows = self._take_rows(m, layer, units, end)
        answers = sort_answers(m, self._config, layer, units)
        gates = keep_gates(m, answers, self.NEURONS)
        waiting = self.peephole if self._config.peepholes else None
        products = multiply(
            m,
            self._config,
            self.program.state_base,
            layer,
            units,
            answers,
            gates,
            rows.skip,
            waiting,
        )
        gate_up = self.program.gate_up if self._config.gate_functions else None
        add_products(m, layer, units, self.program.state_up, gate_up, end, products)
        self._emit(m, layer, units, end, rows, answers, products)
        if self._config.peepholes:
            m.d.comb += [self.new.eq(units.state.new), self.written.eq(units.state.write)]
        return m

    def _decode(self, m: Module) -> Layer:
        program = self.program
        recurrent, lstm, gru, tabular = Signal(), Signal(), Signal(), Signal()
        thirds = Signal()
        all_sigma, most_sigma = Signal(), Signal()
        resets, mixes = Signal(), Signal()
        split = program.reset_first & bool(self._config.reset_first)
        m.d.sync += [
            recurrent.eq((program.kind == Kind.LSTM) | (program.kind == Kind.GRU) | split),
            lstm.eq(program.kind == Kind.LSTM),
            gru.eq((program.kind == Kind.GRU) & ~split),
            resets.eq((program.kind == Kind.GRU) & split),
            thirds.eq(program.kind == Kind.GRU),
            all_sigma.eq(~recurrent & (program.activation == Activation.SIGMOID)),
            most_sigma.eq(recurrent & ~mixes),
            mixes.eq((program.kind == Kind.RNN) & split),
            tabular.eq(
                (program.activation == Activation.TANH) | (program.activation == Activation.SIGMOID)
            ),
        ]
        return Layer(
            recurrent=recurrent,
            lstm=lstm,
            gru=gru,
            resets=resets,
            mixes=mixes,
            thirds=thirds,
            tabular=tabular,
            all_sigma=all_sigma,
            most_sigma=most_sigma,
        )

    def _place_units(self, m: Module) -> Units:
        bits = PREACTIVATION_BITS
        m.submodules.activation = activation = ActivationUnit(
            meta_layout(self._config).size,
            {"rom_style": "logic"} if self._config.lut_memory >= len(TANH_TABLE) else None,
            with_hard=bool(self._config.hard_sigmoid),
            with_clip=bool(self._config.clip),
        )
        m.submodules.state = state = StateMemory(self._config)
        m.submodules.rounder = rounder = OutputRounder(self._config)
        m.submodules.queue = queue = SmallFifo(signed(bits), self.CREDITS)
        pair = data.StructLayout({"u": signed(bits), "v": signed(bits)})
        m.submodules.candidates = candidates = SmallFifo(pair, self.NEURONS)
        wiring.connect(m, wiring.flipped(self.load), state.load)
        if self._config.parity:
            m.d.comb += self.wrong.eq(state.wrong)
        wiring.connect(m, wiring.flipped(self.read), state.read)
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        return Units(activation, state, rounder, queue, candidates)

    def _take_rows(self, m: Module, layer: Layer, units: Units, end: End) -> _Rows:
        """Rows are taken while there is room, and go to where their gate belongs."""
        program, recurrent = self.program, layer.recurrent
        activation, state, candidates = units.activation, units.state, units.candidates
        row, tag = self.i.payload, self.i.payload.tag
        inside = Signal(range(self.CREDITS + 1))
        # Both are one cycle late: `room` therefore asks for one place more. `empty` may stay for
        # one cycle after an entry, in which only a hole behind a hole could make use of it, and
        # may; a candidate's row enters and ends a step at once, so `taken` then stands beside it.
        empty, room = Signal(init=1), Signal()
        limit = Mux(recurrent, self.NEURONS, self.CREDITS)
        m.d.sync += [empty.eq(inside == 0), room.eq(inside + 1 < limit)]
        ending = Signal()  # the step's last row is taken; its states are not all written yet
        candidate = Signal()
        take = Signal()
        taken = Signal(2)  # answers n take the multiplier twice, and a state every third cycle
        any_taken = Signal()
        m.d.sync += [
            taken.eq(Cat(take & layer.mixes, taken)),
            any_taken.eq((take & layer.mixes) | taken[0]),
        ]
        m.d.comb += [
            candidate.eq(layer.thirds & (tag.gate == 2)),
            take.eq(self.i.valid & self.i.ready),
        ]
        with m.If(~recurrent):
            m.d.comb += self.i.ready.eq(room)
        with m.Elif(tag.hole):
            # Neurons ahead of a hole leave in their own time, so it waits for all of them.
            m.d.comb += self.i.ready.eq(empty & ~ending & ~taken[0])
        with m.Else():
            m.d.comb += self.i.ready.eq(
                ((tag.gate != 0) | (room & ~ending & ~any_taken)) & (candidate | ~end.back)
            )
        enter = take & ((tag.gate == 0) | tag.hole)
        leave = self.o.valid & self.o.ready
        with m.If(enter & ~leave):
            m.d.sync += inside.eq(inside + 1)
        with m.Elif(leave & ~enter):
            m.d.sync += inside.eq(inside - 1)

        # A step ends when the states of its last neuron are written.
        fresh = Signal()
        restart = ending & empty & ~taken[0]
        with m.If(self.start):
            m.d.sync += [ending.eq(0), fresh.eq(self.fresh)]
        with m.Elif(restart):
            m.d.sync += [ending.eq(0), fresh.eq(0)]
        with m.Elif(take & recurrent & tag.step_end):
            m.d.sync += ending.eq(1)

        # This is `take` for a hole, and `candidates.push` is `take` for a candidate, which is
        # always ready: both without what is late in `take`.
        skip = self.i.valid & recurrent & tag.hole & empty & ~ending & ~taken[0]
        direct = take & Mux(recurrent, tag.hole, ~layer.tabular)
        m.d.comb += [
            state.base.eq(program.state_base),
            state.restart.eq(self.start | restart),
            state.zero.eq(fresh),
            state.skip.eq(skip),
            candidates.push.eq(self.i.valid & layer.gru & (tag.gate == 2) & ~tag.hole),
            candidates.data.u.eq(row.sum),
            candidates.data.v.eq(row.hidden),
            activation.request.eq(end.back | (take & ~direct & ~candidate)),
            activation.value.eq(Mux(end.back, end.new, row.sum)),
            activation.shift.eq(Mux(end.back & layer.lstm, program.state_shift, program.pre_shift)),
            activation.hard.eq(program.hard_sigmoid),
            activation.clip.eq(program.clip),
            activation.unclipped.eq(end.back & layer.lstm),
        ]
        of_gates = layer.most_sigma & (tag.gate != 2)
        if self._config.gate_functions:
            other = Signal()  # the gates have no σ
            m.d.sync += other.eq(layer.lstm & (program.gate != CellFunction.SIGMOID))
            of_gates &= ~other
        sigma = ~end.back & (layer.all_sigma | of_gates)
        meta = Mux(end.back, 0b100, Mux(recurrent, tag.gate, tag.hole))
        if self._config.cell_functions:
            asked = self._asked(m, layer, end, tag.gate)
            sigma |= asked == CellFunction.SIGMOID
            straight = asked[1]
            dropped = (asked == CellFunction.RELU) & activation.value[-1]
            value = activation.value & ~dropped.replicate(PREACTIVATION_BITS)
            meta = Cat(meta[:3], straight, value)
        m.d.comb += [activation.sigmoid.eq(sigma), activation.meta.eq(meta)]
        return _Rows(empty, skip, direct)

    def _asked(self, m: Module, layer: Layer, end: End, gate: Value) -> Value:
        """The :class:`CellFunction` that is asked for; TANH where it is none."""
        program = self.program
        of_row, of_back = Signal(CellFunction), Signal(CellFunction)
        m.d.sync += [
            of_row.eq(Mux(layer.lstm | layer.mixes, program.candidate, CellFunction.TANH)),
            of_back.eq(Mux(layer.lstm, program.cell, program.candidate)),
        ]
        is_candidate = layer.mixes | (gate == 2)
        of_gate: Signal | CellFunction = CellFunction.TANH  # or σ, which is decided elsewhere
        if self._config.gate_functions:
            of_gate = Signal(CellFunction)
            m.d.sync += of_gate.eq(Mux(layer.lstm, program.gate, CellFunction.TANH))
        row = Mux(is_candidate, of_row, of_gate)
        return Mux(end.back, of_back, row)

    def _emit(
        self,
        m: Module,
        layer: Layer,
        units: Units,
        end: End,
        rows: _Rows,
        answers: Answers,
        products: Products,
    ) -> None:
        """Outputs are rounded and queued."""
        program, row = self.program, self.i.payload
        activation, rounder, queue = units.activation, units.rounder, units.queue
        product, steps = products
        single = Signal(signed(PREACTIVATION_BITS))  # an output in 16 bits
        emit = Signal()
        value = Signal(signed(VALUE_BITS), reset_less=True)
        with m.If(layer.gru | layer.mixes):
            m.d.comb += single.eq(end.new)
        with m.Elif(layer.tabular):
            m.d.comb += single.eq(Mux(answers.hole, 0, answers.result))
        with m.Else():
            relu = program.activation == Activation.RELU
            m.d.comb += single.eq(Mux(relu & row.sum[-1], 0, row.sum))
        with m.If(layer.recurrent & rows.empty):  # a hole; the others bring their zero along
            m.d.sync += value.eq(0)
        with m.Elif(layer.lstm | layer.resets):
            m.d.sync += value.eq(product)
        with m.Else():
            m.d.sync += value.eq(Cat(Const(0, 15), single))
        m.d.sync += emit.eq(
            rows.direct
            | steps[PRODUCT].emit
            | (steps[NEW].update & (layer.gru | layer.mixes))
            | (activation.response & ~layer.recurrent)
        )
        m.d.comb += [
            rounder.push.eq(emit),
            rounder.value.eq(value),
            rounder.shift.eq(program.out_shift),
            rounder.wide.eq(program.wide),
            queue.push.eq(rounder.valid),
            queue.data.eq(rounder.result),
        ]
