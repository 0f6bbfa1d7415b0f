"""A whole small array behind its host's words, all parts inside, against docs/numerics.md."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sparnn.hdl.baseline.array import BaselineArray
from sparnn.hdl.baseline.config import BaselineConfig
from sparnn.hdl.baseline.ports import PROGRAM_FIELDS, Opcode
from tests.hdl.baseline.model import Network, make_config
from tests.hdl.stream_helpers import collect, run, send

Placed = Callable[[BaselineConfig], None]


def loads(network: Network) -> list[int]:
    """The host's beats: the memories of every group, and the program."""
    beats = []
    for group in range(network.config.lanes // 4):
        for target, entries in network.memories(group).items():
            beats.append(Opcode.SELECT << 28 | target << 20 | group)
            beats += [Opcode.WRITE << 28 | len(entries), *entries]
    return [*beats, Opcode.SETUP << 28, *(network.program[name] for name in PROGRAM_FIELDS)]


@pytest.mark.parametrize(
    ("changes", "inputs", "units", "recurrent"),
    [
        ({"overlap": True, "skip_zeros": False}, 3, 11, True),
        ({"lanes": 4, "pipelined_broadcast": False, "queue_depth": 1}, 9, 6, True),
        ({"lanes": 4, "overlap": True, "activation_bits": 8, "index_bits": 1}, 1, 20, True),
        ({"entries_per_read": 1, "matrix_words": 128}, 9, 8, False),
    ],
)
def test_network(
    placed: Placed, changes: dict[str, int], inputs: int, units: int, recurrent: bool
) -> None:
    """All steps of an RNN with ReLU, read back one by one; two runs give the same."""
    config = make_config(columns=64, half_columns=32, **changes)
    placed(config)
    dut = BaselineArray(config)
    network = Network(config, np.random.default_rng([inputs, units]), inputs, units, 2, recurrent)
    if inputs == 1:  # then the next input is there long before the rows of this one are taken
        network.first[:] = 0
    expected = network.outputs()

    async def bench(ctx: Any) -> None:
        await send(ctx, dut.rx, loads(network))
        for seed in range(2 if config.lanes == 4 else 1):
            await send(ctx, dut.rx, [Opcode.RUN << 28 | network.steps])
            (cycles,) = await collect(ctx, dut.tx, 1)
            assert cycles > network.steps
            for step, wanted in enumerate(expected):
                base = network.program["h_base"] + network.program["stride_h"] * (step + 1)
                await send(ctx, dut.rx, [Opcode.READ << 28 | base])
                words = await collect(ctx, dut.tx, units, stall=0.3, seed=seed)
                got = {word >> 16: (word & 0xFFFF ^ 0x8000) - 0x8000 for word in words}
                assert got == dict(enumerate(wanted)), step

    run(dut, bench, cycles=3000)
