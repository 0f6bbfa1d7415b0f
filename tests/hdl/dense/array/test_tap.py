"""The taps beside a list of what each cycle must bring: sums, their tags, and finished neurons."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from sparnn.hdl.dense.array.tap import Tap
from sparnn.hdl.dense.config import DenseConfig
from tests.hdl.stream_helpers import run


@dataclass
class Tile:
    """A finished pass of ``groups`` row segments from ``segment`` on."""

    groups: int
    segment: int
    gate: int = 0
    turn: int = 0
    hidden: int = 0
    end: int = 0
    final: int = 0
    fresh: int = 0

    def finished(self, banks: int) -> dict[str, int]:
        joined = (banks // self.groups).bit_length() - 1
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del fields["groups"]
        return fields | {"valid": 1, "joined_log2": joined}


Segment = tuple[int, list[int]]  # word, the sums of its rows


class Watch:
    """Sets the inputs of each cycle, and compares the outputs with lists of that cycle."""

    def __init__(self, config: DenseConfig, out_words: int, gate_major: int, wide: int) -> None:
        self.config, self.out_words = config, out_words
        self.gate_major, self.wide = gate_major, wide
        self.dut = Tap(config)

    def start(self, ctx: Any) -> None:
        ctx.set(self.dut.out_words, self.out_words)
        ctx.set(self.dut.gate_major, self.gate_major)
        ctx.set(self.dut.wide, self.wide)

    def set_sums(self, ctx: Any, rows: list[list[int]]) -> None:
        bits = self.config.sum_bits
        for port, values in zip(self.dut.sums, rows, strict=True):
            ctx.set(port, sum((v & (1 << bits) - 1) << bits * k for k, v in enumerate(values)))

    def segments(self, ctx: Any) -> dict[int, list[int]]:
        """Slice -> the sums that it takes in this cycle."""
        bits, valid = self.config.sum_bits, ctx.get(self.dut.valid)
        found = {}
        for number, port in enumerate(self.dut.segments):
            if valid >> number & 1:
                word = ctx.get(port)
                parts = [word >> bits * k & (1 << bits) - 1 for k in range(self.config.width)]
                found[number] = [part - (part >> bits - 1 << bits) for part in parts]
        return found


def make_config(**changes: int) -> DenseConfig:
    return DenseConfig(**({"lanes": 32, "width": 4, "banks": 4, "columns": 4} | changes))


def random_rows(rng: np.random.Generator, config: DenseConfig) -> list[list[int]]:
    """The banks' sums; all of them at an end at once is what no pass exceeds."""
    least = -(1 << config.sum_bits - 1)
    shape = (config.banks, config.width)
    if not rng.integers(4):
        return np.full(shape, int(rng.choice((least, -least - 1))) // config.banks).tolist()
    return (rng.integers(least, -least, shape) // config.banks).tolist()


def random_tile(rng: np.random.Generator, config: DenseConfig, **fixed: int) -> Tile:
    groups = fixed.pop("groups", 1 << int(rng.integers(config.banks_log2 + 1)))
    return Tile(
        groups=groups,
        segment=fixed.pop("segment", groups * int(rng.integers(5))),
        turn=int(rng.integers(1 << config.turn_bits)),
        hidden=int(rng.integers(2)),
        end=int(rng.integers(2)),
        fresh=int(rng.integers(2)),
        **({"final": int(rng.integers(2))} | fixed),
    )


def group_sums(tile: Tile, rows: list[list[int]]) -> list[list[int]]:
    """The sums of each row segment: of all banks of its group."""
    joined = len(rows) // tile.groups
    return [
        [sum(column) for column in zip(*rows[n * joined : (n + 1) * joined], strict=True)]
        for n in range(tile.groups)
    ]


MACHINES = [
    {"banks": 1, "slices": 1, "width": 1, "gate_depth": 2},
    {"banks": 2, "slices": 1, "width": 2, "gate_depth": 2},
    {"banks": 4, "slices": 4},
    {"banks": 8, "slices": 2, "streams": 3},
    {"banks": 8, "slices": 4, "width": 8, "lanes": 64, "gate_depth": 4},
]


@pytest.mark.parametrize("idle", [0, 2])
@pytest.mark.parametrize("changes", MACHINES)
def test_gates_side_by_side(changes: dict[str, int], idle: int) -> None:
    """Tiles of all widths one after the other, in as many cycles as they have words."""
    config = make_config(**changes)
    slices = config.slices
    rng = np.random.default_rng([config.banks, idle])
    out_words = max(2, 5 * config.banks // slices // 2)
    watch = Watch(config, out_words, 0, 0)
    dut = watch.dut

    async def bench(ctx: Any) -> None:
        watch.start(ctx)
        for _ in range(30):
            tile, rows = random_tile(rng, config), random_rows(rng, config)
            watch.set_sums(ctx, rows)
            sums = group_sums(tile, rows)
            for cycle in range(max(1, tile.groups // slices)):
                # The finished pass is said once; its sums stay.
                ctx.set(dut.finished, tile.finished(config.banks) if not cycle else {})
                there: dict[int, Segment] = {}
                for n in range(tile.segment, tile.segment + tile.groups):
                    if (n - tile.segment) // slices == cycle:
                        there[n % slices] = n // slices, sums[n - tile.segment]
                (word,) = {one[0] for one in there.values()}
                inside = word < out_words
                wanted = {s: one[1] for s, one in there.items()} if inside else {}
                assert watch.segments(ctx) == wanted
                complete = sum(1 << s for s in wanted) if tile.final else 0
                assert ctx.get(dut.complete) == complete
                if wanted:
                    for name in ("turn", "hidden", "final"):
                        assert ctx.get(dut.tag[name]) == getattr(tile, name)
                    assert ctx.get(dut.tag.word) == word
                if complete:
                    for name in ("turn", "fresh"):
                        assert ctx.get(dut.neurons[name]) == getattr(tile, name)
                    assert ctx.get(dut.neurons.word) == word
                    ends = tile.end and word + 1 == out_words
                    assert ctx.get(dut.neurons.step_end) == ends
                assert ctx.get(dut.neurons.valid) == bool(complete)
                await ctx.tick()
            ctx.set(dut.finished, {})
            for _ in range(int(rng.integers(idle + 1))):
                watch.set_sums(ctx, random_rows(rng, config))
                assert not ctx.get(dut.valid)
                assert not ctx.get(dut.complete)
                assert not ctx.get(dut.neurons.valid)
                await ctx.tick()

    run(dut, bench, cycles=2000)


@pytest.mark.parametrize("wide", [0, 1])
@pytest.mark.parametrize(("changes", "rows_each"), [(MACHINES[0], 1), (MACHINES[1], 2)])
@pytest.mark.parametrize("out_words", [3, 4])
def test_gate_by_gate_narrow(
    changes: dict[str, int], rows_each: int, wide: int, out_words: int
) -> None:
    check_gate_by_gate(changes, rows_each, wide, out_words)


@pytest.mark.parametrize("wide", [0, 1])
@pytest.mark.parametrize("out_words", [5, 8, 9])
def test_gate_by_gate(wide: int, out_words: int) -> None:
    check_gate_by_gate(MACHINES[4], 4, wide, out_words)


def check_gate_by_gate(changes: dict[str, int], rows_each: int, wide: int, out_words: int) -> None:
    """Passes of one gate of one segment a slice, and the words of each last gate one by one.

    Last gates come as close as the words let them, other gates in every cycle between.
    """
    config = make_config(**changes)
    slices = config.slices
    rng = np.random.default_rng([config.banks, wide, out_words])
    watch = Watch(config, out_words, 1, wide)
    dut = watch.dut
    pace = 2 if wide else 1
    coming: dict[int, tuple[int, int, Tile]] = {}  # cycle -> word, slices, last gate

    async def bench(ctx: Any) -> None:
        watch.start(ctx)
        free = completed = 0
        for now in range(200):
            rows = random_rows(rng, config)
            watch.set_sums(ctx, rows)
            wanted: dict[int, list[int]] = {}
            tile = None
            if rng.random() < 0.8:
                final = int(now >= free and rng.random() < 0.6)
                groups = 1 << int(rng.integers(slices.bit_length()))
                last_segment = slices * (1 + -(-out_words // rows_each))  # and some beyond
                segment = groups * int(rng.integers(last_segment // groups))
                gate = 3 if final else int(rng.integers(3))
                tile = random_tile(
                    rng, config, groups=groups, segment=segment, final=final, gate=gate
                )
                place = segment // slices
                sums = group_sums(tile, rows)
                for n in range(segment, segment + groups):
                    if rows_each * (n // slices) < out_words:
                        wanted[n % slices] = sums[n - segment]
                if final:
                    free = now + pace * rows_each
                    for k in range(rows_each):
                        if rows_each * place + k < out_words:
                            mask = sum(1 << s for s in wanted)
                            coming[now + pace * k] = rows_each * place + k, mask, tile
            ctx.set(dut.finished, tile.finished(config.banks) if tile else {"final": 1})
            assert watch.segments(ctx) == wanted, now
            if wanted and tile:
                assert ctx.get(dut.tag.word) == 4 * (tile.segment // slices) + tile.gate
                for name in ("gate", "turn", "hidden", "final"):
                    assert ctx.get(dut.tag[name]) == getattr(tile, name)
            word, mask, last = coming.pop(now, (0, 0, None))
            assert ctx.get(dut.complete) == mask, now
            assert ctx.get(dut.neurons.valid) == bool(mask)
            if last is not None:
                completed += 1
                assert ctx.get(dut.neurons.word) == word
                assert ctx.get(dut.neurons.turn) == last.turn
                assert ctx.get(dut.neurons.fresh) == last.fresh
                ends = last.end and word + 1 == out_words
                assert ctx.get(dut.neurons.step_end) == ends
            await ctx.tick()
        assert completed > 30

    run(dut, bench, cycles=1000)
