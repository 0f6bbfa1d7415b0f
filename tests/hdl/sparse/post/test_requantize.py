"""Requantizer against docs/numerics.md."""

import random

import pytest

from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.post.requantize import Requantizer
from tests.hdl.sparse.post.model import rne, sat
from tests.hdl.stream_helpers import collect, run, send

EMPTY_TAG = dict.fromkeys(("half", "gate", "last_gate", "hole", "half_end", "step_end", "final"), 0)


def reference(psum: int, mult: int, shift: int, bias: int) -> int:
    return sat(rne(psum * mult, shift) + bias)


def normalized(mult: int, shift: int) -> tuple[int, int]:
    """As an entry has them (docs/machine.md)."""
    if mult == 0:
        return 0, 63
    while mult < 16384:
        mult, shift = 2 * mult, shift + 1
    return mult, shift


async def load(ctx, dut, base: int, parameters: list[tuple[int, int, int]]) -> None:
    ctx.set(dut.load.en, 1)
    for address, (mult, shift, bias) in enumerate(parameters, base):
        ctx.set(dut.load.addr, address)
        mult, shift = normalized(mult, shift)
        ctx.set(dut.load.data, {"mult": mult, "shift": shift, "bias": bias})
        await ctx.tick()
    ctx.set(dut.load.en, 0)
    ctx.set(dut.base, base)
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)
    await ctx.tick().repeat(3)


def random_parameters(rng: random.Random, sum_bits: int, count: int) -> list[tuple[int, int, int]]:
    extremes = [
        (m, s, b) for m in (0, 1, 16384, 32767) for s in (0, 1, 47) for b in (-32768, 32767)
    ]
    others = [
        (
            rng.randrange(16384, 32768),
            rng.randrange(48),
            rng.choice([0, rng.randrange(-32768, 32768)]),
        )
        for _ in range(count - len(extremes))
    ]
    # Half of them near the range where the result is neither zero nor saturated.
    for k in range(0, len(others), 2):
        shift = min(47, max(0, sum_bits + 15 - 16 - rng.randrange(6)))
        others[k] = (others[k][0], shift, others[k][2])
    return extremes + others


@pytest.mark.parametrize("sum_kind", ["small", "default", "wide"])
@pytest.mark.parametrize(("idle", "stall"), [(0.0, 0.0), (0.3, 0.5)])
def test_values(sum_kind: str, idle: float, stall: float) -> None:
    config = {
        "small": SparseConfig(weight_bits=4, columns=32, max_v=1),
        "default": SparseConfig(),
        "wide": SparseConfig(
            lanes=64, max_v=64, weight_bits=16, activation_bits=16, columns=1 << 14
        ),
    }[sum_kind]
    dut = Requantizer(config)
    rng = random.Random(7)
    parameters = random_parameters(rng, config.sum_bits, 120)
    least, most = -(1 << config.sum_bits - 1), (1 << config.sum_bits - 1) - 1
    items, expected = [], []
    for step in range(3):
        for index, parameter in enumerate(parameters):
            if rng.random() < 0.1 and index:
                items.append({"psum": rng.randrange(least, most), "tag": {**EMPTY_TAG, "hole": 1}})
                expected.append(0)
            psum = rng.choice([least, most, rng.randrange(least, most), 0, 1, -1])
            if step == 2:
                psum = rng.randrange(least, most) >> rng.randrange(config.sum_bits)
            last = index == len(parameters) - 1
            items.append({"psum": psum, "tag": {**EMPTY_TAG, "gate": index % 4, "step_end": last}})
            expected.append(reference(psum, *parameter))

    async def source(ctx):
        await load(ctx, dut, 5, parameters)
        await send(ctx, dut.i, items, idle=idle)

    async def sink(ctx):
        result = await collect(ctx, dut.o, len(items), stall=stall)
        assert [r["tag"] for r in result] == [{**EMPTY_TAG, **i["tag"]} for i in items]
        assert [r["value"] for r in result] == expected

    run(dut, source, sink)


def test_ties() -> None:
    """mult = 16384 = 2^14: shift 15 halves the sum, so every odd sum is a tie."""
    dut = Requantizer(SparseConfig(parameter_depth=4))
    sums = list(range(-9, 10))

    async def source(ctx):
        await load(ctx, dut, 3, [(16384, 15, 0)])
        await send(ctx, dut.i, [{"psum": s, "tag": {**EMPTY_TAG, "step_end": 1}} for s in sums])

    async def sink(ctx):
        result = await collect(ctx, dut.o, len(sums))
        assert [r["value"] for r in result] == [round(s / 2) for s in sums]

    run(dut, source, sink)


def test_every_shift() -> None:
    config = SparseConfig()
    dut = Requantizer(config)
    rng = random.Random(3)
    parameters = [(rng.randrange(16384, 32768), s, rng.randrange(-32768, 32768)) for s in range(48)]
    items, expected = [], []
    for _ in range(8):
        for index, parameter in enumerate(parameters):
            # A result of up to 18 bits, exact ties among them.
            scale = 1 << max(0, min(config.sum_bits - 1, parameter[1] - 15 + 17))
            psum = rng.randrange(-scale, scale)
            items.append({"psum": psum, "tag": {**EMPTY_TAG, "step_end": index == 47}})
            expected.append(reference(psum, *parameter))

    async def source(ctx):
        await load(ctx, dut, 0, parameters)
        await send(ctx, dut.i, items)

    async def sink(ctx):
        result = await collect(ctx, dut.o, len(items))
        assert [r["value"] for r in result] == expected

    run(dut, source, sink)


def test_latency_and_restart() -> None:
    """Two layers in a row; the first item of each leaves after the stated latency."""
    dut = Requantizer(SparseConfig())

    async def bench(ctx):
        for base, bias in ((0, 11), (9, 22)):
            await load(ctx, dut, base, [(0, 0, bias), (0, 0, bias + 1)])
            ctx.set(dut.o.ready, 1)
            ctx.set(dut.i.valid, 1)  # one row of a step that would have two
            ctx.set(dut.i.payload, {"psum": 1, "tag": EMPTY_TAG})
            for cycle in range(dut.latency):
                assert not ctx.get(dut.o.valid), cycle
                await ctx.tick()
                ctx.set(dut.i.valid, 0)
            assert ctx.get(dut.o.valid)
            assert ctx.get(dut.o.payload.value) == bias
            await ctx.tick()

    run(dut, bench)
