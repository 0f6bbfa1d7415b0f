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
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.packets import constant_states
from sparnn.sim.session.compare import mismatches
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
