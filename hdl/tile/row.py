"""One row of a post slice: exact sum to gate value."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from sparnn.hdl.config import MULTIPLIER_BITS, PREACTIVATION_BITS
from sparnn.hdl.instance import place
from sparnn.hdl.post.saturate import saturate
from sparnn.hdl.post.tags import PARAMETER_LAYOUT

from .config import TileConfig
from .rounding import rounded
from .sigma import SIGMA_MODULE, Sigma, sigma_signature

__all__ = ["ROW_MODULES", "RowUnit", "row_signature"]

#: Verilog module of a row whose pre-activation is kept, and of one whose is not.
ROW_MODULES = {True: "sparnn_tile_row_kept", False: "sparnn_tile_row"}

#: One bit more than a sum of two pre-activations, so that no bias brings back what was clamped.
_QUOTIENT_BITS = PREACTIVATION_BITS + 2


def row_signature(config: TileConfig, keep: bool) -> wiring.Signature:
    """A row's ports, explained in :class:`RowUnit`."""
    address = unsigned((config.parameter_depth - 1).bit_length())
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
        "gate": Out(signed(PREACTIVATION_BITS)),
    }
    if keep:
        members |= {
            "apart": In(1),
            "kept": Out(signed(PREACTIVATION_BITS)),
            "hidden": Out(signed(PREACTIVATION_BITS)),
        }
    return wiring.Signature(members)


class RowUnit(wiring.Component):
    """Requantizes a sum, stores or joins the halves, and looks up σ or tanh.

    Cycles count from the one in which the sum is in the operand register (cycle 0; ``psum`` and
    ``parameter_addr`` come in cycle -1).

    Parameters
    ----------
    keep: outputs for the GRU's candidate and for cells without a table.

    Members
    -------
    en, psum, parameter_addr: cycle -1. word1: where the input half lies, in cycle 1.
    word2, store: in cycle 2 the result is an input half, and goes there. join: in cycle 2 it is a
        hidden half, and the stored one is added.
    up, sigmoid, hard, apart: static. apart: ``kept`` is the input half instead of the sum.
    gate, kept, hidden: σ or tanh of the pre-activation; the pre-activation; the hidden half; all in
        cycle :attr:`LATENCY`.
    """

    #: Product; shift and rounding; bias, halves and saturation; then σ or tanh.
    LATENCY = 3 + Sigma.LATENCY

    def __init__(self, config: TileConfig, keep: bool) -> None:
        self._config, self._keep = config, keep
        super().__init__(row_signature(config, keep))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
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
        product = Signal(signed(config.sum_bits + MULTIPLIER_BITS - 1), reset_less=True)
        shift1 = Signal.like(entry.data.shift, reset_less=True)
        bias1 = Signal.like(entry.data.bias, reset_less=True)
        m.d.comb += factor.eq(entry.data.mult)
        m.d.sync += [
            product.eq(operand * factor),
            shift1.eq(entry.data.shift),
            bias1.eq(entry.data.bias),
        ]
        quotient = rounded(m, "quotient", product, shift1, _QUOTIENT_BITS)
        quotient2 = Signal.like(quotient, reset_less=True)
        bias2 = Signal.like(bias1, reset_less=True)
        m.d.sync += [quotient2.eq(quotient), bias2.eq(bias1)]

        m.submodules.halves = halves = Memory(
            shape=signed(PREACTIVATION_BITS), depth=config.parameter_depth, init=[]
        )
        keep = halves.write_port()
        stored = halves.read_port(transparent_for=[keep])
        biased = Signal(signed(_QUOTIENT_BITS + 1))
        half = Signal(signed(PREACTIVATION_BITS))
        joined = Signal(signed(PREACTIVATION_BITS + 1))
        pre = Signal(signed(PREACTIVATION_BITS), reset_less=True)
        m.d.comb += [
            biased.eq(quotient2 + bias2),
            half.eq(saturate(biased, PREACTIVATION_BITS)),
            joined.eq(half + Mux(self.join, stored.data, 0)),
            stored.addr.eq(self.word1),
            keep.addr.eq(self.word2),
            keep.data.eq(half),
            keep.en.eq(self.store),
        ]
        m.d.sync += pre.eq(saturate(joined, PREACTIVATION_BITS))

        sigma = place(m, "sigma", sigma_signature(), SIGMA_MODULE)
        m.d.comb += [
            sigma.value.eq(pre),
            sigma.up.eq(self.up),
            sigma.sigmoid.eq(self.sigmoid),
            sigma.hard.eq(self.hard),
            self.gate.eq(sigma.result),
        ]
        if self._keep:
            u, v = Signal.like(half, reset_less=True), Signal.like(half, reset_less=True)
            m.d.sync += [u.eq(stored.data), v.eq(half)]
            kept, hidden = Mux(self.apart, u, pre), v
            for k in range(Sigma.LATENCY):
                next_kept = Signal.like(half, name=f"kept{k}", reset_less=True)
                next_hidden = Signal.like(half, name=f"hidden{k}", reset_less=True)
                m.d.sync += [next_kept.eq(kept), next_hidden.eq(hidden)]
                kept, hidden = next_kept, next_hidden
            m.d.comb += [self.kept.eq(kept), self.hidden.eq(hidden)]
        return m
