"""A whole lane against the plain sum over its rows."""

import random
from dataclasses import dataclass, replace

import pytest
from amaranth.sim import Simulator

from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import MaskFlag
from sparnn.hdl.sparse.lane.lane import Lane

SMALL = {"columns": 64, "mask_depth": 256, "weight_depth": 1024}


@dataclass
class Work:
    """A lane's program and data: rows of weights per half, and vectors per step.

    A lane of several rows takes them in blocks, the last one of a half with those that are left.
    """

    rows: tuple[list[list[int]], list[list[int]]]  # [half][row][column]
    vectors: tuple[list[list[int]], list[list[int]]]  # [half][step][column]
    factors: tuple[list[tuple[int, int]], list[tuple[int, int]]]  # [half][row]: positive, negative

    @property
    def expected(self) -> list[int]:
        sums = []
        for step in range(len(self.vectors[0])):
            for half in (0, 1):
                for row, factors in zip(self.rows[half], self.factors[half], strict=True):
                    pairs = zip(row, self.vectors[half][step], strict=True)
                    sums.append(sum(w * factors[w < 0] * a for w, a in pairs))
        return sums


def draw(rng: random.Random, bits: int, density: float, extreme: bool) -> int:
    if rng.random() >= density:
        return 0
    top = (1 << bits - 1) - 1
    if extreme:
        return rng.choice((-top - 1, top))
    return rng.choice([k for k in (rng.randint(-top, top) for _ in range(4)) if k] or [1])


def make_work(config: SparseConfig, seed: int, density: float, extreme: bool = False) -> Work:
    rng = random.Random(seed)
    steps = rng.randint(1, 6)
    chunks = [rng.randint(1, config.column_chunks) for _ in range(2)]
    count = [rng.randint(1, 7) * config.width - rng.randrange(config.width) for _ in range(2)]
    if not config.masks:  # what is counted is the same in both halves
        count[1] = count[0]
    rows, vectors = [], []
    for half in (0, 1):
        columns = chunks[half] * config.chunk
        if not config.masks:  # a vector may end within a chunk
            columns -= config.post_units * rng.randrange(config.chunk // config.post_units)
        rows.append(
            [
                [draw(rng, config.weight_bits, density, extreme) for _ in range(columns)]
                for _ in range(count[half])
            ]
        )
        vectors.append(
            [
                [draw(rng, config.activation_bits, density, extreme) for _ in range(columns)]
                for _ in range(steps)
            ]
        )
    most = 3 if config.split_scales else 1
    factors = tuple([(rng.randint(1, most), rng.randint(1, most)) for _ in half] for half in rows)
    return Work(tuple(rows), tuple(vectors), factors)


def simulate(config: SparseConfig, work: Work, seed: int, stall: float) -> tuple[list[int], int]:
    """The lane's sums, and the cycles from the first token to the last sum."""
    rng = random.Random(seed)
    dut = Lane(config)
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    taken: list[int] = []
    cycles = held = 0
    chunk_words = config.chunk // config.post_units

    async def bench(ctx):
        nonlocal cycles, held
        coming: list[int] = []
        rows_left = [len(rows) for rows in work.rows]
        blocks = [
            [min(config.width, left - at) for at in range(0, left, config.width)]
            for left in rows_left
        ]
        last_rows = set()  # of their blocks, in a step
        at = -1
        for size in [*blocks[0], *blocks[1]]:
            at += size
            last_rows.add(at)
        arrivals = 0

        def count_arrival():
            nonlocal arrivals
            arrivals += 1

        async def tick():
            nonlocal held
            # The sums of a block are written one after the other.
            held += bool(coming)
            coming[:1] = []
            if ctx.get(dut.arrived):
                place = arrivals % sum(map(len, blocks))
                size = [*blocks[0], *blocks[1]][place]
                held += 1
                coming.extend([1] * (size - 1))
                count_arrival()
            await ctx.tick()

        async def load(enable, addr, value):
            ctx.set(dut.load_addr, addr)
            ctx.set(dut.load_data, value)
            ctx.set(enable, 1)
            await ctx.tick()
            ctx.set(enable, 0)

        async def vector(half, parity, values):
            for word in range(len(values) // config.post_units):
                group = values[word * config.post_units : (word + 1) * config.post_units]
                chunk = word // chunk_words
                seen = values[chunk * config.chunk : (word + 1) * config.post_units]
                mask = sum(1 << k for k, value in enumerate(seen) if value)
                packed = 0
                for k, value in enumerate(group):
                    packed |= (
                        value & (1 << config.activation_bits) - 1
                    ) << k * config.activation_bits
                ctx.set(
                    dut.broadcast,
                    {
                        "half": half,
                        "thread": 0,
                        "parity": parity,
                        "word": word,
                        "values": packed,
                        "mask": mask,
                    },
                )
                ctx.set(dut.broadcast_en, 1)
                await tick()
                ctx.set(dut.broadcast_en, 0)

        masks, weight_addr, width = [], 0, config.width
        for half in (0, 1):
            factors = work.factors[half]
            for number in range(0, len(work.rows[half]), width):
                block = work.rows[half][number : number + width]
                columns = list(zip(*block, strict=True))
                positive, negative = factors[number]
                for start in range(0, len(columns), config.chunk):
                    part = columns[start : start + config.chunk]
                    row_end = start + config.chunk >= len(columns)
                    mask = sum(1 << k for k, weights in enumerate(part) if any(weights))
                    mask |= row_end << config.chunk + MaskFlag.ROW_END
                    if config.split_scales:
                        mask |= (positive | negative << 2) << config.chunk + 4
                    masks.append(mask)
                for weights in columns:
                    if any(weights) or not config.masks:
                        bits = config.weight_bits
                        each = [weight & (1 << bits) - 1 for weight in weights]
                        word = sum(weight << k * bits for k, weight in enumerate(each))
                        await load(dut.weight_load_en, weight_addr, word)
                        weight_addr += 1
            masks[-1] |= 1 << config.chunk + MaskFlag.HALF_END
        if config.masks:
            masks[-1] |= 1 << config.chunk + MaskFlag.LOOP_END
            masks *= 1 + (len(masks) < 3)
            masks[-3] |= 1 << config.chunk + MaskFlag.JUMP
            for addr, mask in enumerate(masks):
                await load(dut.mask_load_en, addr, mask)
        else:
            count = -(-len(work.rows[0]) // width)
            ctx.set(dut.plan, {"first": 0, "groups": 1, "blocks": count, "hidden": 1, "rotate": 1})
        ctx.set(dut.layer, {"mask_base": 0, "weight_base": 0})
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)

        steps = len(work.vectors[0])
        x_sent = h_sent = 0
        x_rows, h_rows = len(work.rows[0]), len(work.rows[1])

        async def feed():
            nonlocal x_sent, h_sent
            steps_done = len(taken) // (x_rows + h_rows)
            x_done = steps_done + (len(taken) % (x_rows + h_rows) >= x_rows)
            if x_sent < steps and x_sent < x_done + 2:
                await vector(0, x_sent & 1, work.vectors[0][x_sent])
                x_sent += 1
            elif h_sent < steps and h_sent <= steps_done:
                await vector(1, h_sent & 1, work.vectors[1][h_sent])
                h_sent += 1
            ctx.set(dut.tokens, [{"x": x_sent & 3, "h": h_sent & 3}])

        while len(taken) < len(work.expected):
            await feed()
            pop = held > 0 and rng.random() >= stall
            held -= pop
            ctx.set(dut.pop, pop)
            if config.width > 1:
                ctx.set(dut.move, pop and len(taken) % sum(rows_left) in last_rows)
            await tick()
            cycles += 1
            ctx.set(dut.pop, 0)
            if pop:
                taken.append(ctx.get(dut.partial_sum))
            else:
                assert ctx.get(dut.partial_sum) == 0
            assert cycles < 20_000, f"only {len(taken)} of {len(work.expected)} sums came"

    simulator.add_testbench(bench)
    simulator.run()
    return taken, cycles


@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(32, 8, 1), (8, 4, 1), (16, 4, 4), (64, 16, 2)])
def test_sums_of_all_rows(shape: tuple[int, int, int], density: float) -> None:
    chunk, sub_chunk, post_units = shape
    config = SparseConfig(
        lanes=post_units,
        post_units=post_units,
        max_v=1,
        chunk=chunk,
        sub_chunk=sub_chunk,
        queue_depth=2 + post_units,
        **SMALL,
    )
    for seed in range(3):
        work = make_work(config, seed, density)
        assert simulate(config, work, seed, stall=0.3)[0] == work.expected, f"seed {seed}"


@pytest.mark.parametrize("masks", [1, 0])
@pytest.mark.parametrize("shape", [(32, 8, 1, 4), (8, 4, 1, 2), (16, 4, 4, 8), (16, 4, 2, 1)])
def test_blocks_of_rows(shape: tuple[int, int, int, int], masks: int) -> None:
    chunk, sub_chunk, post_units, width = shape
    config = SparseConfig(
        lanes=post_units,
        width=width,
        masks=masks,
        post_units=post_units,
        max_v=1,
        chunk=chunk,
        sub_chunk=sub_chunk,
        queue_depth=max(2, width),
        **SMALL,
    )
    for seed, density in enumerate((0.0, 0.1, 0.6)):
        work = make_work(config, seed, density)
        assert simulate(config, work, seed, stall=0.3)[0] == work.expected, f"seed {seed}"


def test_extremes_never_overflow() -> None:
    config = SparseConfig(lanes=1, max_v=1, weight_bits=4, activation_bits=16, **SMALL)
    work = make_work(config, 7, 1.0, extreme=True)
    assert simulate(config, work, 7, stall=0.0)[0] == work.expected


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
def test_split_scales(density: float) -> None:
    """Each row has a factor for its positive and one for its negative weights."""
    config = SparseConfig(
        lanes=2,
        post_units=2,
        max_v=1,
        chunk=16,
        sub_chunk=4,
        split_scales=1,
        queue_depth=2,
        **SMALL,
    )
    for seed in range(3):
        work = make_work(config, seed, density, extreme=seed == 2)
        assert simulate(config, work, seed, stall=0.3)[0] == work.expected, f"seed {seed}"


@pytest.mark.parametrize(
    "options",
    [
        {"post_units": 4},
        {"post_units": 1, "parity": 1},
        {"post_units": 4, "width": 4},
        {"post_units": 2, "width": 2, "masks": 0, "parity": 1},
        {"post_units": 2, "split_scales": 1},
    ],
    ids=str,
)
def test_banks_and_slices(options: dict[str, int]) -> None:
    """In cycles and sums the lane of one memory each."""
    config = SparseConfig(
        lanes=options["post_units"],
        max_v=1,
        chunk=16,
        sub_chunk=4,
        queue_depth=4,
        **SMALL,
        **options,
    )
    small = replace(config, bank_bytes=256, sliced_copy=1)
    assert small.banks(small.weight_depth, small.weight_entry_bits) > 1
    for seed, density in enumerate((0.2, 1.0)):
        work = make_work(config, seed, density)
        plain, banked = (simulate(one, work, seed, stall=0.3) for one in (config, small))
        assert banked == plain
        assert banked[0] == work.expected
