"""The picker against a list of set bits: extremes, and what stays while nothing moves."""

import random
from typing import Any

from amaranth.sim import Simulator

from sparnn.hdl.dense.array.picker import ColumnPicker
from sparnn.hdl.dense.config import DenseConfig

CONFIG = DenseConfig(lanes=2, width=4, banks=2, columns=11, mask_depth=8)


def test_picks_set_bits_in_order() -> None:
    rng = random.Random(1)
    masks = [0, 1, 1 << 10, (1 << 11) - 1, *(rng.getrandbits(11) for _ in range(4))]
    lengths = [1, 1, 2, 11, *(max(1, mask.bit_count() + k) for k, mask in enumerate(masks[4:]))]
    dut = ColumnPicker(CONFIG)
    got: list[list[int | None]] = []

    async def bench(ctx: Any) -> None:
        for address, mask in enumerate(masks):
            ctx.set(dut.load_en, 1)
            ctx.set(dut.load_addr, address)
            ctx.set(dut.load_data, mask)
            await ctx.tick()
        ctx.set(dut.load_en, 0)
        for address, length in enumerate(lengths):
            got.append([])
            for cycle in range(length):
                ctx.set(dut.read_en, 1)
                ctx.set(dut.first, cycle == 0)
                ctx.set(dut.mask_addr, address)
                await ctx.tick()
                ctx.set(dut.read_en, 0)
                ctx.set(dut.first, 0)
                await ctx.tick().repeat(rng.randint(1, 3))
                ctx.set(dut.pick_en, 1)
                await ctx.tick()
                ctx.set(dut.pick_en, 0)
                await ctx.tick().repeat(rng.randint(1, 3))
                got[-1].append(None if ctx.get(dut.none) else ctx.get(dut.column))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    for mask, length, picked in zip(masks, lengths, got, strict=True):
        columns = [k for k in range(11) if mask >> k & 1]
        assert picked == (columns + [None] * length)[:length]
