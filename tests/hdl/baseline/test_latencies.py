"""The cycles that the units of an element declare in their docstrings."""

from typing import Any

import pytest

from sparnn.hdl.baseline.matrix import MatrixRead
from sparnn.hdl.baseline.nonzero import NonzeroNode
from sparnn.hdl.baseline.pointers import PointerRead
from sparnn.hdl.baseline.scanner import ActivationScan
from tests.hdl.baseline.model import make_config
from tests.hdl.stream_helpers import run


async def present(ctx: Any, dut: Any, port: Any, cycles: int) -> list[int]:
    """In which of the next cycles the port is valid, from 0 on."""
    found = []
    for cycle in range(cycles):
        if ctx.get(port):
            found.append(cycle)
        await ctx.tick()
    return found


def test_pointers() -> None:
    """Two cycles, one column per cycle; empty ones are dropped while a column is held."""
    config = make_config()
    dut = PointerRead(config)
    # Columns 0, 1 and 2 have an entry, those from 3 to 9 none, and 10 has one.
    pointers = [0, 1, 2, *([3] * 8), *([4] * 13)]

    async def bench(ctx: Any) -> None:
        ctx.set(dut.load_en, 1)
        for address in range(config.pointer_words):
            pair = pointers[2 * address : 2 * address + 2]
            ctx.set(dut.load_addr, address)
            ctx.set(dut.load_data, pair[0] | pair[1] << config.cursor_bits)
            await ctx.tick()
        ctx.set(dut.load_en, 0)
        ctx.set(dut.columns.ready, 1)
        seen = []
        for cycle in range(8):
            ctx.set(dut.items.valid, cycle < 3)
            ctx.set(dut.items.payload, {"column": cycle, "value": cycle + 1})
            assert ctx.get(dut.items.ready)
            if ctx.get(dut.columns.valid):
                seen.append((cycle, ctx.get(dut.columns.payload.value)))
            await ctx.tick()
        assert seen == [(2, 1), (3, 2), (4, 3)]
        # Column 3 and those behind it go no further, whoever waits.
        ctx.set(dut.columns.ready, 0)
        for column in range(3, 11):
            ctx.set(dut.items.valid, 1)
            ctx.set(dut.items.payload, {"column": column, "value": column})
            assert ctx.get(dut.items.ready)
            assert not ctx.get(dut.columns.valid)
            await ctx.tick()
        ctx.set(dut.items.valid, 0)
        assert await present(ctx, dut, dut.columns.valid, 5) == [1, 2, 3, 4]
        assert ctx.get(dut.columns.payload.value) == 10

    run(dut, bench, cycles=100)


@pytest.mark.parametrize(("entries", "latency"), [(1, 3), (2, 4), (8, 4)])
def test_matrix(entries: int, latency: int) -> None:
    """Cycles from the column to its first entry; its other entries follow at once."""
    config = make_config(entries_per_read=entries, matrix_words=32)
    dut = MatrixRead(config)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.columns.valid, 1)
        ctx.set(dut.columns.payload, {"start": 3, "end": 8, "value": 1})
        assert ctx.get(dut.columns.ready)
        await ctx.tick()
        ctx.set(dut.columns.valid, 0)
        wanted = [latency + k - 1 for k in range(5)]
        assert await present(ctx, dut, dut.valid, 14) == wanted

    run(dut, bench, cycles=100)


@pytest.mark.parametrize("full_rate", [True, False])
def test_node(full_rate: bool) -> None:
    """One cycle, and an item per cycle or in two; of two offers the first child's goes first."""
    dut = NonzeroNode(make_config(), 2, 0, full_rate)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.out.ready, 1)
        for child in dut.inputs:
            ctx.set(child.valid, 1)
            ctx.set(child.payload, {"value": 5})
        assert not ctx.get(dut.out.valid)
        assert ctx.get(dut.inputs[0].ready)
        assert not ctx.get(dut.inputs[1].ready)
        await ctx.tick()
        assert ctx.get(dut.out.payload.element) == 0
        step = 1 if full_rate else 2
        assert await present(ctx, dut, dut.out.valid, 8) == list(range(0, 8, step))

    run(dut, bench, cycles=100)


@pytest.mark.parametrize("zeros", [0, 5, 13])
def test_scan(zeros: int) -> None:
    """Zeros are skipped at one per cycle: a vector takes as long with them as without."""
    config = make_config(half_columns=128)
    dut = ActivationScan(config)

    async def bench(ctx: Any) -> None:
        for address in range(14):
            ctx.set(dut.write_en, 1)
            ctx.set(dut.write_addr, address)
            ctx.set(dut.write_data, 0 if address < zeros else 9)
            await ctx.tick()
        ctx.set(dut.write_en, 0)
        ctx.set(dut.scan, {"rows": 14})
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        # The memory and a register; then an activation or the end in every cycle. Zeros wait for
        # nobody.
        seen = []
        for cycle in range(24):
            ctx.set(dut.out.ready, cycle >= 2 + zeros)
            if ctx.get(dut.out.valid):
                seen.append(cycle)
            await ctx.tick()
        assert seen == list(range(2 + zeros, 2 + 15))

    run(dut, bench, cycles=100)
