"""Peepholes of an LSTM: each gate's pre-activation and what its neuron's state adds to it."""

from itertools import pairwise

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.carry import add_with_carry
from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.arithmetic.rounding import RoundingShifter, shift_latency
from sparnn.hdl.arithmetic.saturate import saturate
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR

from .halves import joined_row_layout
from .state import StateMemory, state_load_signature
from .tags import PEEPHOLE_PROGRAM

__all__ = ["Peephole"]

_SHIFT_BITS = DESCRIPTOR.width("cell_shift")
#: One bit more than the sum, so that no pre-activation brings a clamped share back wrongly.
_SHARE_BITS = PREACTIVATION_BITS + 1


class Peephole(wiring.Component):
    """``sat16(pre + rne(w_c * c, n))`` (docs/numerics.md, "LSTM").

    Rows of i and f see the state before the step, the row of o the new one: it waits here until
    that is written, and all behind it with it, so a neuron is at work at a time. Of other layers
    rows pass as they are. The states are a copy of the cell's, written with them.

    Latency :attr:`LATENCY` cycles, one row per cycle where none waits; the first row of a neuron
    comes 3 cycles after the last one of the neuron before. The pipeline stops as a whole while its
    last row waits; ``i.ready`` is two gates behind ``o.ready``.

    Parameters
    ----------
    config: ``state_depth``.

    Members
    -------
    program: In(:data:`PEEPHOLE_PROGRAM`), static from ``start`` until the last row is taken.
    base: In(address), of the layer's first state, likewise.
    start: In(1), a pulse when nothing is inside, at least 4 cycles before the first row.
    fresh: In(1), with ``start``: the states of the first step are zero.
    load: the host's port that writes a state.
    written, new: In(1), In(signed(16)). The cell writes a state, in the order of the neurons.
    i: In(stream of :func:`joined_row_layout` with weights).
    wrong: Out(1), with ``parity``: a state that was used is damaged.
    o: Out(stream of :func:`joined_row_layout`).
    """

    #: Operands, product, shift, sum.
    LATENCY = 2 + shift_latency(_SHIFT_BITS) + 1

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "program": In(PEEPHOLE_PROGRAM),
                "base": In(unsigned(clog2(config.state_depth))),
                "start": In(1),
                "fresh": In(1),
                "load": In(state_load_signature(config)),
                "written": In(1),
                "new": In(signed(PREACTIVATION_BITS)),
                "i": In(stream.Signature(joined_row_layout(weight=True))),
                "o": Out(stream.Signature(joined_row_layout())),
            }
            | ({"wrong": Out(1)} if config.parity else {})
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        row, tag = self.i.payload, self.i.payload.tag
        m.submodules.states = states = StateMemory(self._config)
        wiring.connect(m, wiring.flipped(self.load), states.load)
        if self._config.parity:
            m.d.comb += self.wrong.eq(states.wrong)

        # Which rows wait.
        active = Signal()
        sees_old, sees_new = Signal(), Signal()
        there, settled = Signal(), Signal()
        advance, taken, moved = Signal(), Signal(), Signal()
        newest = Signal(signed(PREACTIVATION_BITS), reset_less=True)
        m.d.sync += active.eq(self.program.peephole)
        m.d.comb += [
            sees_old.eq(active & ~tag.hole & ~tag.gate[1]),
            sees_new.eq(active & ~tag.hole & (tag.gate == 3)),
            advance.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(advance & (settled | ~sees_old) & (there | ~sees_new)),
            taken.eq(self.i.valid & self.i.ready),
        ]
        with m.If(self.written):
            m.d.sync += [newest.eq(self.new), there.eq(1)]
        with m.Elif(self.start | (taken & sees_new)):
            m.d.sync += there.eq(0)

        # The state at hand moves on behind a neuron's last row, and back behind a step's.
        fresh = Signal()
        restart = Signal()
        m.d.comb += [
            restart.eq(self.start | (taken & tag.step_end)),
            states.base.eq(self.base),
            states.zero.eq(fresh),
            states.restart.eq(restart),
            states.next.eq(taken & sees_new),
            states.skip.eq(taken & active & tag.hole),
            states.write.eq(self.written),
            states.new.eq(self.new),
            moved.eq(restart | states.next | states.skip),
        ]
        lately = Signal(StateMemory.NEXT_LATENCY - 2)
        m.d.sync += [lately.eq((lately << 1) | moved), settled.eq(~moved & ~lately.any())]
        with m.If(self.start):
            m.d.sync += fresh.eq(self.fresh)
        with m.Elif(restart):
            m.d.sync += fresh.eq(0)

        # Operands, product, shift.
        state = Signal(signed(PREACTIVATION_BITS), reset_less=True)
        weight = Signal(signed(PREACTIVATION_BITS), reset_less=True)
        product = Signal(signed(2 * PREACTIVATION_BITS), reset_less=True)
        m.submodules.shifter = shifter = RoundingShifter(len(product), _SHIFT_BITS, _SHARE_BITS)
        with m.If(advance):
            m.d.sync += [
                state.eq(Mux(sees_new, newest, states.value)),
                weight.eq(Mux(sees_old | sees_new, row.weight, 0)),
                product.eq(weight * state),
            ]
        m.d.comb += [
            shifter.enable.eq(advance),
            shifter.value.eq(product),
            shifter.amount.eq(self.program.cell_shift),
        ]

        # Beside them the row, and the sum.
        valids = Signal(self.LATENCY)
        rows = [
            Signal(joined_row_layout(), name=f"row{k}", reset_less=True)
            for k in range(self.LATENCY)
        ]
        pre = rows[-2].sum
        total = add_with_carry(shifter.floor, pre, shifter.up)
        with m.If(advance):
            m.d.sync += valids.eq((valids << 1) | taken)
            for name in ("sum", "hidden", "tag"):
                m.d.sync += [rows[0][name].eq(row[name])]
                m.d.sync += [one[name].eq(before[name]) for before, one in pairwise(rows)]
            m.d.sync += rows[-1].sum.eq(saturate(total, PREACTIVATION_BITS))
        m.d.comb += [self.o.valid.eq(valids[-1]), self.o.payload.eq(rows[-1])]
        return m
