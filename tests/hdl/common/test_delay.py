"""The delay line against a list."""

from typing import Any

import pytest
from amaranth.sim import Simulator

from sparnn.hdl.common.delay import DelayLine


@pytest.mark.parametrize("cycles", [2, 3, 7])
def test_delays(cycles: int) -> None:
    dut = DelayLine(8, cycles)
    sent: list[int] = []

    async def bench(ctx: Any) -> None:
        for number in range(40):
            expected = sent[-cycles] if len(sent) >= cycles else 0
            assert ctx.get(dut.o) == expected
            sent.append(number * 37 % 256)
            ctx.set(dut.i, sent[-1])
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
