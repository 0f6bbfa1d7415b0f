"""One cell unit: the gate values of a neuron become its output, one neuron per cycle."""

import itertools

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from sparnn.hdl.config import PREACTIVATION_BITS
from sparnn.hdl.instance import place
from sparnn.hdl.post.saturate import saturate

from .config import TileConfig
from .rounding import rounded
from .sigma import SIGMA_MODULE, sigma_signature

__all__ = ["CELL_MODULE", "CellUnit", "cell_signature"]

CELL_MODULE = "sparnn_tile_cell"


def cell_signature(config: TileConfig) -> wiring.Signature:
    """A cell unit's ports, explained in :class:`CellUnit`."""
    value = signed(PREACTIVATION_BITS)
    address = unsigned((config.state_depth - 1).bit_length())
    return wiring.Signature(
        {
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
    )


class CellUnit(wiring.Component):
    """LSTM, GRU, RNN and linear cells (docs/numerics.md, "Cells").

    Cycles count from the row units' operand register, so the gates come in cycle 6. The multipliers
    serve the LSTM and the GRU in different cycles; one layer runs at a time.

    Members
    -------
    gates: σ or tanh of the rows i, f, g, o; r, z; or the only one. plain: the first row's
        pre-activation. candidate, hidden: the two halves of the GRU's n row. Cycle 6.
    lstm, gru, tabular, relu, wide, pre_up, state_up, out_shift: static; ``*_up`` is 15 - f.
    resets, mixes: static; the gates and the candidate of a GRU that resets first, with
        ``config.reset_first``. update_en, update_addr: z of the gates is kept, in cycle 6.
    read_addr: of the old state, and of z, in cycle 5 (GRU: 10, gates that reset first: 12). zero:
        the state is zero, a cycle later.
    write_en, write_addr: of the new state, in cycle 9 or 14.
    load_en, load_addr, load_data: the host writes a state. state: what ``read_addr`` read.
    output: in cycle 14 (LSTM, RNN, linear) or 15 (GRU).
    """

    def __init__(self, config: TileConfig) -> None:
        self._config = config
        super().__init__(cell_signature(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = PREACTIVATION_BITS
        lstm, gru = self.lstm, self.gru
        m.submodules.states = states = Memory(
            shape=signed(bits), depth=self._config.state_depth, init=[], attrs={"no_rw_check": 1}
        )
        write, read = states.write_port(), states.read_port()
        new = Signal(signed(bits), reset_less=True)
        resets, mixes = self.resets, self.mixes
        old, update_gate = Signal(signed(bits)), Signal(signed(bits))
        m.d.comb += old.eq(Mux(self.zero, 0, read.data))
        if self._config.reset_first:
            m.submodules.update_gates = update_gates = Memory(
                shape=signed(bits),
                depth=self._config.state_depth,
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

        # What waits for the tanh: o, z, or the output itself. line[k] is in cycle 6 + k.
        value = Signal(signed(bits))
        m.d.comb += value.eq(
            Mux(self.tabular, self.gates[0], Mux(self.relu & self.plain[-1], 0, self.plain))
        )
        line = [Signal(signed(bits), name=f"line{k}", reset_less=k > 0) for k in range(8)]
        waiting = Mux(gru, self.gates[1], Mux(resets, self.gates[0], value))
        m.d.comb += line[0].eq(Mux(lstm, self.gates[3], waiting))
        m.d.sync += [b.eq(a) for a, b in itertools.pairwise(line)]
        with m.If(mixes):  # the new state is the output
            m.d.sync += line[4].eq(new)

        # New state: cycle 6 (LSTM) or 11 (GRU), three stages.
        rest = Signal(signed(bits + 1))
        update = Signal(signed(2 * bits), reset_less=True)  # i · g or (32768 - z) · n
        keep = Signal(signed(2 * bits), reset_less=True)  # f · c or z · s
        keep2 = Signal.like(keep, reset_less=True)
        m.d.comb += rest.eq((1 << 15) - Mux(mixes, update_gate, line[5]))
        m.d.sync += [
            update.eq(
                Mux(gru | mixes, rest, self.gates[0]).as_signed()
                * Mux(gru, tanh.result, Mux(mixes, self.gates[0], self.gates[2]))
            ),
            keep.eq(Mux(gru, line[5], Mux(mixes, update_gate, self.gates[1])) * old),
            keep2.eq(keep),
        ]
        share = rounded(m, "share", update, self.state_up, 2 * bits)
        share2 = Signal.like(share, reset_less=True)
        total = Signal(signed(2 * bits + 1))
        m.d.comb += total.eq(keep2 + share2)
        state = rounded(m, "new_state", total, 15, bits)
        m.d.sync += [share2.eq(share), new.eq(state)]

        # r · v_n in cycle 6, o · tanh(c') in cycle 12, r · s in cycle 13.
        product = Signal(signed(2 * bits), reset_less=True)
        candidate = Signal(signed(bits), reset_less=True)
        pre = Signal(signed(bits), reset_less=True)
        part = rounded(m, "part", product, 15, bits + 1)
        joined = Signal(signed(bits + 2))
        m.d.comb += joined.eq(part + candidate)
        m.d.sync += [
            product.eq(
                Mux(gru, self.gates[0], Mux(resets, line[7], line[6]))
                * Mux(gru, self.hidden, Mux(resets, old, tanh.result))
            ),
            candidate.eq(self.candidate),
            pre.eq(saturate(joined, bits)),
        ]
        m.d.comb += [
            tanh.value.eq(Mux(gru, pre, new)),
            tanh.up.eq(Mux(gru, self.pre_up, self.state_up)),
            tanh.sigmoid.eq(0),
            tanh.hard.eq(0),
        ]

        # Output: cycle 13, 14 for the GRU.
        single = Signal(signed(bits))
        exact = Signal(signed(2 * bits))
        m.d.comb += [
            single.eq(Mux(gru, new, line[7])),
            exact.eq(Mux(lstm | resets, product, single << 15)),
        ]
        near = rounded(m, "near", exact, self.out_shift, bits + 2)
        m.d.sync += self.output.eq(
            Mux(
                self.wide,
                saturate(near, bits),
                saturate(near, self._config.activation_bits)
                if self._config.activation_bits < bits
                else saturate(near, bits),
            )
        )
        return m


