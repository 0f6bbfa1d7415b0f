"""The write-back of a group against docs/numerics.md: order of rows, places, counts, any delay."""

from typing import Any

import numpy as np
import pytest

from sparnn.hdl.baseline.config import BaselineConfig
from sparnn.hdl.baseline.writeback import WriteBack
from tests.hdl.baseline.model import make_config, output, random_parameters, requantized
from tests.hdl.stream_helpers import run


def places(rows: int, tail: int, number: int) -> list[tuple[int, int]]:
    """(row, element of the group) of all rows in order; the first ``tail`` elements have more."""
    found = [(row, element) for row in range(rows) for element in range(4)]
    return found + [(rows, element) for element in range(4) if 4 * number + element < tail]


async def check_layer(
    ctx: Any,
    dut: WriteBack,
    config: BaselineConfig,
    layer: dict[str, int],
    steps: int,
    number: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    rows = places(layer["rows_h"], layer["tail_h"], number)
    halves = 2 if layer["recurrent"] else 1
    entries = [random_parameters(rng, len(rows)) for _ in range(halves)]
    for address, entry in enumerate(entry for half in entries for entry in half):
        ctx.set(dut.load_en, 1)
        ctx.set(dut.load_addr, address)
        ctx.set(dut.load_data, entry)
        await ctx.tick()
    ctx.set(dut.load_en, 0)
    ctx.set(dut.number, number)
    ctx.set(dut.layer, layer)
    await ctx.tick()
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)

    least, most = -(1 << config.sum_bits - 1), (1 << config.sum_bits - 1) - 1

    def sums() -> dict[tuple[int, int], int]:
        return {
            one: int(rng.choice((least, most, 0, *rng.integers(-900_000, 900_000, 5))))
            for one in rows
        }

    # What is asked and what must be written.
    vectors = [[sums() for _ in range(halves)] for _ in range(steps)]
    expected = []
    for step, vector in enumerate(vectors):
        base = layer["h_base"] + layer["stride_h"] * (step + 1)
        for index, one in enumerate(rows):
            pre = [requantized(v[one], **e[index]) for v, e in zip(vector, entries, strict=True)]
            value = output(config, pre, layer["out_shift"])
            expected.append((one[1], base + one[0], value))
    done = [[0] * 4, [0] * 4]  # of each half, of each element
    completed = [0, 0]  # halves whose end came
    cleared = [0, 0]
    written: list[tuple[int, int, int]] = []
    counted = 0
    for _ in range(3000):
        # An element is through with a half some time after the one before was taken.
        for half in range(halves):
            ready = half == 0 or completed[0] > completed[1]  # the hidden half comes second
            if ready and completed[half] == cleared[half] < steps and rng.random() < 0.3:
                done[half] = [one or int(rng.random() < 0.4) for one in done[half]]
                completed[half] += all(done[half])
        ctx.set(dut.done, [done[0][k] | done[1][k] << 1 for k in range(4)])
        half, row = ctx.get(dut.half), ctx.get(dut.row)
        shown = [int(value) for value in rng.integers(-999, 999, 4)]
        if half < halves and completed[half] > cleared[half]:
            now = vectors[cleared[half]][half]
            shown = [now.get((row, element), 5) for element in range(4)]
        ctx.set(dut.sums, shown)
        enable = ctx.get(dut.write_en)
        if enable:
            assert enable in (1, 2, 4, 8)
            value = ctx.get(dut.write_data)
            written.append((enable.bit_length() - 1, ctx.get(dut.write_addr), value))
            assert written == expected[: len(written)]
        assert ctx.get(dut.x_taken) == cleared[0] % 4
        # A vector is done with its last output; without rows of its own, with its last half.
        assert ctx.get(dut.steps_done) == (counted if rows else cleared[halves - 1]) % 4
        counted = len(written) // max(1, len(rows))
        await ctx.tick()
        clear = ctx.get(dut.clear)
        for half in range(2):
            if clear >> half & 1:
                assert completed[half] > cleared[half]
                cleared[half] += 1
                done[half] = [0] * 4
        if cleared[:halves] == [steps] * halves and len(written) == len(expected):
            break
    else:
        raise AssertionError(f"{len(written)} of {len(expected)} outputs")
    ctx.set(dut.done, [0] * 4)
    await ctx.tick()
    for _ in range(8):
        assert not ctx.get(dut.write_en)
        assert not ctx.get(dut.clear)
        assert ctx.get(dut.steps_done) == steps % 4
        await ctx.tick()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("number", [0, 1])
def test_layers(number: int, bits: int) -> None:
    """Rows that every element has and one more in the first few; one group may have none."""
    config = make_config(activation_bits=bits)
    dut = WriteBack(config)
    layers = [
        {"rows_h": 2, "tail_h": 6, "recurrent": 1, "out_shift": 18},
        {"rows_h": 0, "tail_h": 3, "recurrent": 1, "out_shift": 24},
        {"rows_h": 1, "tail_h": 0, "recurrent": 0, "out_shift": 15},
        {"rows_h": 3, "tail_h": 7, "recurrent": 0, "out_shift": 0},
        {"rows_h": 4, "tail_h": 5, "recurrent": 1, "out_shift": 47},
        {"rows_h": 0, "tail_h": 1, "recurrent": 0, "out_shift": 20},
    ]

    async def bench(ctx: Any) -> None:
        for seed, layer in enumerate(layers):
            fields = layer | {"h_base": 9, "stride_h": 5}
            await check_layer(ctx, dut, config, fields, 2 + seed % 5, number, seed)

    run(dut, bench, cycles=20_000)
