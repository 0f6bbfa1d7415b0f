"""ChunkFetch and MaskScan: the sub-masks of a lane's rows, in order, and their cycles."""

import random
from dataclasses import dataclass
from itertools import pairwise

import pytest
from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import wiring

from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.lane.fetch import ChunkFetch
from sparnn.hdl.sparse.lane.scan import MaskScan
from tests.hdl.stream_helpers import plain, run

SHAPES = {
    "two subs": {"chunk": 8, "sub_chunk": 4, "columns": 24},
    "one chunk": {"chunk": 16, "sub_chunk": 4, "columns": 16},
    "wide": {"chunk": 256, "sub_chunk": 32, "columns": 512},
    "banks": {"chunk": 32, "sub_chunk": 8, "columns": 96, "lanes": 8, "post_units": 8, "max_v": 1},
    "two threads": {"chunk": 16, "sub_chunk": 8, "columns": 48, "threads": 2},
}


def make_config(shape: str) -> SparseConfig:
    return SparseConfig(**SHAPES[shape], mask_depth=400, weight_depth=3000)


class Front(Elaboratable):
    """The two together; its attributes are theirs. ready: takes the sub-mask that is offered."""

    def __init__(self, config: SparseConfig) -> None:
        self.fetch, self.scan = ChunkFetch(config), MaskScan(config)
        self.subs = self.scan.subs
        self.ready = Signal()
        for name in ("start", "tokens", "broadcast", "broadcast_en", "layer"):
            setattr(self, name, getattr(self.fetch, name))
        for name in ("load_addr", "load_data", "load_en"):
            setattr(self, name, getattr(self.fetch, name))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fetch, m.submodules.scan = self.fetch, self.scan
        wiring.connect(m, self.fetch.chunks, self.scan.chunks)
        m.d.comb += self.fetch.drop.eq(self.scan.drop)
        m.d.comb += [self.scan.layer.eq(self.fetch.layer), self.scan.start.eq(self.start)]
        m.d.comb += self.subs.ready.eq(~self.subs.valid | self.ready)
        return m


@dataclass(frozen=True)
class Item:
    """One sub-mask with work: where it belongs, and what the scan must say."""

    step: int
    half: int
    row: int
    payload: dict[str, int]


@dataclass
class Program:
    """rows[half][row][chunk], activations[half][step][chunk]: masks. Two halves are one thread's.

    A half without rows stands for a lane that has no neuron in this layer: one word, no row.
    """

    rows: list[list[list[int]]]
    activations: list[list[list[int]]]
    mask_base: int
    weight_base: int

    @property
    def steps(self) -> int:
        return len(self.activations[0])

    def words(self, config: SparseConfig) -> list[int]:
        """The mask memory's contents (docs/machine.md)."""
        found = []
        for half, rows in enumerate(self.rows):
            words = [
                mask | (k + 1 == len(row)) << config.chunk
                for row in rows
                for k, mask in enumerate(row)
            ]
            words = words or [0]
            words[-1] |= 2 << config.chunk
            if half + 1 == len(self.rows):
                words[-1] |= 4 << config.chunk
            found += words
        found *= -(-3 // len(found))
        found[-3] |= 8 << config.chunk
        return found

    def chunks(
        self, config: SparseConfig
    ) -> list[tuple[int, int, int, bool, list[dict[str, int]]]]:
        """Every chunk: step, half, row, whether it ends the row, its sub-masks with work."""
        found = []
        row_number = 0
        width = config.sub_chunk
        subs = config.chunk // width
        chunk_bits = (config.column_chunks - 1).bit_length()
        for step in range(self.steps):
            base = self.weight_base
            for half in range(len(self.rows)):
                place = (half & 1) << 1 | step & 1
                place = place << config.threads - 1 | half >> 1
                if not self.rows[half]:
                    found.append((step, half, -1, False, []))
                for row in self.rows[half]:
                    for chunk, mask in enumerate(row):
                        seen = self.activations[half][step][chunk]
                        here = []
                        for k in range(subs):
                            weights = mask >> k * width & (1 << width) - 1
                            work = weights & seen >> k * width
                            below = (mask & (1 << k * width) - 1).bit_count()
                            if work:
                                here.append(
                                    {
                                        "work": work,
                                        "weights": weights,
                                        "base": base,
                                        "offset": below,
                                        "column": (place << chunk_bits | chunk) * subs + k,
                                    }
                                )
                        found.append((step, half, row_number, chunk + 1 == len(row), here))
                        base += mask.bit_count()
                    row_number += 1
        return found

    def items(self, config: SparseConfig) -> list[Item]:
        """What the scan must deliver."""
        return [
            Item(step, half, row, payload)
            for step, half, row, _, here in self.chunks(config)
            for payload in here
        ]

    def cycles(self, config: SparseConfig) -> list[int]:
        """When each item is offered if it is taken at once, from the first chunk's coming on.

        A chunk comes a cycle after the one before has gone, and goes to the place at hand when that
        is free or being freed. Without work it goes by; where it would have had to wait, the next
        one comes a cycle later. At hand a chunk takes a cycle per item, and one for a row's end.
        """
        found = []
        comes, frees = 0, 0
        for _, _, _, row_end, here in self.chunks(config):
            if here or row_end:
                comes = max(comes, frees)
                found += range(comes + 2, comes + 2 + len(here))
                frees = comes + max(1, len(here))
            elif comes < frees:
                comes += 1
            comes += 1
        return found


def random_mask(rng: random.Random, bits: int, density: float) -> int:
    return sum((rng.random() < density) << k for k in range(bits))


def make_program(
    config: SparseConfig, rng: random.Random, density: float, halves: int, steps: int
) -> Program:
    counts = [rng.randint(1, config.column_chunks) for _ in range(halves)]
    rows = [
        [
            [random_mask(rng, config.chunk, density) for _ in range(counts[half])]
            for _ in range(rng.choice((1, 2, 4)))
        ]
        for half in range(halves)
    ]
    activations = [
        [
            [random_mask(rng, config.chunk, density) for _ in range(counts[half])]
            for _ in range(steps)
        ]
        for half in range(halves)
    ]
    return Program(rows, activations, 32 * rng.randrange(4), 128 * rng.randrange(12))


async def load(ctx, dut, config, program):
    """Mask memory; and the layer's settings."""
    for number, word in enumerate(program.words(config)):
        ctx.set(dut.load_addr, program.mask_base + number)
        ctx.set(dut.load_data, word)
        ctx.set(dut.load_en, 1)
        await ctx.tick()
        ctx.set(dut.load_en, 0)
    return {"mask_base": program.mask_base, "weight_base": program.weight_base}


async def vector(ctx, dut, config, half, step, masks):
    """The chunk masks of a step's vector: a chunk's first word, the last with the whole mask."""
    words = config.chunk // config.post_units
    for chunk, mask in enumerate(masks[step]):
        for word in (0, words - 1):
            so_far = mask & (1 << (word + 1) * config.post_units) - 1
            ctx.set(
                dut.broadcast,
                {
                    "half": half & 1,
                    "thread": half >> 1,
                    "parity": step & 1,
                    "word": chunk * words + word,
                    "values": 0,
                    "mask": so_far,
                },
            )
            ctx.set(dut.broadcast_en, 1)
            await ctx.tick()
    ctx.set(dut.broadcast_en, 0)


def tokens(config: SparseConfig, sent: list[int]) -> list[dict[str, int]]:
    """The tokens after so many vectors of each half."""
    sent = [*sent, 0, 0, 0, 0][: 2 * config.threads]
    return [{"x": sent[k] & 3, "h": sent[k + 1] & 3} for k in range(0, len(sent), 2)]


async def begin(ctx, dut, config, settings):
    ctx.set(dut.layer, settings)
    ctx.set(dut.tokens, tokens(config, []))
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)


async def check_layer(ctx, dut, config, program, rng, stall):
    """Vectors, tokens and back-pressure at random; several layers may follow each other."""
    settings = await load(ctx, dut, config, program)
    await begin(ctx, dut, config, settings)
    items = program.items(config)
    rows = [(row, step, half) for step, half, row, end, _ in program.chunks(config) if end]
    halves = len(program.rows)
    sent = [0] * halves
    position = watchdog = idle = 0
    held = None
    while idle < 12:
        # The next vector of a half, if its place in the copy is free: the ends of rows tell.
        _, step_now, half_now = rows[0] if rows else (0, program.steps, 0)
        for half in range(halves):
            done = step_now + (half_now > half)
            free = sent[half] < min(program.steps, done + (1 if half & 1 else 2))
            if free and rng.random() < 0.1:
                await vector(ctx, dut, config, half, sent[half], program.activations[half])
                sent[half] += 1
                break
        ctx.set(dut.tokens, tokens(config, sent))
        ready = rng.random() >= stall
        ctx.set(dut.ready, ready)
        payload = None
        if ctx.get(dut.subs.valid):
            payload = plain(ctx.get(dut.subs.payload))
            if payload["work"]:
                item = items[position]
                assert {**payload, **item.payload} == payload, (position, payload, item)
                assert item.row == rows[0][0], "the row before has not ended"
                assert sent[item.half] > item.step, "before its token"
            else:
                assert payload["last"], "nothing"
            if held is not None:
                assert payload["last"] >= held["last"]
                assert payload == {**held, "last": payload["last"]}
        else:
            assert held is None
        held = payload if not ready else None
        if payload is not None and ready:
            position += bool(payload["work"])
            if payload["last"]:
                ended, *_ = rows.pop(0)
                assert position == len(items) or items[position].row > ended
        await ctx.tick()
        ctx.set(dut.ready, 0)
        watchdog += 1
        assert watchdog < 10_000
        idle = idle + 1 if not rows and position == len(items) else 0


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize("density", [0.0, 0.15, 0.6, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_sub_masks(shape: str, density: float, stall: float) -> None:
    config = make_config(shape)
    dut = Front(config)
    rng = random.Random(str((shape, density, stall)))

    async def bench(ctx):
        for halves, steps in ((2 * config.threads, 5), (1, 5), (2, 3), (2, 1)):
            program = make_program(config, rng, density, halves, steps)
            await check_layer(ctx, dut, config, program, rng, stall)

    run(dut, bench, cycles=60_000)


async def timed(ctx, dut, config, program):
    """Up to two steps, everything there beforehand: when each item came, and when it should."""
    settings = await load(ctx, dut, config, program)
    await begin(ctx, dut, config, settings)
    for half in range(len(program.rows)):
        for step in range(program.steps):
            await vector(ctx, dut, config, half, step, program.activations[half])
    ctx.set(dut.tokens, tokens(config, [program.steps] * len(program.rows)))
    ctx.set(dut.ready, 1)
    items, wanted = program.items(config), program.cycles(config)
    seen = []
    for cycle in range(len(program.chunks(config)) + len(items) + 30):
        if ctx.get(dut.subs.valid) and ctx.get(dut.subs.payload.work):
            seen.append(cycle)
        await ctx.tick()
    assert len(seen) == len(items)
    return seen, wanted


#: From a token to the chunk, if its word has been waiting.
TOKEN_TO_CHUNK = 2


@pytest.mark.parametrize("density", [0.0, 0.02, 0.1, 0.4, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_cycles(shape: str, density: float) -> None:
    """A chunk per cycle, a sub-mask with work per cycle, and no bubble at the end of a half."""
    config = make_config(shape)
    dut = Front(config)
    rng = random.Random(str((shape, density)))

    async def bench(ctx):
        for halves in (1, 2, 2 * config.threads):
            program = make_program(config, rng, density, halves, 2)
            seen, wanted = await timed(ctx, dut, config, program)
            assert seen == [TOKEN_TO_CHUNK + at for at in wanted]

    run(dut, bench, cycles=20_000)


def test_chunks_without_work_go_by_under_those_with_work() -> None:
    """A chunk without work passes while four sub-masks leave: none of those is late."""
    config = SparseConfig(chunk=16, sub_chunk=4, columns=32)
    dut = Front(config)
    program = Program([[[0xF000, 0xFFFF]] * 6], [[[0x0FFF, 0xFFFF]]], 0, 0)

    async def bench(ctx):
        seen, _ = await timed(ctx, dut, config, program)
        assert [b - a for a, b in pairwise(seen)] == [1] * 23

    run(dut, bench, cycles=2000)


def test_dense_chunk_takes_one_cycle_per_sub_mask() -> None:
    config = SparseConfig(chunk=32, sub_chunk=4, columns=64)
    dut = Front(config)
    full = (1 << 32) - 1
    program = Program([[[full, full]] * 3], [[[full, full]]], 32, 128)

    async def bench(ctx):
        seen, _ = await timed(ctx, dut, config, program)
        assert seen == list(range(seen[0], seen[0] + 3 * 2 * 8))

    run(dut, bench, cycles=2000)


@pytest.mark.parametrize("rows", [[[], []], [[], [[255], [15]]], [[[1, 2, 3]], []]])
def test_group_without_a_neuron(rows: list[list[list[int]]]) -> None:
    """One word that ends a half and no row: no item, and the halves go by until the tokens end."""
    config = make_config("two subs")
    dut = Front(config)
    rng = random.Random(str(rows))

    async def bench(ctx):
        program = Program(rows, [[[255] * 3] * 9] * 2, 64, 384)
        await check_layer(ctx, dut, config, program, rng, 0.2)
        # A layer with rows works afterwards.
        await check_layer(ctx, dut, config, make_program(config, rng, 0.5, 2, 4), rng, 0.2)

    run(dut, bench, cycles=8000)
