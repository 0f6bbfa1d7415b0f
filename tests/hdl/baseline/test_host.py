"""The host's words, beside memories kept in dictionaries: loads, the program, runs and reads."""

import random
from typing import Any

import pytest

from sparnn.hdl.baseline.host import BaselineHost
from sparnn.hdl.baseline.ports import PROGRAM_FIELDS, Opcode, Target, beat_bits
from tests.hdl.baseline.model import make_config
from tests.hdl.stream_helpers import collect, plain, put, run


def word(opcode: Opcode, argument: int) -> int:
    return opcode << 28 | argument


@pytest.mark.parametrize("idle", [0.0, 0.5])
def test_loads(idle: float) -> None:
    """Entries go where SELECT says, from address 0 on, WRITE after WRITE."""
    config = make_config(lanes=16)
    dut = BaselineHost(config)
    rng = random.Random(idle)
    wanted: dict[tuple[int, int, int], int] = {}
    beats: list[int] = []
    for _ in range(12):
        target, index = rng.choice(list(Target)), rng.randrange(4)
        beats.append(word(Opcode.SELECT, target << 20 | index))
        address = 0
        for _ in range(rng.randrange(3)):
            count = rng.choice((0, 1, 7))
            beats.append(word(Opcode.WRITE, count) | rng.getrandbits(20) << 32)
            for _ in range(count):
                value = rng.getrandbits(beat_bits(config))
                beats.append(value)
                wanted[target, index, address] = value
                address += 1
    got: dict[tuple[int, int, int], int] = {}
    done = False

    async def drive(ctx: Any) -> None:
        nonlocal done
        for beat in beats:
            while rng.random() < idle:
                await ctx.tick()
            await put(ctx, dut.rx, beat)
        await ctx.tick().repeat(2)
        done = True

    async def watch(ctx: Any) -> None:
        while not done:
            load = plain(ctx.get(dut.load))
            if load["en"]:
                got[load["target"], load["index"], load["addr"]] = load["data"]
            assert not ctx.get(dut.run)
            assert not ctx.get(dut.read)
            await ctx.tick()

    run(dut, drive, watch, cycles=3000)
    assert got == wanted


@pytest.mark.parametrize("bits", [8, 16])
def test_program_runs_and_reads(bits: int) -> None:
    """A program of the widest fields; a run that takes its time; a vector, sent with stalls."""
    config = make_config(activation_bits=bits)
    dut = BaselineHost(config)
    rng = random.Random(bits)
    answers: list[int] = []
    wanted: list[int] = []

    async def drive(ctx: Any) -> None:
        for number in range(4):
            program = {
                name: rng.choice((0, (1 << width) - 1, rng.getrandbits(width)))
                for name, width in PROGRAM_FIELDS.items()
            }
            program |= {"rows_h": rng.randrange(3), "tail_h": rng.randrange(1, 8)}
            await put(ctx, dut.rx, word(Opcode.SETUP, 0))
            for name in PROGRAM_FIELDS:
                await put(ctx, dut.rx, program[name])
            await ctx.tick()
            assert plain(ctx.get(dut.program)) == program

            # RUN: the control is busy some time later, and says how long it took.
            steps, cycles = rng.getrandbits(24), rng.getrandbits(32)
            await put(ctx, dut.rx, word(Opcode.RUN, steps))
            assert ctx.get(dut.run)
            assert ctx.get(dut.steps) == steps
            await ctx.tick()
            assert not ctx.get(dut.run)
            ctx.set(dut.busy, 1)
            for _ in range(rng.randrange(1, 6)):
                assert not ctx.get(dut.tx.valid)
                assert not ctx.get(dut.rx.ready)
                await ctx.tick()
            ctx.set(dut.busy, 0)
            ctx.set(dut.cycles, cycles)
            assert await collect(ctx, dut.tx, 1, stall=0.5, seed=number) == [cycles]
            # The next word is a header.
            assert ctx.get(dut.rx.ready)

            # READ: as many values as the layer has units.
            base = rng.getrandbits(20)
            await put(ctx, dut.rx, word(Opcode.READ, base))
            assert ctx.get(dut.read)
            assert ctx.get(dut.read_base) == base
            await ctx.tick()
            assert not ctx.get(dut.read)
            ctx.set(dut.reading, 1)
            units = program["rows_h"] * config.lanes + program["tail_h"]
            for _ in range(units):
                value, column = rng.randrange(-1 << bits - 1, 1 << bits - 1), rng.getrandbits(16)
                while rng.random() < 0.3:
                    await ctx.tick()
                wanted.append(column << 16 | value & 0xFFFF)
                await put(ctx, dut.values, {"value": value, "column": column})
            for _ in range(rng.randrange(1, 4)):
                assert not ctx.get(dut.rx.ready)
                await ctx.tick()
            ctx.set(dut.reading, 0)
            await ctx.tick().repeat(2)
            assert ctx.get(dut.rx.ready)

    async def receive(ctx: Any) -> None:
        """What is read; the words of runs are taken by the other bench."""
        stalls = random.Random(1)
        while True:
            if ctx.get(dut.reading):
                ctx.set(dut.tx.ready, stalls.random() < 0.6)
                _, _, valid, ready, value = await ctx.tick().sample(
                    dut.tx.valid, dut.tx.ready, dut.tx.payload
                )
                if valid and ready:
                    answers.append(value)
                ctx.set(dut.tx.ready, 0)
            else:
                await ctx.tick()

    run(dut, drive, background=[receive], cycles=3000)
    assert answers == wanted
