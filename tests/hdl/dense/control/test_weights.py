"""Sections of external memory beside the words that they put into the lanes."""

from typing import Any

import numpy as np
import pytest

from sparnn.gen.machines.dense.sections import LayerGroup, section_words
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.control.weights import WeightLoader
from tests.hdl.stream_helpers import run, send

#: A lane's word of weights is one of memory; several, with a part for no lane; in two; no power of
#: two, several.
MACHINES = (
    {"lanes": 4, "banks": 1, "width": 8, "stream_bits": 64},
    {"lanes": 6, "banks": 1, "width": 4, "stream_bits": 128},
    {"lanes": 4, "banks": 1, "width": 16, "stream_bits": 64},
    {"lanes": 4, "banks": 1, "width": 4, "weight_bits": 5, "stream_bits": 256},
)


def drawn(config: DenseConfig, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Weights, [lanes, rows, K]."""
    most = (1 << config.weight_bits - 1) - 1
    return rng.integers(-most, most + 1, (config.lanes, rows, config.width)).astype(np.int32)


def as_integers(section: np.ndarray) -> list[int]:
    """Words of memory as numbers."""
    return [sum(int(part) << 32 * k for k, part in enumerate(word)) for word in section]


def expected(config: DenseConfig, base: int, weights: np.ndarray) -> dict[tuple[int, int], int]:
    """(lane, address) -> the word there."""
    mask = (1 << config.weight_bits) - 1
    return {
        (lane, base + row): sum(
            (int(weight) & mask) << config.weight_bits * k for k, weight in enumerate(entry)
        )
        for lane, rows in enumerate(weights)
        for row, entry in enumerate(rows)
    }


@pytest.mark.parametrize("idle", [0.0, 0.5])
@pytest.mark.parametrize("number", range(len(MACHINES)))
def test_sections(number: int, idle: float) -> None:
    """One after the other, each when the one before has begun; every word in its place, once."""
    config = DenseConfig(weight_depth=64, **MACHINES[number])
    dut = WeightLoader(config)
    rng = np.random.default_rng(number)
    sections, wanted = [], []
    for base, rows in ((0, 1), (57, 7), (3, 20)):
        weights = drawn(config, rows, rng)
        group = LayerGroup((0,), rows, base, "swapped")
        sections.append(as_integers(section_words(config, group, weights)))
        wanted.append(expected(config, base, weights))
    found: list[dict[tuple[int, int], int]] = [{}]

    async def memory(ctx: Any) -> None:
        words = [word for section in sections for word in section]
        await send(ctx, dut.words, words, idle=idle, seed=number)

    async def lanes(ctx: Any) -> None:
        entry = (1 << config.weight_entry_bits) - 1
        while True:
            await ctx.tick()
            if not ctx.get(dut.load.en):
                continue
            for part in range(config.lanes_at_once):
                lane = ctx.get(dut.load.lane) * config.lanes_at_once + part
                word = ctx.get(dut.load.data) >> part * config.weight_slot_bits & entry
                if lane < config.lanes:
                    place = lane, ctx.get(dut.load.addr)
                    assert place not in found[-1]
                    found[-1][place] = word
                else:
                    assert word == 0

    async def bench(ctx: Any) -> None:
        for section in range(len(sections)):
            while not ctx.get(dut.there):
                await ctx.tick()
            for _ in range(int(rng.integers(6))):  # nothing moves until it has begun
                await ctx.tick()
                assert ctx.get(dut.there)
                assert not ctx.get(dut.words.ready)
            assert found[-1] == wanted[section]
            found.append({})
            ctx.set(dut.next, 1)
            await ctx.tick()
            ctx.set(dut.next, 0)
        assert not ctx.get(dut.there)
        assert not ctx.get(dut.damaged)

    run(dut, bench, background=[memory, lanes], cycles=5000)


def test_damage_is_told_and_never_there() -> None:
    config = DenseConfig(weight_depth=64, **MACHINES[0])
    dut = WeightLoader(config)
    weights = drawn(config, 3, np.random.default_rng(0))
    group = LayerGroup((0,), 3, 5, "swapped")
    words = as_integers(section_words(config, group, weights))

    async def bench(ctx: Any) -> None:
        for place in (4, len(words) - 1):
            damaged = [word ^ (1 << 40) * (k == place) for k, word in enumerate(words)]
            await send(ctx, dut.words, damaged)
            for _ in range(6):
                await ctx.tick()
                assert not ctx.get(dut.there)
                assert not ctx.get(dut.words.ready)
            assert ctx.get(dut.damaged)
            ctx.set(dut.clear, 1)
            await ctx.tick()
            ctx.set(dut.clear, 0)
            await ctx.tick()
            assert not ctx.get(dut.damaged)
            await send(ctx, dut.words, words)
            await ctx.tick().repeat(3)
            assert ctx.get(dut.there)
            ctx.set(dut.clear, 1)
            await ctx.tick()
            ctx.set(dut.clear, 0)
            assert not ctx.get(dut.there)

    run(dut, bench, cycles=5000)
