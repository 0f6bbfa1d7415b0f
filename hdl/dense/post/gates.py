"""Lets the gates of a neuron wait for one another where the rows come gate by gate."""

import itertools

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.dense.config import DenseConfig

__all__ = ["GATES_MODULE", "GateBuffer", "gates_signature"]

GATES_MODULE = "sparnn_tile_gates"

#: Gates that are kept: all but an LSTM's last one.
_KEPT = 3


def gates_signature(config: DenseConfig) -> wiring.Signature:
    """A gate buffer's ports, explained in :class:`GateBuffer`."""
    value = signed(PREACTIVATION_BITS)
    address = unsigned(max(1, clog2(config.gate_depth)))
    return wiring.Signature(
        {
            "row_gates": In(value).array(config.cell_rows),
            "row_kept": In(value).array(config.cell_rows),
            "row_hidden": In(value).array(config.cell_rows),
            "gate_major": In(1),
            "lstm": In(1),
            "gru": In(1),
            "read_addr": In(address),
            "write_en": In(1),
            "write_addr": In(address),
            "gate": In(2),
            "load": In(1),
            "next": In(1),
            "gates": Out(value).array(4),
            "plain": Out(value),
            "candidate": Out(value),
            "hidden": Out(value),
        }
    )


class GateBuffer(wiring.Component):
    """Stands between the row units of a cell unit and the cell unit.

    With the gates of a neuron in neighbouring rows it lets them through. Gate by gate, each of the
    R rows belongs to another neuron: gates are kept until the last one comes, and then the R
    neurons go to the cell unit one by one, the first at once.

    Cycles count as in the row unit, whose results come in cycle G = ``config.row_latency``.

    Members
    -------
    row_gates, row_kept, row_hidden: cycle G.
    gate_major, lstm, gru: static.
    read_addr: in cycle G - 1, of the segment that comes in cycle G.
    write_en, write_addr, gate: in cycle G, keeps the gates as number ``gate``, 0-2.
    load: these are the last gates of their neurons.
    next: a neuron goes to the cell unit; with ``load`` or later, R times before the next ``load``.
    gates, plain, candidate, hidden: for the cell unit, in the cycle of ``next``.
    """

    def __init__(self, config: DenseConfig) -> None:
        self._config = config
        super().__init__(gates_signature(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, bits = self._config, PREACTIVATION_BITS
        neurons = []
        for row in range(config.cell_rows):
            memory = Memory(shape=_KEPT * bits, depth=config.gate_depth, init=[])
            m.submodules[f"kept{row}"] = memory
            write = memory.write_port(granularity=bits)
            read = memory.read_port(transparent_for=[write])
            gate, kept, hidden = self.row_gates[row], self.row_kept[row], self.row_hidden[row]
            m.d.comb += [
                write.en.eq(Mux(self.write_en, 1 << self.gate, 0)),
                write.addr.eq(self.write_addr),
                write.data.eq(gate.replicate(_KEPT)),
                read.addr.eq(self.read_addr),
            ]
            first, second, third = (read.data.word_select(k, bits) for k in range(_KEPT))
            # An LSTM's i, f, g, o; a GRU's r, z and both halves of n; else what there is.
            neuron = Signal(4 * bits, name=f"neuron{row}")
            m.d.comb += neuron.eq(
                Cat(
                    Mux(self.lstm | self.gru, first, gate.as_unsigned()),
                    second,
                    Mux(self.lstm, third, kept.as_unsigned()),
                    Mux(self.lstm, gate, hidden).as_unsigned(),
                )
            )
            neurons.append(neuron)

        waiting = [
            Signal(4 * bits, name=f"waiting{k}", reset_less=True)
            for k in range(1, config.cell_rows)
        ]
        with m.If(self.next):
            m.d.sync += [one.eq(after) for one, after in itertools.pairwise(waiting)]
        with m.If(self.load):
            m.d.sync += [one.eq(neuron) for one, neuron in zip(waiting, neurons[1:], strict=True)]
        present = Mux(self.load, neurons[0], waiting[0]) if waiting else neurons[0]
        values = [present.word_select(k, bits).as_signed() for k in range(4)]
        outputs = {"plain": values[2], "candidate": values[2], "hidden": values[3]}
        if config.cell_rows == 4:  # the order of rows side by side needs all of them
            side = {
                "plain": self.row_kept[0],
                "candidate": self.row_kept[2],
                "hidden": self.row_hidden[2],
            }
            outputs = {k: Mux(self.gate_major, v, side[k]) for k, v in outputs.items()}
            values = [
                Mux(self.gate_major, v, row) for v, row in zip(values, self.row_gates, strict=True)
            ]
        m.d.comb += [port.eq(value) for port, value in zip(self.gates, values, strict=True)]
        m.d.comb += [getattr(self, name).eq(value) for name, value in outputs.items()]
        return m
