"""Central control beside a list of what it must scan and broadcast, with slow groups around it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from sparnn.hdl.baseline.config import BaselineConfig
from sparnn.hdl.baseline.control import CentralControl
from tests.hdl.baseline.model import make_config
from tests.hdl.stream_helpers import plain, run

LANES = 8
#: Cycles after which the groups' answers refer to a new count, at most.
LATE = 3


@dataclass
class Scan:
    """A vector that must be scanned, and in which state of the groups at the earliest."""

    half: int
    base: int
    taken: int  # input halves
    done: int  # steps


def scans(layer: dict[str, int], steps: int, overlap: bool) -> list[Scan]:
    """x_0, h_0, x_1, … of a run. An input vector waits for the halves before it to be taken."""
    found = []
    for step in range(steps):
        early = overlap and layer["recurrent"]
        found.append(Scan(0, step * layer["stride_x"], step, max(0, step - 1) if early else step))
        if layer["recurrent"]:
            base = layer["h_base"] + step * layer["stride_h"]
            found.append(Scan(1, base, 0, step))
    return found


class Groups:
    """What surrounds the control: the scan's tree, the groups that work, and their late answers."""

    def __init__(self, ctx: Any, dut: CentralControl, rng: np.random.Generator) -> None:
        self.ctx, self.dut, self.rng = ctx, dut, rng
        self.offers: list[dict[str, int]] = []
        self.tokens = [0, 0]
        self.taken = self.done = 0
        self.last = 0  # the half whose token ends a step
        self._answers = [(1, 1)] * LATE

    def scanned(self, rows: int, tail: int, dense: int) -> None:
        """The vector's activations come in any order, then its end."""
        numbers = [row * LANES + k for row in range(rows + 1) for k in range(LANES)]
        numbers = [n for n in numbers if n < rows * LANES + tail]
        self.rng.shuffle(numbers)
        for number in numbers:
            value = int(self.rng.integers(-512, 512)) * int(self.rng.integers(2))
            if value or dense:
                self.offers.append(
                    {"value": value, "element": number % LANES, "row": number // LANES, "end": 0}
                )
        self.offers.append({"value": 0, "element": 3, "row": 1, "end": 1})

    def before(self) -> None:
        """Set this cycle's inputs."""
        ctx, dut, rng = self.ctx, self.dut, self.rng
        if self.taken < self.tokens[0] and rng.random() < 0.2:
            self.taken += 1
        # A step is done with the end of its last half, and not before its input was taken.
        if self.done < min(self.tokens[self.last], self.taken) and rng.random() < 0.1:
            self.done += 1
        taken, done = self._answers.pop(0)
        ctx.set(dut.x_taken, taken)
        ctx.set(dut.steps_done, done)
        self._answers.append(
            (
                self.taken % 4 == ctx.get(dut.x_begun),
                self.done % 4 == ctx.get(dut.h_begun),
            )
        )
        ctx.set(dut.root.valid, bool(self.offers) and rng.random() < 0.8)
        ctx.set(dut.root.payload, self.offers[0] if self.offers else {"end": 1})
        ctx.set(dut.room, rng.random() < 0.7)


async def check_run(
    ctx: Any,
    dut: CentralControl,
    config: BaselineConfig,
    layer: dict[str, int],
    steps: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    groups = Groups(ctx, dut, rng)
    groups.last = layer["recurrent"]
    todo = scans(layer, steps, config.overlap)
    ctx.set(dut.program, layer)
    ctx.set(dut.steps, steps)
    ctx.set(dut.run, 1)
    expected: list[dict[str, int]] = []
    now: Scan | None = None
    early = 0
    for cycle in range(4000):
        groups.before()
        if ctx.get(dut.start):
            assert not groups.offers
            now = todo.pop(0)
            rows, tail = (
                (layer["rows_h"], layer["tail_h"])
                if now.half
                else (layer["rows_x"], layer["tail_x"])
            )
            dense = not config.skip_zeros
            scan = {"base": now.base, "rows": rows, "tail": tail, "dense": dense}
            assert plain(ctx.get(dut.scan)) == scan
            assert groups.taken >= now.taken
            assert groups.done >= now.done
            groups.scanned(rows, tail, dense)
            early += groups.done < steps - 1 - len(todo) // (1 + layer["recurrent"])
        assert ctx.get(dut.fresh) == (cycle == 1)
        assert ctx.get(dut.item_valid) == bool(expected)
        if expected:
            item = plain(ctx.get(dut.item))
            wanted = expected.pop()
            assert item["token"] == wanted["token"]
            assert item["half"] == wanted["half"]
            if wanted["token"]:
                groups.tokens[wanted["half"]] += 1
            else:
                assert item["value"] == wanted["value"]
                assert item["column"] == wanted["column"]
        assert not ctx.get(dut.values.valid)
        if ctx.get(dut.root.valid) and ctx.get(dut.root.ready):
            assert ctx.get(dut.room)
            offer = groups.offers.pop(0)
            assert now is not None
            column = offer["row"] * LANES + offer["element"]
            column += layer["inputs"] if now.half else 0
            expected.append(
                {
                    "value": offer["value"],
                    "column": column,
                    "half": now.half,
                    "token": offer["end"],
                }
            )
        busy = ctx.get(dut.busy)
        assert busy or cycle == 0 or not todo
        if cycle and not busy:
            assert groups.done == steps
            assert ctx.get(dut.cycles) == cycle
            break
        await ctx.tick()
        ctx.set(dut.run, 0)
    else:
        raise AssertionError("never done")
    assert not expected
    # The array works under the write-back only where that is allowed.
    assert bool(early) == bool(config.overlap and layer["recurrent"] and steps > 1)
    for _ in range(4):
        groups.before()
        assert not ctx.get(dut.item_valid)
        assert not ctx.get(dut.start)
        assert ctx.get(dut.cycles) == cycle
        await ctx.tick()


async def check_read(ctx: Any, dut: CentralControl, layer: dict[str, int], seed: int) -> None:
    """One vector goes to the host, with its zeros, in any order."""
    rng = np.random.default_rng(seed)
    groups = Groups(ctx, dut, rng)
    base = int(rng.integers(1 << 20))
    ctx.set(dut.read, 1)
    ctx.set(dut.read_base, base)
    await ctx.tick()
    ctx.set(dut.read, 0)
    assert ctx.get(dut.start)
    scan = {"base": base, "rows": layer["rows_h"], "tail": layer["tail_h"], "dense": 1}
    assert plain(ctx.get(dut.scan)) == scan
    groups.scanned(layer["rows_h"], layer["tail_h"], 1)
    wanted = [(o["row"] * LANES + o["element"], o["value"]) for o in groups.offers if not o["end"]]
    got = []
    for _ in range(500):
        assert ctx.get(dut.reading)
        groups.before()
        ctx.set(dut.values.ready, rng.random() < 0.6)
        assert not ctx.get(dut.item_valid)
        if ctx.get(dut.values.valid) and ctx.get(dut.values.ready):
            value = plain(ctx.get(dut.values.payload))
            got.append((value["column"], value["value"]))
        if ctx.get(dut.root.valid) and ctx.get(dut.root.ready):
            groups.offers.pop(0)
        await ctx.tick()
        if not groups.offers:
            break
    assert got == wanted
    assert not ctx.get(dut.reading)
    assert not ctx.get(dut.busy)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("overlap", "skip_zeros"), [(False, True), (True, False), (True, True)])
def test_runs(overlap: bool, skip_zeros: bool, seed: int) -> None:
    """Runs of one step and of more than the counters' modulus, with reads between them."""
    config = make_config(overlap=overlap, skip_zeros=skip_zeros, columns=64, half_columns=32)
    dut = CentralControl(config)
    layers = [
        {"recurrent": 1, "rows_x": 1, "tail_x": 3, "rows_h": 2, "tail_h": 0},
        {"recurrent": 0, "rows_x": 0, "tail_x": 5, "rows_h": 0, "tail_h": 1},
        # Vectors of one activation, which is often zero: then the answers come last.
        {"recurrent": 0, "rows_x": 0, "tail_x": 1, "rows_h": 0, "tail_h": 2},
        {"recurrent": 1, "rows_x": 0, "tail_x": 1, "rows_h": 0, "tail_h": 1},
        {"recurrent": 1, "rows_x": 0, "tail_x": 1, "rows_h": 1, "tail_h": 7},
    ]

    async def bench(ctx: Any) -> None:
        for number, layer in enumerate(layers):
            inputs = LANES * layer["rows_x"] + layer["tail_x"]
            fields = layer | {"inputs": inputs, "stride_x": 3, "h_base": 40, "stride_h": 5}
            for steps in (1, 6):
                await check_run(ctx, dut, config, fields, steps, 10 * seed + number)
                await check_read(ctx, dut, fields, seed + steps)

    run(dut, bench, cycles=20_000)
