"""The check of a job against zlib."""

import numpy as np
import pytest
from amaranth.hdl import Module, Signal

from sparnn.hdl.common.check import CRC_INIT, RESIDUE, crc_words, next_crc
from tests.hdl.stream_helpers import run


@pytest.mark.parametrize("length", [1, 2, 50])
def test_a_job_with_its_check_leaves_the_residue(length):
    words = np.random.default_rng(length).integers(0, 1 << 32, length).tolist()
    crc, word = Signal(32, init=CRC_INIT), Signal(32)
    m = Module()
    m.d.sync += crc.eq(next_crc(crc, word))

    async def bench(ctx):
        for one in words:
            ctx.set(word, one)
            await ctx.tick()
        assert ctx.get(crc) ^ 0xFFFF_FFFF == crc_words(words)
        ctx.set(word, crc_words(words))
        await ctx.tick()
        assert ctx.get(crc) == RESIDUE

    run(m, bench)
