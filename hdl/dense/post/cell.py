"""One cell unit: the gate values of a neuron become its output, one neuron per cycle."""

import itertools
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.arithmetic.rounding import rounded
from sparnn.hdl.arithmetic.saturate import saturate
from sparnn.hdl.common.delay import delayed, later
from sparnn.hdl.common.instance import place
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.common.parity_memory import parity_memory
from sparnn.hdl.dense.config import DenseConfig

from .row import PEEPHOLE_SHIFT_BITS
from .sigma import SIGMA_MODULE, sigma_signature

__all__ = ["CELL_MODULE", "CellUnit", "cell_signature"]

CELL_MODULE = "sparnn_tile_cell"


def cell_signature(config: DenseConfig) -> wiring.Signature:
    """A cell unit's ports, explained in :class:`CellUnit`."""
    value = signed(PREACTIVATION_BITS)
    address = unsigned(clog2(config.state_depth))
    members = {
        "gates": In(value).array(4),
        "plain": In(value),
        "candidate": In(value),
        "hidden": In(value),
        "lstm": In(1),
        "gru": In(1),
        "resets": In(1),
        "mixes": In(1),
        "update_en": In(1),
        "update_addr": In(address),
        "tabular": In(1),
        "relu": In(1),
        "wide": In(1),
        "pre_up": In(unsigned(4)),
        "state_up": In(unsigned(4)),
        "out_shift": In(unsigned(6)),
        "read_addr": In(address),
        "zero": In(1),
        "write_en": In(1),
        "write_addr": In(address),
        "load_en": In(1),
        "load_addr": In(address),
        "load_data": In(value),
        "state": Out(value),
        "output": Out(value),
    }
    if config.peepholes:
        members |= {
            "peephole": In(1),
            "hard": In(1),
            "state_shift": In(unsigned(PEEPHOLE_SHIFT_BITS)),
            "weight": In(value),
            "pre": In(value),
            "old": Out(value),
        }
    if config.parity:
        members |= {"uses": In(1), "wrong": Out(1)}
    return wiring.Signature(members)


class CellUnit(wiring.Component):
    """LSTM, GRU, RNN and linear cells (docs/numerics.md, "Cells").

    Cycles count from the row units' operand register; the gates come in cycle
    G = ``config.row_latency``, and a stage takes p = ``config.post_stages`` cycles. The multipliers
    serve the LSTM and the GRU in different cycles; one layer runs at a time.

    A GRU that resets before the product is two layers. That of r and z has the GRU's output latency
    and makes r · s; that of n has the RNN's and makes the new state.

    Members
    -------
    gates: σ or tanh of the rows i, f, g, o; r, z; or the only one.
    plain: the first row's pre-activation.
    candidate, hidden: the two halves of the GRU's n row, in cycle G.
    lstm, gru, tabular, relu, wide, pre_up, state_up, out_shift: static; ``*_up`` is 15 - f.
    resets: static; the layer is that of r and z of a GRU that resets first, with
        ``config.reset_first``.
    mixes: static; it is that of n.
    update_en, update_addr: z of the gates is kept, in cycle G.
    read_addr: of the old state, and of z, one cycle before it is used: in G (GRU: G + 5p, r and z
        of one that resets first: G + 7p, peepholes: 2p).
    zero: the state is zero; in the cycle in which it is used.
    write_en, write_addr: of the new state, in cycle G + 3p (GRU: G + 8p).
    load_en, load_addr, load_data: the host writes a state.
    state: what ``read_addr`` read.
    peephole, hard, state_shift: static, of an LSTM with peepholes.
    old: the old state, for the rows, in cycle 2p.
    uses: only with ``parity``: the old state, or what the host reads, is used in this cycle. wrong:
        it is damaged; one cycle later.
    weight, pre: the o row's, in cycles 2p and 3p.
    output: in cycle G + 8p (LSTM, RNN, linear, n of a GRU that resets first), G + 9p (GRU, r and z
        of one that resets first) or G + 10p (LSTM with peepholes).
    """

    def __init__(self, config: DenseConfig) -> None:
        self._config = config
        super().__init__(cell_signature(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits, config = PREACTIVATION_BITS, self._config
        stage = config.post_stages
        more = stage - 1  # registers within a stage
        lstm, gru = self.lstm, self.gru
        peephole = self.peephole if config.peepholes else Value.cast(0)
        shape, depth, attrs = signed(bits), config.state_depth, {"no_rw_check": 1}
        write: Any
        read: Any
        if config.parity:
            write, read = parity_memory(m, "states", shape=shape, depth=depth, attrs=attrs)
            m.d.sync += self.wrong.eq(self.uses & (read.data.xor() ^ read.parity))
        else:
            m.submodules.states = states = Memory(shape=shape, depth=depth, init=[], attrs=attrs)
            write, read = states.write_port(), states.read_port()
        new = Signal(signed(bits), reset_less=True)
        resets, mixes = self.resets, self.mixes
        visible, old, update_gate = Signal(signed(bits)), Signal(signed(bits)), Signal(signed(bits))
        m.d.comb += [visible.eq(Mux(self.zero, 0, read.data)), old.eq(visible)]
        if config.peepholes:
            kept = delayed(m, "kept", visible, config.row_latency - 2 * stage)
            m.d.comb += [self.old.eq(visible), old.eq(Mux(peephole, kept.as_signed(), visible))]
        if config.reset_first:
            m.submodules.update_gates = update_gates = Memory(
                shape=signed(bits),
                depth=config.state_depth,
                init=[],
                attrs={"no_rw_check": 1},
            )
            put, get = update_gates.write_port(), update_gates.read_port()
            m.d.comb += [
                put.en.eq(self.update_en),
                put.addr.eq(self.update_addr),
                put.data.eq(self.gates[1]),
                get.addr.eq(self.read_addr),
                update_gate.eq(get.data),
            ]
        m.d.comb += [
            write.en.eq(self.load_en | self.write_en),
            write.addr.eq(Mux(self.load_en, self.load_addr, self.write_addr)),
            write.data.eq(Mux(self.load_en, self.load_data, new)),
            read.addr.eq(self.read_addr),
            self.state.eq(read.data),
        ]
        tanh = place(m, "tanh", sigma_signature(), SIGMA_MODULE)

        # What waits for the tanh: o, z, or the output itself. line[k] is in cycle G + k.
        value = Signal(signed(bits))
        m.d.comb += value.eq(
            Mux(self.tabular, self.gates[0], Mux(self.relu & self.plain[-1], 0, self.plain))
        )
        line = [
            Signal(signed(bits), name=f"line{k}", reset_less=k > 0) for k in range(7 * stage + 1)
        ]
        waiting = Mux(gru, self.gates[1], Mux(resets, self.gates[0], value))
        m.d.comb += line[0].eq(Mux(lstm, self.gates[3], waiting))
        m.d.sync += [b.eq(a) for a, b in itertools.pairwise(line)]
        with m.If(mixes):  # the new state is the output
            m.d.sync += line[3 * stage + 1].eq(new)

        # New state: cycle G (LSTM) or G + 5p (GRU), three stages.
        rest = Signal(signed(bits + 1))
        late = line[5 * stage]
        m.d.comb += rest.eq((1 << 15) - Mux(mixes, update_gate, late))
        update = _product(  # i · g or (32768 - z) · n
            m,
            "update",
            Mux(gru | mixes, rest, self.gates[0]),
            Mux(gru, tanh.result, Mux(mixes, self.gates[0], self.gates[2])),
            stage,
        )
        keep = _product(  # f · c or z · s
            m, "keep", Mux(gru, late, Mux(mixes, update_gate, self.gates[1])), old, stage
        )
        share = rounded(m, "share", update, self.state_up, 2 * bits, split=more)
        total = Signal(signed(2 * bits + 1))
        m.d.comb += total.eq(later(m, "kept_share", keep, stage) + later(m, "share", share, 1))
        m.d.sync += new.eq(rounded(m, "new_state", total, 15, bits, split=more))

        # r · v_n from cycle G on, o · tanh(c') from G + 6p, r · s from G + 7p.
        gate, seen = line[6 * stage], tanh.result
        if config.peepholes:
            late_o = self._late_gate(m, new)
            seen = Mux(peephole, later(m, "late_tanh", seen, 2 * stage), seen)
            gate = Mux(peephole, late_o, gate)
        product = _product(
            m,
            "product",
            Mux(gru, self.gates[0], Mux(resets, line[7 * stage], gate)),
            Mux(gru, self.hidden, Mux(resets, old, seen)),
            stage,
        )
        part = rounded(m, "part", product, 15, bits + 1, split=more)
        joined = Signal(signed(bits + 2))
        m.d.comb += joined.eq(part + later(m, "candidate", self.candidate, 2 * stage - 1))
        pre = later(m, "pre", saturate(joined, bits), 1)
        m.d.comb += [
            tanh.value.eq(Mux(gru, pre, new)),
            tanh.up.eq(Mux(gru, self.pre_up, self.state_up)),
            tanh.sigmoid.eq(0),
            tanh.hard.eq(0),
        ]

        # Output: worked out in cycle G + 7p, G + 8p for the GRU and for r · s, G + 9p with
        # peepholes.
        single = Signal(signed(bits))
        exact = Signal(signed(2 * bits))
        m.d.comb += [
            single.eq(Mux(gru, new, line[7 * stage])),
            exact.eq(Mux(lstm | resets, product, single << 15)),
        ]
        near = rounded(m, "near", exact, self.out_shift, bits + 2, split=more)
        m.d.sync += self.output.eq(
            Mux(
                self.wide,
                saturate(near, bits),
                saturate(near, config.activation_bits)
                if config.activation_bits < bits
                else saturate(near, bits),
            )
        )
        return m

    def _late_gate(self, m: Module, new: Signal) -> Value:
        """o of an LSTM with peepholes, which sees the new state: in cycle G + 8p."""
        config, bits = self._config, PREACTIVATION_BITS
        stage = config.post_stages
        known = config.row_latency + 3 * stage  # when the new state is
        weight = delayed(m, "weight", self.weight, known - 2 * stage)
        pre = delayed(m, "pre_o", self.pre, known + 2 * stage - 1 - 3 * stage)
        seen = _product(m, "seen", weight.as_signed(), new, stage)
        part = rounded(m, "seen_part", seen, self.state_shift, bits + 1, split=stage - 1)
        total = Signal(signed(bits + 2))
        m.d.comb += total.eq(part + pre.as_signed())
        sigma = place(m, "sigma", sigma_signature(), SIGMA_MODULE)
        m.d.comb += [
            sigma.value.eq(later(m, "pre_late", saturate(total, bits), 1)),
            sigma.up.eq(self.pre_up),
            sigma.sigmoid.eq(1),
            sigma.hard.eq(self.hard),
        ]
        return sigma.result


def _product(m: Module, name: str, a: Value, b: Value, stages: int) -> Value:
    """a · b in two words of the pre-activations' width, registered so often."""
    product = Signal(signed(2 * PREACTIVATION_BITS), name=f"{name}_product")
    m.d.comb += product.eq(a.as_signed() * b)
    return later(m, name, product, stages)
