"""The taps of the reduction tree: joins banks as the tile asks, and deals segments to slices."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.post.slice import neuron_tag_layout, segment_tag_layout

__all__ = ["Tap", "pass_layout"]


def pass_layout(config: DenseConfig) -> data.StructLayout:
    """A finished pass. segment: its first row segment. gate: that its rows are of, gate by gate.
    turn: of layers or streams that take turns. end: last pass of the half. final: it completes
    neurons. fresh: from state zero."""
    return data.StructLayout(
        {
            "valid": 1,
            "joined_log2": unsigned(max(1, config.banks_log2.bit_length())),
            "segment": 16,
            "gate": 2,
            "turn": config.turn_bits,
            "hidden": 1,
            "end": 1,
            "final": 1,
            "fresh": 1,
        }
    )


class Tap(wiring.Component):
    """Sums of 1, 2, 4, … banks, and which of them each slice takes in this cycle. Combinational.

    A tile of g row segments takes max(1, g / S) cycles in a row, from the one in which ``finished``
    is valid; the compiler makes no pass shorter. Segment n belongs to slice n mod S, where it is
    word n div S.

    Gate by gate, segment q of a slice holds the rows of one gate of the neurons of the words
    R q … R q + R - 1, R being the rows of a cell unit. Its sums have the place 4 q + gate among the
    parameters; with the last gate the words follow, one per cycle (two, where outputs are wide).
    Such a tile has at most S segments, and the compiler lets no last gates follow closer than that.

    Members
    -------
    finished: with the banks' sums.
    out_words, gate_major, wide: of the layer.
    sums: of the banks.
    tag: what the sums of all slices have in common.
    valid: of each slice.
    segments: of each slice.
    neurons: what the words that are completed have in common.
    complete: of each slice.
    """

    def __init__(self, config: DenseConfig) -> None:
        self._config = config
        vector = config.width * config.sum_bits
        super().__init__(
            {
                "finished": In(pass_layout(config)),
                "out_words": In(16),
                "gate_major": In(1),
                "wide": In(1),
                "sums": In(vector).array(config.banks),
                "tag": Out(segment_tag_layout(config)),
                "valid": Out(config.slices),
                "neurons": Out(neuron_tag_layout(config)),
                "complete": Out(config.slices),
                "segments": Out(vector).array(config.slices),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        slices, slices_log2 = config.slices, clog2(config.slices)
        most_log2 = config.banks_log2 - slices_log2  # cycles of the largest tile

        kept, now = Signal(pass_layout(config)), Signal(pass_layout(config))
        count = Signal(range((1 << most_log2) + 1))
        left = Signal.like(count)  # cycles to go of a pass that is under way
        turn, next_turn = Signal.like(count), Signal.like(count)
        m.d.comb += now.eq(Mux(self.finished.valid, self.finished, kept))
        with m.Switch(now.joined_log2):
            for joined in range(config.banks_log2 + 1):
                with m.Case(joined):
                    m.d.comb += count.eq(1 << max(0, most_log2 - joined))
        m.d.comb += turn.eq(Mux(self.finished.valid, 0, next_turn))
        with m.If(self.finished.valid):
            m.d.sync += [kept.eq(self.finished), left.eq(count - 1), next_turn.eq(1)]
        with m.Elif(left != 0):
            m.d.sync += [left.eq(left - 1), next_turn.eq(next_turn + 1)]

        busy = self.finished.valid | (left != 0)
        word = Signal(16)
        m.d.comb += [
            word.eq((now.segment >> slices_log2) + turn),
            self.tag.word.eq(word),
            self.tag.gate.eq(now.gate),
            self.tag.turn.eq(now.turn),
            self.tag.hidden.eq(now.hidden),
            self.tag.final.eq(now.final),
            # The words of a last pass that reach beyond the layer are dropped.
            self.tag.valid.eq(busy & (word < self.out_words)),
            self.neurons.word.eq(word),
            self.neurons.fresh.eq(now.fresh),
            self.neurons.turn.eq(now.turn),
            self.neurons.valid.eq(self.tag.valid & now.final),
            self.neurons.step_end.eq(now.end & (word + 1 == self.out_words)),
            self.complete.eq(Mux(self.neurons.valid, self.valid, 0)),
        ]
        if config.gate_depth:
            self._gate_by_gate(m, now, word)

        # levels[j]: the rows of all sums of 2^j neighbouring banks.
        levels = [
            [
                [bank.word_select(k, config.sum_bits).as_signed() for k in range(config.width)]
                for bank in self.sums
            ]
        ]
        for level in range(config.banks_log2):
            below, pairs = levels[-1], []
            for index in range(0, len(below), 2):
                row_sums = []
                for k in range(config.width):
                    one = Signal(signed(config.sum_bits), name=f"pair{level}_{index}_{k}")
                    m.d.comb += one.eq(below[index][k] + below[index + 1][k])
                    row_sums.append(one)
                pairs.append(row_sums)
            levels.append(pairs)
        for number in range(slices):
            with m.Switch(now.joined_log2):
                for joined, groups in enumerate(levels):
                    with m.Case(joined):
                        if len(groups) > slices:
                            with m.Switch(turn):
                                for step in range(len(groups) // slices):
                                    with m.Case(step):
                                        m.d.comb += self.segments[number].eq(
                                            Cat(groups[step * slices + number])
                                        )
                            m.d.comb += self.valid[number].eq(self.tag.valid)
                        else:
                            size_log2 = clog2(len(groups))
                            mine = now.segment[size_log2:slices_log2] == number >> size_log2
                            m.d.comb += [
                                self.segments[number].eq(Cat(groups[number % len(groups)])),
                                self.valid[number].eq(self.tag.valid & mine),
                            ]
        return m

    def _gate_by_gate(self, m: Module, now: Signal, segment: Signal) -> None:
        """Words follow from a last gate's segment one by one."""
        rows_log2 = clog2(self._config.cell_rows)
        following = Signal(range((2 << rows_log2) + 1))  # cycles to go
        slices, kept_slices = Signal(self._config.slices), Signal(self._config.slices)
        tag = neuron_tag_layout(self._config)
        kept, made = Signal(tag), Signal(tag)
        first = Signal()
        part = Signal(rows_log2)
        word = Signal(16)
        m.d.comb += [
            first.eq(self.finished.valid & self.finished.final),
            made.eq(kept),
            slices.eq(kept_slices),
            part.eq((self._config.cell_rows << self.wide) - following >> self.wide),
        ]
        with m.If(first):
            m.d.comb += [
                made.word.eq(segment),
                made.fresh.eq(now.fresh),
                made.turn.eq(now.turn),
                made.step_end.eq(now.end),
                slices.eq(self.valid),
                part.eq(0),
            ]
            m.d.sync += [
                kept.eq(made),
                kept_slices.eq(slices),
                following.eq((self._config.cell_rows << self.wide) - 1),
            ]
        with m.Elif(following != 0):
            m.d.sync += following.eq(following - 1)
        m.d.comb += word.eq(Cat(part, made.word))
        with m.If(self.gate_major):
            m.d.comb += [
                self.tag.word.eq(Cat(now.gate, segment)),
                self.tag.valid.eq(self.finished.valid & ((segment << rows_log2) < self.out_words)),
                self.neurons.eq(made),
                self.neurons.word.eq(word),
                self.neurons.valid.eq(
                    (first | ((following != 0) & ~(self.wide & following[0])))
                    & (word < self.out_words)
                ),
                self.neurons.step_end.eq(made.step_end & (word + 1 == self.out_words)),
                self.complete.eq(Mux(self.neurons.valid, slices, 0)),
            ]
