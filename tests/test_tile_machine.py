"""The dense machine in Verilator: bit exact with the golden model, cycle exact with its model."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparnn.gen.bench_reload import reload_networks, reload_points
from sparnn.gen.bench_sharp import dense_network
from sparnn.gen.errors import SparnnError
from sparnn.gen.random_networks import random_initial, random_network, random_x
from sparnn.gen.tile_layout import explore, explore_shape
from sparnn.gen.tile_program import explore_network, model_layers, place_tiles
from sparnn.gen.tile_store import paired_layers
from sparnn.hdl.emit import machine_verilog
from sparnn.hdl.tile.config import TileConfig
from sparnn.sim.golden import run_network
from sparnn.sim.hardware import run_sequences
from sparnn.sim.machine_program import MachineProgram
from sparnn.sim.network import GATES, WITH_STATE, IntegerLayer, IntegerNetwork
from sparnn.sim.packets import constant_states
from sparnn.sim.runner import mismatches
from sparnn.sim.streams import stream_packets
from sparnn.sim.tile_cycle_model import SCHEDULES, Order, TilePlan, network_cycles

pytestmark = pytest.mark.xdist_group("tile_machine")

SMALL = TileConfig(
    lanes=8,
    width=8,
    banks=4,
    slices=1,
    columns=32,
    store_depth=8192,
    gate_depth=16,
    hard_sigmoid=1,
    reset_first=1,
    sums=1,
    peepholes=1,
    streams=4,
)
#: Several slices, of one and of two rows, which go gate by gate only, and of
#: four, with the activation's register; the last two with more stages behind the sums.
NARROW = {
    width: TileConfig(
        lanes=8,
        width=width,
        banks=4,
        slices=2,
        columns=32,
        store_depth=8192,
        gate_depth=64,
        operand_stage=width // 4,
        sums=width // 4,
        peepholes=width // 4,
        post_stages=min(width, 2),
    )
    for width in (1, 2, 4)
}


def _folder(tmp_path_factory: pytest.TempPathFactory, config: TileConfig) -> Path:
    path = tmp_path_factory.mktemp("tile")
    (path / "sparnn.v").write_text(machine_verilog(config))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _folder(tmp_path_factory, SMALL)


@pytest.fixture(scope="module", params=NARROW)
def narrow(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> tuple[Path, TileConfig]:
    config = NARROW[request.param]
    return _folder(tmp_path_factory, config), config


def _random(seed: int, kind: str | None = None, *, sums: bool = False) -> IntegerNetwork:
    """A random network, with directions that are added or without."""
    rng = np.random.default_rng(seed)
    while True:
        network = random_network(
            rng,
            replace(SMALL, reset_first=0, hard_sigmoid=0, peepholes=0),
            layers=1 if kind else None,
        )
        if kind is not None and [one.kind for one in network.layers] != [kind]:
            continue
        if sums == any(one.join == "sum" for one in network.layers):
            return network


def _run(
    folder: Path,
    network: IntegerNetwork,
    sequences: list[tuple[np.ndarray, Mapping[tuple[str, int], np.ndarray]]],
    config: TileConfig = SMALL,
    schedule: str = "unfolded",
    plans: list[TilePlan] | None = None,
    what: str = "sequence",
    interleave: bool = True,
    streams: int = 1,
    **link: int,
) -> MachineProgram:
    outputs = [
        {"layer": stage[-1], "what": "state_c"}
        for stage in network.stages
        if all(network.layers[index].kind in WITH_STATE for index in stage)
        or network.layers[stage[-1]].join == "reset"
    ]
    outputs.append({"layer": len(network.layers) - 1, "what": what})
    pairs = paired_layers(network, config, outputs) if interleave else set()
    plans = plans or explore_network(network, config, pairs, schedule=schedule, streams=streams)
    _, program, image = place_tiles(
        network, config, outputs, plans=plans, interleave=interleave, streams=streams
    )
    (folder / "image.bin").write_bytes(image.astype("<u4").tobytes())
    results, _ = run_sequences(folder, program, sequences, **link)
    traces = [run_network(network, x, states) for x, states in sequences]
    assert mismatches(program, results, traces) == (0, None)
    if streams > 1:
        _check_stream_cycles(network, program, plans, sequences, [one.cycles for one in results])
        return program
    if any(one.descriptor["emit"] for one in program.layers[:-1]):
        return program  # the next layer waits for the host, of which the model knows nothing
    for (x, states), result in zip(sequences, results, strict=True):
        cycles = 0
        for first in range(0, len(x), program.max_steps):
            steps = min(program.max_steps, len(x) - first)
            fresh = not states and not first
            cycles += network_cycles(
                config, model_layers(network, program, plans, steps, fresh=fresh)
            )
        assert cycles == result.cycles
    return program


@pytest.mark.parametrize("seed", range(8))
def test_random_networks(folder: Path, seed: int) -> None:
    network = _random(seed)
    rng = np.random.default_rng([seed, 1])
    sequences = []
    for number in range(3):
        states = constant_states(network)
        if number == 1:
            states |= random_initial(rng, network)
        sequences.append((random_x(rng, network, int(rng.integers(1, 9))), states))
    _run(folder, network, sequences)


@pytest.mark.parametrize("seed", range(6))
def test_sums_of_directions(folder: Path, narrow: tuple[Path, TileConfig], seed: int) -> None:
    """Added, the most negative values among them; the next layer, or the host, reads the sums."""
    network = _random(60 + seed, sums=True)
    rng = np.random.default_rng([seed, 5])
    states = constant_states(network) | random_initial(rng, network)
    sequences = [(random_x(rng, network, steps), states) for steps in (1, 2, 7)]
    machine, config = narrow
    if config.sums:
        _run(machine, network, sequences, config=config)
        return
    _run(folder, network, sequences)
    with pytest.raises(SparnnError, match="it has sums = 0; set sums = 1"):
        place_tiles(network, config)
    assert place_tiles(network, config, fit=True)[0].sums == 1


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "linear"])
def test_slow_host(folder: Path, kind: str) -> None:
    network = _random(100, kind)
    rng = np.random.default_rng(5)
    sequences = [(random_x(rng, network, 6), constant_states(network)) for _ in range(2)]
    _run(folder, network, sequences, idle=50, stall=60, seed=3)


def _extreme(units: int, inputs: int, weight: int) -> IntegerNetwork:
    rows = (4, units)
    halves = {
        f"{name}_{half}": np.full(rows, value)
        for half in ("x", "h")
        for name, value in (("mult", 32767), ("shift", 20), ("bias", -32768))
    }
    layer = IntegerLayer(
        name="extreme",
        kind="lstm",
        activation="",
        w_x=np.full((4, units, inputs), weight),
        w_h=np.full((4, units, units), -weight),
        f_x=0,
        f_pre=0,
        f_state=15,
        f_out=7,
        out_bits=8,
        **halves,
    )
    return IntegerNetwork((layer,), 8, 8)


@pytest.mark.parametrize(
    ("units", "inputs", "weight"), [(1, 1, 127), (1, 63, -127), (61, 1, -127), (64, 64, 127)]
)
def test_extremes(folder: Path, units: int, inputs: int, weight: int) -> None:
    network = _extreme(units, inputs, weight)
    x = np.full((4, inputs), -128)
    x[1], x[2] = 127, 0
    _run(folder, network, [(x, {})])


def test_a_step_that_waits_costs_the_declared_tail(folder: Path) -> None:
    """One pass a half: between two steps lies nothing but the tail."""
    network = _extreme(2, 2, 3)
    plans = [explore(SMALL, network.layers[0])]
    cycles = []
    for steps in (10, 11):
        _, program, image = place_tiles(network, SMALL, plans=plans)
        (folder / "image.bin").write_bytes(image.astype("<u4").tobytes())
        results, _ = run_sequences(folder, program, [(np.ones((steps, 2), int), {})])
        cycles.append(results[0].cycles)
    hidden = sum(phase.length * phase.passes for phase in plans[0].h)
    assert cycles[1] - cycles[0] == hidden - 1 + SMALL.tail()


@pytest.mark.parametrize("schedule", ["unfolded", "intergate"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_tiles_and_schedules(folder: Path, schedule: str, groups: int) -> None:
    network = _random(7, "lstm")
    plan = explore(SMALL, network.layers[0], schedule=schedule, fixed=groups)
    x = random_x(np.random.default_rng(1), network, 7)
    _run(folder, network, [(x, constant_states(network))], plans=[plan])


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "linear"])
@pytest.mark.parametrize("order", [one for orders in SCHEDULES.values() for one in orders])
def test_orders(folder: Path, kind: str, order: Order) -> None:
    """Every order of the passes, of every kind, whether or not the explorer would choose it."""
    for seed in (11, 12):
        network = _random(seed, kind)
        plan = explore(SMALL, network.layers[0], schedule=order.schedule, orders=[order])
        assert plan.order == order
        x = random_x(np.random.default_rng(1), network, 6)
        _run(folder, network, [(x, constant_states(network))], plans=[plan])


@pytest.mark.parametrize("schedule", ["sequential", "batch", "unfolded"])
def test_narrow_machines(narrow: tuple[Path, TileConfig], schedule: str) -> None:
    folder, config = narrow
    for seed in range(4):
        network = _random(20 + seed)
        x = random_x(np.random.default_rng(2), network, 5)
        _run(folder, network, [(x, constant_states(network))], config=config, schedule=schedule)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_directions(folder: Path, kind: str, schedule: str) -> None:
    """Two directions, in turn and one after the other; one step, no state, given states."""
    network = _bidirectional(kind)
    rng = np.random.default_rng(6)
    for interleave in (True, False):
        for what in ("sequence", "last"):
            sequences = []
            for steps in (1, 2, 7):
                states = random_initial(rng, network) if steps == 2 else constant_states(network)
                sequences.append((random_x(rng, network, steps), states))
            program = _run(
                folder, network, sequences, schedule=schedule, what=what, interleave=interleave
            )
            paired = [one.descriptor["paired"] for one in program.layers]
            turns = [int(interleave), 0, int(interleave and what == "sequence"), 0]
            assert paired == turns


MASKED = TileConfig(
    lanes=8,
    width=4,
    banks=4,
    slices=2,
    columns=32,
    store_depth=8192,
    gate_depth=16,
    mask_depth=512,
    streams=2,
)


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _folder(tmp_path_factory, MASKED)


@pytest.mark.parametrize("seed", range(4))
def test_masked_columns(masked: Path, seed: int) -> None:
    """Networks of any density, some without any weight."""
    network = _random(40 + seed)
    x = random_x(np.random.default_rng(2), network, 5)
    _run(masked, network, [(x, constant_states(network))], config=MASKED)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_masked_orders(masked: Path, schedule: str) -> None:
    network = _bidirectional("lstm")
    x = random_x(np.random.default_rng(6), network, 5)
    _run(masked, network, [(x, constant_states(network))], config=MASKED, schedule=schedule)


@pytest.mark.parametrize("density", [0.0, 0.25, 1.0])
def test_skipped_columns_cost_nothing(masked: Path, density: float) -> None:
    """Blocks of K rows: a pass takes as long as its fullest lane has columns."""
    rng = np.random.default_rng(3)
    layer = _extreme(32, 64, 127).layers[0]
    kept = {
        half: np.tile(rng.random((1, 32, columns)) < density, (4, 1, 1))
        for half, columns in (("x", 64), ("h", 32))
    }
    layer = replace(layer, w_x=layer.w_x * kept["x"], w_h=layer.w_h * kept["h"])
    network = IntegerNetwork((layer,), 8, 8)
    plan = explore(MASKED, layer, fixed=2)
    program = _run(masked, network, [(np.ones((3, 64), int), {})], config=MASKED, plans=[plan])
    (run,) = model_layers(network, program, [plan], 3)
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


def test_directions_of_several_slices(narrow: tuple[Path, TileConfig]) -> None:
    folder, config = narrow
    network = _bidirectional("lstm")
    x = random_x(np.random.default_rng(6), network, 5)
    _run(folder, network, [(x, constant_states(network))], config=config)


def _bidirectional(kind: str) -> IntegerNetwork:
    """Two layers of two directions, whose units fill no word."""
    rng = np.random.default_rng(9)
    layers: list[IntegerLayer] = []
    for inputs, units in ((5, 7), (14, 9)):
        for reverse in (False, True):
            rows = (GATES[kind], units)
            halves: dict[str, Any] = {}
            for half, columns in (("x", inputs), ("h", units)):
                halves |= {
                    f"w_{half}": rng.integers(-127, 128, (*rows, columns)),
                    f"mult_{half}": rng.integers(16384, 32768, rows),
                    f"shift_{half}": np.full(rows, 19),
                    f"bias_{half}": rng.integers(-2000, 2000, rows),
                }
            layers.append(
                IntegerLayer(
                    name=f"{len(layers)}",
                    kind=kind,
                    activation="tanh" if kind == "rnn" else "",
                    f_x=7,
                    f_pre=11,
                    f_state=0 if kind == "rnn" else 12,
                    f_out=7,
                    out_bits=8,
                    reverse=reverse,
                    join="concat" if reverse else "",
                    **halves,
                )
            )
    return IntegerNetwork(tuple(layers), 8, 8)


def test_schedules_that_the_machine_lacks() -> None:
    layer = _extreme(2, 2, 1).layers[0]
    with pytest.raises(SparnnError, match=r"no gate buffers \(gate_depth = 0\)"):
        explore(replace(SMALL, gate_depth=0), layer, schedule="batch")
    with pytest.raises(SparnnError, match="segments of 1 rows"):
        explore(NARROW[1], layer, schedule="intergate")


def test_networks_in_one_simulation() -> None:
    """Only program and weights change: one machine, loaded seven times without a reset."""
    points = reload_points(SMALL, reload_networks(48, 1), steps=5, seed=1)
    assert len(points) == 7
    for point in points:
        assert point["bit_exact"]
        assert point["cycles"] == point["model_cycles"]


def test_refuses_what_it_does_not_compute() -> None:
    layer = _extreme(1, 2, 1).layers[0]
    joined = IntegerNetwork((layer, replace(layer, name="back", join="concat")), 8, 8)
    outputs = [{"layer": 1, "what": "sequence"}, {"layer": 1, "what": "last"}]
    with pytest.raises(SparnnError, match="both its sequence and its final states"):
        place_tiles(joined, SMALL, outputs)
    with pytest.raises(SparnnError, match="'extreme' is an output alone"):
        place_tiles(joined, SMALL, [{"layer": 0, "what": "sequence"}])


def test_the_hard_sigmoid_is_there_on_demand(folder: Path) -> None:
    (layer,) = _extreme(5, 7, 31).layers
    hard = IntegerNetwork((replace(layer, activation="hard_sigmoid"),), 8, 8)
    without = replace(SMALL, hard_sigmoid=0)
    with pytest.raises(SparnnError, match="hard_sigmoid = 0; set hard_sigmoid = 1"):
        place_tiles(hard, without)
    assert place_tiles(hard, without, fit=True)[0].hard_sigmoid == 1
    x = np.random.default_rng(4).integers(-128, 128, (5, 7))
    _run(folder, hard, [(x, {})])


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
    _run(folder, network, sequences, schedule=schedule)
    with pytest.raises(SparnnError, match="reset_first = 0; set reset_first = 1"):
        place_tiles(network, replace(SMALL, reset_first=0))


def _peepholes(seed: int, config: TileConfig) -> IntegerNetwork:
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
    _run(folder, network, sequences)
    _run(folder, network, sequences, schedule="intergate")


def test_peepholes_of_several_slices(narrow: tuple[Path, TileConfig]) -> None:
    folder, config = narrow
    network = _peepholes(5, replace(SMALL, hard_sigmoid=0))
    sequences = [(random_x(np.random.default_rng(2), network, 5), {})]
    if config.peepholes:
        _run(folder, network, sequences, config=config)
        return
    with pytest.raises(SparnnError, match="lacks the cells: it has peepholes = 0; set peepholes"):
        place_tiles(network, config)


@pytest.mark.parametrize("weight", [-32768, 32767])
def test_extreme_peepholes(folder: Path, weight: int) -> None:
    """Products of the most negative values, and the tail that the machine declares."""
    (layer,) = _extreme(2, 2, 127).layers
    layer = replace(
        layer, w_c=np.full((3, 2), weight), cell_shift=0, bias_h=np.zeros((4, 2), int), f_state=15
    )
    network = IntegerNetwork((layer,), 8, 8)
    state = {("initial_c", 0): np.full(2, -32768)}
    cycles = []
    for steps in (10, 11):
        x = np.where(np.arange(2 * steps).reshape(steps, 2) % 3, 127, -128)
        _run(folder, network, [(x, state)])
        program = place_tiles(network, SMALL)[1]
        layers = model_layers(network, program, [explore(SMALL, layer)], steps)
        cycles.append(network_cycles(SMALL, layers))
    assert cycles[1] - cycles[0] == SMALL.tail(peephole=True)


def test_peepholes_need_their_gates_side_by_side() -> None:
    layer = next(one for one in _peepholes(1, SMALL).layers if one.w_c is not None)
    with pytest.raises(SparnnError, match="peepholes, which need the gates of a neuron side by"):
        explore(SMALL, layer, schedule="batch")


def _check_stream_cycles(
    network: IntegerNetwork,
    program: MachineProgram,
    plans: list[TilePlan],
    sequences: list[tuple[np.ndarray, Mapping[tuple[str, int], np.ndarray]]],
    cycles: list[int],
) -> None:
    """Of each group of sequences that run together."""
    assert isinstance(program.config, TileConfig)
    _, groups = stream_packets(program, sequences)
    for group in groups:
        fresh = not any(sequences[number][1] for number in group.numbers)
        expected = sum(
            network_cycles(
                program.config,
                model_layers(network, program, plans, steps, fresh=fresh and not number),
            )
            for number, steps in enumerate(group.runs)
        )
        assert [cycles[number] for number in group.numbers] == [
            expected,
            *[0] * (len(group.numbers) - 1),
        ]


def _forward(seed: int, config: TileConfig, kind: str | None = None) -> IntegerNetwork:
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
        _run(folder, network, sequences, what=what, streams=streams)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "linear"])
def test_streams_in_every_schedule(folder: Path, kind: str) -> None:
    """And in runs that are shorter than the sequences."""
    network = _forward(5, SMALL, kind)
    rng = np.random.default_rng(8)
    states = constant_states(network)
    sequences = [(random_x(rng, network, 9), states) for _ in range(4)]
    for schedule in SCHEDULES:
        if network.layers[0].w_c is None or schedule in ("intergate", "unfolded"):
            _run(folder, network, sequences, schedule=schedule, streams=3)
    short = replace(place_tiles(network, SMALL, streams=3)[1], max_steps=4)
    results, _ = run_sequences(folder, short, sequences)
    traces = [run_network(network, x, states) for x, states in sequences]
    assert mismatches(short, results, traces) == (0, None)


def test_streams_with_masks(masked: Path) -> None:
    network = _forward(7, MASKED)
    rng, states = np.random.default_rng(2), constant_states(network)
    sequences = [(random_x(rng, network, 4), states) for _ in range(3)]
    _run(masked, network, sequences, config=MASKED, streams=2)


def test_streams_that_cannot_take_turns() -> None:
    with pytest.raises(SparnnError, match="streams = 2: the machine lets up to 1 take turns"):
        place_tiles(_extreme(2, 2, 1), NARROW[4], streams=2)
    with pytest.raises(SparnnError, match="or runs backwards, and streams take turns in layers"):
        place_tiles(_bidirectional("lstm"), SMALL, streams=2)
    with pytest.raises(SparnnError, match=r"3 streams need columns = 100 .* raise columns to 128"):
        place_tiles(_extreme(50, 2, 1), SMALL, streams=3)
    assert place_tiles(_extreme(50, 2, 1), SMALL, streams=3, fit=True)[0].columns == 128


@pytest.mark.parametrize(("kind", "streams"), [("linear", 1), ("rnn", 4), ("rnn", 2), ("gru", 3)])
def test_last_gates_do_not_follow_too_closely(folder: Path, kind: str, streams: int) -> None:
    """Gate by gate a pass gives four words, which outlast a small layer's work of a step."""
    rng = np.random.default_rng(1)
    (layer,) = dense_network(rng, kind, 8).layers
    network = IntegerNetwork((replace(layer, w_x=layer.w_x[..., :2]),), 8, 8)
    order = Order(unfolded=True, gate_major=True)
    plan = explore(SMALL, network.layers[0], orders=[order], streams=streams)
    sequences = [(rng.integers(-128, 128, (6, 2)), {}) for _ in range(streams)]
    _run(folder, network, sequences, plans=[plan], streams=streams)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_tile_that_is_fixed(kind: str) -> None:
    """Gate by gate a tile has one segment a slice, so two leave but the other order."""
    fixed = {"kind": kind, "fixed": 2}
    plan = explore_shape(SMALL, 15, 15, **fixed)
    assert not plan.order.gate_major
    assert {phase.groups for phase in (*plan.x, *plan.h)} == {2}
    with pytest.raises(SparnnError, match=r"2 row groups is not possible here; .* up to 1"):
        explore_shape(SMALL, 15, 15, schedule="batch", **fixed)
    with pytest.raises(SparnnError, match=r"3 row groups is not possible here; .* up to 4"):
        explore_shape(SMALL, 15, 15, kind=kind, fixed=3)


def test_refuses_too_many_columns() -> None:
    wide = _extreme(1, 1000, 1)
    with pytest.raises(SparnnError, match="1000 columns"):
        place_tiles(wide, SMALL)
