"""The short σ and tanh pipeline against the golden model."""

import random
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from sparnn.hdl.dense.post.sigma import Sigma
from sparnn.sim.golden.arithmetic import hard_sigmoid, sigmoid, tanh


@pytest.mark.parametrize(("f", "sigma", "stages"), [(12, 0, 1), (15, 1, 2), (13, 2, 1)])
def test_the_whole_range(f: int, sigma: int, stages: int) -> None:
    """Every seventh: the table is the sparse machine's, all of whose inputs are tried."""
    check(f, [(value, sigma) for value in range(-32768, 32768, 7)], stages)


@pytest.mark.parametrize("f", range(16))
def test_matches_golden(f: int) -> None:
    rng = random.Random(f)
    values = [-32768, -32767, -1, 0, 1, 32767, *(rng.randint(-32768, 32767) for _ in range(60))]
    values += [rng.randint(-1 << f, 1 << f) for _ in range(60)]
    check(f, [(max(-32768, min(32767, v)), sigma) for v in values for sigma in (0, 1)])
    check(f, [(max(-32768, min(32767, v)), sigma) for v in values for sigma in (0, 2)], 2)


def check(f: int, cases: list[tuple[int, int]], stages: int = 1) -> None:
    hard = any(function == 2 for _, function in cases)
    dut = Sigma(stages, with_hard=hard)
    got: list[int] = []

    async def bench(ctx: Any) -> None:
        ctx.set(dut.up, 15 - f)
        ctx.set(dut.hard, hard)
        for value, sigma in [*cases, *[(0, 0)] * (dut.latency - 1)]:
            ctx.set(dut.value, value)
            ctx.set(dut.sigmoid, bool(sigma))
            await ctx.tick()
            got.append(ctx.get(dut.result))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    inputs, which = np.array(cases).T
    functions = np.stack([tanh(inputs, f), sigmoid(inputs, f), hard_sigmoid(inputs, f)])
    expected = functions[which, np.arange(len(which))].tolist()
    assert got[dut.latency - 1 :] == expected
