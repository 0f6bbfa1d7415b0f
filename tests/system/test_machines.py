"""Random networks on random machines, and the extremes: the Verilog against the golden model.

A failing case prints the command that replays it.
"""

from dataclasses import replace

import numpy as np
import pytest

from sparnn.gen.bench.regress import random_machine, run_case
from sparnn.gen.machines.sparse.place import place
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.packets import constant_states
from sparnn.sim.network.network import GATES, IntegerLayer, IntegerNetwork
from sparnn.sim.session.compare import mismatches
from sparnn.sim.verilator.hardware import run_sequences

#: Seeds of machines that are small, so that they build fast, and cover the corners below.
MACHINES = (27, 155, 174, 266, 295, 306, 364, 448, 49)
NETWORKS = 5
#: Those of them that take longest to build.
LONGEST = {174, 306, 448}

#: Of the extremes: several clusters, several groups in each, V up to 2, queues that fill at once.
CONFIG = SparseConfig(
    lanes=8,
    post_units=2,
    max_v=2,
    chunk=8,
    sub_chunk=4,
    queue_depth=2,
    columns=32,
    mask_depth=1024,
    weight_depth=2048,
    rows=64,
    parameter_depth=512,
    state_depth=64,
    store_depth=256,
    program_depth=4,
    split_scales=1,
)
KINDS = [
    ("lstm", ""),
    ("gru", ""),
    *(("rnn", a) for a in ("identity", "relu", "tanh", "sigmoid")),
    *(("linear", a) for a in ("identity", "relu", "tanh", "sigmoid")),
]
extreme = pytest.mark.xdist_group("extremes")


def test_the_machines_cover_the_corners():
    machines = [random_machine(seed) for seed in MACHINES]

    def values(name):
        return {getattr(machine, name) for machine in machines}

    assert len(machines) * NETWORKS >= 45
    assert max(values("lanes")) <= 24
    assert 1 in values("lanes")
    assert any(lanes & (lanes - 1) for lanes in values("lanes"))
    assert any(one.post_units == one.lanes > 1 for one in machines)
    assert values("post_units") >= {1, 2, 4, 8}
    assert values("max_v") >= {1, 2, 4, 8}
    assert values("chunk") == {8, 16, 32, 64, 128}
    assert values("sub_chunk") == {4, 8, 16, 32}
    assert values("queue_depth") >= {2, 3, 8}
    assert values("weight_bits") >= {4, 16}
    assert values("activation_bits") >= {8, 16}
    assert values("width") == {1, 2, 4, 8, 16}
    assert {one.width > 1 for one in machines if not one.masks} == {False, True}
    for name in ("masks", "cell_functions", "clip", "split_scales", "sharing", "packed_store"):
        assert values(name) == {0, 1}, name
    assert values("threads") == {1, 2}
    assert values("delta") == {0, 1}
    # Memories in banks and slices, on lanes of every kind.
    assert any(one.sharing and one.sliced_copy and one.bank_bytes for one in machines)
    assert any(one.post_units > 1 and one.sliced_copy for one in machines)
    assert any(one.width > 1 and one.masks and one.bank_bytes for one in machines)
    assert any(not one.masks and one.bank_bytes for one in machines)
    assert any(not one.sliced_copy and not one.bank_bytes for one in machines)


@pytest.mark.parametrize(
    "machine",
    [pytest.param(one, marks=[pytest.mark.deep] if one in LONGEST else []) for one in MACHINES],
)
def test_random_networks(machine, tmp_path):
    for network in range(NETWORKS):
        replay = f"replay: sparnn regress --case {machine}:{network}"
        try:
            case = run_case(machine, network, tmp_path)
        except Exception as error:
            error.add_note(replay)
            raise
        assert case.mismatch is None, f"{case.description}; {case.mismatch}; {replay}"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A folder with the Verilog of CONFIG."""
    folder = tmp_path_factory.mktemp("machine")
    (folder / "sparnn.v").write_text(kept_verilog(CONFIG))
    return folder


def layer(kind, activation, inputs, units, weight, **changes):
    """One layer whose weights are all `weight`, with typical requantization."""
    gates, hidden = GATES[kind], kind != "linear"
    fields = {
        "name": f"{kind} {activation}",
        "kind": kind,
        "activation": activation,
        "w_x": np.full((gates, units, inputs), weight),
        "w_h": np.full((gates, units, units), weight) if hidden else None,
        "f_x": 7,
        "f_pre": 10,
        "f_state": 12 if kind in ("lstm", "gru") else 0,
        "f_out": 7,
        "out_bits": 8,
    }
    for half in "xh":
        given = half == "x" or hidden
        fields[f"mult_{half}"] = np.full((gates, units), 20000) if given else None
        fields[f"shift_{half}"] = np.full((gates, units), 18) if given else None
        fields[f"bias_{half}"] = np.full((gates, units), 77) if given else None
    return IntegerLayer(**(fields | changes))


def network(*layers):
    """The last layer, where it is linear, is 16 bits wide."""
    last = layers[-1]
    if last.kind == "linear":
        last = replace(last, f_out=last.f_pre, out_bits=16)
    return IntegerNetwork((*layers[:-1], last), CONFIG.weight_bits, CONFIG.activation_bits)


def run(folder, integers, sequences, *, v=None, unfolded=True, change=lambda program: program):
    """Run sequences (x, or x and states), check them, and give the results."""
    wanted = [
        {"layer": index, "what": "state_c"}
        for index, one in enumerate(integers.layers)
        if one.kind in ("lstm", "gru")
    ]
    wanted.append({"layer": len(integers.layers) - 1, "what": "sequence"})
    placed = place(integers, CONFIG, wanted, v=v and [v] * len(integers.layers))
    placed = replace(placed, unfolded=unfolded)
    program = change(placed.program)
    placed.image.astype("<u4").tofile(folder / "image.bin")
    states = constant_states(integers)
    results, _ = run_sequences(folder, program, [(x, states) for x in sequences])
    traces = [run_network(integers, x, states) for x in sequences]
    assert mismatches(program, results, traces) == (0, None)
    return results


def steps_of(value, steps, inputs):
    return np.full((steps, inputs), value)


@extreme
@pytest.mark.parametrize(("kind", "activation"), KINDS)
def test_nothing_but_zero_weights(machine, kind, activation):
    integers = network(layer(kind, activation, 9, 7, 0))
    for v in (1, 2):
        results = run(machine, integers, [steps_of(x, 4, 9) for x in (-128, 0, 127)], v=v)
        # Weights of zero make the inputs irrelevant.
        assert all(np.array_equal(results[0].outputs[0], one.outputs[0]) for one in results)


@extreme
@pytest.mark.parametrize(("kind", "activation"), KINDS)
@pytest.mark.parametrize("weight", [-127, 127])
def test_everything_at_its_limits(machine, kind, activation, weight):
    sequences = [steps_of(x, 3, 32) for x in (-128, 127)]
    for bias in (-32768, 32767):
        for mult, shift in ((32767, 0), (32767, 47), (0, 0), (20000, 24)):
            rows = (GATES[kind], 16)
            half = {"mult_x": np.full(rows, mult), "shift_x": np.full(rows, shift)}
            half["bias_x"] = np.full(rows, bias)
            if kind != "linear":
                half |= {name.replace("_x", "_h"): value for name, value in half.items()}
            if bias > 0:  # the largest sums that split scales give
                half["factors_x"] = np.full((2, *rows), 3)
                half["factors_h"] = None if kind == "linear" else half["factors_x"]
            states = {} if kind == "linear" else {"initial_h": np.full(16, -128)}
            if kind == "lstm":
                states["initial_c"] = np.full(16, -32768)
            integers = network(layer(kind, activation, 32, 16, weight, **half, **states))
            run(machine, integers, sequences)


@extreme
@pytest.mark.parametrize(("kind", "activation"), KINDS)
def test_the_smallest_networks(machine, kind, activation):
    for v in (1, 2):
        for weight in (0, 5):
            one = network(layer(kind, activation, 1, 1, weight))
            run(machine, one, [steps_of(x, 1, 1) for x in (-128, 3)], v=v)


@extreme
@pytest.mark.parametrize("units", range(1, 10))
def test_fewer_neurons_than_groups(machine, units):
    """8 groups or 4, 2 post units: some have no neuron, some a row less than others."""
    rng = np.random.default_rng(units)
    chain = [layer("lstm", "", 3, units, 3), layer("gru", "", units, 10 - units, -2)]
    integers = network(*chain, layer("linear", "identity", 10 - units, units, 7))
    for v in (1, 2):
        run(machine, integers, [rng.integers(-128, 128, (steps, 3)) for steps in (1, 5)], v=v)


def stacked():
    """Every cell, with weights of many values."""
    rng = np.random.default_rng(1)
    chain = []
    for (kind, activation), inputs, units in zip(
        [("lstm", ""), ("gru", ""), ("rnn", "tanh"), ("linear", "identity")],
        (5, 11, 6, 9),
        (11, 6, 9, 4),
        strict=True,
    ):
        one = layer(kind, activation, inputs, units, 0)
        arrays = {"w_x": rng.integers(-127, 128, one.w_x.shape)}
        if kind != "linear":
            arrays["w_h"] = rng.integers(-127, 128, one.w_h.shape)
        chain.append(replace(one, **arrays))
    return network(*chain)


@extreme
def test_several_runs_equal_one(machine):
    x = np.random.default_rng(2).integers(-128, 128, (12, 5))
    (whole,) = run(machine, stacked(), [x])
    for most in (1, 2, 5, 11):
        (split,) = run(
            machine,
            stacked(),
            [x],
            change=lambda program, most=most: replace(program, max_steps=most),
        )
        assert np.array_equal(split.outputs[-1], whole.outputs[-1])
        assert all(np.array_equal(split.states[k], whole.states[k]) for k in whole.states)
        assert split.cycles > whole.cycles


@extreme
def test_the_plain_schedule_gives_the_same_bits(machine):
    x = np.random.default_rng(3).integers(-128, 128, (12, 5))
    (unfolded,) = run(machine, stacked(), [x])
    (folded,) = run(machine, stacked(), [x], unfolded=False)
    assert np.array_equal(folded.outputs[-1], unfolded.outputs[-1])
    assert folded.cycles > unfolded.cycles


@extreme
def test_rows_of_one_sign_with_split_scales(machine):
    """Rows of positive, of negative and of both signs, each with the factors 1 to 3."""
    rng = np.random.default_rng(5)
    signs = np.array([1, -1, 0])[np.arange(18) % 3][np.newaxis, :, np.newaxis]
    factors = np.stack(np.divmod(np.arange(18) % 9, 3))[:, np.newaxis] + 1
    weights = {}
    for name, columns in (("w_x", 20), ("w_h", 18)):
        drawn = rng.integers(-127, 128, (1, 18, columns))
        weights[name] = np.where(signs == 0, drawn, signs * np.abs(drawn))
    one = replace(layer("rnn", "relu", 20, 18, 0), factors_x=factors, factors_h=factors, **weights)
    for v in (1, 2):
        run(machine, network(one), [rng.integers(-128, 128, (6, 20))], v=v)


@extreme
def test_uneven_work(machine):
    """One lane has all the work, its neighbours none, with queues of two."""
    weights = np.zeros((4, 16, 32), int)
    weights[:, 0] = 9
    hidden = np.zeros((4, 16, 16), int)
    hidden[:, 5, :] = -8
    integers = network(replace(layer("lstm", "", 32, 16, 0), w_x=weights, w_h=hidden))
    x = np.random.default_rng(4).integers(-128, 128, (6, 32))
    for v in (1, 2):
        run(machine, integers, [x], v=v)
