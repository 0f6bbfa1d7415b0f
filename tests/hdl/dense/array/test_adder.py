"""A node of the reduction tree beside Python's sums."""

from typing import Any

import numpy as np
import pytest

from sparnn.hdl.dense.array.adder import VectorAdder
from tests.hdl.stream_helpers import run


def packed(values: list[int], bits: int) -> int:
    return sum((value & (1 << bits) - 1) << bits * row for row, value in enumerate(values))


def unpacked(word: int, bits: int, rows: int) -> list[int]:
    parts = [word >> bits * row & (1 << bits) - 1 for row in range(rows)]
    return [part - (part >> bits - 1 << bits) for part in parts]


@pytest.mark.parametrize(
    ("rows", "bits", "operands", "sum_bits"),
    [(1, 11, 1, 11), (1, 4, 2, 5), (2, 15, 3, 17), (4, 15, 4, 17), (8, 31, 16, 35)],
)
def test_sums(rows: int, bits: int, operands: int, sum_bits: int) -> None:
    """A sum comes one cycle after its operands and stays while the node is not enabled."""
    rng = np.random.default_rng([rows, operands])
    dut = VectorAdder(rows, bits, operands)
    least, most = -(1 << bits - 1), (1 << bits - 1) - 1
    cases = [np.full((operands, rows), least), np.full((operands, rows), most)]
    cases += [rng.integers(least, most, (operands, rows), endpoint=True) for _ in range(40)]

    async def bench(ctx: Any) -> None:
        for vectors in cases:
            ctx.set(dut.en, 1)
            for port, vector in zip(dut.operands, vectors.tolist(), strict=True):
                ctx.set(port, packed(vector, bits))
            await ctx.tick()
            wanted = vectors.sum(axis=0).tolist()
            assert unpacked(ctx.get(dut.sum), sum_bits, rows) == wanted
            ctx.set(dut.en, 0)
            for port in dut.operands:
                ctx.set(port, int(rng.integers(2)) * ((1 << len(port)) - 1))
            for _ in range(int(rng.integers(3))):
                await ctx.tick()
                assert unpacked(ctx.get(dut.sum), sum_bits, rows) == wanted

    run(dut, bench, cycles=1000)
    assert len(dut.sum) == rows * sum_bits
    assert dut.LATENCY == 1
