"""ReductionTree: the sum of the popped group, at the declared latency, for every V."""

import random
from collections import deque

import pytest
from amaranth.hdl import ClockDomain, Module

from sparnn.hdl.sparse.array.tree import ReductionTree, tree_latency
from sparnn.hdl.sparse.config import SparseConfig
from tests.hdl.stream_helpers import run

#: (lanes of a cluster, max_v) -> latency: log2(max_v) adders, then a 4-way OR per level.
SHAPES = {
    (1, 1): 0,
    (2, 2): 1,
    (3, 1): 1,
    (5, 1): 2,
    (12, 1): 2,
    (12, 2): 3,
    (12, 4): 3,
    (16, 1): 2,
    (16, 2): 3,
    (16, 8): 4,
    (16, 16): 4,
    (17, 1): 3,
}


def make_config(lanes: int, max_v: int, **options: int) -> SparseConfig:
    return SparseConfig(lanes=lanes, max_v=max_v, columns=64, **options)


@pytest.mark.parametrize("shape", SHAPES)
def test_declared_latency(shape: tuple[int, int]) -> None:
    assert tree_latency(make_config(*shape)) == SHAPES[shape]


@pytest.mark.parametrize("shape", SHAPES)
def test_group_sums(shape: tuple[int, int]) -> None:
    """Every cycle another group, another V, or nothing; a pipeline of plain sums beside it."""
    lanes, max_v = shape
    config = make_config(lanes, max_v)
    dut = ReductionTree(config)
    rng = random.Random(str(shape))
    low, high = -(1 << config.lane_sum_bits - 1), (1 << config.lane_sum_bits - 1) - 1

    async def bench(ctx):
        pipeline = deque([0] * SHAPES[shape])
        for _ in range(150):
            v = 1 << rng.randrange(max_v.bit_length())
            group = rng.randrange(lanes // v)
            draw = rng.choice(
                [
                    lambda: rng.randint(low, high),
                    lambda: rng.choice((low, high)),
                    lambda: low,
                    lambda: high,
                    lambda: rng.randint(-3, 3),
                    lambda: 0,
                ]
            )
            values = [draw() if lane // v == group else 0 for lane in range(lanes)]
            for port, value in zip(dut.partial_sums, values, strict=True):
                ctx.set(port, value)
            pipeline.append(sum(values))
            assert ctx.get(dut.sum) == pipeline[0]
            await ctx.tick()
            pipeline.popleft()

    m = Module()
    m.domains.sync = ClockDomain()  # a tree of one lane has no register
    m.submodules.dut = dut
    run(m, bench, cycles=1000)


@pytest.mark.parametrize(("weight_bits", "activation_bits"), [(4, 8), (16, 16)])
def test_most_negative_sum_fits(weight_bits: int, activation_bits: int) -> None:
    """All lanes at their most negative and most positive value at once."""
    config = make_config(8, 8, weight_bits=weight_bits, activation_bits=activation_bits)
    dut = ReductionTree(config)
    bits = config.lane_sum_bits

    async def bench(ctx):
        for value in (-(1 << bits - 1), (1 << bits - 1) - 1):
            for port in dut.partial_sums:
                ctx.set(port, value)
            await ctx.tick().repeat(tree_latency(config))
            assert ctx.get(dut.sum) == 8 * value

    run(dut, bench, cycles=100)
