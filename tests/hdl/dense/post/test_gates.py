"""The gate buffer beside lists: gates side by side pass, gate by gate the last ones free
neurons."""

from typing import Any

import numpy as np
import pytest

from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.post.gates import GateBuffer
from tests.hdl.stream_helpers import run


def make(width: int, gate_depth: int) -> tuple[GateBuffer, int]:
    """The buffer of one cell unit, and how many rows share that one."""
    config = DenseConfig(lanes=8, width=width, banks=2, columns=8, gate_depth=gate_depth)
    return GateBuffer(config), min(width, 4)


def random_rows(rng: np.random.Generator, rows: int) -> np.ndarray:
    """[gate, kept, hidden][row], with the most negative and the largest values among them."""
    values = rng.integers(-32768, 32768, (3, rows))
    return np.where(rng.random((3, rows)) < 0.2, rng.choice((-32768, 32767), (3, rows)), values)


def set_rows(ctx: Any, dut: GateBuffer, values: np.ndarray) -> None:
    for ports, row_values in zip(
        (dut.row_gates, dut.row_kept, dut.row_hidden), values.tolist(), strict=True
    ):
        for port, value in zip(ports, row_values, strict=True):
            ctx.set(port, value)


@pytest.mark.parametrize("kind", ["lstm", "gru", "other"])
def test_side_by_side(kind: str) -> None:
    """The four rows are the gates of one neuron; the first and the third row have more to say."""
    dut, rows = make(8, 4)
    rng = np.random.default_rng(len(kind))

    async def bench(ctx: Any) -> None:
        ctx.set(dut.lstm, kind == "lstm")
        ctx.set(dut.gru, kind == "gru")
        for _ in range(30):
            values = random_rows(rng, rows)
            set_rows(ctx, dut, values)
            ctx.set(dut.next, int(rng.integers(2)))
            assert [ctx.get(port) for port in dut.gates] == values[0].tolist()
            assert ctx.get(dut.plain) == values[1][0]
            assert ctx.get(dut.candidate) == values[1][2]
            assert ctx.get(dut.hidden) == values[2][2]
            await ctx.tick()

    run(dut, bench, cycles=100)


@pytest.mark.parametrize("kind", ["lstm", "gru", "other"])
@pytest.mark.parametrize(("width", "gate_depth"), [(1, 1), (2, 3), (4, 4), (8, 5)])
def test_gate_by_gate(width: int, gate_depth: int, kind: str) -> None:
    """Neurons of several segments wait at once, the last gates come as close as they may.

    Gates of one segment come at least a cycle apart, in an order in which only the last one's place
    is fixed. The neurons of a segment leave in as many cycles as there are rows, or with holes.
    """
    dut, rows = make(width, gate_depth)
    rng = np.random.default_rng([width, gate_depth, len(kind)])
    last = {"lstm": 3, "gru": 2, "other": 0}[kind]
    waiting: dict[int, dict[int, np.ndarray]] = {k: {} for k in range(gate_depth)}
    leaving: list[list[int | None]] = []  # gates 0-3, plain, candidate, hidden
    segment = gate = 0

    def neurons(gates: dict[int, np.ndarray], final: np.ndarray) -> list[list[int | None]]:
        """What the cell unit must see of each row; None where it does not look."""
        found: list[list[int | None]] = []
        for row in range(rows):
            value, kept, hidden = (int(one[row]) for one in final)
            before = [int(gates[k][row]) for k in range(last)]
            if kind == "lstm":
                found.append([*before, value, None, None, None])
            elif kind == "gru":
                found.append([*before, None, None, None, kept, hidden])
            else:
                found.append([value, None, None, None, kept, None, None])
        return found

    async def bench(ctx: Any) -> None:
        nonlocal segment, gate
        ctx.set(dut.gate_major, 1)
        ctx.set(dut.lstm, kind == "lstm")
        ctx.set(dut.gru, kind == "gru")
        coming: tuple[int, int] | None = None
        neurons_seen = 0
        for _ in range(250):
            values = random_rows(rng, rows)
            set_rows(ctx, dut, values)
            ctx.set(dut.load, 0)
            ctx.set(dut.write_en, 0)
            ctx.set(dut.gate, int(rng.integers(4)))
            ctx.set(dut.write_addr, int(rng.integers(gate_depth)))
            if coming:
                segment, gate = coming
                ctx.set(dut.write_addr, segment)
                ctx.set(dut.gate, gate)
                ctx.set(dut.write_en, gate != 3)
                if gate == last:
                    assert not leaving
                    leaving.extend(neurons(waiting[segment], values))
                    waiting[segment] = {}
                    ctx.set(dut.load, 1)
                else:
                    waiting[segment][gate] = values[0]
            loads = bool(coming) and gate == last
            step = bool(leaving) and (loads or rng.random() < 0.7)
            ctx.set(dut.next, step)
            if step:
                ports = [*dut.gates, dut.plain, dut.candidate, dut.hidden]
                for port, value in zip(ports, leaving.pop(0), strict=True):
                    assert value is None or ctx.get(port) == value
                neurons_seen += 1
            # The segment of the next cycle is announced in this one.
            at = int(rng.integers(gate_depth))
            missing = [k for k in range(last) if k not in waiting[at]]
            coming = None
            if missing:
                coming = at, int(rng.choice(missing))
            elif not leaving:  # the neurons of the one before have left
                coming = at, last
            ctx.set(dut.read_addr, at)
            await ctx.tick()
        assert neurons_seen > 25

    run(dut, bench, cycles=1000)
