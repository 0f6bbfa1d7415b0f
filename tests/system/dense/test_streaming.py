"""The dense machine's weights from external memory: all of them there, or a layer ahead."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.dense_machine import SMALL, bidirectional_network, random_tiles

from sparnn.driver.simulated import simulated_device
from sparnn.gen.bench.random_networks import random_initial, random_x
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.dense.place import place
from sparnn.gen.machines.dense.program import DensePlacement, model_layers
from sparnn.gen.machines.dense.sections import groups_of, rows_needed
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.hdl.bus.geometry import MemoryGeometry
from sparnn.hdl.bus.top import Bus, BusMachine, bus_verilog
from sparnn.hdl.dense.config import DenseConfig
from sparnn.sim.cycles.dense import network_cycles
from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.answers import expected_words, parse_results
from sparnn.sim.host.packets import constant_states, sequence_packets
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.session.compare import mismatches
from sparnn.sim.verilator.hardware import ExternalMemory, run_sequences

pytestmark = pytest.mark.xdist_group("dense_streaming")

#: A lane's word of weights is one of memory; of two, the last one in each row for one lane alone;
#: in two; of five bits, three times in a word of which a part is empty.
MACHINES = {
    "one": replace(SMALL, stream_bits=64),
    "several": replace(SMALL, lanes=9, banks=1, slices=1, width=4, stream_bits=64),
    "split": replace(SMALL, width=16, banks=2, stream_bits=64),
    "uneven": replace(SMALL, lanes=12, width=4, weight_bits=5, stream_bits=512, link_words=4),
}
NETWORKS = [seed for seed in range(19) if len(random_tiles(seed).stages) > 2]


@pytest.fixture(
    scope="module",
    params=["one", *(pytest.param(n, marks=pytest.mark.deep) for n in list(MACHINES)[1:])],
)
def machine(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> tuple[Path, DenseConfig]:
    config = MACHINES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "sparnn.v").write_text(kept_verilog(config))
    return folder, config


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARNN_BUILD", "quick")


def swapped(network: IntegerNetwork, config: DenseConfig) -> DensePlacement:
    """The network where layers that follow one another have no row to spare between them."""
    placed = place(network, config)
    least = replace(config, weight_depth=rows_needed(placed.lanes, placed.pairs))
    vars(placed)["groups"] = groups_of(placed.lanes, placed.pairs, least)
    assert set(placed.modes) == {"swapped"}
    return placed


def run(
    folder: Path,
    placed: DensePlacement,
    network: IntegerNetwork,
    sequences: list[tuple[np.ndarray, dict[tuple[str, int], np.ndarray]]],
    memory: ExternalMemory,
    external: np.ndarray | None = None,
) -> tuple[list[int], int]:
    """Cycles of each sequence, all of them compared, and words that were read."""
    words = placed.external if external is None else external
    words.astype("<u4").tofile(folder / "weights.bin")
    placed.image.astype("<u4").tofile(folder / "image.bin")
    results, driver = run_sequences(folder, placed.program, sequences, memory=memory)
    traces = [run_network(network, x, states) for x, states in sequences]
    assert mismatches(placed.program, results, traces) == (0, None)
    return [one.cycles for one in results], driver.beats


def sequences_of(
    network: IntegerNetwork, seed: int
) -> list[tuple[np.ndarray, dict[tuple[str, int], np.ndarray]]]:
    rng = np.random.default_rng([seed, 1])
    found = []
    for number in range(3):
        states = dict(constant_states(network))
        if number == 1:
            states |= random_initial(rng, network)
        found.append((random_x(rng, network, int(rng.integers(1, 9))), states))
    return found


@pytest.mark.parametrize("seed", NETWORKS)
def test_swapped_layers(machine: tuple[Path, DenseConfig], seed: int) -> None:
    folder, config = machine
    network = random_tiles(seed)
    if config.weight_bits < network.weight_bits:
        network = narrowed(network, config.weight_bits)
    placed = swapped(network, config)
    sequences = sequences_of(network, seed)
    sizes = [len(section) for section in placed.sections]
    # A memory that gives a word a cycle: the machine takes as many cycles as its model says.
    for latency in (1, 90):
        memory = ExternalMemory(config.stream_bits // 8, latency, 256)
        cycles, beats = run(folder, placed, network, sequences, memory)
        readings = [sizes[0] + latency, *sizes[1:]]
        assert cycles == [
            network_cycles(config, model_layers(placed, len(x), fresh=not states), readings)
            for x, states in sequences
        ]
        assert beats == len(sequences) * sum(sizes)
    rng = np.random.default_rng([seed, 2])
    slow = ExternalMemory(
        int(rng.integers(1, 65)), int(rng.integers(1, 201)), int(rng.choice([16, 64]))
    )
    run(folder, placed, network, sequences, slow)


def narrowed(network: IntegerNetwork, bits: int) -> IntegerNetwork:
    """The same network with weights of fewer bits."""
    most = (1 << bits - 1) - 1
    layers = tuple(
        replace(
            layer,
            w_x=np.clip(layer.w_x, -most, most),
            w_h=None if layer.w_h is None else np.clip(layer.w_h, -most, most),
        )
        for layer in network.layers
    )
    return replace(network, layers=layers, weight_bits=bits)


def test_resident(machine: tuple[Path, DenseConfig]) -> None:
    """Read in the first run; from then on each layer begins a cycle later than where loaded."""
    folder, config = machine
    network = bidirectional_network("lstm")
    if config.weight_bits < network.weight_bits:
        network = narrowed(network, config.weight_bits)
    placed = place(network, config)
    assert placed.modes == ("resident",)
    sequences = sequences_of(network, 3)
    cycles, beats = run(folder, placed, network, sequences, ExternalMemory())
    assert beats == len(placed.sections[0])
    expected = [
        network_cycles(config, model_layers(placed, len(x), fresh=not states))
        for x, states in sequences
    ]
    assert cycles[1:] == expected[1:]
    assert cycles[0] > expected[0] + beats


def test_pairs_come_together() -> None:
    """Of a network of four layers in two directions: twice one of two, not to be run."""
    lanes = place(bidirectional_network("lstm"), MACHINES["one"]).lanes * 2
    rows = [one.weights.shape[1] for one in lanes]
    config = replace(MACHINES["one"], weight_depth=sum(rows) - 1)
    groups = groups_of(lanes, {0, 2, 4, 6}, config)
    assert [group.layers for group in groups] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert [group.base for group in groups[::2]] == [0, 0]
    for group in groups[1::2]:
        assert group.base + group.rows == config.weight_depth
    assert rows_needed(lanes, {0, 2, 4, 6}) == sum(rows) // 2


def test_too_few_rows_are_refused() -> None:
    network = random_tiles(NETWORKS[0])
    placed = place(network, MACHINES["one"])
    need = rows_needed(placed.lanes, placed.pairs)
    with pytest.raises(SparnnError, match=rf"needs weight_depth = {need}, the machine has"):
        place(network, replace(MACHINES["one"], weight_depth=need - 1))


def test_damaged_weights_never_run(machine: tuple[Path, DenseConfig]) -> None:
    folder, config = machine
    network = bidirectional_network("lstm")
    if config.weight_bits < network.weight_bits:
        network = narrowed(network, config.weight_bits)
    placed = place(network, config)
    damaged = placed.external.copy()
    damaged[len(damaged) // 2] ^= 1 << 7
    with pytest.raises(SimulationError, match="do not match their check"):
        run(folder, placed, network, sequences_of(network, 3), ExternalMemory(), damaged)


@pytest.mark.parametrize("mode", ["resident", "swapped"])
def test_behind_axi(mode: str, tmp_path: Path) -> None:
    config, network = MACHINES["one"], random_tiles(NETWORKS[0])
    (tmp_path / "sparnn.v").write_text(kept_verilog(config))
    geometry = MemoryGeometry(data_bits=64, burst=16, outstanding=8)
    (tmp_path / "sparnn_bus.v").write_text(bus_verilog(BusMachine(config, Bus.AXI, geometry)))
    placed = swapped(network, config) if mode == "swapped" else place(network, config)
    x = random_x(np.random.default_rng(2), network, 5)
    states = constant_states(network)
    packets, runs = sequence_packets(placed.program, 0, x, states)
    expected = expected_words(placed.program, runs)
    trace = run_network(network, x, states)
    sizes = [len(section) for section in placed.sections]
    with simulated_device(tmp_path) as device:

        def load() -> None:
            device.connect(config)
            device.keep_weights(placed.external)
            device.exchange(placed.image, 0, len(placed.image))

        def job() -> None:
            answer = device.exchange(packets, expected, 5 * placed.program.step_bound)
            results = parse_results(placed.program, runs, answer)
            assert mismatches(placed.program, results, [trace])[0] == 0

        load()
        job()
        own = -(-(len(packets) + 2) // 2)  # two packet words in a beat
        first = device.read("READ_BEATS")
        assert sum(sizes) + own - 1 <= first <= sum(sizes) + own + 1
        job()
        again = sum(sizes) if mode == "swapped" else 0
        assert device.read("READ_BEATS") == first - sum(sizes) + again
        # After damage a soft reset is enough, and weights are read anew.
        place_of = device.read("WEIGHTS_LO") // 4 + 9
        word = device._memory.get(place_of, 1)
        device._memory.put(place_of, word ^ 4)
        device.reset()
        device.exchange(placed.image, 0, len(placed.image))
        with pytest.raises(SimulationError, match="do not match their check"):
            job()
        device._memory.put(place_of, word)
        device.exchange(placed.image, 0, len(placed.image))
        job()
