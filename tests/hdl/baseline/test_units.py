"""Each unit of a processing element against a slow model, with idle input and back-pressure."""

import random

import pytest
from amaranth.sim import Simulator

from sparnn.hdl.baseline.arithmetic import ArithmeticUnit
from sparnn.hdl.baseline.config import BaselineConfig
from sparnn.hdl.baseline.matrix import MatrixRead
from sparnn.hdl.baseline.nonzero import NonzeroNode
from sparnn.hdl.baseline.pointers import PointerRead
from sparnn.hdl.baseline.scanner import ActivationScan
from sparnn.hdl.errors import ConfigurationError
from tests.hdl.stream_helpers import collect, run, send


def make_config(**changes):
    parameters = {
        "lanes": 8,
        "skip_zeros": True,
        "overlap": False,
        "matrix_words": 16,
        "columns": 21,
        "half_columns": 16,
        "rows": 5,
        "activation_depth": 64,
        **changes,
    }
    return BaselineConfig(**parameters)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lanes": 12}, "lanes = 12"),
        ({"lanes": 2}, "lanes = 2"),
        ({"entries_per_read": 3}, "entries_per_read = 3"),
        ({"queue_depth": 0}, "queue_depth = 0"),
        ({"rows": 0}, "rows = 0"),
        ({"weight_bits": True}, "weight_bits = True"),
    ],
)
def test_refused(change, named):
    with pytest.raises(ConfigurationError, match=named):
        make_config(**change)


@pytest.mark.parametrize(("idle", "stall"), [(0.0, 0.0), (0.4, 0.0), (0.0, 0.5), (0.3, 0.3)])
def test_pointers(idle, stall):
    """Columns in order, empty ones dropped, tokens kept."""
    config = make_config()
    rng = random.Random(int(10 * idle + 100 * stall))
    pointers = [0]
    for _ in range(config.columns):
        pointers.append(pointers[-1] + rng.choice([0, 0, 1, 3]))
    items, expected = [], []
    for _ in range(80):
        column, value = rng.randrange(config.columns), rng.randrange(-512, 512)
        token = rng.random() < 0.1
        half = rng.randrange(2)
        items.append({"value": value, "column": column, "half": half, "token": token})
        if token or pointers[column] != pointers[column + 1]:
            expected.append(
                None if token else (value, pointers[column], pointers[column + 1], half)
            )
    dut = PointerRead(config)
    got = []

    async def drive(ctx):
        padded = [*pointers, 0, 0]
        for address in range(config.pointer_words):
            ctx.set(dut.load_en, 1)
            ctx.set(dut.load_addr, address)
            pair = padded[2 * address] | padded[2 * address + 1] << config.cursor_bits
            ctx.set(dut.load_data, pair)
            await ctx.tick()
        ctx.set(dut.load_en, 0)
        await send(ctx, dut.items, items, idle=idle, seed=1)

    async def check(ctx):
        got.extend(await collect(ctx, dut.columns, len(expected), stall=stall, seed=2))

    run(dut, drive, check)
    assert [
        None if g["token"] else (g["value"], g["start"], g["end"], g["half"]) for g in got
    ] == expected


@pytest.mark.parametrize("entries", [1, 4, 8])
def test_matrix(entries):
    """An entry per cycle, across words, and nothing lost between columns."""
    config = make_config(entries_per_read=entries, matrix_words=64 // entries)
    rng = random.Random(entries)
    stored = [rng.randrange(1 << config.entry_bits) for _ in range(64)]
    columns, expected = [], []
    for _ in range(40):
        start = rng.randrange(60)
        end = rng.randrange(start + 1, min(start + 12, 64) + 1)
        value, token = rng.randrange(-512, 512), rng.random() < 0.1
        columns.append({"start": start, "end": end, "value": value, "half": 1, "token": token})
        if token:
            expected.append(None)
        else:
            expected += [(stored[k], value, k == start) for k in range(start, end)]
    dut = MatrixRead(config)
    got, cycles = [], []

    async def drive(ctx):
        for address in range(config.matrix_words):
            word = sum(
                stored[address * entries + k] << k * config.entry_bits for k in range(entries)
            )
            ctx.set(dut.load_en, 1)
            ctx.set(dut.load_addr, address)
            ctx.set(dut.load_data, word)
            await ctx.tick()
        ctx.set(dut.load_en, 0)
        await send(ctx, dut.columns, columns)

    async def check(ctx):
        cycle = 0
        while len(got) < len(expected):
            _, _, valid, entry = await ctx.tick().sample(dut.valid, dut.entry)
            cycle += 1
            assert cycle < 5000
            if valid:
                cycles.append(cycle)
                weight = entry.weight & (1 << config.weight_bits) - 1
                word = weight | entry.run << config.weight_bits
                got.append(None if entry.token else (word, entry.value, bool(entry.first)))

    run(dut, drive, check)
    assert got == expected
    assert cycles[-1] - cycles[0] == len(expected) - 1


def test_arithmetic():
    """Sums of two halves, with the same row in adjacent cycles, and again after they were taken."""
    config = make_config(rows=4)
    rng = random.Random(3)
    dut = ArithmeticUnit(config)

    async def bench(ctx):
        for _ in range(6):
            sums = [[0] * 4, [0] * 4]
            for half in (0, 1):
                for _ in range(12):
                    row, first, value = -1, 1, rng.randrange(-512, 512)
                    for _ in range(rng.randrange(1, 4)):
                        run_ = rng.randrange(4 - row - 1) if row < 3 else None
                        if run_ is None:
                            break
                        row += 1 + run_
                        weight = rng.randrange(-512, 512)
                        sums[half][row] += weight * value
                        entry = {"weight": weight, "run": run_, "value": value, "first": first}
                        ctx.set(dut.entry, {**entry, "half": half, "token": 0})
                        ctx.set(dut.valid, 1)
                        await ctx.tick()
                        first = 0
                    if rng.random() < 0.3:
                        ctx.set(dut.valid, 0)
                        ctx.set(dut.entry.weight, 99)
                        await ctx.tick()
                ctx.set(dut.entry.token, 1)
                ctx.set(dut.entry.half, half)
                ctx.set(dut.valid, 1)
                await ctx.tick()
            ctx.set(dut.valid, 0)
            waited = 0
            while ctx.get(dut.done) != 3:
                await ctx.tick()
                waited += 1
                assert waited < 10
            for half in (0, 1):
                for row in range(4):
                    ctx.set(dut.half, half)
                    ctx.set(dut.row, row)
                    assert ctx.get(dut.sum) == sums[half][row]
            ctx.set(dut.clear, 3)
            await ctx.tick()
            ctx.set(dut.clear, 0)
            assert ctx.get(dut.sum) == 0

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("full_rate", [True, False])
@pytest.mark.parametrize("children", [2, 4])
def test_nonzero_node(children, full_rate):
    """Everything of every child once, then one end."""
    config = make_config()
    rng = random.Random(children)
    dut = NonzeroNode(config, children, 2, full_rate)
    offers = [
        [
            {"value": rng.randrange(1, 512), "element": rng.randrange(4), "row": k % 2, "end": 0}
            for k in range(rng.randrange(12))
        ]
        for _ in range(children)
    ]
    end = {"value": 0, "element": 0, "row": 0, "end": 1}
    total = sum(map(len, offers)) + 1
    got = []

    def sender(child):
        async def drive(ctx):
            await send(ctx, dut.inputs[child], [*offers[child], end], idle=0.3, seed=child)

        return drive

    async def check(ctx):
        got.extend(await collect(ctx, dut.out, total, stall=0.3, seed=9))

    run(dut, *(sender(child) for child in range(children)), check)
    assert got[-1]["end"]
    expected = sorted(
        (one["value"], one["element"] | child << 2, one["row"])
        for child, ones in enumerate(offers)
        for one in ones
    )
    assert sorted((g["value"], g["element"], g["row"]) for g in got[:-1]) == expected


@pytest.mark.parametrize("dense", [0, 1])
def test_scan(dense):
    """Two vectors one after the other, zeros skipped unless they are wanted."""
    config = make_config(half_columns=64, activation_depth=32)
    rng = random.Random(5)
    stored = [rng.choice([0, 0, rng.randrange(-512, 512)]) for _ in range(32)]
    dut = ActivationScan(config)
    got = []

    async def drive(ctx):
        ctx.set(dut.number, 3)
        for address, value in enumerate(stored):
            ctx.set(dut.write_en, 1)
            ctx.set(dut.write_addr, address)
            ctx.set(dut.write_data, value)
            await ctx.tick()
        ctx.set(dut.write_en, 0)
        # The element is among the first 4, so it has 8 of the first vector; of the second, 5.
        for base, rows, tail in ((0, 7, 4), (20, 5, 3)):
            ctx.set(dut.scan, {"base": base, "rows": rows, "tail": tail, "dense": dense})
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            part = []
            while not part or not part[-1]["end"]:
                part += await collect(ctx, dut.out, 1, stall=0.2, seed=base + len(part))
            got.append([(one["value"], one["row"]) for one in part[:-1]])

    run(dut, drive)
    for base, count, part in zip((0, 20), (8, 5), got, strict=True):
        values = enumerate(stored[base : base + count])
        assert part == [(value, row) for row, value in values if dense or value]
