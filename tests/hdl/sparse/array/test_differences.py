"""Differences: what is sent of each element, and the references after it (docs/numerics.md)."""

import random

import pytest

from sparnn.hdl.sparse.array.differences import Differences
from sparnn.hdl.sparse.config import SparseConfig
from tests.hdl.stream_helpers import run


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 & 1 else value


def packed(values: list[int], bits: int) -> int:
    return sum((value & (1 << bits) - 1) << bits * k for k, value in enumerate(values))


def model(
    references: dict[int, list[int]], address: int, values: list[int], threshold: int
) -> list[int]:
    """The differences of one word; the references change."""
    r = references.setdefault(address, [0] * len(values))
    d = [a - b if abs(a - b) > threshold else 0 for a, b in zip(values, r, strict=True)]
    references[address] = [a if c else b for a, b, c in zip(values, r, d, strict=True)]
    return d


@pytest.mark.parametrize(("units", "bits", "threads"), [(1, 8, 1), (2, 8, 2), (4, 15, 2)])
@pytest.mark.parametrize("lengths", [(1, 1), (3, 2)])
def test_differences(units: int, bits: int, threads: int, lengths: tuple[int, int]) -> None:
    config = SparseConfig(
        lanes=units, max_v=1, post_units=units, activation_bits=bits, threads=threads,
        delta=1, reference_depth=32,
    )  # fmt: skip
    dut = Differences(config)
    rng = random.Random(f"{units} {bits} {threads} {lengths}")
    top = 1 << bits - 1
    thresholds = (2, top - 1 if units == 2 else 0)
    base = 5
    # Runs of the loop: anew or not, and the order of its vectors, each word by word. A word of the
    # same vector comes after four cycles at least.
    references: dict[int, list[int]] = {}
    plan: list[tuple[bool, list[tuple[int, int, int, list[int]]]]] = []
    expected = []
    for anew in (True, False, True):
        words = []
        if anew:
            references.clear()
        for _ in range(6):
            for number in range(2 * threads):
                thread, half = divmod(number, 2)
                at = base + sum(lengths[k % 2] for k in range(number))
                for word in range(lengths[half]):
                    values = [
                        rng.choice((-top, top - 1, 0, rng.randrange(-4, 5))) for _ in range(units)
                    ]
                    words.append((thread, half, word, values))
                    expected.append(model(references, at + word, values, thresholds[half]))
        plan.append((anew, words))
    found = []

    async def bench(ctx) -> None:
        program = {
            "in_words": lengths[0], "out_words": lengths[1], "delta_x": thresholds[0],
            "delta_h": thresholds[1], "reference_base": base,
        }  # fmt: skip
        ctx.set(dut.program, program)

        def watch() -> None:
            if ctx.get(dut.o_valid):
                value = int(ctx.get(dut.o.values))
                width = bits + 1
                found.append(
                    [signed(value >> width * k & (1 << width) - 1, width) for k in range(units)]
                )

        async def idle(cycles: int) -> None:
            ctx.set(dut.i_valid, 0)
            for _ in range(cycles):
                await ctx.tick()
                watch()

        await idle(6)
        for anew, words in plan:
            ctx.set(dut.start, 1)
            ctx.set(dut.anew, anew)
            await idle(1)
            ctx.set(dut.start, 0)
            seen: dict[tuple[int, int, int], int] = {}
            cycle = 0
            for thread, half, word, values in words:
                wait = max(0, seen.get((thread, half, word), -9) + 4 - cycle)
                wait += rng.choice((0, 0, 0, 2))
                await idle(wait)
                cycle += wait
                seen[thread, half, word] = cycle
                item = {
                    "values": packed(values, bits), "half": half, "last": word == lengths[half] - 1,
                }  # fmt: skip
                if threads > 1:
                    item["thread"] = thread
                ctx.set(dut.i, item)
                ctx.set(dut.i_valid, 1)
                await ctx.tick()
                watch()
                cycle += 1
            await idle(8)

    run(dut, bench)
    assert found == expected


def test_the_host_writes_and_reads() -> None:
    """Between runs; a run without ``anew`` goes on from what was written."""
    bits, units = 8, 2
    config = SparseConfig(
        lanes=units, max_v=1, post_units=units, activation_bits=bits, delta=1, reference_depth=32
    )
    dut = Differences(config)
    written = {3: [-128, 127], 4: [5, -5], 31: [0, 1]}
    found = []

    async def read(ctx, address: int) -> list[int]:
        ctx.set(dut.references.read_addr, address)
        ctx.set(dut.references.read_en, 1)
        await ctx.tick()
        word = ctx.get(dut.references.read_data)
        ctx.set(dut.references.read_en, 0)
        await ctx.tick()
        return [signed(word >> bits * k & (1 << bits) - 1, bits) for k in range(units)]

    async def bench(ctx) -> None:
        for address, values in written.items():
            ctx.set(dut.references.load_addr, address)
            ctx.set(dut.references.load_data, packed(values, bits))
            ctx.set(dut.references.load_en, 1)
            await ctx.tick()
        ctx.set(dut.references.load_en, 0)
        for address, values in written.items():
            assert await read(ctx, address) == values
        program = {"in_words": 2, "out_words": 1, "delta_x": 4, "reference_base": 3}
        ctx.set(dut.program, program)
        await ctx.tick().repeat(5)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        ctx.set(dut.i_valid, 1)
        for word, values in enumerate(([-124, -128], [10, -9])):
            ctx.set(dut.i, {"values": packed(values, bits), "last": word})
            await ctx.tick()
        ctx.set(dut.i_valid, 0)
        for _ in range(6):
            if ctx.get(dut.o_valid):
                value = int(ctx.get(dut.o.values))
                found.append([signed(value >> 9 * k & 511, 9) for k in range(units)])
            await ctx.tick()
        assert await read(ctx, 3) == [-128, -128]
        assert await read(ctx, 4) == [10, -5]
        assert await read(ctx, 31) == [0, 1]

    run(dut, bench)
    assert found == [[0, -255], [5, 0]]
