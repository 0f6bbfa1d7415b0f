"""What a packed store is given to hold, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from support.simple_layers import layer

from sparnn.gen.bench.random_networks import random_config, random_network, random_x
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.sparse.layout import lay_out
from sparnn.gen.machines.sparse.packed_store import MARGIN, ValueRows, store_bits, store_memories
from sparnn.gen.machines.sparse.place import place
from sparnn.gen.machines.sparse.store import allocate
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.packets import constant_states
from sparnn.sim.network.network import IntegerNetwork

CONFIG = SparseConfig(
    lanes=8, post_units=2, max_v=4, packed_store=1, store_depth=1024, vector_words=2
)


def program_of(network, config=CONFIG, activity=None, outputs=()):
    layout = lay_out(network, config)
    return place(network, config, outputs, layout=layout, activity=activity).program


def test_without_calibration_the_store_cannot_overflow():
    """Three layers: at most the longest two neighbours lie in the two logs at a time."""
    network = IntegerNetwork((layer("rnn", 6, 8), layer("gru", 8, 12), layer("rnn", 12, 4)), 8, 8)
    config = replace(CONFIG, value_rows=64 + 101)
    program = program_of(network, config)
    assert program.max_steps == 101 // (4 + 6)
    logs = [(one.descriptor["store_side"], one.descriptor["store_anew"]) for one in program.layers]
    assert logs[:2] == [(1, 1), (0, 1)]  # the last one's outputs leave at once
    assert program.layers[0].descriptor["in_base"] == 0
    states = [one.descriptor["hidden_base"] for one in program.layers]
    assert states == [1024, 1028, 1034]


def test_calibration_gives_longer_runs():
    network = IntegerNetwork((layer("rnn", 8, 8), layer("rnn", 8, 8)), 8, 8)
    rng = np.random.default_rng(0)
    shares = (0.3, 0.2, 0.1)
    activity = [rng.random((200, 8)) < share for share in shares]
    dense, calibrated = program_of(network), program_of(network, activity=activity)
    rows = CONFIG.value_rows - CONFIG.dense_rows
    assert dense.max_steps == min(rows // 8, 1024 // 8)
    assert calibrated.max_steps == 1024 // 8  # all that there are masks for
    layout = lay_out(network, CONFIG)
    need = ValueRows(
        network, layout, CONFIG, allocate(network, CONFIG, [False, False], set()), set(), activity
    ).need(200)
    fullest = max(
        sum(int(np.ceil(MARGIN * one[:, bank::2].sum())) for one in ordered)
        for bank in range(2)
        for ordered in [
            [
                activity[0][:, layout.inputs],
                activity[1][:, layout.layers[0].neurons],
            ]
        ]
    )
    assert need == fullest


def test_an_output_that_the_host_reads_stays():
    """Both directions of the first layer: the third one's outputs go behind them."""
    pair = [layer("rnn", 4, 4), layer("rnn", 4, 4, reverse=True, join="concat")]
    chain = (*pair, layer("rnn", 8, 4), layer("rnn", 4, 4), layer("rnn", 4, 4))
    network = IntegerNetwork(chain, 8, 8)
    wanted = [{"layer": 1, "what": "sequence"}, {"layer": 4, "what": "sequence"}]
    for outputs, expected in (
        (wanted, [(1, 1), (1, 0), (0, 1), (1, 0)]),
        (wanted[1:], [(1, 1), (1, 0), (0, 1), (1, 1)]),
    ):
        program = program_of(network, outputs=outputs)
        found = [
            (one.descriptor["store_side"], one.descriptor["store_anew"]) for one in program.layers
        ]
        assert found[:4] == expected


def test_short_vectors():
    network = IntegerNetwork((layer("rnn", 9, 3), layer("rnn", 3, 5)), 8, 8)
    with pytest.raises(SparnnError, match=r"vectors of 2 words.*lower vector_words to 2"):
        program_of(network, replace(CONFIG, vector_words=4))
    fitted = place(network, replace(CONFIG, vector_words=64), fit=True).config
    assert fitted.vector_words == 2
    program_of(network, fitted)


@pytest.mark.parametrize(("name", "value"), [("dense_rows", 3), ("value_rows", 67)])
def test_too_small(name, value):
    network = IntegerNetwork((layer("rnn", 8, 8), layer("rnn", 8, 8)), 8, 8)
    with pytest.raises(SparnnError, match=rf"the machine has {name} = {value}; raise {name} to"):
        program_of(network, replace(CONFIG, **{name: value}))


@pytest.mark.parametrize("seed", range(12))
def test_fitted_machine_holds_what_it_was_fitted_for(seed):
    """The need of each bank, counted in the golden model's own sequences, is within the rows."""
    rng = np.random.default_rng(seed)
    config = replace(
        random_config(rng, columns=128, weight_depth=1 << 14, store_depth=1024, program_depth=8),
        packed_store=1,
    )
    network = random_network(rng, config)
    x = random_x(rng, network, 30)
    trace = run_network(network, x, constant_states(network))
    activity = [x != 0, *(one.outputs != 0 for one in trace.layers)]
    placed = place(network, config, fit=True, steps=30, activity=activity)
    program = placed.program
    assert program.max_steps >= (1 if any(one.join == "reset" for one in network.layers) else 30)
    rows = place(network, placed.config, layout=placed.layout).rows
    assert rows.steps(rows.need(17), 1000) >= 17
    assert rows.steps(rows.need(17) - 1, 1000) < 17


def test_bits():
    """Of 4 inputs and 2 units for 3 steps: masks of two words and one, places, values."""
    config = replace(CONFIG, value_rows=128)
    x = np.array([[1, 0, 0, 2], [0, 0, 0, 0], [3, 0, 0, 0]])
    out = np.array([[1, 0], [0, 0], [4, 5]])
    place = (2 * 7 + 1) / 2
    one = store_bits(config, x, [out], out, [(0,)])
    assert one["dense"] == 8
    assert one["packed_input"] == (6 * (3 + place) + 8 * 3) / 12
    assert one["packed_output"] == (3 * (3 + place) + 8 * 3) / 6
    assert one["fullest_bank"] == 4 / 3  # 4 of 6
    assert one["packed"] == (9 * (3 + place) + 8 * 6) / 18
    # Added in turn: the first direction is first at steps 0 and 1, the second one at step 2.
    other = np.array([[1, 1], [1, 1], [0, 7]])
    both = store_bits(config, x, [out, other], out + other, [(0, 1)])
    assert both["packed_output"] == (3 * (3 + place) + 8 * (6 + 1 + 0 + 1)) / 6
    apart = store_bits(config, x, [out, other], out + other, [(0,), (1,)])
    assert apart["packed_output"] == (3 * (3 + place) + 8 * (6 + 1 + 0 + 2)) / 6
    assert sum(words * bits for words, bits in store_memories(config)) == (
        1024 * 3 + 512 * 15 + 2 * 128 * 8
    )
    assert store_memories(replace(config, packed_store=0)) == [(1024, 16)]
