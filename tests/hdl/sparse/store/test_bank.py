"""ValueBank: two logs in one memory, and readers that follow them."""

import random

import pytest

from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.store.bank import ValueBank
from tests.hdl.stream_helpers import run


def bank(**options: int) -> tuple[ValueBank, SparseConfig]:
    config = SparseConfig(
        lanes=1, max_v=1, packed_store=1, activation_bits=9, store_depth=64, **options
    )
    return ValueBank(config), config


@pytest.mark.parametrize(("rows", "dense"), [(2, 1), (3, 1), (12, 1), (29, 5), (64, 63)])
def test_both_logs_fill_every_row_and_no_more(rows: int, dense: int) -> None:
    """Whatever the share of each log, the last free row still fits and the next one is seen."""
    dut, _ = bank(value_rows=rows, dense_rows=dense)
    rng = random.Random(rows)

    async def bench(ctx):
        for share in (0.0, 0.3, 1.0):
            ctx.set(dut.anew, 3)
            await ctx.tick()
            ctx.set(dut.anew, 0)
            counts = [0, 0]
            for number in range(rows - dense):
                side = rng.random() < share
                ctx.set(dut.side, side)
                ctx.set(dut.append, 1)
                place = ctx.get(dut.place)
                assert place == (rows - 1 - counts[1] if side else dense + counts[0])
                counts[side] += 1
                await ctx.tick()
                if rng.random() < 0.5 or number == rows - dense - 1:
                    ctx.set(dut.append, 0)
                    await ctx.tick().repeat(2)
                assert not ctx.get(dut.overflow)
            ctx.set(dut.append, 1)
            await ctx.tick()
            ctx.set(dut.append, 0)
            await ctx.tick()
            assert ctx.get(dut.overflow)

    run(dut, bench)


@pytest.mark.parametrize("gaps", [0.0, 0.5])
def test_two_readers(gaps: float) -> None:
    """Each follows a log of its own, forwards or backwards, with whole rows in between."""
    dut, config = bank(value_rows=64, dense_rows=8)
    rng = random.Random(str(gaps))
    bits = config.activation_bits
    whole = [rng.getrandbits(bits) for _ in range(8)]
    logs = [[rng.getrandbits(bits) for _ in range(count)] for count in (20, 30)]

    async def bench(ctx):
        ctx.set(dut.whole, 1)
        for row, value in enumerate(whole):
            ctx.set(dut.row, row)
            ctx.set(dut.value, value)
            await ctx.tick()
        ctx.set(dut.whole, 0)
        ctx.set(dut.append, 1)
        for side, log in enumerate(logs):
            ctx.set(dut.side, side)
            for value in log:
                ctx.set(dut.value, value)
                await ctx.tick()
        ctx.set(dut.append, 0)
        at: list[list[int] | None] = [None, None]  # of each reader: its log, its next value
        expected: list[int | None] = [None, None, None]
        seen = 0
        while seen < 400:
            data = expected.pop(0)
            if data is not None:
                assert ctx.get(dut.data) == data
                seen += 1
            step = rng.random() >= gaps
            context, present = rng.randrange(2), rng.random() < 0.6
            row = rng.randrange(8)
            reads_row = rng.random() < 0.2
            begins = at[context] is None or at[context][1] >= len(logs[at[context][0]]) - 1
            begins = begins or rng.random() < 0.1
            ctx.set(dut.step, step)
            ctx.set(dut.context, context)
            ctx.set(dut.present, present)
            ctx.set(dut.step_whole, reads_row)
            ctx.set(dut.step_row, row)
            ctx.set(dut.begins, begins)
            value = None
            if step and reads_row:
                value = whole[row]
            elif step:
                if begins:
                    side = rng.randrange(2)
                    start = rng.randrange(len(logs[side]) - 1)
                    at[context] = [side, start]
                    ctx.set(dut.first, 63 - start if side else 8 + start)
                found = at[context]
                assert found is not None
                ctx.set(dut.backwards, found[0])
                value = logs[found[0]][found[1]] if present else 0
                found[1] += present
            else:
                ctx.set(dut.backwards, rng.randrange(2))
            # Between steps the last value stays.
            expected.append(value if step else expected[-1])
            await ctx.tick()

    run(dut, bench)
