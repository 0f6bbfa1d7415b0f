"""A cell unit, with the real tanh inside, against docs/numerics.md, at the cycles it declares."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.post.cell import CellUnit
from tests.hdl.dense.model import Cell, rne, sat
from tests.hdl.stream_helpers import run

Placed = Callable[[DenseConfig], None]
Schedule = dict[int, dict[str, int]]

ENABLES = ("write_en", "update_en", "load_en")
UNITS = 5


def make_config(**changes: int) -> DenseConfig:
    parameters = {"lanes": 8, "width": 4, "banks": 2, "columns": 8, "state_depth": 2 * UNITS + 1}
    return DenseConfig(**(parameters | changes))


def some(rng: np.random.Generator, low: int, high: int) -> int:
    """A number from low to high, often one of these."""
    return int(rng.choice((low, high, *rng.integers(low, high + 1, 4))))


class Board:
    """What to drive and what to see, cycle by cycle; all else is noise."""

    def __init__(self, seed: list[int]) -> None:
        self.inputs: Schedule = defaultdict(dict)
        self.wanted: Schedule = defaultdict(dict)
        self._rng = np.random.default_rng(seed)

    async def play(self, ctx: Any, dut: CellUnit) -> None:
        driven = {name: len(port(dut, name)) for at in self.inputs.values() for name in at}
        for cycle in range(min(self.inputs), max(self.wanted) + 1):
            now = self.inputs.get(cycle, {})
            for name, bits in driven.items():
                noise = 0 if name in ENABLES else int(self._rng.integers(1 << min(bits, 15)))
                ctx.set(port(dut, name), now.get(name, noise))
            for name, value in self.wanted.get(cycle, {}).items():
                assert ctx.get(port(dut, name)) == value, (cycle, name)
            await ctx.tick()


def port(dut: CellUnit, name: str) -> Any:
    return dut.gates[int(name[-1])] if name.startswith("gates") else getattr(dut, name)


def settings(cell: Cell, kind: str, wide: bool, out_shift: int) -> dict[str, int]:
    return {
        "lstm": kind == "lstm",
        "gru": kind == "gru",
        "wide": wide,
        "pre_up": 15 - cell.f_pre,
        "state_up": 15 - cell.f_state,
        "out_shift": out_shift,
    }


async def load(ctx: Any, dut: CellUnit, states: list[int]) -> None:
    ctx.set(dut.load_en, 1)
    for address, value in enumerate(states):
        ctx.set(dut.load_addr, address)
        ctx.set(dut.load_data, value)
        await ctx.tick()
    ctx.set(dut.load_en, 0)


def check(
    placed: Placed,
    config: DenseConfig,
    board: Board,
    fixed: dict[str, int],
    states: list[int],
    final: dict[int, int],
) -> None:
    """Load the states, play, and read back those that must be there at the end."""
    placed(config)
    dut = CellUnit(config)

    async def bench(ctx: Any) -> None:
        for name, value in fixed.items():
            ctx.set(getattr(dut, name), value)
        await load(ctx, dut, states)
        await board.play(ctx, dut)
        for name in ENABLES:
            ctx.set(getattr(dut, name), 0)
        for address, value in final.items():
            ctx.set(dut.read_addr, address)
            await ctx.tick()
            assert ctx.get(dut.state) == value

    run(dut, bench, cycles=2000)


FORMATS = [
    # f_pre, f_state, f_h, activation bits, wide, stages
    (12, 12, 7, 8, False, 1),
    (15, 15, 15, 16, False, 2),
    (0, 0, -16, 8, False, 1),
    (8, 15, 13, 10, True, 1),
    (13, 3, 15, 8, False, 2),
]


@pytest.mark.parametrize(("f_pre", "f_state", "f_h", "bits", "wide", "stages"), FORMATS)
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_recurrent(
    placed: Placed,
    kind: str,
    f_pre: int,
    f_state: int,
    f_h: int,
    bits: int,
    wide: bool,
    stages: int,
) -> None:
    """Steps of neurons without a gap, with and without old states, and the states at the end."""
    config = make_config(activation_bits=bits, post_stages=stages)
    cell = Cell(f_pre, f_state, f_h, 16 if wide else bits)
    rng = np.random.default_rng([f_pre, f_state, stages, len(kind)])
    board = Board([f_pre])
    p, at = config.post_stages, 4
    states = [some(rng, -32768, 32767) for _ in range(config.state_depth)]
    now = list(states)
    for step in range(7):
        fresh = step == 3
        for address in range(UNITS):
            g = at
            old = 0 if fresh else now[address]
            if kind == "lstm":
                gates = [some(rng, *((-32767, 32767) if k == 2 else (0, 32767))) for k in range(4)]
                board.inputs[g] |= {f"gates{k}": value for k, value in enumerate(gates)}
                used, there, done = g, g + 3 * p, g + 8 * p
                i, f, candidate, o = gates
                new = cell.lstm_state(i, f, candidate, old)
                output = cell.lstm_output(o, new)
            else:
                r, z = some(rng, 0, 32767), some(rng, 0, 32767)
                u, v = some(rng, -32768, 32767), some(rng, -32768, 32767)
                board.inputs[g] |= {"gates0": r, "gates1": z, "candidate": u, "hidden": v}
                used, there, done = g + 5 * p, g + 8 * p, g + 9 * p
                new = cell.gru_state(z, cell.gru_candidate(r, u, v), old)
                output = cell.gru_output(new)
            board.inputs[used - 1] |= {"read_addr": address}
            board.inputs[used] |= {"zero": fresh}
            board.inputs[there] |= {"write_en": 1, "write_addr": address}
            board.wanted[done] |= {"output": output}
            now[address] = new
            at += 1 + int(rng.integers(4) == 0)
        at += 4 * p  # the next step reads no state before it is written
    shift = 30 - f_h if kind == "lstm" else 15 + f_state - f_h
    fixed = settings(cell, kind, wide, shift)
    check(placed, config, board, fixed, states, dict(enumerate(now)))


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh", "sigmoid"])
@pytest.mark.parametrize(("f_pre", "f_state", "f_h", "bits", "wide", "stages"), FORMATS[1:4])
def test_without_state(
    placed: Placed,
    activation: str,
    f_pre: int,
    f_state: int,
    f_h: int,
    bits: int,
    wide: bool,
    stages: int,
) -> None:
    """RNN and linear cells: the pre-activation itself, its positive part, or a gate's value."""
    config = make_config(activation_bits=bits, post_stages=stages)
    cell = Cell(f_pre, f_state, f_h, 16 if wide else bits)
    rng = np.random.default_rng([f_pre, f_h + 16, len(activation)])
    board = Board([f_h + 16])
    tabular = activation in ("tanh", "sigmoid")
    least = {"tanh": -32767, "sigmoid": 0}.get(activation, -32768)
    shift = 30 - f_h if tabular else 15 + f_pre - f_h
    for g in range(40):
        value = some(rng, least, 32767)
        board.inputs[g] |= {"gates0" if tabular else "plain": value}
        # The lookup is the row's; here is what follows it.
        kept = max(value, 0) if activation == "relu" else value
        wanted = cell.out(kept * 32768, shift)
        board.wanted[g + 8 * stages] |= {"output": wanted}
    board.inputs[0] |= {"plain": 0, "gates0": 0} | board.inputs[0]
    fixed = settings(cell, "rnn", wide, shift)
    fixed |= {"tabular": tabular, "relu": activation == "relu"}
    states = [int(value) for value in rng.integers(-32768, 32768, config.state_depth)]
    check(placed, config, board, fixed, states, dict(enumerate(states)))


@pytest.mark.parametrize(("f_pre", "f_state", "f_h", "bits", "wide", "stages"), FORMATS[:3])
def test_reset_first(
    placed: Placed, f_pre: int, f_state: int, f_h: int, bits: int, wide: bool, stages: int
) -> None:
    """The layer of r and z keeps z and gives q; the layer of n makes the new state of both."""
    config = make_config(activation_bits=bits, post_stages=stages, reset_first=1)
    cell = Cell(f_pre, f_state, f_h, bits)
    rng = np.random.default_rng([f_pre, stages])
    p = stages
    placed(config)
    dut = CellUnit(config)
    now = [some(rng, -32768, 32767) for _ in range(config.state_depth)]

    def boards(step: int) -> tuple[Board, Board]:
        first, second = Board([step]), Board([step + 1])
        g = 3
        for address in range(UNITS):
            old = 0 if step == 2 else now[address]
            r, z, n = some(rng, 0, 32767), some(rng, 0, 32767), some(rng, -32767, 32767)
            first.inputs[g] |= {"gates0": r, "gates1": z, "update_en": 1, "update_addr": address}
            first.inputs[g + 7 * p - 1] |= {"read_addr": address}
            first.inputs[g + 7 * p] |= {"zero": step == 2, "write_en": 0}
            first.wanted[g + 9 * p] |= {"output": cell.reset_output(r, old)}
            second.inputs[g] |= {"gates0": n, "zero": step == 2, "update_en": 0}
            second.inputs[g - 1] |= {"read_addr": address}
            second.inputs[g + 3 * p] |= {"write_en": 1, "write_addr": address}
            now[address] = cell.gru_state(z, n, old)
            second.wanted[g + 8 * p] |= {"output": cell.gru_output(now[address])}
            g += 1 + int(rng.integers(3) == 0)
        return first, second

    async def bench(ctx: Any) -> None:
        await load(ctx, dut, now)
        fixed = settings(cell, "split", False, 15 + f_state - f_h)
        for name, value in fixed.items():
            ctx.set(getattr(dut, name), value)
        for step in range(5):
            for number, board in enumerate(boards(step)):
                ctx.set(dut.resets, number == 0)
                ctx.set(dut.mixes, number == 1)
                await board.play(ctx, dut)
                ctx.set(dut.update_en, 0)
                ctx.set(dut.write_en, 0)
        for address, value in enumerate(now):
            ctx.set(dut.read_addr, address)
            await ctx.tick()
            assert ctx.get(dut.state) == value

    run(dut, bench, cycles=2000)


@pytest.mark.parametrize("peephole", [0, 1])
@pytest.mark.parametrize(
    ("f_pre", "f_state", "shift", "stages", "hard"),
    [(12, 12, 15, 1, False), (15, 0, 0, 2, False), (13, 15, 31, 1, True)],
)
def test_peepholes(
    placed: Placed,
    f_pre: int,
    f_state: int,
    shift: int,
    stages: int,
    hard: bool,
    peephole: int,
) -> None:
    """o sees the new state two stages later; an LSTM without peepholes keeps its cycles."""
    config = make_config(post_stages=stages, peepholes=1, hard_sigmoid=1)
    cell = Cell(f_pre, f_state, 7, 8, hard)
    rng = np.random.default_rng([f_pre, shift, peephole])
    board = Board([f_state])
    p, row = stages, config.row_latency
    states = [some(rng, -32768, 32767) for _ in range(config.state_depth)]
    now, at = list(states), 2
    for step in range(6):
        fresh = step == 4
        for address in range(UNITS):
            old = 0 if fresh else now[address]
            i, f, o = (some(rng, 0, 32767) for _ in range(3))
            candidate = some(rng, -32767, 32767)
            weight, pre = some(rng, -32768, 32767), some(rng, -32768, 32767)
            g = at + row
            board.inputs[g] |= {"gates0": i, "gates1": f, "gates2": candidate}
            board.inputs[at + 2 * p] |= {"weight": weight}
            board.inputs[at + 3 * p] |= {"pre": pre}
            new = cell.lstm_state(i, f, candidate, old)
            if peephole:
                o = cell.sigma(sat(pre + rne(weight * new, shift)))
                board.wanted[at + 2 * p] |= {"old": old}
            else:
                board.inputs[g] |= {"gates3": o}
            used = at + 2 * p if peephole else g
            board.inputs[used - 1] |= {"read_addr": address}
            board.inputs[used] |= {"zero": fresh}
            board.inputs[g + 3 * p] |= {"write_en": 1, "write_addr": address}
            board.wanted[g + (8 + 2 * peephole) * p] |= {"output": cell.lstm_output(o, new)}
            now[address] = new
            at += 1 + int(rng.integers(4) == 0)
        at += row + 2 * p
    fixed = settings(cell, "lstm", False, 23) | {
        "peephole": peephole,
        "hard": hard,
        "state_shift": shift,
    }
    check(placed, config, board, fixed, states, dict(enumerate(now)))
