"""A vector lane: products, extremes, and what stays while it is not told to move."""

from typing import Any

from amaranth.sim import Simulator

from sparnn.hdl.dense.array.lane import VectorLane
from sparnn.hdl.dense.config import DenseConfig

CONFIG = DenseConfig(lanes=2, width=4, banks=2, slices=1, columns=4, weight_depth=8)


def test_products_and_stall() -> None:
    dut = VectorLane(CONFIG)
    weights = [[-127, 127, 0, 1], [-1, 5, -128, 127]]
    products: list[list[int]] = []

    def rows(word: int) -> list[int]:
        bits = CONFIG.product_bits
        parts = [word >> bits * k & (1 << bits) - 1 for k in range(CONFIG.width)]
        return [p - (p >> bits - 1 << bits) for p in parts]

    async def bench(ctx: Any) -> None:
        for address, row in enumerate(weights):
            ctx.set(dut.load_en, 1)
            ctx.set(dut.load_addr, address)
            ctx.set(dut.load_data, sum((w & 0xFF) << 8 * k for k, w in enumerate(row)))
            await ctx.tick()
        ctx.set(dut.load_en, 0)
        for half, value in (("x", -128), ("h", 127)):
            ctx.set(getattr(dut, f"{half}_en"), 1)
            ctx.set(getattr(dut, f"{half}_addr"), 5)
            ctx.set(getattr(dut, f"{half}_data"), value)
        await ctx.tick()
        ctx.set(dut.x_en, 0)
        ctx.set(dut.h_en, 0)
        ctx.set(dut.column, 5)
        for address, hidden, zero in ((0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 1, 1)):
            ctx.set(dut.weight_addr, address)
            ctx.set(dut.hidden, hidden)
            ctx.set(dut.zero, zero)
            for stage in ("read_en", "hold_en", "multiply_en"):
                ctx.set(getattr(dut, stage), 1)
                await ctx.tick()
                ctx.set(getattr(dut, stage), 0)
            products.append(rows(ctx.get(dut.products)))
            ctx.set(dut.weight_addr, 7)
            await ctx.tick().repeat(3)
            assert rows(ctx.get(dut.products)) == products[-1]

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert products[0] == [-128 * w for w in weights[0]]
    assert products[1] == [127 * w for w in weights[0]]
    assert products[2][:2] == [-127, 635]
    assert products[3] == [0, 0, 0, 0]
