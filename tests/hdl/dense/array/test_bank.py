"""A bank, its real lanes and adders inside, beside exact row sums and the copies' contents."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from sparnn.hdl.dense.array.bank import Bank
from sparnn.hdl.dense.config import DenseConfig
from tests.hdl.stream_helpers import run

Placed = Callable[[DenseConfig], None]


@dataclass
class Pass:
    """Some issues one after the other, which make one sum in each row."""

    length: int
    joined_log2: int
    hidden: int
    buffer: int
    share: int
    zero: int
    mask_addr: int = 0


def make_config(**changes: int) -> DenseConfig:
    parameters = {"lanes": 8, "width": 4, "banks": 2, "columns": 8, "weight_depth": 32}
    return DenseConfig(**(parameters | changes))


class Bench:
    """Drives noise into both copies in every cycle, and passes with gaps between their issues."""

    def __init__(self, placed: Placed, config: DenseConfig, number: int, seed: int) -> None:
        placed(config)
        self.config, self.number = config, number
        self.dut = Bank(config)
        self.rng = rng = np.random.default_rng(seed)
        lanes, most = config.bank_lanes, (1 << config.weight_bits - 1) - 1
        shape = (lanes, config.weight_depth, config.width)
        self.weights = rng.integers(-most, most, shape, endpoint=True)
        # Words of nothing but the extremes make the largest sums.
        self.weights[:, : config.weight_depth // 4] = rng.choice((-most, most), ())
        self.masks = rng.random((lanes, max(1, config.mask_depth), config.columns)) < 0.5
        self.copies = {half: np.zeros((lanes, 2 * config.columns), np.int64) for half in "xh"}

    def passes(self, count: int) -> list[Pass]:
        """Random ones, whose columns lie within their share of the copies."""
        config, rng = self.config, self.rng
        found = []
        for _ in range(count):
            joined = int(rng.integers(config.banks_log2 + 1))
            share = int(rng.integers(1 << config.turn_bits))
            room = (2 if share == 0 else 1) * (config.columns >> config.turn_bits)
            if config.mask_depth:  # the mask names any column of the copy
                share = 0
            length = int(rng.integers(1, max(1, room >> joined) + 1))
            found.append(
                Pass(
                    length=length if not config.mask_depth else int(rng.integers(1, 9)),
                    joined_log2=joined,
                    hidden=int(rng.integers(2)),
                    buffer=int(rng.integers(2)),
                    share=share,
                    zero=int(rng.integers(6) == 0),
                    mask_addr=int(rng.integers(max(1, config.mask_depth))),
                )
            )
        return found

    def place(self, one: Pass, lane: int, cycle: int) -> int | None:
        """Where in its copy a lane finds the activation of one issue; None: it has none."""
        config = self.config
        share = config.columns // (4 if config.streams > 2 else 2) * one.share
        base = config.columns * one.buffer + share
        if config.mask_depth:
            there = np.flatnonzero(self.masks[lane, one.mask_addr])
            return base + int(there[cycle]) if cycle < len(there) else None
        # Joined banks take every second, fourth, … of the columns that this bank keeps.
        joined = 1 << one.joined_log2
        return base + self.number % joined + joined * cycle

    async def load(self, ctx: Any) -> None:
        """All lanes of this bank, and, wrongly addressed, of another one."""
        config, dut, lanes = self.config, self.dut, self.config.bank_lanes
        mask = (1 << config.weight_bits) - 1
        for lane in range(lanes):
            own = self.number * lanes + lane
            for address, word in enumerate(self.weights[lane].tolist()):
                value = sum((w & mask) << config.weight_bits * k for k, w in enumerate(word))
                load = {"en": 1, "lane": own, "addr": address, "data": value}
                ctx.set(dut.load, load)
                await ctx.tick()
                if address == lane:
                    ctx.set(dut.load, load | {"lane": own ^ lanes, "data": ~value & (1 << 8) - 1})
                    await ctx.tick()
            for address, bits in enumerate(self.masks[lane].tolist() if config.mask_depth else []):
                value = sum(bit << k for k, bit in enumerate(bits))
                ctx.set(dut.load, {"mask": 1, "lane": own, "addr": address, "data": value})
                await ctx.tick()
        ctx.set(dut.load, {})

    def write_copies(self, ctx: Any) -> None:
        """One word into each copy, or parts of it, in this cycle."""
        config, rng = self.config, self.rng
        half_range = 1 << config.activation_bits - 1
        for half, bus in (("x", self.dut.x), ("h", self.dut.h)):
            valid = int(rng.integers(1 << config.slices))
            place = int(rng.integers(config.words_per_column))
            addr = int(rng.integers(2 * config.columns))
            values = rng.integers(-half_range, half_range, config.word)
            values = np.where(rng.random(config.word) < 0.3, -half_range, values)
            ctx.set(bus, {"valid": valid, "place": place, "addr": addr, "data": values.tolist()})
            for part, value in enumerate(values.tolist()):
                if valid >> part // config.cells & 1:
                    self.copies[half][place * config.word + part, addr] = value

    async def work(self, ctx: Any, passes: list[Pass], idle: float) -> None:
        config, dut, rng = self.config, self.dut, self.rng
        lanes = range(config.bank_lanes)
        queue = [(one, cycle) for one in passes for cycle in range(one.length)]
        reading: dict[int, tuple[Pass, int, int]] = {}  # cycle of the read -> issue
        total = [0] * config.width
        coming: dict[int, list[int]] = {}
        shown: list[int] | None = None
        now = 0
        while queue or reading or coming:
            # A word on the bus is in the copies in the next cycle, so first what is read now.
            if now in reading:
                one, cycle, address = reading.pop(now)
                if cycle == 0:
                    total = [0] * config.width
                for lane in lanes:
                    place = self.place(one, lane, cycle)
                    value = 0
                    if place is not None and not one.zero:
                        value = int(self.copies["h" if one.hidden else "x"][lane, place])
                    for row in range(config.width):
                        total[row] += value * int(self.weights[lane, address, row])
                if cycle + 1 == one.length:
                    issued = now - config.issue_to_read
                    coming[issued + config.issue_to_operand - 1] = list(total)
            issue = dict.fromkeys(("zero", "hidden", "first", "last"), 1)
            if queue and rng.random() >= idle:
                one, cycle = queue.pop(0)
                address = int(rng.integers(config.weight_depth))
                issue = {
                    "valid": 1,
                    "weight_addr": address,
                    "column": cycle if not config.mask_depth else 0,
                    "joined_log2": one.joined_log2,
                    "buffer": one.buffer,
                    "share": one.share,
                    "hidden": one.hidden,
                    "zero": one.zero,
                    "first": cycle == 0,
                    "last": cycle + 1 == one.length,
                }
                if config.mask_depth:
                    issue["mask_addr"] = one.mask_addr
                reading[now + config.issue_to_read] = one, cycle, address
            ctx.set(dut.issue, issue)
            self.write_copies(ctx)
            shown = coming.pop(now, shown)
            if shown is not None:
                sums = ctx.get(dut.sums)
                bits = config.sum_bits
                parts = [sums >> bits * k & (1 << bits) - 1 for k in range(config.width)]
                assert [part - (part >> bits - 1 << bits) for part in parts] == shown, now
            await ctx.tick()
            now += 1

    def simulate(self, passes: int, idle: float) -> None:
        async def bench(ctx: Any) -> None:
            ctx.set(self.dut.number, self.number)
            await self.load(ctx)
            await self.work(ctx, self.passes(passes), idle)

        run(self.dut, bench, cycles=5000)


@pytest.mark.parametrize("idle", [0.0, 0.4])
@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"lanes": 1, "banks": 1, "width": 1, "gate_depth": 2}, 0),
        ({"lanes": 6, "banks": 2, "width": 2, "gate_depth": 2, "tree_radix": 2}, 1),
        ({"lanes": 28, "banks": 4, "tree_radix": 4, "operand_stage": 1}, 3),
        ({"lanes": 24, "banks": 2, "width": 8, "slices": 2, "tree_radix": 2}, 1),
        ({"lanes": 10, "banks": 2, "streams": 3, "tree_radix": 16, "weight_bits": 4}, 0),
        ({"lanes": 12, "banks": 4, "weight_bits": 16, "activation_bits": 16}, 2),
    ],
)
def test_passes(placed: Placed, changes: dict[str, int], number: int, idle: float) -> None:
    """Passes of all tiles, halves and shares, with words arriving up to the cycle of reading."""
    config = make_config(**changes)
    Bench(placed, config, number, seed=len(changes)).simulate(25, idle)


@pytest.mark.parametrize("idle", [0.0, 0.3])
@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"lanes": 2, "banks": 1, "width": 1, "gate_depth": 2, "mask_depth": 2}, 0),
        ({"lanes": 10, "banks": 2, "columns": 7, "mask_depth": 5, "tree_radix": 2}, 1),
    ],
)
def test_masked_passes(placed: Placed, changes: dict[str, int], number: int, idle: float) -> None:
    """Lanes pick the columns of their masks, and multiply by zero when none is left."""
    config = make_config(**changes)
    Bench(placed, config, number, seed=7).simulate(25, idle)
