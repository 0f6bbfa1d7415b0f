"""One row of a post slice: exact sum to gate value."""

from typing import NamedTuple

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import MULTIPLIER_BITS, PARAMETER_LAYOUT, PREACTIVATION_BITS
from sparnn.hdl.arithmetic.rounding import rounded
from sparnn.hdl.arithmetic.saturate import saturate
from sparnn.hdl.common.delay import later
from sparnn.hdl.common.instance import place
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.dense.config import DenseConfig

from .sigma import SIGMA_MODULE, sigma_signature

__all__ = ["PEEPHOLE_SHIFT_BITS", "RowKind", "RowUnit", "row_kind", "row_kinds", "row_signature"]

#: Of ``cell_shift`` in docs/numerics.md.
PEEPHOLE_SHIFT_BITS = 5

#: One bit more than a sum of two pre-activations, so that no bias brings back what was clamped.
_QUOTIENT_BITS = PREACTIVATION_BITS + 2


class RowKind(NamedTuple):
    """What a row has beside requantization and σ.

    Members
    -------
    keep: outputs for the GRU's candidate and for cells without a table.
    sees_state: a peephole to the old state (i and f).
    hands_on: outputs for the peephole to the new one (o).
    """

    keep: bool
    sees_state: bool = False
    hands_on: bool = False

    @property
    def module(self) -> str:
        """Name of the Verilog module."""
        parts = ("kept", self.keep), ("peep", self.sees_state), ("late", self.hands_on)
        return "_".join(["sparnn_tile_row", *(name for name, there in parts if there)])


def row_kind(config: DenseConfig, gate: int) -> RowKind:
    """Of a row that has this gate where the gates of a neuron lie side by side."""
    keep = gate in (0, 2) or bool(config.gate_depth)
    return RowKind(
        keep, bool(config.peepholes) and gate in (0, 1), bool(config.peepholes) and gate == 3
    )


def row_kinds(config: DenseConfig) -> list[RowKind]:
    """All that a machine has."""
    return sorted({row_kind(config, row % 4) for row in range(config.width)})


def row_signature(config: DenseConfig, kind: RowKind) -> wiring.Signature:
    """A row's ports, explained in :class:`RowUnit`."""
    address = unsigned(clog2(config.parameter_depth))
    value = signed(PREACTIVATION_BITS)
    members = {
        "en": In(1),
        "psum": In(signed(config.sum_bits)),
        "parameter_addr": In(address),
        "word1": In(address),
        "word2": In(address),
        "store": In(1),
        "join": In(1),
        "up": In(unsigned(4)),
        "sigmoid": In(1),
        "hard": In(1),
        "load_en": In(1),
        "load_addr": In(address),
        "load_data": In(PARAMETER_LAYOUT),
        "gate": Out(value),
    }
    if config.peepholes:
        members["unbiased"] = In(1)
    if kind.sees_state:
        members |= {"state": In(value), "state_shift": In(PEEPHOLE_SHIFT_BITS)}
    if kind.hands_on:
        members |= {"weight": Out(value), "pre": Out(value)}
    if kind.keep:
        members |= {"apart": In(1), "kept": Out(value), "hidden": Out(value)}
    return wiring.Signature(members)


class RowUnit(wiring.Component):
    """Requantizes a sum, stores or joins the halves, and looks up σ or tanh.

    Cycles count from the one in which the sum is in the operand register (cycle 0; ``psum`` and
    ``parameter_addr`` come in cycle -1). p is ``config.post_stages``.

    With peepholes the bias of a hidden half, which an LSTM does not need, is the weight of the
    peephole: it is multiplied by the state, and the product, rounded, added to the pre-activation.

    Members
    -------
    en, psum, parameter_addr: a sum and where its parameters lie, in cycle -1.
    word1: where the input half lies, in cycle 3p - 2.
    word2, store: in cycle 3p - 1 the result is an input half, and goes there.
    join: in cycle 3p - 1 it is a hidden half, and the stored one is added.
    up, sigmoid, hard, apart: static.
    apart: ``kept`` is the input half instead of the sum.
    unbiased: in cycle 2p, the bias is the weight of a peephole.
    state: the old one, in cycle 2p.
    state_shift: static.
    weight, pre: that weight, in cycle 2p, and the pre-activation, in 3p, of a peephole to the new
        state.
    gate: σ or tanh of the pre-activation, in cycle ``config.row_latency``.
    kept: the pre-activation without the peephole's product, in the same cycle.
    hidden: the hidden half, in the same cycle.
    """

    def __init__(self, config: DenseConfig, kind: RowKind) -> None:
        self._config, self._kind = config, kind
        super().__init__(row_signature(config, kind))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        stage = config.post_stages
        more = stage - 1  # registers within a stage
        m.submodules.parameters = parameters = Memory(
            shape=PARAMETER_LAYOUT,
            depth=config.parameter_depth,
            init=[],
            attrs={"no_rw_check": 1},
        )
        load, entry = parameters.write_port(), parameters.read_port()
        m.d.comb += [
            load.en.eq(self.load_en),
            load.addr.eq(self.load_addr),
            load.data.eq(self.load_data),
            entry.addr.eq(self.parameter_addr),
        ]
        operand = Signal(signed(config.sum_bits), reset_less=True)
        with m.If(self.en):
            m.d.sync += operand.eq(self.psum)

        factor = Signal(signed(MULTIPLIER_BITS))
        exact = Signal(signed(config.sum_bits + MULTIPLIER_BITS - 1))
        m.d.comb += factor.eq(entry.data.mult)
        # A block RAM's output is slow: nothing is done with it in its cycle where there is another.
        m.d.comb += exact.eq(later(m, "operand", operand, more) * later(m, "factor", factor, more))
        product = later(m, "product", exact, 1)
        shift1 = later(m, "shift", entry.data.shift, stage)
        quotient = rounded(m, "quotient", product, shift1, _QUOTIENT_BITS, split=more)
        quotient2 = later(m, "quotient", quotient, 1)
        bias2 = later(m, "bias", entry.data.bias, 2 * stage)

        m.submodules.halves = halves = Memory(
            shape=signed(PREACTIVATION_BITS), depth=config.parameter_depth, init=[]
        )
        keep = halves.write_port()
        stored = halves.read_port(transparent_for=[keep])
        biased = Signal(signed(_QUOTIENT_BITS + 1))
        near = Signal(signed(PREACTIVATION_BITS))
        joined = Signal(signed(PREACTIVATION_BITS + 1))
        bias = Mux(self.unbiased, 0, bias2) if config.peepholes else bias2
        m.d.comb += [biased.eq(quotient2 + bias), near.eq(saturate(biased, PREACTIVATION_BITS))]
        half = later(m, "half", near, more)
        m.d.comb += [
            joined.eq(half + Mux(self.join, stored.data, 0)),
            stored.addr.eq(self.word1),
            keep.addr.eq(self.word2),
            keep.data.eq(half),
            keep.en.eq(self.store),
        ]
        first = Signal(signed(PREACTIVATION_BITS), reset_less=True)
        m.d.sync += first.eq(saturate(joined, PREACTIVATION_BITS))
        pre = self._peephole(m, first, bias2) if config.peepholes else first

        sigma = place(m, "sigma", sigma_signature(), SIGMA_MODULE)
        m.d.comb += [
            sigma.value.eq(pre),
            sigma.up.eq(self.up),
            sigma.sigmoid.eq(self.sigmoid),
            sigma.hard.eq(self.hard),
            self.gate.eq(sigma.result),
        ]
        if self._kind.keep:
            left = config.row_latency - 3 * stage  # from the first pre-activation on
            u, v = later(m, "u", stored.data, 1), later(m, "v", half, 1)
            apart = Mux(self.apart, u, first)
            m.d.comb += [
                self.kept.eq(later(m, "kept", apart, left)),
                self.hidden.eq(later(m, "hidden", v, left)),
            ]
        return m

    def _peephole(self, m: Module, first: Signal, weight: Signal) -> Signal:
        """The pre-activation with that of the peephole, in cycle 4p."""
        stage, bits = self._config.post_stages, PREACTIVATION_BITS
        if self._kind.hands_on:
            m.d.comb += [self.weight.eq(weight), self.pre.eq(first)]
        if not self._kind.sees_state:
            return later(m, "pre", first, stage)
        seen = later(m, "seen", Mux(self.unbiased, weight, 0) * self.state, stage)
        part = rounded(m, "part", seen, self.state_shift, bits + 1, split=stage - 1)
        total = Signal(signed(bits + 2))
        m.d.comb += total.eq(part + later(m, "pre", first, stage - 1))
        return later(m, "total", saturate(total, bits), 1)
