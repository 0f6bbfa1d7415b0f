"""Takes the slices' outputs to the lanes and to the sequence store."""

import itertools
from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.arithmetic.rounding import rounded
from sparnn.hdl.common.delay import delayed, later
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.dense.array.bank import broadcast_layout, copy_base, copy_share, times
from sparnn.hdl.dense.array.sequencer import layer_layout
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.post.slice import neuron_tag_layout
from sparnn.hdl.host.protocol import RUN_STEPS_BITS, Kind

from .loader import WordPlace

__all__ = ["OutputGather"]


class OutputGather(wiring.Component):
    """Broadcasts each row segment's outputs and writes them to the store, in the same cycle.

    That cycle is the one that ``config.post_latency`` says. With ``config.extra_stages`` the cell
    units' outputs come so many cycles earlier: the gather itself delays them.

    A step goes to its place from ``out_base`` on, the last one to ``hidden_base`` where
    ``last_hidden`` says so. A reverse layer begins with the last place; of paired layers the second
    one does, whose words lie behind the first one's. Streams write one after the other. Wide
    outputs take a second cycle and a second store word, ``out_words`` further on. Where outputs are
    added to what lies at their place, the sums are written one cycle later.

    Members
    -------
    layer, steps, out_ahead: static from ``start``.
    neurons, complete: of the tap, in cycle -1.
    outputs: of the cell units, ``config.extra_stages`` cycles before the one that
        ``config.post_latency`` says.
    h_word, h_end: announce a word to the sequencer, ``issue_to_read + 1`` cycles before it is on
        the bus; the word is the vector's last.
    stored: with ``config.sums``, what lies at ``target``, one cycle later.
    bus: a word for the lanes' copies of h.
    store_en: of each slice's part of the word.
    step: a step's last word is being written.
    done: all steps are.
    """

    def __init__(self, config: DenseConfig) -> None:
        self._config = config
        sums = {"stored": In(config.store_entry_bits)} if config.sums else {}
        super().__init__(
            sums
            | {
                "layer": In(layer_layout(config)),
                "steps": In(RUN_STEPS_BITS),
                "start": In(1),
                "out_ahead": In(clog2(config.store_depth)),
                "neurons": In(neuron_tag_layout(config)),
                "complete": In(config.slices),
                "outputs": In(signed(PREACTIVATION_BITS)).array(config.word),
                "h_word": Out(1),
                "h_end": Out(1),
                "bus": Out(broadcast_layout(config)),
                "store_en": Out(config.slices),
                "store_addr": Out(clog2(config.store_depth)),
                "target": Out(clog2(config.store_depth)),
                "store_data": Out(config.store_entry_bits),
                "step": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, layer = self._config, self.layer
        bits = config.activation_bits
        m.submodules.place = place = WordPlace(config)
        gru, peephole, recurrent = Signal(), Signal(), Signal()
        m.d.sync += [
            gru.eq(layer.kind == Kind.GRU),
            peephole.eq(layer.peephole),
            recurrent.eq(layer.kind != Kind.LINEAR),
        ]
        # Cycles until the outputs come, which differ by the kind of cell. ``first`` is late by
        # ``extra_stages`` already.
        own = 1 - config.extra_stages
        shortest = config.post_latency() + own
        others = [(gru, config.post_latency(gru=True) + own)]
        if config.peepholes:
            others.append((peephole, config.post_latency(peephole=True) + own))

        side = data.StructLayout(
            {"valid": config.slices, "word": 16, "turn": config.turn_bits, "end": 1}
        )
        first = Signal(side)
        ended = self.neurons.step_end & self.neurons.valid
        known = Cat(self.complete, self.neurons.word, self.neurons.turn, ended)
        m.d.comb += first.as_value().eq(delayed(m, "late_side", known, config.extra_stages))
        length = max(cycle for _, cycle in others)
        stages = [first, *(Signal(side, name=f"side{k}") for k in range(1, length + 1))]
        m.d.sync += [b.eq(a) for a, b in itertools.pairwise(stages)]
        now, soon = Signal(side), Signal(side)
        before = config.issue_to_read + 1
        for signal, ahead in ((now, 0), (soon, before)):
            m.d.comb += signal.eq(stages[shortest - ahead])
            for such, cycle in others:
                with m.If(such):
                    m.d.comb += signal.eq(stages[cycle - ahead])
        m.d.comb += [
            self.h_end.eq(soon.end),
            self.h_word.eq(recurrent & (soon.end | soon.valid[-1])),
        ]
        late = delayed(m, "late", Cat(self.outputs), config.extra_stages)
        values = [late.word_select(k, PREACTIVATION_BITS).as_signed() for k in range(config.word)]

        left = Signal(RUN_STEPS_BITS)
        buffer = Signal()
        up, down = Signal.like(self.store_addr), Signal.like(self.store_addr)
        hidden_base, base = Signal.like(self.store_addr), Signal.like(self.store_addr)
        ends, step_ends, back = Signal(), Signal(), Signal()
        share = copy_share(config, layer, now.turn)
        m.d.comb += [
            ends.eq(now.end),
            step_ends.eq(now.end & (now.turn == (layer.streams_last | layer.paired))),
            back.eq(layer.reverse | (layer.paired & now.turn[0])),
            base.eq(Mux(back, down, up)),
            hidden_base.eq(layer.hidden_base + times(layer.out_words, now.turn)),
            place.clear.eq(self.start),
            place.word.eq(now.end | now.valid[-1]),
            place.end.eq(now.end),
            self.bus.valid.eq(Mux(recurrent, now.valid, 0)),
            self.bus.place.eq(place.place),
            self.bus.addr.eq(place.column + copy_base(config, buffer, share)),
        ]
        for index, value in enumerate(values):
            m.d.comb += self.bus.data[index].eq(value)

        # Wide outputs: what does not fit the store's elements is written in the next cycle.
        high_en, high_end = Signal(config.slices), Signal()
        high_addr = Signal.like(self.store_addr)
        high = Signal(config.store_entry_bits, reset_less=True)
        to_hidden, adds = Signal(), Signal()
        m.d.comb += [
            to_hidden.eq(layer.last_hidden & (left == 1)),
            adds.eq(layer.add_stored & ~to_hidden & bool(config.sums)),
            self.target.eq(now.word + Mux(to_hidden, hidden_base, base)),
        ]
        m.d.sync += [
            high_en.eq(Mux(layer.wide | adds, now.valid, 0)),
            high_end.eq(ends & (layer.wide | adds)),
            high_addr.eq(self.target + Mux(adds, 0, layer.out_words)),
            high.eq(Cat(Cat(v[bits:], v[-1].replicate(bits))[:bits] for v in values)),
        ]
        m.d.comb += [
            self.store_en.eq(Mux(adds, 0, now.valid) | high_en),
            self.store_addr.eq(Mux(high_en.any(), high_addr, self.target)),
            self.store_data.eq(
                Mux(high_en.any(), self._second(m, high, values), Cat(v[:bits] for v in values))
            ),
            self.step.eq(high_end | (ends & ~(layer.wide | adds))),
            self.done.eq((left == 0) & ~high_end),
        ]
        with m.If(step_ends):
            m.d.sync += [left.eq(left - 1), buffer.eq(~buffer)]
        with m.If(ends):
            with m.If(back):
                m.d.sync += down.eq(down - layer.out_stride)
            with m.Else():
                m.d.sync += up.eq(up + layer.out_stride)
        with m.If(self.start):
            behind = Mux(layer.paired, layer.out_words, 0)
            m.d.sync += [
                left.eq(self.steps),
                buffer.eq(0),
                up.eq(layer.out_base),
                down.eq(layer.out_base + self.out_ahead + behind),
            ]
        return m

    def _second(self, m: Module, high: Value, values: Sequence[Value]) -> Value:
        """What is written one cycle late: the high bits of wide outputs, or sums."""
        bits = self._config.activation_bits
        if not self._config.sums:
            return high
        sums = []
        for index, value in enumerate(values):
            total = Signal(signed(bits + 1), name=f"total{index}")
            kept = later(m, f"value{index}", value[:bits].as_signed(), 1)
            m.d.comb += total.eq(kept + self.stored.word_select(index, bits).as_signed())
            sums.append(rounded(m, f"sum{index}", total, self.layer.sum_shift, bits))
        late = Signal()
        m.d.sync += late.eq(self.layer.add_stored)
        return Mux(late, Cat(sums), high)
