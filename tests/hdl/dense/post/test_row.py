"""A row unit, with the real σ inside, against docs/numerics.md, at the cycles it declares."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.post.row import RowKind, RowUnit
from tests.hdl.dense.model import requantized, rne, sat, sigmoid, tanh
from tests.hdl.stream_helpers import run

DEPTH = 8

Placed = Callable[[DenseConfig], None]
Schedule = dict[int, dict[str, int]]


def make_config(**changes: int) -> DenseConfig:
    parameters = {"lanes": 8, "width": 4, "banks": 2, "columns": 8, "parameter_depth": 2 * DEPTH}
    return DenseConfig(**(parameters | changes))


def random_entries(rng: np.random.Generator, count: int) -> list[dict[str, int]]:
    """Parameters whose results reach zero, both ends and what lies between them."""
    entries = []
    for number in range(count):
        mult = int(rng.integers(16384, 32768)) if number % 5 else (0, 32767)[number // 5 % 2]
        shift = int(rng.integers(8, 34)) if number % 3 else (0, 47, 1)[number // 3 % 3]
        bias = int(rng.integers(-32768, 32768)) if number % 4 else (0, 32767, -32768)[number % 3]
        entries.append({"mult": mult, "shift": shift, "bias": bias})
    return entries


def random_sum(rng: np.random.Generator, bits: int) -> int:
    choice = int(rng.integers(6))
    if choice < 2:
        return (-(1 << bits - 1), (1 << bits - 1) - 1)[choice]
    size = int(rng.integers(1, bits))
    return int(rng.integers(-(1 << size), 1 << size))


async def play(
    ctx: Any, dut: RowUnit, entries: list[dict[str, int]], inputs: Schedule, wanted: Schedule
) -> None:
    """Load the parameters, then set ``inputs`` and compare ``wanted`` in every cycle.

    What is not named in a cycle is noise, but for the enables, which are low.
    """
    rng = np.random.default_rng(1)
    for address, entry in enumerate(entries):
        ctx.set(dut.load_en, 1)
        ctx.set(dut.load_addr, address)
        ctx.set(dut.load_data, entry)
        await ctx.tick()
    ctx.set(dut.load_en, 0)
    driven = {name for at in inputs.values() for name in at}
    for cycle in range(min(inputs), max(wanted) + 1):
        for name in driven:
            port = getattr(dut, name)
            idle = 0 if name in ("en", "store") else int(rng.integers(1 << min(len(port), 15)))
            ctx.set(port, inputs.get(cycle, {}).get(name, idle))
        for name, value in wanted.get(cycle, {}).items():
            assert ctx.get(getattr(dut, name)) == value, (cycle, name)
        await ctx.tick()


@pytest.mark.parametrize("apart", [0, 1])
@pytest.mark.parametrize(
    ("stages", "keep", "weight_bits", "f", "sigma"),
    [
        (1, True, 8, 12, "sigmoid"),
        (2, True, 16, 15, "tanh"),
        (1, False, 4, 12, "hard"),
        (1, True, 8, 0, "tanh"),
    ],
)
def test_halves(
    placed: Placed, stages: int, keep: bool, weight_bits: int, f: int, sigma: str, apart: int
) -> None:
    """Input halves are stored, hidden halves join them, even in the cycle after the other."""
    config = make_config(
        weight_bits=weight_bits,
        activation_bits=16 if weight_bits == 16 else 8,
        post_stages=stages,
        hard_sigmoid=1,
    )
    placed(config)
    dut = RowUnit(config, RowKind(keep))
    rng = np.random.default_rng([stages, weight_bits, apart])
    entries = random_entries(rng, 2 * DEPTH)
    inputs: Schedule = defaultdict(dict)
    wanted: Schedule = defaultdict(dict)
    cycle = 0
    stored: dict[int, int] = {}
    for _ in range(90):
        # A hidden half needs an input half, and one that is not joined is used as it is.
        word, hidden = int(rng.integers(DEPTH)), bool(rng.integers(2))
        if not rng.integers(4):
            word = next(reversed(stored), word)  # what was stored just before
        hidden = hidden and word in stored
        psum = random_sum(rng, config.sum_bits)
        address = word + DEPTH * hidden
        half = requantized(psum, **entries[address])
        inputs[cycle - 1] |= {"en": 1, "psum": psum, "parameter_addr": address}
        inputs[cycle + 3 * stages - 2] |= {"word1": word}
        inputs[cycle + 3 * stages - 1] |= {"word2": word, "store": not hidden, "join": hidden}
        pre = sat(half + stored[word]) if hidden else half
        gate = tanh(pre, f) if sigma == "tanh" else sigmoid(pre, f, sigma == "hard")
        wanted[cycle + config.row_latency] |= {"gate": gate}
        if keep and hidden:
            kept = stored[word] if apart else pre
            wanted[cycle + config.row_latency] |= {"kept": kept, "hidden": half}
        elif keep and not apart:
            wanted[cycle + config.row_latency] |= {"kept": pre}
        if not hidden:
            stored.pop(word, None)
            stored[word] = half
        cycle += int(rng.choice((1, 1, 1, 2, 5)))

    async def bench(ctx: Any) -> None:
        ctx.set(dut.up, 15 - f)
        ctx.set(dut.sigmoid, sigma != "tanh")
        ctx.set(dut.hard, sigma == "hard")
        if keep:
            ctx.set(dut.apart, apart)
        await play(ctx, dut, entries, inputs, wanted)

    run(dut, bench, cycles=1000)
    assert config.row_latency == 6 * stages


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize(
    ("kind", "shift"),
    [
        (RowKind(True, sees_state=True), 15),
        (RowKind(False, sees_state=True), 0),
        (RowKind(False, sees_state=True), 31),
        (RowKind(False, hands_on=True), 0),
        (RowKind(True), 3),
    ],
)
def test_peepholes(placed: Placed, kind: RowKind, shift: int, stages: int) -> None:
    """The bias of a hidden half is the weight of the peephole, where the layer has peepholes."""
    config = make_config(post_stages=stages, peepholes=1)
    placed(config)
    dut = RowUnit(config, kind)
    rng = np.random.default_rng([shift, stages])
    entries = random_entries(rng, 2 * DEPTH)
    inputs: Schedule = defaultdict(dict)
    wanted: Schedule = defaultdict(dict)
    cycle, f = 0, 11
    for number in range(40):
        peephole = number % 4 != 3  # else as in any other layer of the machine
        word = int(rng.integers(DEPTH))
        sums = [random_sum(rng, config.sum_bits) for _ in range(2)]
        state = (-32768, 32767, int(rng.integers(-32768, 32768)))[int(rng.integers(3))]
        u = requantized(sums[0], **entries[word])
        hidden = entries[word + DEPTH]
        weight = hidden["bias"]
        v = requantized(sums[1], **(hidden | {"bias": 0} if peephole else hidden))
        pre = sat(u + v)
        for half in range(2):
            inputs[cycle - 1] |= {
                "en": 1,
                "psum": sums[half],
                "parameter_addr": word + DEPTH * half,
            }
            inputs[cycle + 2 * stages] |= {"unbiased": half and peephole}
            inputs[cycle + 3 * stages - 2] |= {"word1": word}
            inputs[cycle + 3 * stages - 1] |= {"word2": word, "store": 1 - half, "join": half}
            if half and kind.sees_state:
                inputs[cycle + 2 * stages] |= {"state": state}
            if half and kind.hands_on and peephole:
                wanted[cycle + 2 * stages] |= {"weight": weight}
                wanted[cycle + 3 * stages] |= {"pre": pre}
            if half:
                seen = rne(weight * state, shift) if peephole and kind.sees_state else 0
                wanted[cycle + config.row_latency] |= {"gate": sigmoid(sat(pre + seen), f)}
                if kind.keep and not peephole:
                    wanted[cycle + config.row_latency] |= {"kept": pre, "hidden": v}
            cycle += int(rng.choice((1, 1, 3)))

    async def bench(ctx: Any) -> None:
        ctx.set(dut.up, 15 - f)
        ctx.set(dut.sigmoid, 1)
        if kind.sees_state:
            ctx.set(dut.state_shift, shift)
        await play(ctx, dut, entries, inputs, wanted)

    run(dut, bench, cycles=1000)
    assert config.row_latency == 7 * stages
