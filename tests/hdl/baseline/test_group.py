"""One group of an array, its elements inside: what it makes of a broadcast, and what it offers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sparnn.hdl.baseline.group import Group
from tests.hdl.baseline.model import Network, make_config
from tests.hdl.stream_helpers import collect, run


@pytest.mark.parametrize(
    ("lanes", "number", "pipelined", "units"),
    [(8, 1, True, 13), (16, 2, False, 22), (4, 0, True, 5)],
)
def test_steps(
    placed: Callable[..., None], lanes: int, number: int, pipelined: bool, units: int
) -> None:
    """Its share of the outputs of two steps, as a scan of all of them finds it."""
    config = make_config(
        lanes=lanes, columns=64, half_columns=32, pipelined_broadcast=pipelined, queue_depth=2
    )
    placed(config, nested=False)
    dut = Group(config)
    rng = np.random.default_rng([lanes, number])
    network = Network(config, rng, lanes + 2, units, 2, True)
    outputs, program = network.outputs(), network.program
    late = 1 if pipelined else 0

    async def broadcast(ctx: Any, half: int, values: list[int]) -> None:
        """All activations of a half, then its token; ``room`` is heard a cycle late, or at once."""
        first = network.inputs * half
        items = [
            {"value": value, "column": first + column, "half": half}
            for column, value in enumerate(values)
            if value
        ]
        items.append({"half": half, "token": 1})
        room = 0
        for _ in range(500):
            now, room = room, ctx.get(dut.room)
            go = bool(items) and (now if late else room)
            # A register between the decision and the broadcast.
            await ctx.tick()
            ctx.set(dut.item_valid, go)
            ctx.set(dut.item, items.pop(0) if go else {"value": 3, "token": 1})
            if not items and not go:
                return
        raise AssertionError("no room")

    async def check_vector(ctx: Any, base: int, half: str, values: list[int]) -> None:
        """Scan one vector, without its zeros and with them; this group has a part of it."""
        scan = {"base": base, "rows": program[f"rows_{half}"], "tail": program[f"tail_{half}"]}
        for dense in (0, 1):
            ctx.set(dut.scan, scan | {"dense": dense})
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            wanted = {
                (place // lanes, place % 4): value
                for place, value in enumerate(values)
                if place % lanes // 4 == number and (value or dense)
            }
            got = await collect(ctx, dut.nonzero, len(wanted) + 1, stall=0.3, seed=base)
            assert {(one["row"], one["element"]): one["value"] for one in got[:-1]} == wanted
            assert [one["end"] for one in got] == [0] * len(wanted) + [1]

    async def bench(ctx: Any) -> None:
        ctx.set(dut.number, number)
        ctx.set(dut.layer, network.program)
        for target, entries in network.memories(number).items():
            for address, value in enumerate(entries):
                load = {"target": target, "en": 1, "addr": address, "data": value}
                ctx.set(dut.load, load | {"index": number})
                await ctx.tick()
                if lanes > 4:  # a neighbour's
                    other = {"index": number ^ 1, "data": 12345}
                    ctx.set(dut.load, load | other)
                    await ctx.tick()
        ctx.set(dut.load, {})
        ctx.set(dut.fresh, 1)
        await ctx.tick()
        ctx.set(dut.fresh, 0)
        h = network.first.tolist()
        await check_vector(ctx, program["stride_x"], "x", network.x[1].tolist())
        await check_vector(ctx, program["h_base"], "h", h)
        for step in range(network.steps):
            await broadcast(ctx, 0, network.x[step].tolist())
            await broadcast(ctx, 1, h)
            for _ in range(200):
                if ctx.get(dut.steps_done) == step + 1:
                    break
                await ctx.tick()
            assert ctx.get(dut.steps_done) == ctx.get(dut.x_taken) == step + 1
            h = outputs[step]
            base = program["h_base"] + program["stride_h"] * (step + 1)
            await check_vector(ctx, base, "h", h)

    run(dut, bench, cycles=3000)
