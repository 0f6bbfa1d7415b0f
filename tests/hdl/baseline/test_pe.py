"""A processing element against exact row sums, fed as fast as its queue has room."""

from typing import Any

import numpy as np
import pytest

from sparnn.hdl.baseline.config import BaselineConfig
from sparnn.hdl.baseline.pe import ProcessingElement
from tests.hdl.baseline.model import Element, make_config, random_matrix
from tests.hdl.stream_helpers import collect, run


async def load(ctx: Any, dut: ProcessingElement, element: Element) -> None:
    for name, values in (("matrix_en", element.words()), ("pointer_en", element.pairs())):
        for address, value in enumerate(values):
            what = {"word": value} if name == "matrix_en" else {"pair": value}
            ctx.set(dut.load, {name: 1, "addr": address} | what)
            await ctx.tick()
    ctx.set(dut.load, {})


def setup(config: BaselineConfig, rows: int, density: float, rng: np.random.Generator) -> Any:
    """The weights [half][row, column] of a step's two halves, and the memories of them."""
    inputs = config.columns // 2
    halves = [inputs, config.columns - inputs]
    weights = [random_matrix(rng, rows, count, density) for count in halves]
    columns = [column for one in weights for column in one.T.tolist()]
    return weights, Element(config, columns)


@pytest.mark.parametrize("density", [1.0, 0.25, 0.0])
@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({}, 5),
        ({"queue_depth": 1, "pipelined_broadcast": False, "entries_per_read": 4}, 5),
        ({"queue_depth": 2, "rows": 1, "entries_per_read": 1, "matrix_words": 128}, 1),
        ({"index_bits": 1, "rows": 9, "matrix_words": 64, "queue_depth": 3}, 9),
    ],
)
def test_sums(changes: dict[str, int], rows: int, density: float) -> None:
    """Broadcast activations of two halves, each with its token, and sums that are taken late.

    ``room`` is heard, and what was sent arrives, as many cycles later as in the array.
    """
    config = make_config(**changes)
    rng = np.random.default_rng([rows, int(4 * density)])
    weights, element = setup(config, rows, density, rng)
    dut = ProcessingElement(config)
    late = 1 if config.pipelined_broadcast else 0
    steps = 4
    # Every step: activations of both halves in order; zeros are left out as EIE does.
    items: list[dict[str, int]] = []
    sums: list[list[list[int]]] = []
    for _ in range(steps):
        vectors = [
            np.where(rng.random(one.shape[1]) < 0.3, 0, rng.integers(-512, 512, one.shape[1]))
            for one in weights
        ]
        vectors[0][:1] = -512
        sums.append([(w @ x).tolist() for w, x in zip(weights, vectors, strict=True)])
        for half, vector in enumerate(vectors):
            first = weights[0].shape[1] * half
            for column, value in enumerate(vector.tolist()):
                if value:
                    items.append({"value": value, "column": first + column, "half": half})
            items.append({"value": 77, "column": 3, "half": half, "token": 1})
    sent: list[tuple[int, int]] = []  # step, half of the tokens so far
    taken = [0, 0]

    async def broadcast(ctx: Any) -> None:
        """Not beyond one step whose half was not taken."""
        rooms = [0] * (late + 1)
        way: list[dict[str, int] | None] = [None] * (late + 1)
        queue, tokens = list(items), [0, 0]
        for _ in range(4000):
            now = way.pop(0)
            ctx.set(dut.item_valid, now is not None)
            ctx.set(dut.item, now or {"value": 5, "token": 1, "column": 1})
            rooms.append(ctx.get(dut.room))
            rooms.pop(0)
            half = queue[0]["half"] if queue else 0
            allowed = queue and rooms[0] and taken[half] == tokens[half]
            item = queue.pop(0) if allowed and rng.random() < 0.9 else None
            way.append(item)
            if item and item.get("token"):
                tokens[half] += 1
                sent.append((tokens[half] - 1, half))
            if not queue and not any(way):
                return
            await ctx.tick()
        raise AssertionError(f"{len(queue)} items are left")

    async def take(ctx: Any) -> None:
        await load(ctx, dut, element)
        for step in range(steps):
            for half in range(2):
                waited = 0
                while not ctx.get(dut.done) >> half & 1:
                    await ctx.tick()
                    waited += 1
                    assert waited < 1000
                assert (step, half) in sent
                await ctx.tick().repeat(int(rng.integers(1, 6)))
                ctx.set(dut.half, half)
                for row in range(rows):
                    ctx.set(dut.row, row)
                    assert ctx.get(dut.sum) == sums[step][half][row], (step, half, row)
                    await ctx.tick()
                ctx.set(dut.clear, 1 << half)
                await ctx.tick()
                ctx.set(dut.clear, 0)
                taken[half] += 1
                assert not ctx.get(dut.done) >> half & 1

    async def after_loading(ctx: Any) -> None:
        await ctx.tick().repeat(len(element.words()) + len(element.pairs()))
        await broadcast(ctx)

    run(dut, after_loading, take, cycles=10_000)


@pytest.mark.parametrize(("pipelined", "entries"), [(True, 4), (False, 1)])
def test_room(pipelined: bool, entries: int) -> None:
    """A queue that is not emptied has room for ``queue_depth`` items, then no more."""
    config = make_config(
        queue_depth=entries, pipelined_broadcast=pipelined, rows=64, matrix_words=64
    )
    # One column of 64 rows keeps everything behind it waiting.
    element = Element(config, [[1] * 64, *([[1]] * (config.columns - 1))])
    dut = ProcessingElement(config)

    async def bench(ctx: Any) -> None:
        await load(ctx, dut, element)
        given = 0
        for _ in range(40):
            room = ctx.get(dut.room)
            ctx.set(dut.item, {"value": 1, "column": 0})
            ctx.set(dut.item_valid, room)
            # With the item of this cycle, the queue has room for another one or not.
            given += room
            await ctx.tick()
        # One is being walked through, and two more are read ahead.
        assert given == entries + 3
        ctx.set(dut.item_valid, 0)
        assert not ctx.get(dut.room)

    run(dut, bench, cycles=1000)


def test_activations() -> None:
    """The host's and the array's outputs go to the same memory; zeros are not offered."""
    config = make_config()
    dut = ProcessingElement(config)
    rng = np.random.default_rng(0)
    stored = [int(value) for value in rng.choice((0, -512, 511, 7), 12)]
    stored[6] = 511  # just behind the last vector

    async def bench(ctx: Any) -> None:
        ctx.set(dut.number, 6)
        for address, value in enumerate(stored):
            if address % 2:
                ctx.set(dut.load, {"activation_en": 1, "addr": address, "value": value})
                ctx.set(dut.write_addr, 0)
                ctx.set(dut.write_en, 0)
            else:
                ctx.set(dut.load, {})
                ctx.set(dut.write_en, 1)
                ctx.set(dut.write_addr, address)
                ctx.set(dut.write_data, value)
            await ctx.tick()
        ctx.set(dut.load, {})
        ctx.set(dut.write_en, 0)
        for base, rows, tail in ((0, 2, 0), (2, 1, 7), (5, 1, 6)):
            ctx.set(dut.scan, {"base": base, "rows": rows, "tail": tail})
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            count = rows + (tail > 6)
            wanted = [(row, stored[base + row]) for row in range(count) if stored[base + row]]
            got = await collect(ctx, dut.nonzero, len(wanted) + 1, stall=0.3, seed=base)
            assert [(one["row"], one["value"]) for one in got[:-1]] == wanted
            assert [one["end"] for one in got] == [0] * len(wanted) + [1]

    run(dut, bench, cycles=500)
