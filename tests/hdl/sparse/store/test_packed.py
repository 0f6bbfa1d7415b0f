"""PackedStore: what is written comes back, whoever reads, and what is lost is said."""

import random
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest

from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.store.packed import PackedStore
from tests.hdl.stream_helpers import run

Words = Sequence[Sequence[int]]


def make(post_units: int, **options: int) -> SparseConfig:
    values = {"store_depth": 128, "value_rows": 120, "dense_rows": 6, "vector_words": 2}
    return SparseConfig(
        lanes=post_units,
        post_units=post_units,
        max_v=1,
        chunk=max(8, post_units),
        sub_chunk=4,
        columns=max(8, post_units),
        activation_bits=9,
        packed_store=1,
        **values | options,
    )


def joined(config: SparseConfig, word: Sequence[int]) -> int:
    bits = config.activation_bits
    return sum((value & (1 << bits) - 1) << k * bits for k, value in enumerate(word))


class Driver:
    """Writes and reads vectors, one word per cycle."""

    def __init__(self, ctx: Any, dut: PackedStore, config: SparseConfig) -> None:
        self.ctx, self.dut, self.config = ctx, dut, config

    async def write(self, addr: int, words: Words, *, host: bool = False, idle: Any = None) -> None:
        ctx, dut = self.ctx, self.dut
        for number, word in enumerate(words):
            while idle is not None and idle.random() < 0.5:
                await ctx.tick()
            ctx.set(dut.write_en, 1)
            ctx.set(dut.write_host, host)
            ctx.set(dut.write_begins, number == 0)
            ctx.set(dut.write_addr, addr + number)
            ctx.set(dut.write_data, joined(self.config, word))
            await ctx.tick()
            ctx.set(dut.write_en, 0)
            ctx.set(dut.write_data, 0)

    async def settle(self) -> None:
        """Until it may be asked whether values have been lost."""
        while self.ctx.get(self.dut.busy):
            await self.ctx.tick()

    async def read(self, requests: Sequence[tuple[int, int]]) -> list[int]:
        """(address, reader), a request in each cycle; the words, in order."""
        ctx, dut = self.ctx, self.dut
        latency, got = self.config.store_latency, []
        for cycle in range(len(requests) + latency):
            if cycle >= latency:
                got.append(ctx.get(dut.read_data))
            ctx.set(dut.read_en, cycle < len(requests))
            if cycle < len(requests):
                ctx.set(dut.read_addr, requests[cycle][0])
                ctx.set(dut.read_context, requests[cycle][1])
            await ctx.tick()
        return got

    async def begin(self, side: int, anew: int, loop: int = 1) -> None:
        ctx, dut = self.ctx, self.dut
        await self.settle()
        ctx.set(dut.program.store_side, side)
        ctx.set(dut.program.store_anew, anew)
        ctx.set(dut.loop, loop)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)


def vector(rng: random.Random, config: SparseConfig, words: int, density: float) -> list[list[int]]:
    def value() -> int:
        return rng.choice((-256, 255, 1, rng.randrange(1, 255))) if rng.random() < density else 0

    return [[value() for _ in range(config.post_units)] for _ in range(words)]


def interleaved(rng: random.Random, first: Sequence[int], second: Sequence[int]):
    """Requests of two readers, each in its own order."""
    queues = [list(first), list(second)]
    while any(queues):
        reader = rng.choice([k for k in range(2) if queues[k]])
        yield queues[reader].pop(0), reader


@pytest.mark.parametrize(
    ("post_units", "density"), [*product((1, 2, 8), (0.0, 0.4, 1.0)), (64, 0.5)]
)
def test_sequences_in_both_logs(post_units: int, density: float) -> None:
    """Steps of the host's and of a loop's, read in any order of steps by two readers at a time."""
    config = make(post_units)
    dut = PackedStore(config)
    rng = random.Random(str((post_units, density)))

    async def bench(ctx):
        driver = Driver(ctx, dut, config)
        for _ in range(4 if post_units < 64 else 1):
            words, steps = rng.randint(2, 5), rng.randint(1, 7)
            x = [vector(rng, config, words, density) for _ in range(steps)]
            whole = vector(rng, config, 6, density)
            await driver.write(config.store_depth, whole, host=True)
            for step, one in enumerate(x):
                await driver.write(step * words, one, host=True, idle=rng)
            base = steps * words
            side = rng.randrange(2)
            await driver.begin(side, side)
            # Outputs of two directions side by side, one of them written backwards.
            left, right = rng.randint(2, 4), rng.randint(2, 4)
            y = [vector(rng, config, left + right, density) for _ in range(steps)]
            for step in range(steps):
                await driver.write(base + step * (left + right), y[step][:left])
            for step in reversed(range(steps)):
                await driver.write(base + step * (left + right) + left, y[step][left:], idle=rng)
            await ctx.tick()
            stored = dict(enumerate(word for one in [*x, *y] for word in one))
            stored |= {config.store_depth + row: word for row, word in enumerate(whole)}

            def steps_of(base: int, size: int, steps: int = steps) -> list[int]:
                order = rng.sample(range(steps), steps)
                found = []
                for step in order:
                    for word in range(size):
                        if rng.random() < 0.3:
                            found.append(config.store_depth + rng.randrange(6))
                        found.append(base + step * size + word)
                return found

            requests = list(interleaved(rng, steps_of(0, words), steps_of(base, left + right)))
            got = await driver.read(requests)
            assert got == [joined(config, stored[addr]) for addr, _ in requests]
            await driver.settle()
            assert ctx.get(dut.overflow) == 0

    run(dut, bench, cycles=20_000)


def test_a_step_that_is_written_again() -> None:
    """Its words are read while the new ones are written, a few words behind, as sums are."""
    config = make(2)
    dut = PackedStore(config)
    rng = random.Random(1)

    async def bench(ctx):
        driver = Driver(ctx, dut, config)
        await driver.begin(1, 1)
        old = [vector(rng, config, 5, 0.5) for _ in range(3)]
        new = [vector(rng, config, 5, 0.5) for _ in range(3)]
        for step, words in enumerate(old):
            await driver.write(5 * step, words)
        await ctx.tick()
        for step in (2, 1, 0):
            ahead = 4
            got = await driver.read([(5 * step + word, 1) for word in range(ahead)])
            await driver.write(5 * step, new[step][:1])
            for word in range(ahead, 5):
                got += await driver.read([(5 * step + word, 1)])
            assert got == [joined(config, word) for word in old[step]]
            for word in range(1, 5):
                ctx.set(dut.write_begins, 0)
                ctx.set(dut.write_en, 1)
                ctx.set(dut.write_addr, 5 * step + word)
                ctx.set(dut.write_data, joined(config, new[step][word]))
                await ctx.tick()
            ctx.set(dut.write_en, 0)
            await ctx.tick()
        got = await driver.read([(place, 0) for place in range(15)])
        assert got == [joined(config, word) for words in new for word in words]

    run(dut, bench)


@pytest.mark.parametrize("post_units", [1, 4])
def test_overflow(post_units: int) -> None:
    """The last value fits; the one after it is said to be lost, with whose it was, until the host
    begins a new sequence; and the store works again."""
    config = make(post_units, value_rows=16, dense_rows=4)  # 12 values of each element
    dut = PackedStore(config)
    full = [[7] * post_units]
    empty = [[0] * post_units]
    last = [[0] * (post_units - 1) + [5]]

    async def bench(ctx):
        driver = Driver(ctx, dut, config)

        async def lost() -> int:
            await driver.settle()
            return ctx.get(dut.overflow)

        for _ in range(2):
            await driver.write(0, full * 12, host=True)
            assert await lost() == 0
            await driver.write(12, empty * 20, host=True)
            assert await lost() == 0
            await driver.write(32, last, host=True)
            assert await lost() == 1
            # By a loop, in the other log; whoever comes later does not change it.
            await driver.write(0, full * 7, host=True)
            assert await lost() == 0
            await driver.begin(1, 1, loop=3)
            await driver.write(16, full * 5)
            assert await lost() == 0
            await driver.write(21, last)
            assert await lost() == 4
            await driver.begin(0, 0, loop=6)
            await driver.write(32, last)
            assert await lost() == 4
        await driver.write(0, last, host=True)
        assert await lost() == 0
        # A log that begins anew has the room of what it held.
        await driver.begin(1, 1, loop=1)
        await driver.write(16, full * 11)
        await driver.begin(1, 1, loop=2)
        await driver.write(16, full * 11)
        assert await lost() == 0
        got = await driver.read([(16 + word, 0) for word in range(11)] + [(0, 0)])
        assert got == [joined(config, word) for word in full * 11 + last]

    run(dut, bench)
