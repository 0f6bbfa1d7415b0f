"""A machine with deltas, in Verilog: with thresholds of 0 the bits of the ordinary machine, with
others those of the golden model; references and sums from run to run."""

from dataclasses import replace

import numpy as np
import pytest

from sparnn.gen.bench.random_networks import random_held, random_network, random_x
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.shared.steps import single_steps
from sparnn.gen.machines.sparse.place import place
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.packets import constant_states, sequence_packets
from sparnn.sim.session.compare import mismatches
from sparnn.sim.session.session import states_after
from sparnn.sim.verilator.hardware import run_sequences

CONFIG = SparseConfig(
    lanes=4,
    post_units=2,
    max_v=2,
    chunk=8,
    sub_chunk=4,
    columns=64,
    mask_depth=1024,
    weight_depth=4096,
    rows=128,
    parameter_depth=512,
    state_depth=64,
    store_depth=1024,
    program_depth=8,
    reset_first=1,
    delta=1,
    reference_depth=128,
)
pytestmark = pytest.mark.xdist_group("deltas")


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A folder with the Verilog of CONFIG."""
    folder = tmp_path_factory.mktemp("machine")
    (folder / "sparnn.v").write_text(kept_verilog(CONFIG))
    return folder


def drawn(seed, **kinds):
    rng = np.random.default_rng(seed)
    network = random_network(rng, CONFIG, **kinds)
    return network, [random_held(rng, random_x(rng, network, steps)) for steps in (9, 4)]


def thresholds(network, x, h):
    """Of layers that take more than one step."""
    single = single_steps(network)
    return replace(
        network,
        layers=tuple(
            replace(
                layer,
                delta_x=0 if single[index] else x,
                delta_h=(0 if single[index] else h) if layer.has_hidden else None,
            )
            for index, layer in enumerate(network.layers)
        ),
    )


def run(folder, network, sequences, states=None, max_steps=None):
    """Results on the RTL, which are those of the golden model."""
    placed = place(network, CONFIG)
    program = placed.program
    if max_steps is not None:
        program = replace(program, max_steps=max_steps)
    placed.image.astype("<u4").tofile(folder / "image.bin")
    given = [(x, states or constant_states(network)) for x in sequences]
    results, _ = run_sequences(folder, program, given)
    traces = [run_network(network, x, initial) for x, initial in given]
    assert mismatches(program, results, traces) == (0, None)
    return traces


@pytest.mark.parametrize("seed", range(12))
def test_thresholds_of_zero(machine, seed):
    """The golden model's ordinary network and the one with thresholds give the same bits, and so
    does this machine for either; the kinds are drawn."""
    network, sequences = drawn(seed)
    plain = run(machine, network, sequences)
    zero = run(machine, thresholds(network, 0, 0), sequences)
    for a, b in zip(plain, zero, strict=True):
        for x, y in zip(a.layers, b.layers, strict=True):
            assert np.array_equal(x.sequence, y.sequence)


def test_sequences_begin_anew_and_runs_go_on(machine):
    """A sequence behind another one, with initial states and without, in runs of any length."""
    network, sequences = drawn(3, directions=False, layers=1)
    network = thresholds(network, 9, 5)
    rng = np.random.default_rng(1)
    units = network.layers[0].units
    states = {("initial_h", 0): rng.integers(-128, 128, units)}
    for given in ({}, states):
        for steps in (1, 2, 20):
            run(machine, network, sequences, given, steps)


def test_sequences_in_pieces(machine):
    """References and totals go to the machine and come back by the golden model: a whole sequence
    and its pieces, each in a run of its own behind another sequence's, have the same outputs."""
    for seed, threshold in ((3, 9), (5, 4), (8, 0)):
        network, (x, other) = drawn(seed, directions=False)
        network = thresholds(network, threshold, threshold)
        placed = place(network, CONFIG)
        placed.image.astype("<u4").tofile(machine / "image.bin")
        states, given = constant_states(network), []
        for piece in (x[:2], x[2:3], x[3:]):
            given += [(piece, states), (other, constant_states(network))]
            states = states_after(network, run_network(network, piece, states))
        results, _ = run_sequences(machine, placed.program, given)
        traces = [run_network(network, *one) for one in given]
        assert mismatches(placed.program, results, traces) == (0, None)
        whole = run_network(network, x, constant_states(network)).layers[-1]
        if not network.layers[-1].last_only:
            pieces = [trace.layers[-1].outputs for trace in traces[::2]]
            assert np.array_equal(np.concatenate(pieces), whole.outputs)


def test_states_are_whole(machine):
    network, (x, _) = drawn(3, directions=False, layers=1)
    network = thresholds(network, 9, 5)
    states = states_after(network, run_network(network, x))
    _ = states.pop(("totals_h", 0))
    with pytest.raises(SimulationError, match="no totals_h of layer"):
        sequence_packets(place(network, CONFIG).program, 0, x, states)
    with pytest.raises(SimulationError, match=r"references_x .* \[7\]|must be integers"):
        run_network(network, x, {("references_x", 0): np.zeros(1, np.int64)})


def test_other_machines_refuse_thresholds():
    network = thresholds(drawn(3, directions=False)[0], 1, 1)
    with pytest.raises(SparnnError, match="it has delta = 0; set delta = 1"):
        _ = place(network, replace(CONFIG, delta=0)).program
    fitted = place(network, replace(CONFIG, delta=0, reference_depth=2), fit=True)
    assert fitted.config.delta == 1
    assert fitted.config.reference_depth >= 4
    _ = fitted.program
    with pytest.raises(SparnnError, match="words of references, the machine has reference_depth"):
        _ = place(network, replace(CONFIG, reference_depth=2)).program


def test_a_layer_of_one_step_has_no_thresholds():
    """Here a linear layer behind the one that reads a last step."""
    for seed in range(200):
        network = thresholds(drawn(seed, directions=False)[0], 1, 1)
        single = single_steps(network)
        if single[-1] and not network.layers[-1].last_only:
            break
    _ = place(network, CONFIG).program
    last = replace(network.layers[-1], delta_x=3)
    with pytest.raises(SparnnError, match="takes a single step"):
        _ = place(replace(network, layers=(*network.layers[:-1], last)), CONFIG).program
