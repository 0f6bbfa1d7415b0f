from dataclasses import replace

import numpy as np
import pytest
from support.simple_layers import head, layer

from sparnn.gen.bench.random_networks import random_config, random_network
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.dense.place import place as place_dense
from sparnn.gen.machines.dense.presets import dense_preset
from sparnn.gen.machines.shared.placement import FITTED_STEPS
from sparnn.gen.machines.sparse.layout import lay_out
from sparnn.gen.machines.sparse.place import place
from sparnn.gen.machines.sparse.program import memory_needs
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.network.network import IntegerNetwork


def program_of(network, config=None, outputs=(), **options):
    config = config or SparseConfig()
    layout = lay_out(network, config, **options)
    return place(network, config, outputs, layout=layout).program


def test_classifier():
    """The last hidden state goes to the head without a copy."""
    config = SparseConfig(lanes=4, post_units=2, max_v=2)
    network = IntegerNetwork((layer("lstm", 8, 5), head(5, 3, last_only=True)), 8, 8)
    program = program_of(network, config, [{"layer": 1, "what": "last"}])
    first, second = (one.descriptor for one in program.layers)
    assert (first["store_out"], first["emit"], first["last_layer"]) == (0, 0, 0)
    assert (first["units"], first["tail"], first["in_words"], first["out_words"]) == (5, 1, 4, 3)
    assert (first["pre_shift"], first["state_up"], first["state_shift"]) == (-3, 4, -1)
    assert first["out_shift"] == 23
    assert second["in_base"] == first["hidden_base"]
    assert (second["single_step"], second["emit"], second["wide"]) == (1, 1, 1)
    assert (second["last_layer"], second["in_words"]) == (1, 3)
    assert second["out_shift"] == 15
    assert program.max_steps == (4096 - 3) // 4


def test_stacked_sequences_take_turns():
    network = IntegerNetwork((layer("gru", 3, 9), layer("rnn", 9, 5), head(5, 2)), 8, 8)
    config = SparseConfig(lanes=2, max_v=2, store_depth=100)
    program = program_of(network, config)
    a, b, c = (one.descriptor for one in program.layers)
    assert program.max_steps == (100 - 14) // (9 + 5)
    assert (a["hidden_base"], b["hidden_base"]) == (0, 9)
    assert a["in_base"] == b["out_base"] == c["in_base"] == 14
    assert a["out_base"] == b["in_base"] == 14 + 5 * program.max_steps
    assert (a["store_out"], b["store_out"], c["store_out"]) == (1, 1, 0)
    assert [one.descriptor["emit"] for one in program.layers] == [0, 0, 1]
    assert a["out_shift"] == 15 + 11 - 7
    assert b["out_shift"] == 15 + 9 - 7
    assert [one.descriptor["state_base"] for one in program.layers] == [0, 9, 14]


def test_inner_outputs():
    network = IntegerNetwork((layer("lstm", 3, 4), layer("lstm", 4, 2)), 8, 8)
    wanted = [
        {"layer": 0, "what": "sequence"},
        {"layer": 0, "what": "last"},
        {"layer": 1, "what": "last"},
        {"layer": 1, "what": "state_c"},
    ]
    first, second = program_of(network, outputs=wanted).layers
    assert (first.descriptor["emit"], first.descriptor["emit_last"]) == (1, 0)
    assert (second.descriptor["emit"], second.descriptor["emit_last"]) == (1, 1)
    assert (first.read_state, second.read_state) == (False, True)


def test_shortened_layer_refused_as_output():
    network = IntegerNetwork(
        (layer("rnn", 3, 4), layer("linear", 4, 4), head(4, 2, last_only=True)), 8, 8
    )
    outputs = [{"layer": 1, "what": "sequence"}, {"layer": 2, "what": "last"}]
    with pytest.raises(SparnnError, match="'linear4': its whole sequence is an output"):
        program_of(network, outputs=outputs)
    middle = program_of(network, outputs=outputs[1:]).layers[1].descriptor
    assert (middle["single_step"], middle["store_out"]) == (1, 1)


def test_last_step_of_the_input_refused():
    network = IntegerNetwork((layer("linear", 3, 4), head(4, 2, last_only=True)), 8, 8)
    with pytest.raises(SparnnError, match="last step of a sequence that no recurrent layer"):
        program_of(network)


@pytest.mark.parametrize(
    ("name", "limit", "raised"),
    [
        ("mask_depth", 16, 128),
        ("weight_depth", 100, 1024),
        ("rows", 32, 64),
        ("parameter_depth", 64, 128),
        ("state_depth", 8, 16),
        ("store_depth", 20, 32),
    ],
)
def test_too_large(name, limit, raised):
    network = IntegerNetwork((layer("lstm", 20, 12),), 8, 8)
    config = SparseConfig(lanes=2, max_v=2, **{name: limit})
    with pytest.raises(SparnnError, match=rf"the machine has {name} = {limit}; raise {name} to"):
        program_of(network, config)
    larger = replace(config, **{name: raised})
    program_of(network, larger)


def test_too_many_layers():
    network = IntegerNetwork((layer("rnn", 3, 3),) * 3, 8, 8)
    with pytest.raises(SparnnError, match="program_depth = 2; raise program_depth to 4"):
        program_of(network, SparseConfig(program_depth=2))


def test_widths():
    network = IntegerNetwork((layer("rnn", 3, 3, out_bits=9),), 6, 9)
    with pytest.raises(SparnnError, match="activations of 9 bits"):
        program_of(network, SparseConfig())
    program_of(network, SparseConfig(activation_bits=9))
    with pytest.raises(SparnnError, match="weights of 6 bits"):
        program_of(network, SparseConfig(activation_bits=9, weight_bits=5))


def test_split_scales_need_a_machine_that_has_them():
    factors = np.full((2, 1, 3), 2)
    network = IntegerNetwork((layer("rnn", 3, 3, factors_h=factors),), 8, 8)
    with pytest.raises(SparnnError, match="split_scales = 0; set split_scales = 1"):
        program_of(network)
    program_of(network, SparseConfig(split_scales=1))
    with pytest.raises(SparnnError, match="split scales, which the dense machine"):
        place_dense(network, dense_preset("dense64"), [])


def test_output_prediction_is_refused_by_name():
    network = IntegerNetwork((layer("rnn", 3, 3, threshold=np.zeros(3, int)),), 8, 8)
    with pytest.raises(SparnnError, match="'rnn3' has output prediction, which no machine does"):
        program_of(network)
    with pytest.raises(SparnnError, match="'rnn3' has output prediction, which no machine does"):
        place_dense(network, dense_preset("dense64"), [])


@pytest.mark.parametrize("seed", range(30))
def test_fitted_machine_fits(seed):
    rng = np.random.default_rng(seed)
    tiny = dict.fromkeys(
        ("mask_depth", "weight_depth", "rows", "parameter_depth", "state_depth", "store_depth"), 2
    )
    config = random_config(rng, columns=128, **tiny, program_depth=1)
    network = random_network(rng, config)
    placed = place(network, config, fit=True)
    fitted, program = placed.config, placed.program
    turns = any(layer.join == "reset" for layer in network.layers)  # a step at a time
    assert program.max_steps >= (1 if turns else FITTED_STEPS)
    for name, need in memory_needs(placed, FITTED_STEPS).items():
        assert getattr(fitted, name) in (getattr(config, name), 1 << (need - 1).bit_length())
