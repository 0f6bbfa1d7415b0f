"""What the machine does not look at, and answers that are all the same."""

import numpy as np
import pytest
from support.small_network import CONFIG, small_network

from sparnn.gen.bench.coverage_stimuli import check_equal, other_steps, with_other_bits
from sparnn.gen.machines.dense.place import place as place_dense
from sparnn.gen.machines.sparse.place import place as place_sparse
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.host.protocol import Opcode, Response, header
from sparnn.sim.host.packets import sequence_packets
from sparnn.sim.host.program import MachineProgram


@pytest.fixture(params=["sparse", "dense"])
def program(request: pytest.FixtureRequest) -> MachineProgram:
    if request.param == "sparse":
        return place_sparse(small_network(), CONFIG).program
    return place_dense(small_network(), DenseConfig()).program


def test_only_what_nobody_looks_at_changes(program: MachineProgram) -> None:
    config = program.config
    layers = range(len(program.layers))
    each = config.DESCRIPTOR.words
    seen: set[str] = set()
    for seed in range(20):
        packet = with_other_bits(program, np.random.default_rng(seed))
        words = [int(word) for word in packet[-each * len(program.layers) :]]
        for index in layers:
            fields = config.DESCRIPTOR.decode(words[each * index : each * (index + 1)])
            before = program.layers[index].descriptor
            different = {name for name, value in before.items() if fields[name] != value}
            seen |= different
            for name in different & {"in_base", "out_base", "hidden_base"}:
                if name == "hidden_base" and before["kind"] == 0:
                    continue
                assert (fields[name] - before[name]) % config.store_depth == 0
    assert {"in_base", "weight_base"} <= seen
    assert not seen & {"kind", "units", "in_words", "out_words", "x0_passes", "x0_length_last"}


def test_the_last_run_gets_another_number_of_steps(program: MachineProgram) -> None:
    packets, _ = sequence_packets(program, 0, np.ones((1, 3), int))
    changed = other_steps(packets, 0xABCDEF)
    (place,) = np.flatnonzero(changed != packets)
    assert packets[place] >> 28 == Opcode.RUN
    assert changed[place] ^ packets[place] == 0xABCDEF ^ 1


def test_equal_answers() -> None:
    step = [header(Response.RESULT, 2), 7, 7]
    ends = [header(Response.DONE, 0), 99, header(Response.DATA, 1), 5]
    good = np.array([*step, *step, *ends, *step, *ends], np.uint32)
    assert check_equal(good, [2, 2, 2], 7)
    assert not check_equal(good, [2, 2], 7)
    assert not check_equal(good[:-8], [2, 2, 2], 7)
    assert not check_equal(good, [2, 2, 2], 6)
    good[4] = 8
    assert not check_equal(good, [2, 2, 2], 7)
