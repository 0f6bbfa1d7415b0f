"""HalfJoin: every v meets its u, whatever the shape of the steps."""

import random

import pytest

from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.post.halves import HalfJoin
from tests.hdl.sparse.post.model import sat
from tests.hdl.sparse.post.rows import step_tags
from tests.hdl.stream_helpers import collect, run, send


def make_step(rng, gates, words, holes, hidden):
    """The items of one step and the rows that must come out of it."""
    u = [rng.choice([-32768, 32767, rng.randrange(-32768, 32768)]) for _ in range(words * gates)]
    v = [rng.choice([-32768, 32767, rng.randrange(-32768, 32768)]) for _ in range(words * gates)]
    items, expected = [], []
    counts = [0, 0]
    for tag in step_tags(gates, words, holes, hidden):
        half = tag["half"]
        value = 0
        if not tag["hole"]:
            value = (u, v)[half][counts[half]]
        items.append({"value": value, "tag": tag})
        if tag["final"]:
            if tag["hole"]:
                expected.append((0, None, tag))
            elif half:
                apart = gates == 3 and tag["gate"] == 2
                first = u[counts[1]]
                expected.append((first if apart else sat(first + value), value, tag))
            else:
                expected.append((value, None, tag))
        counts[half] += not tag["hole"]
    return items, expected


@pytest.mark.parametrize(("idle", "stall"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4)])
def test_steps(idle: float, stall: float) -> None:
    dut = HalfJoin(SparseConfig(rows=16))
    rng = random.Random(int(10 * idle + 100 * stall))
    layers = []
    for gates, words, holes, hidden in (
        (4, 4, 0, True),
        (3, 3, 1, True),
        (1, 16, 0, True),
        (4, 0, 1, True),
        (1, 5, 1, False),
        (1, 0, 1, False),
        (3, 1, 0, True),
        (1, 1, 0, True),
        (1, 20, 0, False),
    ):
        steps = [make_step(rng, gates, words, holes, hidden) for _ in range(4)]
        layers.append(
            (
                gates == 3,
                [item for step in steps for item in step[0]],
                [row for step in steps for row in step[1]],
            )
        )

    async def start(ctx, apart):
        ctx.set(dut.apart, apart)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)

    done = 0

    async def source(ctx):
        for number, (apart, items, _) in enumerate(layers):
            while done < number:
                await ctx.tick()
            await start(ctx, apart)
            await send(ctx, dut.i, items, idle=idle, seed=number)

    async def sink(ctx):
        nonlocal done
        for number, (_, _, expected) in enumerate(layers):
            rows = await collect(ctx, dut.o, len(expected), stall=stall, seed=number)
            for row, (total, hidden, tag) in zip(rows, expected, strict=True):
                assert (row["sum"], row["tag"]) == (total, tag)
                assert hidden is None or row["hidden"] == hidden
            done += 1

    run(dut, source, sink)


def test_start_forgets_half_a_layer() -> None:
    dut = HalfJoin(SparseConfig(rows=8))
    tags = list(step_tags(1, 2, 0, True))

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        for _ in range(3):
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            await send(ctx, dut.i, [{"value": 5, "tag": tags[0]}])  # and not the other rows
        await send(ctx, dut.i, [{"value": 6, "tag": tags[1]}, {"value": 1, "tag": tags[2]}])
        for _ in range(dut.LATENCY - 1):
            await ctx.tick()
        assert ctx.get(dut.o.valid)
        assert ctx.get(dut.o.payload.sum) == 6

    run(dut, bench)
