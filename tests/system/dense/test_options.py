"""What a dense machine has on demand, in Verilator: peepholes, sums, streams, other cells."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.dense_machine import (
    MASKED,
    NARROW,
    SMALL,
    bidirectional_network,
    extreme_network,
    random_tiles,
    run_exact,
)

from sparnn.gen.bench.random_networks import random_initial, random_network, random_x
from sparnn.gen.bench.sharp import dense_network
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.dense.place import place
from sparnn.gen.machines.dense.program import model_layers
from sparnn.gen.machines.dense.tiles import Exploration, LayerShape, explore, explore_shape
from sparnn.hdl.dense.config import DenseConfig
from sparnn.sim.cycles.dense import network_cycles
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.packets import constant_states
from sparnn.sim.host.plan import SCHEDULES, Order
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.session.compare import mismatches
from sparnn.sim.verilator.hardware import run_sequences

pytestmark = pytest.mark.xdist_group("tile_machine")


@pytest.mark.parametrize("seed", range(6))
def test_sums_of_directions(folder: Path, narrow: tuple[Path, DenseConfig], seed: int) -> None:
    """Added, the most negative values among them; the next layer, or the host, reads the sums."""
    network = random_tiles(60 + seed, sums=True)
    rng = np.random.default_rng([seed, 5])
    states = constant_states(network) | random_initial(rng, network)
    sequences = [(random_x(rng, network, steps), states) for steps in (1, 2, 7)]
    machine, config = narrow
    if config.sums:
        run_exact(machine, network, sequences, config=config)
        return
    run_exact(folder, network, sequences)
    with pytest.raises(SparnnError, match="it has sums = 0; set sums = 1"):
        place(network, config)
    assert place(network, config, fit=True).config.sums == 1


def test_the_hard_sigmoid_is_there_on_demand(folder: Path) -> None:
    (layer,) = extreme_network(5, 7, 31).layers
    hard = IntegerNetwork((replace(layer, activation="hard_sigmoid"),), 8, 8)
    without = replace(SMALL, hard_sigmoid=0)
    with pytest.raises(SparnnError, match="hard_sigmoid = 0; set hard_sigmoid = 1"):
        place(hard, without)
    assert place(hard, without, fit=True).config.hard_sigmoid == 1
    x = np.random.default_rng(4).integers(-128, 128, (5, 7))
    run_exact(folder, hard, [(x, {})])


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_gru_that_resets_first(folder: Path, schedule: str, layers: int) -> None:
    rng = np.random.default_rng(9)
    while True:
        network = random_network(rng, SMALL, layers=layers)
        if any(one.join == "reset" for one in network.layers):
            break
    states = constant_states(network) | random_initial(rng, network)
    sequences = [(random_x(rng, network, 6), given) for given in ({}, states)]
    run_exact(folder, network, sequences, schedule=schedule)
    with pytest.raises(SparnnError, match="reset_first = 0; set reset_first = 1"):
        place(network, replace(SMALL, reset_first=0))


def _peepholes(seed: int, config: DenseConfig) -> IntegerNetwork:
    """A random network with peepholes, a layer of two directions among them."""
    rng = np.random.default_rng(seed)
    while True:
        network = random_network(rng, replace(config, reset_first=0), layers=2)
        if any(one.join == "concat" and one.w_c is not None for one in network.layers) and not any(
            one.join == "sum" for one in network.layers
        ):
            return network


@pytest.mark.parametrize("seed", range(4))
def test_peepholes(folder: Path, seed: int) -> None:
    network = _peepholes(seed, SMALL)
    rng = np.random.default_rng([seed, 2])
    states = constant_states(network) | random_initial(rng, network)
    sequences = [(random_x(rng, network, steps), given) for steps, given in ((6, {}), (1, states))]
    run_exact(folder, network, sequences)
    run_exact(folder, network, sequences, schedule="intergate")


def test_peepholes_of_several_slices(narrow: tuple[Path, DenseConfig]) -> None:
    folder, config = narrow
    network = _peepholes(5, replace(SMALL, hard_sigmoid=0))
    sequences = [(random_x(np.random.default_rng(2), network, 5), {})]
    if config.peepholes:
        run_exact(folder, network, sequences, config=config)
        return
    with pytest.raises(SparnnError, match="lacks the cells: it has peepholes = 0; set peepholes"):
        place(network, config)


@pytest.mark.parametrize("weight", [-32768, 32767])
def test_extreme_peepholes(folder: Path, weight: int) -> None:
    """Products of the most negative values, and the tail that the machine declares."""
    (layer,) = extreme_network(2, 2, 127).layers
    layer = replace(
        layer, w_c=np.full((3, 2), weight), cell_shift=0, bias_h=np.zeros((4, 2), int), f_state=15
    )
    network = IntegerNetwork((layer,), 8, 8)
    state = {("initial_c", 0): np.full(2, -32768)}
    cycles = []
    for steps in (10, 11):
        x = np.where(np.arange(2 * steps).reshape(steps, 2) % 3, 127, -128)
        run_exact(folder, network, [(x, state)])
        layers = model_layers(place(network, SMALL), steps)
        cycles.append(network_cycles(SMALL, layers))
    assert cycles[1] - cycles[0] == SMALL.tail(peephole=True)


def test_peepholes_need_their_gates_side_by_side() -> None:
    layer = next(one for one in _peepholes(1, SMALL).layers if one.w_c is not None)
    with pytest.raises(SparnnError, match="peepholes, which need the gates of a neuron side by"):
        explore(SMALL, layer, Exploration(schedule="batch"))


def _forward(seed: int, config: DenseConfig, kind: str | None = None) -> IntegerNetwork:
    rng = np.random.default_rng([seed, 3])
    while True:
        network = random_network(
            rng, replace(config, reset_first=0), directions=False, layers=1 if kind else None
        )
        if kind is None or network.layers[0].kind == kind:
            return network


@pytest.mark.parametrize("streams", [2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_streams(folder: Path, seed: int, streams: int) -> None:
    """Sequences of several lengths, with and without states, one of them alone."""
    network = _forward(10 * seed + streams, SMALL)
    rng = np.random.default_rng([seed, 4])
    sequences = []
    for steps in (5, 1, 5, 5, 2, 5, 5):
        states = constant_states(network)
        if steps == 5:
            states |= random_initial(rng, network)
        sequences.append((random_x(rng, network, steps), states))
    for what in ("sequence", "last"):
        run_exact(folder, network, sequences, what=what, streams=streams)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "linear"])
def test_streams_in_every_schedule(folder: Path, kind: str) -> None:
    """And in runs that are shorter than the sequences."""
    network = _forward(5, SMALL, kind)
    rng = np.random.default_rng(8)
    states = constant_states(network)
    sequences = [(random_x(rng, network, 9), states) for _ in range(4)]
    for schedule in SCHEDULES:
        if network.layers[0].w_c is None or schedule in ("intergate", "unfolded"):
            run_exact(folder, network, sequences, schedule=schedule, streams=3)
    short = replace(place(network, SMALL, streams=3).program, max_steps=4)
    results, _ = run_sequences(folder, short, sequences)
    traces = [run_network(network, x, states) for x, states in sequences]
    assert mismatches(short, results, traces) == (0, None)


def test_streams_with_masks(masked: Path) -> None:
    network = _forward(7, MASKED)
    rng, states = np.random.default_rng(2), constant_states(network)
    sequences = [(random_x(rng, network, 4), states) for _ in range(3)]
    run_exact(masked, network, sequences, config=MASKED, streams=2)


def test_streams_that_cannot_take_turns() -> None:
    with pytest.raises(SparnnError, match="streams = 2: the machine lets up to 1 take turns"):
        place(extreme_network(2, 2, 1), NARROW[4], streams=2)
    with pytest.raises(SparnnError, match="or runs backwards, and streams take turns in layers"):
        place(bidirectional_network("lstm"), SMALL, streams=2)
    with pytest.raises(SparnnError, match=r"3 streams need columns = 100 .* raise columns to 128"):
        place(extreme_network(50, 2, 1), SMALL, streams=3)
    assert place(extreme_network(50, 2, 1), SMALL, streams=3, fit=True).config.columns == 128


@pytest.mark.parametrize(("kind", "streams"), [("linear", 1), ("rnn", 4), ("rnn", 2), ("gru", 3)])
def test_last_gates_do_not_follow_too_closely(folder: Path, kind: str, streams: int) -> None:
    """Gate by gate a pass gives four words, which outlast a small layer's work of a step."""
    rng = np.random.default_rng(1)
    (layer,) = dense_network(rng, kind, 8).layers
    network = IntegerNetwork((replace(layer, w_x=layer.w_x[..., :2]),), 8, 8)
    order = Order(unfolded=True, gate_major=True)
    plan = explore(SMALL, network.layers[0], Exploration(orders=(order,)), streams=streams)
    sequences = [(rng.integers(-128, 128, (6, 2)), {}) for _ in range(streams)]
    run_exact(folder, network, sequences, plans=[plan], streams=streams)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_tile_that_is_fixed(kind: str) -> None:
    """Gate by gate a tile has one segment a slice, so two leave but the other order."""
    shape = LayerShape(inputs=15, units=15, kind=kind)
    plan = explore_shape(SMALL, shape, Exploration(fixed=2))
    assert not plan.order.gate_major
    assert {phase.groups for phase in (*plan.x, *plan.h)} == {2}
    with pytest.raises(SparnnError, match=r"2 row groups is not possible here; .* up to 1"):
        explore_shape(SMALL, shape, Exploration(schedule="batch", fixed=2))
    with pytest.raises(SparnnError, match=r"3 row groups is not possible here; .* up to 4"):
        explore_shape(SMALL, shape, Exploration(fixed=3))
