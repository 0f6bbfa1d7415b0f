"""StateWriter: answers to READs become a job that writes back what was read."""

import random
import zlib

import numpy as np
import pytest

from sparnn.hdl.bus.state_writer import StateWriter
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.host.protocol import Opcode, Response, Target, header, identity, words_per_entry
from sparnn.hdl.machine import MachineConfig
from sparnn.hdl.sparse.config import SparseConfig
from tests.hdl.stream_helpers import collect, run, send

NARROW = SparseConfig(lanes=4, post_units=4, max_v=1, activation_bits=8)
DELTAS = SparseConfig(
    lanes=4, post_units=4, max_v=1, weight_bits=14, activation_bits=15, delta=1, reference_depth=64
)
CONFIGS = {
    "narrow": (NARROW, [Target.STORE, Target.STATE]),
    "short totals": (
        SparseConfig(lanes=4, post_units=4, max_v=1, activation_bits=8, delta=1),
        [Target.STORE, Target.STATE, Target.REFERENCE, Target.TOTAL],
    ),
    "long totals": (DELTAS, [Target.STATE, Target.TOTAL, Target.REFERENCE, Target.STORE]),
    "beats": (DenseConfig(), [Target.STORE, Target.STATE]),
}


def answered(config: MachineConfig, target: Target) -> int:
    """Words in which an entry is answered."""
    return -(-config.entry_bits(target) // 32)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_a_job_that_writes_what_was_read(name: str, stall: float) -> None:
    config, targets = CONFIGS[name]
    assert answered(DELTAS, Target.TOTAL) == 2
    rng = random.Random(name)
    reads, answers, job = [], [], [identity(config)]
    pads = [0] * (config.link_words - 1)
    for target in [*targets, *targets]:
        index, address, count = rng.randrange(4), rng.randrange(9), rng.randrange(1, 4)
        each, written = answered(config, target), words_per_entry(config, target)
        select = header(Opcode.SELECT, target << 20 | index)
        place = header(Opcode.ADDRESS, address)
        reads.append([select, place, header(Opcode.READ, count)])
        answers.append(header(Response.DATA, count * each))
        job += [select, *pads, place, *pads, header(Opcode.WRITE, count * written), *pads]
        for _ in range(count):
            entry = [rng.getrandbits(32) for _ in range(each)]
            answers += entry
            job += [*entry, *[0] * (written - each)]
    job.append(zlib.crc32(np.array(job, "<u4").tobytes()))
    dut = StateWriter(config)
    ended = []

    async def machine(ctx) -> None:
        """Asks for one entry after the other; each is answered before the next is asked for."""
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        at = 0
        for asked in reads:
            for word in asked:
                ctx.set(dut.took, 1)
                ctx.set(dut.word, word)
                await ctx.tick()
                ctx.set(dut.took, 0)
            count = 1 + (answers[at] & (1 << 28) - 1)
            await send(ctx, dut.answers, answers[at : at + count], idle=stall, seed=at)
            at += count
        ctx.set(dut.finish, 1)
        while not ctx.get(dut.done):
            assert not ctx.get(dut.wrong)
            await ctx.tick()
        ended.append(True)

    async def memory(ctx) -> None:
        assert await collect(ctx, dut.words, len(job), stall=stall, seed=1) == job

    run(dut, machine, memory)
    assert ended == [True]


def test_another_answer_is_wrong() -> None:
    dut = StateWriter(NARROW)

    async def bench(ctx) -> None:
        ctx.set(dut.start, 1)
        ctx.set(dut.words.ready, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await ctx.tick()
        ctx.set(dut.answers.payload, header(Response.ERROR, 5))
        ctx.set(dut.answers.valid, 1)
        for _ in range(4):
            assert ctx.get(dut.wrong)
            assert not ctx.get(dut.answers.ready)
            await ctx.tick()

    run(dut, bench)
