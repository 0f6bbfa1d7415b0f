"""The sequencer beside the list of issues that docs/adaptive-tiles.md asks for, cycle by cycle."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from sparnn.hdl.dense.array.sequencer import Arrival, Sequencer
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.host.protocol import Kind
from tests.hdl.stream_helpers import plain, run

Phase = tuple[int, int, int]  # row segments, cycles of a pass, passes


@dataclass
class Layer:
    """What a layer makes: phases of both halves, the order of the rows, who takes turns."""

    kind: Kind
    x: list[Phase]
    h: list[Phase]
    steps: int = 3
    unfolded: bool = True
    gate_major: bool = False
    gate_outer: bool = False
    paired: bool = False
    streams: int = 1
    fresh: bool = True
    weight_base: int = 3
    mask_base: int = 2
    lengths: list[int] = field(default_factory=list)  # of all passes of a step, with masks

    @property
    def turns(self) -> int:
        return 2 if self.paired else self.streams

    @property
    def halves(self) -> list[int]:
        return [0] if self.kind == Kind.LINEAR else [0, 1]

    def descriptor(self) -> dict[str, int]:
        fields = {
            "kind": self.kind,
            "unfolded": self.unfolded,
            "gate_major": self.gate_major,
            "gate_outer": self.gate_outer,
            "paired": self.paired,
            "streams_last": self.streams - 1,
            "weight_base": self.weight_base,
            "mask_base": self.mask_base,
        }
        for half, phases in (("x", self.x), ("h", self.h)):
            for number, (groups, length, passes) in enumerate(phases):
                fields[f"{half}{number}_groups_log2"] = groups.bit_length() - 1
                fields[f"{half}{number}_length_last"] = length - 1
                fields[f"{half}{number}_passes"] = passes
        return fields

    def passes(self, half: int) -> Iterator[tuple[int, int, int]]:
        """(groups, cycles, segment) of one half, in order."""
        segment = 0
        for groups, length, passes in (self.x, self.h)[half]:
            for _ in range(passes):
                yield groups, length, segment
                segment += groups

    def step(self) -> Iterator[tuple[int, int, int, int, int, int]]:
        """(half, groups, cycles, segment, gate, is it the half's last pass) of one step."""
        gates = self.kind.gates if self.gate_major else 1
        outer, inner = (gates, 1) if self.gate_outer else (1, gates)
        for one in range(outer):
            for half in self.halves:
                passes = list(self.passes(half))
                for number, (groups, length, segment) in enumerate(passes):
                    for gate in range(inner):
                        end = number + 1 == len(passes) and gate + 1 == inner
                        yield half, groups, length, segment, one + gate, end


Issue = dict[str, int]


def issues(config: DenseConfig, layer: Layer) -> list[tuple[Issue, Issue | None, int]]:
    """Every issue, what it finishes, and the step; in order."""
    found: list[tuple[Issue, Issue | None, int]] = []
    weight, mask, vector = layer.weight_base, layer.mask_base, 0
    gates = layer.kind.gates if layer.gate_major else 1
    for step in range(layer.steps):
        weight, mask = layer.weight_base, layer.mask_base
        for turn in range(layer.turns):
            if not layer.paired:  # streams have the same weights
                weight, mask = layer.weight_base, layer.mask_base
            for half, groups, length, segment, gate, end in layer.step():
                if config.mask_depth:
                    length = layer.lengths[mask - layer.mask_base]
                joined_log2 = (config.banks // groups).bit_length() - 1
                zero = half == 1 and step == 0 and layer.fresh
                share = turn
                if config.streams > 2 and layer.turns <= 2:
                    share = 2 * turn  # halves of a copy that has quarters
                for column in range(length):
                    last = column + 1 == length
                    issue = {
                        "weight_addr": weight,
                        "column": column,
                        "joined_log2": joined_log2,
                        "buffer": (step + 1) % 2 if half else vector % 2,
                        "share": share if half else 0,
                        "hidden": half,
                        "zero": zero,
                        "first": column == 0,
                        "last": last,
                    }
                    if config.mask_depth:
                        issue["mask_addr"] = mask
                    finished = {
                        "joined_log2": joined_log2,
                        "segment": segment,
                        "gate": gate,
                        "turn": turn,
                        "hidden": half,
                        "end": end,
                        "final": half == layer.halves[-1] and gate + 1 == gates,
                        "fresh": step == 0 and layer.fresh,
                    }
                    found.append((issue, finished if last else None, step))
                    weight += 1
                mask += 1
            vector += 1
    return found


@dataclass
class Copies:
    """Vectors of one half on their way to the lanes: how much of them is there, by words."""

    each: int  # words that fill one column of every lane
    words: int  # of a vector
    whole: int = 0
    part: int = 0

    def word(self) -> bool:
        """One more; says whether it is the last of its vector."""
        self.part += 1
        if self.part == self.words:
            self.whole, self.part = self.whole + 1, 0
            return True
        return False

    def there(self, columns: int) -> bool:
        return self.whole > 0 or self.part // self.each >= columns


def make_config(**changes: int) -> DenseConfig:
    parameters = {"lanes": 16, "width": 4, "banks": 4, "slices": 2, "columns": 16}
    return DenseConfig(**(parameters | changes))


async def check_layer(
    ctx: Any, dut: Sequencer, config: DenseConfig, layer: Layer, busy: float, seed: int
) -> int:
    """Play one layer; returns the cycles from the first to the last issue."""
    rng = np.random.default_rng(seed)
    expected = issues(config, layer)
    most = [
        max((length * config.banks // groups for groups, length, _ in phases), default=1)
        for phases in (layer.x, layer.h)
    ]
    if config.mask_depth:
        most = [config.columns, config.columns]
    x, h = (Copies(config.words_per_column, columns * config.words_per_column) for columns in most)
    # The last column of a vector may not be full.
    x.words -= int(rng.integers(config.words_per_column))
    h.words -= int(rng.integers(config.words_per_column))
    h.whole = layer.turns if layer.fresh else 0
    ctx.set(dut.layer, layer.descriptor())
    ctx.set(dut.steps, layer.steps)
    ctx.set(dut.fresh, layer.fresh)
    ctx.set(dut.start, 1)
    ctx.set(dut.x_word, 0)
    ctx.set(dut.h_word, 0)
    await ctx.tick()
    ctx.set(dut.start, 0)
    # Hidden vectors that may be on their way: those of steps whose last issue is behind.
    promised = 0 if layer.fresh else layer.turns
    x_to_come = layer.steps * layer.turns
    position, said = 0, None
    cycles = first = 0
    for cycle in range(4000):
        # What the sequencer said in the cycle before is in its registers now.
        assert ctx.get(dut.issue.valid) == (said is not None), (cycle, position)
        finished = said[1] if said else None
        assert ctx.get(dut.finished.valid) == (finished is not None)
        if said:
            got = plain(ctx.get(dut.issue))
            assert {name: got[name] for name in said[0]} == said[0], (cycle, position)
        if finished:
            got = plain(ctx.get(dut.finished))
            assert {name: got[name] for name in finished} == finished, (cycle, position)
        assert ctx.get(dut.x_whole) == x.whole
        if position == len(expected) and said is None:
            break
        said = None
        # Does the next issue find what it needs? Words of this cycle count from the next on.
        if position < len(expected):
            issue, finished, _ = expected[position]
            needed = (issue["column"] + 1) << issue["joined_log2"]
            source = h if issue["hidden"] else x
            go = source.whole > 0 if config.mask_depth else source.there(needed)
            if not issue["hidden"] and not layer.unfolded and layer.kind != Kind.LINEAR:
                go = go and h.whole > 0  # the output of the step before
            if go:
                said = expected[position][:2]
                cycles, first = cycle, first or cycle
        # The outside: at most two input vectors, hidden ones after their step's issues.
        x_word = x_to_come > 0 and x.whole < 2 and rng.random() < busy
        h_word = promised > 0 and rng.random() < busy
        x_end = h_end = False
        used_x = used_h = False
        if said:
            position += 1
            issue, finished, step = said[0], said[1], expected[position - 1][2]
            final_gate = not layer.gate_major or (
                finished is not None and finished["gate"] + 1 == layer.kind.gates
            )
            if finished and finished["end"] and final_gate:
                used_x, used_h = not issue["hidden"], bool(issue["hidden"])
                if finished["final"] and layer.kind != Kind.LINEAR:
                    promised += step + 1 < layer.steps
        if x_word:
            x_end = x.word()
            x_to_come -= x_end
        if h_word:
            h_end = h.word()
            promised -= h_end
        x.whole -= used_x
        h.whole -= used_h
        ctx.set(dut.x_word, x_word)
        ctx.set(dut.x_end, x_end if x_word else int(rng.integers(2)))
        ctx.set(dut.h_word, h_word)
        ctx.set(dut.h_end, h_end if h_word else int(rng.integers(2)))
        await ctx.tick()
    else:
        raise AssertionError(f"{position} of {len(expected)} issues")
    for _ in range(4):
        assert not ctx.get(dut.issue.valid)
        assert not ctx.get(dut.finished.valid)
        await ctx.tick()
    return cycles - first + 1


def simulate(config: DenseConfig, layers: list[Layer], busy: float, seed: int) -> list[int]:
    dut = Sequencer(config)
    spans: list[int] = []

    async def bench(ctx: Any) -> None:
        for number, layer in enumerate(layers):
            for offset, length in enumerate(layer.lengths):
                ctx.set(dut.length_en, 1)
                ctx.set(dut.length_addr, layer.mask_base + offset)
                ctx.set(dut.length_data, length - 1)
                await ctx.tick()
            ctx.set(dut.length_en, 0)
            spans.append(await check_layer(ctx, dut, config, layer, busy, seed + number))

    run(dut, bench, cycles=10_000)
    return spans


TILES = {
    "one": ([(1, 1, 1)], [(1, 1, 1)]),
    "changing": ([(4, 3, 2), (2, 2, 1), (1, 1, 1)], [(4, 5, 1), (1, 2, 3)]),
    "wide": ([(1, 4, 3)], [(2, 2, 1), (4, 4, 1)]),
}


@pytest.mark.parametrize("busy", [1.0, 0.4])
@pytest.mark.parametrize("name", TILES)
def test_schedules(name: str, busy: float) -> None:
    """The four schedules and every kind, from zero and from a state, with tiles that change."""
    x, h = TILES[name]
    layers = [
        Layer(Kind.LSTM, x, h),
        Layer(Kind.LSTM, x, h, unfolded=False, fresh=False),
        Layer(Kind.LINEAR, x, []),
        Layer(Kind.LSTM, x, h, unfolded=False, gate_major=True, gate_outer=True, steps=2),
        Layer(Kind.LSTM, x, h, unfolded=False, gate_major=True, steps=2),
        Layer(Kind.GRU, x, h, gate_major=True, fresh=False, steps=2),
        Layer(Kind.RNN, x, h, gate_major=True, steps=1),
        Layer(Kind.GRU, x, h, steps=4),
    ]
    simulate(make_config(), layers, busy, len(name))


@pytest.mark.parametrize("busy", [1.0, 0.5])
@pytest.mark.parametrize("streams", [1, 4])
def test_turns(streams: int, busy: float) -> None:
    """Pairs have weights that follow one another, streams the same; each waits for its own h."""
    config = make_config(streams=streams)
    x, h = TILES["changing"]
    layers = [
        Layer(Kind.LSTM, x, h, paired=True),
        Layer(Kind.RNN, x, h, paired=True, fresh=False, steps=4),
        Layer(Kind.GRU, x, h, paired=True, gate_major=True, steps=2),
    ]
    if streams > 1:
        layers += [
            Layer(Kind.LSTM, x, h, streams=2),
            Layer(Kind.GRU, x, h, streams=3, fresh=False),
            Layer(Kind.RNN, x, h, streams=4, gate_major=True),
            Layer(Kind.LINEAR, x, [], streams=4, steps=2),
        ]
    simulate(config, layers, busy, streams)


@pytest.mark.parametrize("busy", [1.0, 0.5])
def test_masks(busy: float) -> None:
    """The cycles of each pass lie in the memory; a half waits for its whole vector."""
    config = make_config(mask_depth=24)
    x, h = TILES["changing"]
    rng = np.random.default_rng(5)
    passes = sum(one[2] for one in x + h)
    plain_lengths = rng.integers(1, 6, passes).tolist()
    layers = [
        Layer(Kind.LSTM, x, h, lengths=plain_lengths),
        Layer(Kind.LSTM, x, h, paired=True, lengths=rng.integers(1, 5, 2 * passes).tolist()),
        Layer(Kind.RNN, x, h, unfolded=False, lengths=plain_lengths, fresh=False, mask_base=9),
    ]
    simulate(config, layers, busy, 6)


def test_one_bank_one_column() -> None:
    """The smallest machine: every vector is one word."""
    config = DenseConfig(lanes=1, banks=1, width=1, gate_depth=2, columns=1)
    layers = [
        Layer(Kind.LSTM, [(1, 1, 1)], [(1, 1, 1)], gate_major=True),
        Layer(Kind.LINEAR, [(1, 1, 2)], []),
    ]
    simulate(config, layers, 1.0, 0)


def test_nothing_is_lost_between_tiles() -> None:
    """Where a word fills a column of all lanes, a layer takes as many cycles as its passes."""
    config = make_config(slices=4)
    x, h = [(4, 8, 2), (2, 4, 1), (1, 2, 1)], [(4, 8, 2), (2, 8, 1)]
    layer = Layer(Kind.LINEAR, x, [], steps=5)
    assert simulate(config, [layer], 1.0, 1) == [5 * (2 * 8 + 4 + 2)]
    layer = Layer(Kind.LSTM, x, h, steps=1)  # from zero: h is there
    assert simulate(config, [layer], 1.0, 2) == [(2 * 8 + 4 + 2) + (2 * 8 + 8)]


@pytest.mark.parametrize("lanes", [4, 16, 24])
def test_arrival(lanes: int) -> None:
    """Words become columns; a vector that ends within a column is whole all the same."""
    config = make_config(lanes=lanes, slices=1, columns=5)
    dut = Arrival(config)
    rng = np.random.default_rng(lanes)
    each = lanes // 4

    async def bench(ctx: Any) -> None:
        for _ in range(8):
            whole = int(rng.integers(5))
            ctx.set(dut.clear, 1)
            ctx.set(dut.preset, whole)
            ctx.set(dut.word, int(rng.integers(2)))
            await ctx.tick()
            ctx.set(dut.clear, 0)
            words, length = 0, int(rng.integers(1, 5 * each + 1))
            for _ in range(60):
                assert ctx.get(dut.whole) == whole
                assert ctx.get(dut.columns) == words // each
                word = whole < 6 and rng.random() < 0.7
                used = whole > 0 and rng.random() < 0.1
                end = word and words + 1 == length
                ctx.set(dut.word, word)
                ctx.set(dut.end, end)
                ctx.set(dut.used, used)
                words += word
                whole -= used
                if end:
                    words, length, whole = 0, int(rng.integers(1, 5 * each + 1)), whole + 1
                await ctx.tick()
            ctx.set(dut.used, 0)

    run(dut, bench, cycles=1000)
