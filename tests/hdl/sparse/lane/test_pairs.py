"""PairStage: the sums of rows given as sub-masks, and one pair per cycle."""

import random
from dataclasses import dataclass

import pytest

from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.lane.pairs import PairStage, issue_to_sum
from tests.hdl.stream_helpers import run

SHAPES = {
    "small": {"chunk": 8, "sub_chunk": 4, "columns": 24},
    "wide": {"chunk": 16, "sub_chunk": 4, "columns": 32, "width": 4},
    "without masks": {"chunk": 16, "sub_chunk": 4, "columns": 32, "width": 2, "masks": 0},
    "one bank": {"chunk": 64, "sub_chunk": 32, "columns": 128},
    "split": {"chunk": 16, "sub_chunk": 8, "columns": 64, "split_scales": 1},
    "banks": {"chunk": 16, "sub_chunk": 8, "columns": 32, "lanes": 4, "post_units": 4, "max_v": 1},
    "more banks than sub-mask bits": {
        "chunk": 32,
        "sub_chunk": 4,
        "columns": 64,
        "lanes": 32,
        "post_units": 32,
        "max_v": 1,
    },
}


def make_config(shape: str, weight_bits: int = 8, activation_bits: int = 8) -> SparseConfig:
    return SparseConfig(
        **SHAPES[shape],
        weight_depth=256,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
    )


@dataclass
class Contents:
    """weights[address][row] and activations[half][parity][column] of one lane."""

    weights: list[list[int]]
    activations: list[list[list[int]]]

    def sums(self, config: SparseConfig, row: list[dict[str, int]]) -> list[int]:
        """The sums of a block of rows, pair by pair."""
        totals = [0] * config.width
        subs = config.columns // config.sub_chunk
        # Places are counted within a copy whose size is rounded up to a power of two of chunks.
        chunk_bits = (config.column_chunks - 1).bit_length()
        span = config.sub_chunks << chunk_bits
        for sub in row:
            vector, place = divmod(sub["column"], span)
            assert place < subs
            address = sub["base"]
            if config.masks:
                address += sub["offset"]
            else:
                address += sub["column"] % config.sub_chunks * config.sub_chunk
            for k in range(config.sub_chunk):
                if sub["work"] >> k & 1:
                    column = place * config.sub_chunk + k
                    activation = self.activations[vector >> 1][vector & 1][column]
                    for number, weight in enumerate(self.weights[address]):
                        if config.split_scales:
                            weight *= sub["factors"]["positive" if weight > 0 else "negative"]
                        totals[number] += weight * activation
                address += sub["weights"] >> k & 1 if config.masks else 1
        return totals


def make_contents(rng: random.Random, config: SparseConfig, extreme: bool) -> Contents:
    """Extremes: weights are symmetric, activations are not (docs/numerics.md)."""
    w = (1 << config.weight_bits - 1) - 1
    a = 1 << config.activation_bits - 1

    def value(low: int, high: int) -> int:
        return rng.choice((low, high)) if extreme else rng.randint(low, high)

    return Contents(
        [[value(-w, w) for _ in range(config.width)] for _ in range(config.weight_depth)],
        [[[value(-a, a - 1) for _ in range(config.columns)] for _ in range(2)] for _ in range(2)],
    )


def make_rows(
    rng: random.Random, config: SparseConfig, count: int, density: float
) -> list[list[dict[str, int]]]:
    """Rows as the mask scan makes them: sub-masks with work, or one empty end."""
    rows = []
    span = config.sub_chunks << (config.column_chunks - 1).bit_length()
    for _ in range(count):
        row = []
        vector = rng.randrange(4)
        for place in range(config.columns // config.sub_chunk):
            weights = sum((rng.random() < density) << k for k in range(config.sub_chunk))
            work = weights & sum((rng.random() < density) << k for k in range(config.sub_chunk))
            if work:
                row.append(
                    {
                        "work": work,
                        "weights": weights,
                        "base": rng.randint(0, config.weight_depth - config.chunk),
                        "offset": rng.randint(0, config.chunk - config.sub_chunk),
                        "column": vector * span + place,
                        "last": 0,
                    }
                )
        empty = {"work": 0, "weights": 0, "base": 5, "offset": 2, "column": 1, "last": 0}
        if not row or rng.random() < 0.1:
            row.append(empty)
        row[-1]["last"] = 1
        if not config.masks:
            row = [{k: sub[k] for k in ("work", "base", "column", "last")} for sub in row]
        if config.split_scales:
            factors = {"positive": rng.randint(1, 3), "negative": rng.randint(1, 3)}
            for sub in row:
                sub["factors"] = factors
        rows.append(row)
    return rows


async def fill(ctx, dut, config, contents):
    bits = config.weight_bits
    for number, weights in enumerate(contents.weights):
        word = sum((weight & (1 << bits) - 1) << k * bits for k, weight in enumerate(weights))
        ctx.set(dut.load_addr, number)
        ctx.set(dut.load_data, word)
        ctx.set(dut.load_en, 1)
        await ctx.tick()
        ctx.set(dut.load_en, 0)
    width = config.activation_bits
    for half in range(2):
        for parity in range(2):
            values = contents.activations[half][parity]
            for word in range(config.local_words):
                part = values[word * config.post_units : (word + 1) * config.post_units]
                packed = sum((v & (1 << width) - 1) << width * k for k, v in enumerate(part))
                ctx.set(
                    dut.broadcast,
                    {
                        "half": half,
                        "thread": 0,
                        "parity": parity,
                        "word": word,
                        "values": packed,
                        "mask": 0,
                    },
                )
                ctx.set(dut.broadcast_en, 1)
                await ctx.tick()
    ctx.set(dut.broadcast_en, 0)


def slots(row: list[dict[str, int]]) -> int:
    """Cycles of a row at full rate: one per pair, and one for an end without a pair."""
    return sum(max(1, sub["work"].bit_count()) for sub in row)


async def check_rows(ctx, dut, config, contents, rows, rng, idle, full):
    """Sums, their number and latency; returns the cycle of each commit."""
    subs = [sub for row in rows for sub in row]
    wanted = [contents.sums(config, row) for row in rows]
    low = -(1 << config.lane_sum_bits - 1)
    assert all(low <= value < -low for values in wanted for value in values)
    committed: list[int] = []
    sums: list[list[int]] = []
    offered = False
    clock = 0
    while len(sums) < len(rows):
        offered = bool(subs) and (offered or rng.random() >= idle)
        ctx.set(dut.subs.valid, offered)
        # Nothing is promised about a payload that is not valid.
        ctx.set(dut.subs.payload, subs[0] if offered else {"work": rng.getrandbits(4), "last": 1})
        room = rng.random() >= full
        ctx.set(dut.room, room)
        if ctx.get(dut.push):
            assert clock == committed[len(sums)] + issue_to_sum(config) - 1
            sums.append([ctx.get(one) for one in dut.sums])
        if ctx.get(dut.commit):
            assert room
            committed.append(clock)
        if offered and ctx.get(dut.subs.ready):
            subs.pop(0)
            offered = False
        await ctx.tick()
        clock += 1
        assert clock < 20_000
    ctx.set(dut.subs.valid, 0)
    ctx.set(dut.room, 1)
    assert sums == wanted
    assert not subs
    for _ in range(issue_to_sum(config) + 2):
        assert not ctx.get(dut.commit)
        assert not ctx.get(dut.push)
        await ctx.tick()
    return committed


@pytest.mark.parametrize(("idle", "full"), [(0.0, 0.0), (0.4, 0.0), (0.0, 0.7), (0.3, 0.3)])
@pytest.mark.parametrize("shape", SHAPES)
def test_sums(shape: str, idle: float, full: float) -> None:
    config = make_config(shape)
    dut = PairStage(config)
    rng = random.Random(str((shape, idle, full)))

    async def bench(ctx):
        contents = make_contents(rng, config, extreme=False)
        await fill(ctx, dut, config, contents)
        for density in (0.0, 0.2, 0.7, 1.0):
            rows = make_rows(rng, config, 8, density)
            await check_rows(ctx, dut, config, contents, rows, rng, idle, full)

    run(dut, bench, cycles=50_000)


@pytest.mark.parametrize(("weight_bits", "activation_bits"), [(4, 8), (4, 16), (16, 8), (16, 16)])
def test_extremes(weight_bits: int, activation_bits: int) -> None:
    """Every column at an extreme, all products of one sign: the widest sum there is."""
    config = make_config("banks", weight_bits, activation_bits)
    dut = PairStage(config)
    rng = random.Random(weight_bits * 100 + activation_bits)
    weight, activation = (1 << weight_bits - 1) - 1, 1 << activation_bits - 1

    async def bench(ctx):
        rows = make_rows(rng, config, 6, 1.0)
        for sign in (-1, 1):
            contents = Contents(
                [[sign * weight]] * config.weight_depth,
                [[[-activation] * config.columns] * 2] * 2,
            )
            assert contents.sums(config, rows[0]) == [-sign * weight * activation * config.columns]
            await fill(ctx, dut, config, contents)
            await check_rows(ctx, dut, config, contents, rows, rng, 0.0, 0.0)
        contents = make_contents(rng, config, extreme=True)
        await fill(ctx, dut, config, contents)
        await check_rows(ctx, dut, config, contents, rows, rng, 0.1, 0.1)

    run(dut, bench, cycles=20_000)


def test_extremes_of_split_scales() -> None:
    """The widest sum with factors of 3 on either side, and with only one sign in a row."""
    config = make_config("split", 10, 10)
    dut = PairStage(config)
    rng = random.Random(0)

    async def bench(ctx):
        for sign in (-1, 1):
            contents = Contents(
                [[sign * 511]] * config.weight_depth, [[[-512] * config.columns] * 2] * 2
            )
            await fill(ctx, dut, config, contents)
            rows = []
            for positive, negative in ((3, 3), (3, 1), (1, 3), (2, 1)):
                (row,) = make_rows(rng, config, 1, 1.0)
                for sub in row:
                    sub["factors"] = {"positive": positive, "negative": negative}
                factor = positive if sign > 0 else negative
                assert contents.sums(config, row) == [sign * factor * 511 * -512 * config.columns]
                rows.append(row)
            await check_rows(ctx, dut, config, contents, rows, rng, 0.0, 0.0)

    run(dut, bench, cycles=5000)


@pytest.mark.parametrize("density", [0.3, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_one_pair_per_cycle(shape: str, density: float) -> None:
    """With sub-masks at hand and room behind there is no cycle without a pair or an empty end."""
    config = make_config(shape)
    dut = PairStage(config)
    rng = random.Random(str((shape, density)))

    async def bench(ctx):
        contents = make_contents(rng, config, extreme=False)
        await fill(ctx, dut, config, contents)
        rows = make_rows(rng, config, 10, density)
        committed = await check_rows(ctx, dut, config, contents, rows, rng, 0.0, 0.0)
        # The first sub-mask is taken in cycle 0, its first pair issued in cycle 1.
        expected, clock = [], 0
        for row in rows:
            clock += slots(row)
            expected.append(clock)
        assert committed == expected

    run(dut, bench, cycles=20_000)


def test_only_the_last_pair_waits_for_room() -> None:
    """Without room all but a row's last pair are issued; with room it leaves at once."""
    config = make_config("small")
    dut = PairStage(config)
    rng = random.Random(0)

    async def bench(ctx):
        contents = make_contents(rng, config, extreme=False)
        await fill(ctx, dut, config, contents)
        (row,) = make_rows(rng, config, 1, 1.0)
        ctx.set(dut.room, 0)
        ctx.set(dut.subs.valid, 1)
        for sub in row:
            ctx.set(dut.subs.payload, sub)
            await ctx.tick().until(dut.subs.ready)
        ctx.set(dut.subs.valid, 0)
        for _ in range(20):
            assert not ctx.get(dut.commit)
            assert not ctx.get(dut.push)
            await ctx.tick()
        ctx.set(dut.room, 1)
        assert ctx.get(dut.commit)
        await ctx.tick()
        ctx.set(dut.room, 0)
        for _ in range(issue_to_sum(config) - 2):
            assert not ctx.get(dut.push)
            await ctx.tick()
        assert ctx.get(dut.push)
        assert [ctx.get(dut.sums[0])] == contents.sums(config, row)

    run(dut, bench, cycles=5000)
