"""The dense machine in Verilator: bit exact with the golden model, cycle exact with its model."""

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

from sparnn.gen.bench.networks import network_points
from sparnn.gen.bench.random_networks import random_initial, random_x
from sparnn.gen.bench.reload import reload_networks, reload_points
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.dense.place import place
from sparnn.gen.machines.dense.program import model_layers
from sparnn.gen.machines.dense.tiles import Exploration, explore
from sparnn.hdl.dense.config import DenseConfig
from sparnn.sim.host.packets import constant_states
from sparnn.sim.host.plan import SCHEDULES, Order
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.verilator.hardware import run_sequences

pytestmark = pytest.mark.xdist_group("tile_machine")


@pytest.mark.parametrize("seed", range(8))
def test_random_networks(folder: Path, seed: int) -> None:
    network = random_tiles(seed)
    rng = np.random.default_rng([seed, 1])
    sequences = []
    for number in range(3):
        states = constant_states(network)
        if number == 1:
            states |= random_initial(rng, network)
        sequences.append((random_x(rng, network, int(rng.integers(1, 9))), states))
    run_exact(folder, network, sequences)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "linear"])
def test_slow_host(folder: Path, kind: str) -> None:
    network = random_tiles(100, kind)
    rng = np.random.default_rng(5)
    sequences = [(random_x(rng, network, 6), constant_states(network)) for _ in range(2)]
    run_exact(folder, network, sequences, idle=50, stall=60, seed=3)


@pytest.mark.parametrize(
    ("units", "inputs", "weight"), [(1, 1, 127), (1, 63, -127), (61, 1, -127), (64, 64, 127)]
)
def test_extremes(folder: Path, units: int, inputs: int, weight: int) -> None:
    network = extreme_network(units, inputs, weight)
    x = np.full((4, inputs), -128)
    x[1], x[2] = 127, 0
    run_exact(folder, network, [(x, {})])


def test_a_step_that_waits_costs_the_declared_tail(folder: Path) -> None:
    """One pass a half: between two steps lies nothing but the tail."""
    network = extreme_network(2, 2, 3)
    plans = [explore(SMALL, network.layers[0])]
    cycles = []
    for steps in (10, 11):
        placed = place(network, SMALL, plans=plans)
        program, image = placed.program, placed.image
        (folder / "image.bin").write_bytes(image.astype("<u4").tobytes())
        results, _ = run_sequences(folder, program, [(np.ones((steps, 2), int), {})])
        cycles.append(results[0].cycles)
    hidden = sum(phase.length * phase.passes for phase in plans[0].h)
    assert cycles[1] - cycles[0] == hidden - 1 + SMALL.tail()


@pytest.mark.parametrize("schedule", ["unfolded", "intergate"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_tiles_and_schedules(folder: Path, schedule: str, groups: int) -> None:
    network = random_tiles(7, "lstm")
    plan = explore(SMALL, network.layers[0], Exploration(schedule=schedule, fixed=groups))
    x = random_x(np.random.default_rng(1), network, 7)
    run_exact(folder, network, [(x, constant_states(network))], plans=[plan])


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "linear"])
@pytest.mark.parametrize("order", [one for orders in SCHEDULES.values() for one in orders])
def test_orders(folder: Path, kind: str, order: Order) -> None:
    """Every order of the passes, of every kind, whether or not the explorer would choose it."""
    for seed in (11, 12):
        network = random_tiles(seed, kind)
        plan = explore(
            SMALL, network.layers[0], Exploration(schedule=order.schedule, orders=(order,))
        )
        assert plan.order == order
        x = random_x(np.random.default_rng(1), network, 6)
        run_exact(folder, network, [(x, constant_states(network))], plans=[plan])


@pytest.mark.parametrize("schedule", ["sequential", "batch", "unfolded"])
def test_narrow_machines(narrow: tuple[Path, DenseConfig], schedule: str) -> None:
    folder, config = narrow
    for seed in range(4):
        network = random_tiles(20 + seed)
        x = random_x(np.random.default_rng(2), network, 5)
        sequences = [(x, constant_states(network))]
        run_exact(folder, network, sequences, config=config, schedule=schedule)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_directions(folder: Path, kind: str, schedule: str) -> None:
    """Two directions, in turn and one after the other; one step, no state, given states."""
    network = bidirectional_network(kind)
    rng = np.random.default_rng(6)
    for interleave in (True, False):
        for what in ("sequence", "last"):
            sequences = []
            for steps in (1, 2, 7):
                states = random_initial(rng, network) if steps == 2 else constant_states(network)
                sequences.append((random_x(rng, network, steps), states))
            program = run_exact(
                folder, network, sequences, schedule=schedule, what=what, interleave=interleave
            )
            paired = [one.descriptor["paired"] for one in program.layers]
            turns = [int(interleave), 0, int(interleave and what == "sequence"), 0]
            assert paired == turns


@pytest.mark.parametrize("seed", range(4))
def test_masked_columns(masked: Path, seed: int) -> None:
    """Networks of any density, some without any weight."""
    network = random_tiles(40 + seed)
    x = random_x(np.random.default_rng(2), network, 5)
    run_exact(masked, network, [(x, constant_states(network))], config=MASKED)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_masked_orders(masked: Path, schedule: str) -> None:
    network = bidirectional_network("lstm")
    x = random_x(np.random.default_rng(6), network, 5)
    run_exact(masked, network, [(x, constant_states(network))], config=MASKED, schedule=schedule)


@pytest.mark.parametrize("density", [0.0, 0.25, 1.0])
def test_skipped_columns_cost_nothing(masked: Path, density: float) -> None:
    """Blocks of K rows: a pass takes as long as its fullest lane has columns."""
    rng = np.random.default_rng(3)
    layer = extreme_network(32, 64, 127).layers[0]
    kept = {
        half: np.tile(rng.random((1, 32, columns)) < density, (4, 1, 1))
        for half, columns in (("x", 64), ("h", 32))
    }
    layer = replace(layer, w_x=layer.w_x * kept["x"], w_h=layer.w_h * kept["h"])
    network = IntegerNetwork((layer,), 8, 8)
    plan = explore(MASKED, layer, Exploration(fixed=2))
    run_exact(masked, network, [(np.ones((3, 64), int), {})], config=MASKED, plans=[plan])
    (run,) = model_layers(place(network, MASKED, plans=[plan]), 3)
    expected = [
        max(
            1,
            *(
                int(kept[half][0, n, lane::4].sum())
                for n in (first, first + 1)
                for lane in range(4)
            ),
        )
        for half in ("x", "h")
        for first in range(0, 32, 2)
    ]
    assert list(run.lengths) == expected


def test_directions_of_several_slices(narrow: tuple[Path, DenseConfig]) -> None:
    folder, config = narrow
    network = bidirectional_network("lstm")
    x = random_x(np.random.default_rng(6), network, 5)
    run_exact(folder, network, [(x, constant_states(network))], config=config)


def test_schedules_that_the_machine_lacks() -> None:
    layer = extreme_network(2, 2, 1).layers[0]
    with pytest.raises(SparnnError, match=r"no gate buffers \(gate_depth = 0\)"):
        explore(replace(SMALL, gate_depth=0), layer, Exploration(schedule="batch"))
    with pytest.raises(SparnnError, match="segments of 1 rows"):
        explore(NARROW[1], layer, Exploration(schedule="intergate"))


def test_networks_in_one_simulation() -> None:
    """Only program and weights change: one machine, loaded seven times without a reset."""
    points = reload_points(SMALL, reload_networks(48, 1), steps=5, seed=1)
    assert len(points) == 7
    for point in points:
        assert point["bit_exact"]
        assert point["cycles"] == point["model_cycles"]


def test_layers_of_published_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sparnn bench networks --rtl`: every different layer in the model's cycles, exact."""
    shapes = {"A": ([(20, 20, 2), (40, 20, 2), (40, 20, 2)], 70), "B": ([(24, 24, 1)], 3)}
    networks = {name: (*shape, (1.0, 1.0, 1.0, 1.0)) for name, shape in shapes.items()}
    monkeypatch.setattr("sparnn.gen.bench.networks.NETWORKS", networks)
    monkeypatch.setattr("sparnn.gen.bench.networks.machine_of", lambda size: SMALL)
    points = network_points([64], simulate=True, seed=3)
    assert [point["network"] for point in points] == ["A", "B"]
    for point in points:
        assert point["bit_exact"]
        assert point["rtl_cycles"] == point["cycles"]


def test_refuses_what_it_does_not_compute() -> None:
    layer = extreme_network(1, 2, 1).layers[0]
    joined = IntegerNetwork((layer, replace(layer, name="back", join="concat")), 8, 8)
    outputs = [{"layer": 1, "what": "sequence"}, {"layer": 1, "what": "last"}]
    with pytest.raises(SparnnError, match="both its sequence and its final states"):
        place(joined, SMALL, outputs)
    with pytest.raises(SparnnError, match="'extreme' is an output alone"):
        place(joined, SMALL, [{"layer": 0, "what": "sequence"}])


def test_refuses_too_many_columns() -> None:
    wide = extreme_network(1, 1000, 1)
    with pytest.raises(SparnnError, match="1000 columns"):
        place(wide, SMALL)
