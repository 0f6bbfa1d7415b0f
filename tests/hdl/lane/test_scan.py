"""MaskScan: the sub-masks of a lane's rows, in order, and the cycles that they take."""

import random
from dataclasses import dataclass
from itertools import pairwise

import pytest

from sparnn.hdl.config import MachineConfig
from sparnn.hdl.lane.scan import MaskScan
from tests.hdl.stream_helpers import plain, run

#: Extra cycles between the last chunk of a half and the first of the next.
HALF_END = 3

SHAPES = {
    "two subs": {"chunk": 8, "sub_chunk": 4, "columns": 24},
    "one chunk": {"chunk": 16, "sub_chunk": 4, "columns": 16},
    "wide": {"chunk": 128, "sub_chunk": 8, "columns": 256},
    "banks": {"chunk": 32, "sub_chunk": 8, "columns": 96, "lanes": 8, "post_units": 8, "max_v": 1},
}


def make_config(shape: str) -> MachineConfig:
    return MachineConfig(**SHAPES[shape], mask_depth=200, weight_depth=3000)


@dataclass(frozen=True)
class Item:
    """One sub-mask, and when: step, half, cycles from the first chunk if nothing ever waits."""

    step: int
    half: int
    at: int
    payload: dict[str, int]


@dataclass
class Program:
    """rows[half][row][chunk], activations[half][step][chunk]: masks. bases[half]: mask, weight."""

    rows: list[list[list[int]]]
    activations: list[list[list[int]]]
    bases: list[tuple[int, int]]
    null: bool = False

    @property
    def steps(self) -> int:
        return len(self.activations[0])

    def items(self, config: MachineConfig) -> tuple[list[Item], int]:
        """What the scan must deliver, and the cycles that all chunks take."""
        found = []
        clock = 0
        width = config.sub_chunk
        subs = config.chunk // width
        chunk_bits = (config.column_chunks - 1).bit_length()
        for step in range(self.steps):
            for half in range(len(self.rows)):
                base = self.bases[half][1]
                for row in self.rows[half]:
                    for chunk, mask in enumerate(row):
                        row_last = chunk + 1 == len(row)
                        seen = self.activations[half][step][chunk]
                        here = []
                        for k in range(subs):
                            weights = mask >> k * width & (1 << width) - 1
                            work = weights & seen >> k * width
                            below = (mask & (1 << k * width) - 1).bit_count()
                            place = (((half << 1 | step & 1) << chunk_bits) | chunk) * subs + k
                            if work:
                                here.append(
                                    {
                                        "work": work,
                                        "weights": weights,
                                        "base": base + below,
                                        "column": place,
                                        "last": 0,
                                    }
                                )
                        if row_last and not here and not self.null:
                            here.append({"work": 0, "last": 0})
                        if here:
                            here[-1]["last"] = int(row_last)
                        for k, payload in enumerate(here):
                            found.append(Item(step, half, clock + k, payload))
                        clock += max(1, len(here))
                        base += mask.bit_count()
                clock += HALF_END
        return found, clock - HALF_END


def random_mask(rng: random.Random, bits: int, density: float) -> int:
    return sum((rng.random() < density) << k for k in range(bits))


def make_program(
    config: MachineConfig, rng: random.Random, density: float, halves: int, steps: int
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
    bases = [(rng.randrange(90) + 100 * half, rng.randrange(1400)) for half in range(halves)]
    return Program(rows, activations, bases)


async def load(ctx, dut, config, program):
    """Mask memory, and the layer's settings."""
    for half, rows in enumerate(program.rows):
        words = [mask for row in rows for mask in row]
        for number, mask in enumerate(words):
            end = number + 1 == len(words)
            ctx.set(dut.load_addr, program.bases[half][0] + number)
            ctx.set(
                dut.load_data,
                mask | end << config.chunk | program.null << config.chunk + 1,
            )
            ctx.set(dut.load_en, 1)
            await ctx.tick()
            ctx.set(dut.load_en, 0)
    settings = {"has_hidden": len(program.rows) == 2}
    for half, name in enumerate("xh"[: len(program.rows)]):
        settings[f"chunks_{name}_last"] = len(program.rows[half][0]) - 1
        settings[f"mask_base_{name}"], settings[f"weight_base_{name}"] = program.bases[half]
    return settings


async def vector(ctx, dut, config, half, step, masks):
    """The chunk masks of one vector: a chunk's first word, then the last with the whole mask."""
    words = config.chunk // config.post_units
    for chunk, mask in enumerate(masks):
        for word in (0, words - 1):
            so_far = mask & (1 << (word + 1) * config.post_units) - 1
            ctx.set(
                dut.broadcast,
                {
                    "half": half,
                    "parity": step & 1,
                    "word": chunk * words + word,
                    "values": 0,
                    "mask": so_far,
                },
            )
            ctx.set(dut.broadcast_en, 1)
            await ctx.tick()
    ctx.set(dut.broadcast_en, 0)


async def begin(ctx, dut, settings):
    ctx.set(dut.layer, settings)
    ctx.set(dut.tokens, {"x": 0, "h": 0})
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)


def agree(payload: dict[str, int], item: Item) -> bool:
    """An empty row's end has no base and no column."""
    return all(payload[name] == value for name, value in item.payload.items())


async def check_layer(ctx, dut, config, program, rng, unfolded, stall):
    """Vectors, tokens and back-pressure at random; several layers may follow each other."""
    settings = await load(ctx, dut, config, program)
    await begin(ctx, dut, settings | {"unfolded": unfolded})
    items, _ = program.items(config)
    hidden = len(program.rows) == 2
    x_sent = h_sent = position = watchdog = 0
    held = None
    while position < len(items):
        step, half = items[position].step, items[position].half
        x_done = step + (half == 1)
        if x_sent < min(program.steps, x_done + 2) and rng.random() < 0.1:
            await vector_while_scanning(x_sent, 0, ctx, dut, config, program)
            x_sent += 1
        elif hidden and h_sent <= step and rng.random() < 0.1:
            await vector_while_scanning(h_sent, 1, ctx, dut, config, program)
            h_sent += 1
        ctx.set(dut.tokens, {"x": x_sent & 3, "h": h_sent & 3})
        ready = rng.random() >= stall
        ctx.set(dut.subs.ready, ready)
        payload = None
        if ctx.get(dut.subs.valid):
            payload = plain(ctx.get(dut.subs.payload))
            item = items[position]
            assert agree(payload, item), (position, payload, item)
            assert (h_sent if item.half else x_sent) > item.step, "before its token"
            if not unfolded:
                assert h_sent > item.step, "before the last step's hidden state"
        if held is not None:
            assert payload == held
        held = payload if not ready else None
        position += payload is not None and ready
        await ctx.tick()
        ctx.set(dut.subs.ready, 0)
        watchdog += 1
        assert watchdog < 10_000
    ctx.set(dut.subs.ready, 1)
    for _ in range(12):
        assert not ctx.get(dut.subs.valid)
        await ctx.tick()
    ctx.set(dut.subs.ready, 0)


async def vector_while_scanning(number, half, ctx, dut, config, program):
    """A vector is written while the scan is held by back-pressure."""
    await vector(ctx, dut, config, half, number, program.activations[half][number])


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize("density", [0.0, 0.15, 0.6, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_sub_masks(shape: str, density: float, stall: float) -> None:
    config = make_config(shape)
    dut = MaskScan(config)
    rng = random.Random(str((shape, density, stall)))

    async def bench(ctx):
        for halves, unfolded, steps in ((2, 1, 5), (1, 1, 5), (2, 0, 3), (2, 1, 1)):
            program = make_program(config, rng, density, halves, steps)
            await check_layer(ctx, dut, config, program, rng, unfolded, stall)

    run(dut, bench, cycles=60_000)


async def timed(ctx, dut, config, program):
    """Up to three steps, everything there beforehand: the cycle of each item and of the end."""
    settings = await load(ctx, dut, config, program)
    await begin(ctx, dut, settings | {"unfolded": 1})
    items, total = program.items(config)
    for half in range(len(program.rows)):
        for step in range(min(2, program.steps)):
            await vector(ctx, dut, config, half, step, program.activations[half][step])
    ctx.set(dut.tokens, {"x": program.steps, "h": program.steps})
    ctx.set(dut.subs.ready, 1)
    seen = []
    for cycle in range(total + 30):
        if ctx.get(dut.subs.valid):
            seen.append((cycle, plain(ctx.get(dut.subs.payload))))
        await ctx.tick()
    assert len(seen) == len(items)
    assert all(agree(payload, item) for (_, payload), item in zip(seen, items, strict=True))
    return [cycle for cycle, _ in seen], [item.at for item in items]


#: From a token to the first chunk at the sub-mask selection.
TOKEN_TO_SUB = 5


@pytest.mark.parametrize("density", [0.0, 0.1, 0.4, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_cycles(shape: str, density: float) -> None:
    """A chunk: one cycle per sub-mask with work, at least one. A half's end: three more."""
    config = make_config(shape)
    dut = MaskScan(config)
    rng = random.Random(str((shape, density)))

    async def bench(ctx):
        for halves in (1, 2, 2):
            program = make_program(config, rng, density, halves, 2)
            seen, wanted = await timed(ctx, dut, config, program)
            assert seen == [TOKEN_TO_SUB + at for at in wanted]

    run(dut, bench, cycles=20_000)


def test_chunks_without_work_take_one_cycle() -> None:
    """Rows of 5 chunks with work in the last one only: 5 cycles a row."""
    config = MachineConfig(chunk=16, sub_chunk=4, columns=80)
    dut = MaskScan(config)
    rows = [[0xFFFF, 0, 0x00FF, 0xF000, 0x0010]] * 6
    program = Program([rows], [[[0, 0xFFFF, 0xFF00, 0x0FFF, 0xFFFF]]], [(0, 0)])

    async def bench(ctx):
        seen, _ = await timed(ctx, dut, config, program)
        assert [b - a for a, b in pairwise(seen)] == [5] * 5

    run(dut, bench, cycles=2000)


def test_dense_chunk_takes_one_cycle_per_sub_mask() -> None:
    config = MachineConfig(chunk=32, sub_chunk=4, columns=64)
    dut = MaskScan(config)
    full = (1 << 32) - 1
    program = Program([[[full, full]] * 3], [[[full, full]]], [(7, 9)])

    async def bench(ctx):
        seen, _ = await timed(ctx, dut, config, program)
        assert seen == list(range(seen[0], seen[0] + 3 * 2 * 8))

    run(dut, bench, cycles=2000)


@pytest.mark.parametrize(("x_last", "h_last"), [(2, 1), (0, 0)])
def test_group_without_a_neuron(x_last: int, h_last: int) -> None:
    """One null word per half: no item at all, and the halves go by until the tokens end."""
    config = make_config("two subs")
    dut = MaskScan(config)

    async def bench(ctx):
        nothing = Program(
            [[[0]], [[0]]], [[[255] * 3] * 3, [[255] * 3] * 3], [(3, 0), (9, 0)], null=True
        )
        settings = await load(ctx, dut, config, nothing)
        # As for all lanes: the number of chunks is that of the layer.
        chunks = {"chunks_x_last": x_last, "chunks_h_last": h_last}
        await begin(ctx, dut, settings | chunks | {"unfolded": 1})
        ctx.set(dut.subs.ready, 1)
        for count in range(1, 12):
            ctx.set(dut.tokens, {"x": count & 3, "h": count & 3})
            for _ in range(10):
                assert not ctx.get(dut.subs.valid)
                await ctx.tick()
        # A layer with rows works afterwards.
        rng = random.Random(1)
        program = make_program(config, rng, 0.5, 2, 4)
        await check_layer(ctx, dut, config, program, rng, 1, 0.2)

    run(dut, bench, cycles=5000)


@pytest.mark.parametrize("unfolded", [0, 1])
def test_unfolding(unfolded: int) -> None:
    """While h_0 is missing, X1 runs if unfolded and waits otherwise; H1 waits in any case."""
    config = make_config("two subs")
    dut = MaskScan(config)
    full = [[[255]], [[255]]]
    program = Program(full, [[[255], [255]], [[255], [255]]], [(0, 0), (8, 8)])

    async def bench(ctx):
        settings = await load(ctx, dut, config, program)
        await begin(ctx, dut, settings | {"unfolded": unfolded})
        for half in (0, 1):
            for step in (0, 1):
                await vector(ctx, dut, config, half, step, [255])
        ctx.set(dut.subs.ready, 1)
        for tokens, after in ((1, 4 + 2 * unfolded), (2, 8)):
            ctx.set(dut.tokens, {"x": 2, "h": tokens})
            if tokens == 1:
                count = 0
            for _ in range(60):
                count += ctx.get(dut.subs.valid)
                await ctx.tick()
            assert count == after

    run(dut, bench, cycles=2000)
