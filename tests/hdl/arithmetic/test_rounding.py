"""RoundingShifter against integer division."""

import random

import pytest

from sparnn.hdl.arithmetic.rounding import RoundingShifter
from tests.hdl.sparse.post.model import rne
from tests.hdl.stream_helpers import run


@pytest.mark.parametrize(
    ("width", "amount_bits", "result_bits"),
    [(42, 6, 17), (31, 6, 17), (31, 4, 31), (55, 6, 17), (20, 5, 12), (12, 3, 17), (8, 1, 4)],
)
def test_all_amounts(width: int, amount_bits: int, result_bits: int) -> None:
    dut = RoundingShifter(width, amount_bits, result_bits)
    rng = random.Random(width)
    least, most = -(1 << result_bits - 1), (1 << result_bits - 1) - 1
    items = []
    for amount in range(1 << amount_bits):
        for value in (0, 1, -1, 2, 3, -3, (1 << width - 1) - 1, -(1 << width - 1)):
            items.append((value, amount))
        for _ in range(12):
            value = rng.randrange(-(1 << width - 1), 1 << width - 1) >> rng.randrange(width)
            items.append((value, amount))
        for bits in (result_bits - 1, result_bits, 0):  # around overflow, and ties
            for nudge in (-1, 0, 1):
                value = ((1 << bits) << amount) + (nudge << max(amount - 1, 0))
                for signed_value in (value, -value):
                    if -(1 << width - 1) <= signed_value < 1 << width - 1:
                        items.append((signed_value, amount))

    async def bench(ctx):
        queue = []
        for item in items + [(0, 0)] * dut.latency:
            ctx.set(dut.value, item[0])
            ctx.set(dut.amount, item[1])
            queue.append(item)
            await ctx.tick()
            if len(queue) >= dut.latency:
                value, amount = queue.pop(0)
                floor, up = ctx.get(dut.floor), ctx.get(dut.up)
                expected = value >> amount
                if least <= expected <= most:
                    assert (floor, floor + up) == (expected, rne(value, amount)), (value, amount)
                else:
                    assert floor == (least if value < 0 else most), (value, amount)

    run(dut, bench)
