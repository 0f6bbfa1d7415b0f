"""Weights from external memory: random networks, and each way in which a layer's words come."""

from dataclasses import replace

import numpy as np
import pytest
from support.small_network import CONFIG, small_network

from sparnn.driver.simulated import simulated_device
from sparnn.gen.bench.regress import run_case, streaming_machine
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.bus import bus_choice
from sparnn.gen.machines.sparse.place import place
from sparnn.gen.machines.sparse.sections import loop_modes
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.hdl.bus.geometry import MemoryGeometry
from sparnn.hdl.bus.top import Bus, BusMachine, bus_verilog
from sparnn.hdl.errors import ConfigurationError
from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.answers import expected_words, parse_results
from sparnn.sim.host.packets import sequence_packets
from sparnn.sim.session.compare import mismatches
from sparnn.sim.verilator.hardware import ExternalMemory, run_sequences

#: With masks and without, two threads, several weights in a word.
MACHINES = (36, 27)
NETWORKS = 2

SMALL = replace(CONFIG, stream_bits=32, mask_depth=256, weight_depth=256)


def test_the_machines_cover_the_corners():
    machines = [streaming_machine(seed) for seed in MACHINES]
    assert {one.masks for one in machines} == {0, 1}
    assert {one.threads for one in machines} == {2}
    assert max(one.weight_slots for one in machines) > 1
    assert max(one.mask_slots for one in machines if one.masks) > 1
    assert any(one.bank_bytes and one.sliced_copy for one in machines)


@pytest.mark.parametrize(
    "machine", [MACHINES[0], *(pytest.param(one, marks=pytest.mark.deep) for one in MACHINES[1:])]
)
def test_random_networks(machine, tmp_path, monkeypatch):
    monkeypatch.setenv("SPARNN_BUILD", "quick")
    for network in range(NETWORKS):
        case = run_case(machine, network, tmp_path, streaming_machine)
        assert case.mismatch is None, f"{case.name}: {case.description}; {case.mismatch}"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machine")
    (folder / "sparnn.v").write_text(kept_verilog(SMALL))
    return folder


def run(folder, placed, external=None):
    """Three sequences, each checked; the words that were read from memory."""
    integers = small_network()
    words = placed.external if external is None else external
    words.astype("<u4").tofile(folder / "weights.bin")
    placed.image.astype("<u4").tofile(folder / "image.bin")
    rng = np.random.default_rng(1)
    sequences = [(rng.integers(-128, 128, (steps, 3)), {}) for steps in (4, 1, 3)]
    memory = ExternalMemory(bytes_per_cycle=4, latency=20, under_way=16)
    results, driver = run_sequences(folder, placed.program, sequences, memory=memory)
    traces = [run_network(integers, x, {}) for x, _ in sequences]
    assert mismatches(placed.program, results, traces)[0] == 0
    return driver.beats


@pytest.mark.parametrize(
    ("modes", "reads"),
    [
        (("resident", "resident"), (1, 1)),
        (("swapped", "swapped"), (3, 3)),
        (("streamed", "swapped"), (8, 3)),
        (("streamed", "streamed"), (8, 8)),
        (("swapped", "streamed"), (3, 8)),
    ],
)
def test_modes(machine, modes, reads, monkeypatch):
    monkeypatch.setenv("SPARNN_BUILD", "quick")
    placed = place(small_network(), SMALL)
    assert loop_modes(placed.loop_words, SMALL) == ("resident", "resident")
    vars(placed)["modes"] = modes
    sizes = [len(loop.section) for loop in placed.loop_words]
    assert run(machine, placed) == sum(n * size for n, size in zip(reads, sizes, strict=True))


def test_damaged_weights_are_told(machine, monkeypatch):
    monkeypatch.setenv("SPARNN_BUILD", "quick")
    placed = place(small_network(), SMALL)
    damaged = placed.external.copy()
    damaged[len(damaged) // 2] ^= 1 << 7
    with pytest.raises(SimulationError, match="do not match their check"):
        run(machine, placed, damaged)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stream_bits": 48}, "48 is not 0, 32, 64"),
        ({"sharing": 1}, "not built with sharing; set sharing = 0"),
        ({"weight_depth": 128}, "weight_depth = 128: a ring .* use 256"),
        ({"mask_depth": 384}, "mask_depth = 384: a ring .* use 512"),
        ({"width": 16, "queue_depth": 16, "post_units": 1}, "raise stream_bits to 128"),
        ({"stream_bits": 128}, "is not 1 to 8 times chunk = 8; use stream_bits = 64"),
    ],
)
def test_what_is_refused(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        replace(SMALL, **changes)


def test_behind_axi(machine, monkeypatch):
    monkeypatch.setenv("SPARNN_BUILD", "quick")
    geometry = MemoryGeometry(data_bits=32, burst=16, outstanding=8)
    (machine / "sparnn_bus.v").write_text(bus_verilog(BusMachine(SMALL, Bus.AXI, geometry)))
    placed = place(small_network(), SMALL)
    vars(placed)["modes"] = ("streamed", "swapped")
    x = np.random.default_rng(2).integers(-128, 128, (5, 3))
    packets, runs = sequence_packets(placed.program, 0, x)
    expected = expected_words(placed.program, runs)
    trace = run_network(small_network(), x, {})
    with simulated_device(machine) as device:

        def load():
            device.connect(SMALL)
            device.keep_weights(placed.external)
            device.exchange(placed.image, 0, len(placed.image))

        def run():
            answer = device.exchange(packets, expected, 5 * placed.program.step_bound)
            results = parse_results(placed.program, runs, answer)
            assert mismatches(placed.program, results, [trace])[0] == 0

        load()
        run()
        there = device.read("WEIGHTS_LO")
        sizes = [len(loop.section) for loop in placed.loop_words]
        assert device.read("READ_BEATS") == len(packets) + 2 + 5 * sizes[0] + sizes[1]
        # An error of the memory stops the job, and a soft reset is enough to go on.
        device.write("WEIGHTS_LO", 1 << 24)
        with pytest.raises(SimulationError, match=r"answered a read with an error.*0x1000000"):
            run()
        device.write("WEIGHTS_LO", there)
        run()
        # Damage is told, and gone with the next soft reset.
        first = there // 4 + 9
        word = device._memory.get(first, 1)
        device._memory.put(first, word ^ 4)
        with pytest.raises(SimulationError, match="do not match their check"):
            run()
        device._memory.put(first, word)
        run()


@pytest.mark.parametrize("name", ["axi", "axi-stream"])
def test_a_bus_of_another_width(name, tmp_path):
    with pytest.raises(SparnnError, match="use --bus axi --bus-bits 32"):
        bus_choice(name).write(tmp_path, SMALL)
