"""StreamBuffer: nothing lost, doubled or reordered, for every short pattern of valid and ready."""

import itertools

import pytest

from sparnn.hdl.common.stream_buffer import StreamBuffer
from tests.hdl.stream_helpers import collect, run, send


@pytest.mark.parametrize("idle", [0.0, 0.5])
@pytest.mark.parametrize("stall", [0.0, 0.5, 0.9])
def test_order(idle: float, stall: float) -> None:
    dut = StreamBuffer(8)
    items = [i & 0xFF for i in range(300)]

    async def source(ctx):
        await send(ctx, dut.i, items, idle=idle)

    async def sink(ctx):
        assert await collect(ctx, dut.o, len(items), stall=stall) == items

    run(dut, source, sink)


def test_all_patterns() -> None:
    """Every pattern of offers and readiness over five cycles, from empty."""
    length = 5

    async def bench(ctx):
        for pattern in itertools.product(range(4), repeat=length):
            sent, received, offer = 0, [], False
            for offered, ready in [(p & 1, p >> 1) for p in pattern] + [(0, 1)] * 4:
                offer = offer or bool(offered)
                ctx.set(dut.i.valid, offer)
                ctx.set(dut.i.payload, sent + 1)
                ctx.set(dut.o.ready, ready)
                _, _, taken, valid, payload = await ctx.tick().sample(
                    dut.i.ready, dut.o.valid, dut.o.payload
                )
                if offer and taken:
                    sent, offer = sent + 1, False
                if valid and ready:
                    received.append(payload)
            ctx.set(dut.i.valid, 0)
            for _ in range(3):
                _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
                if valid:
                    received.append(payload)
            assert received == list(range(1, sent + 1)), pattern

    dut = StreamBuffer(8)
    run(dut, bench, cycles=100_000)


def test_full_rate_and_registered_ready() -> None:
    dut = StreamBuffer(8)
    cycle = 0
    arrived: list[int] = []

    async def count(ctx):
        nonlocal cycle
        while True:
            await ctx.tick()
            cycle += 1

    async def source(ctx):
        await send(ctx, dut.i, range(50))

    async def sink(ctx):
        await collect(ctx, dut.o, 50, at=arrived, clock=lambda: cycle)

    run(dut, source, sink, background=[count])
    assert arrived[-1] - arrived[0] == 49
