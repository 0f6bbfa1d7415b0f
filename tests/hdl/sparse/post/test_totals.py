"""Totals of rows: sums of all that came before, from step to step and from run to run."""

import random

import pytest

from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.post.totals import RowTotals
from tests.hdl.stream_helpers import collect, run, send

TAG = dict.fromkeys(("half", "gate", "last_gate", "hole", "half_end", "step_end", "final"), 0)


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
@pytest.mark.parametrize(("idle", "stall"), [(0.0, 0.0), (0.4, 0.5)])
def test_totals(rows: int, idle: float, stall: float) -> None:
    config = SparseConfig(delta=1, parameter_depth=32)
    dut = RowTotals(config)
    rng = random.Random(rows)
    top = 1 << config.total_bits - 1
    base, totals = 6, [0] * rows
    plan = []  # of each run: anew, items, what comes out
    for anew in (True, False, True):
        items, expected = [], []
        if anew:
            totals = [0] * rows
        for _ in range(5):
            hole_last = rng.random() < 0.4
            for row in range(rows):
                last = row == rows - 1
                # The largest jumps have a bit more than a total.
                new = rng.choice((-top, top - 1, totals[row] + rng.randrange(-3, 4)))
                new = max(-top, min(top - 1, new))
                items.append(
                    {
                        "psum": new - totals[row],
                        "tag": {**TAG, "gate": row % 4, "step_end": last and not hole_last},
                    }
                )
                totals[row] = new
                expected.append((new, row % 4, 0))
                if hole_last if last else rng.random() < 0.3:
                    items.append({"psum": 0, "tag": {**TAG, "hole": 1, "step_end": last}})
                    expected.append((None, 0, 1))
        plan.append((anew, items, expected))

    async def feed(ctx) -> None:
        for anew, items, _ in plan:
            await ctx.tick().repeat(6)
            ctx.set(dut.base, base)
            ctx.set(dut.anew, anew)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            await send(ctx, dut.i, items, idle=idle)

    async def check(ctx) -> None:
        wanted = [one for _, _, expected in plan for one in expected]
        found = await collect(ctx, dut.o, len(wanted), stall=stall)
        for one, (value, gate, hole) in zip(found, wanted, strict=True):
            assert (one["tag"]["gate"], one["tag"]["hole"]) == (gate, hole)
            assert hole or one["psum"] == value

    run(dut, feed, check)


def test_the_host_writes_and_reads() -> None:
    """Between runs; a run without ``anew`` goes on from what was written."""
    config = SparseConfig(delta=1, parameter_depth=16)
    dut = RowTotals(config)
    rng = random.Random(3)
    top = 1 << config.total_bits - 1
    base, written = 5, [-top, top - 1, 0, rng.randrange(-top, top)]
    jumps = [top - 1, -top, 7, -written[3]]

    async def read(ctx, address: int) -> int:
        ctx.set(dut.read.addr, address)
        ctx.set(dut.read.en, 1)
        await ctx.tick().repeat(3)
        values = []
        for _ in range(3):  # for as long as it is asked
            values.append(ctx.get(dut.read.data))
            await ctx.tick()
        assert len(set(values)) == 1
        ctx.set(dut.read.en, 0)
        await ctx.tick()
        return values[0]

    async def bench(ctx) -> None:
        for address, value in [*enumerate(written, base), (15, -3)]:
            ctx.set(dut.load.addr, address)
            ctx.set(dut.load.data, value)
            ctx.set(dut.load.en, 1)
            await ctx.tick()
        ctx.set(dut.load.en, 0)
        await ctx.tick()
        for row in (2, 0, 3, 1):
            assert await read(ctx, base + row) == written[row]
        ctx.set(dut.base, base)
        ctx.set(dut.start, 1)
        ctx.set(dut.o.ready, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        items = [
            {"psum": jump, "tag": {**TAG, "step_end": row == 3}} for row, jump in enumerate(jumps)
        ]
        await send(ctx, dut.i, items)
        await ctx.tick().repeat(3)
        for row, jump in enumerate(jumps):
            assert await read(ctx, base + row) == written[row] + jump
        assert await read(ctx, 15) == -3

    run(dut, bench)
