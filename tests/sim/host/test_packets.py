"""Packed images and packets, run by the plain model of the machine, against the golden model."""

from dataclasses import replace

import numpy as np
import pytest
from support.host_model import HostModel

from sparnn.gen.bench.random_networks import (
    random_config,
    random_held,
    random_initial,
    random_network,
    random_thresholds,
    random_v,
    random_x,
)
from sparnn.gen.machines.sparse.layout import lay_out
from sparnn.gen.machines.sparse.place import place
from sparnn.hdl.host.protocol import IMAGE_VERSION, Response
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.answers import expected_words, parse_results
from sparnn.sim.host.outputs import hardware_outputs
from sparnn.sim.host.packets import constant_states, sequence_packets
from sparnn.sim.host.program import MachineProgram


def random_outputs(rng, network):
    """Outputs of some stages, always of the last."""
    outputs = []
    for stage in network.stages:
        layers = [network.layers[index] for index in stage]
        both = stage if layers[-1].join != "reset" else stage[1:]
        entry = {"layer": stage[-1], "layers": list(both)}
        shortened = any(one.last_only for one in network.layers[stage[-1] + 1 :])
        if stage[-1] == len(network.layers) - 1:
            what = str(rng.choice(["sequence", "last"]))
            outputs.append({**entry, "what": what})
        elif rng.random() < 0.3:
            what = "last" if shortened and layers[0].kind == "linear" else "sequence"
            outputs.append({**entry, "what": what})
        if all(one.kind in ("lstm", "gru") for one in layers) and rng.random() < 0.3:
            outputs.append({**entry, "what": "state_c"})
    return [{**entry, "name": f"y{number}"} for number, entry in enumerate(outputs)]


@pytest.mark.parametrize("seed", range(100))
def test_images_on_the_host_model(seed):
    rng = np.random.default_rng(seed)
    # A small store splits the sequences.
    config = random_config(rng, store_depth=int(rng.choice([160, 512, 4096])))
    network = random_network(rng, config)
    if seed >= 80:
        bits = min(config.activation_bits, 15)
        config = replace(config, delta=1, activation_bits=bits)
        network = random_thresholds(rng, random_network(rng, config))
    outputs = random_outputs(rng, network)
    layout = lay_out(
        network,
        config,
        v=random_v(rng, config, network) if rng.random() < 0.7 else None,
        balance=bool(rng.integers(2)),
        activity=[
            rng.random((4, size)) < rng.random(size)
            for size in (network.layers[0].inputs, *(one.units for one in network.layers))
        ],
    )
    placed = place(network, config, outputs, layout=layout)
    program = placed.program
    program = MachineProgram.from_dict(program.to_dict())
    machine = HostModel(config)
    assert machine.feed(placed.image) == []
    sequences = [random_x(rng, network, int(rng.integers(1, 12))) for _ in range(2)]
    unsplit = any(
        one.descriptor["reverse"] or (one.descriptor["single_step"] and one.has_hidden)
        for one in program.layers
    )
    if any(len(x) > program.max_steps for x in sequences) and unsplit:
        with pytest.raises(SimulationError, match="larger store_depth"):
            sequence_packets(
                program, 0, np.zeros((program.max_steps + 1, len(program.inputs)), int)
            )
        sequences = []
    longest = program.max_steps + (0 if unsplit else 3)
    sequences.append(random_x(rng, network, min(longest, 40)))
    if config.delta:
        sequences = [random_held(rng, x) for x in sequences]
    for number, x in enumerate(sequences):
        initial = random_initial(rng, network) if rng.random() < 0.5 else {}
        trace = run_network(network, x, initial)
        words, runs = sequence_packets(program, number, x, {**constant_states(network), **initial})
        answer = machine.feed(words)
        assert len(answer) == expected_words(program, runs)
        (result,) = parse_results(program, runs, np.array(answer))
        got = hardware_outputs({"outputs": outputs}, result)
        for entry in outputs:
            golden = trace.output(entry["layer"], entry["what"])
            np.testing.assert_array_equal(got[entry["name"]], golden)


@pytest.fixture
def small():
    rng = np.random.default_rng(5)
    config = SparseConfig(lanes=4, max_v=4)
    network = random_network(rng, config, layers=1, directions=False)
    return network, place(network, config).program


def answer_of(program, steps):
    units = len(program.layers[0].neurons)
    result = [Response.RESULT << 28 | units, *range(units)]
    return np.array([*result * steps, Response.DONE << 28, 77])


def test_parses(small):
    network, program = small
    _, runs = sequence_packets(program, 0, np.zeros((3, network.layers[0].inputs), int))
    (result,) = parse_results(program, runs, answer_of(program, 3))
    assert result.cycles == 77
    assert result.outputs[0].shape == (3, network.layers[0].units)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[:0], "stopped answering after 0 words"),
        (lambda a: a[:3], "stopped answering inside RESULT"),
        (lambda a: a[:-2], "where DONE should follow"),
        (lambda a: np.append(a, 0x80000001), "the first beyond them is 0x80000001"),
        (lambda a: np.append(Response.ERROR << 28 | 0x123, a), "refused a packet .* 0x0000123"),
        (lambda a: np.append(0x12345678, a), "answered 0x12345678 as word 0, expected RESULT"),
    ],
)
def test_odd_answers(small, change, message):
    network, program = small
    _, runs = sequence_packets(program, 0, np.zeros((3, network.layers[0].inputs), int))
    with pytest.raises(SimulationError, match=message):
        parse_results(program, runs, change(answer_of(program, 3)))


def test_bad_sequences(small):
    network, program = small
    inputs = network.layers[0].inputs
    for x in (np.zeros((0, inputs)), np.zeros((2, inputs + 1)), np.zeros(inputs)):
        with pytest.raises(SimulationError, match="it must be"):
            sequence_packets(program, 0, x)
    with pytest.raises(SimulationError, match="8 bits hold -128 … 127"):
        sequence_packets(program, 0, np.full((1, inputs), 128))
    with pytest.raises(SimulationError, match=r"no state \('initial_h', 7\)"):
        sequence_packets(program, 0, np.zeros((1, inputs)), {("initial_h", 7): np.zeros(3)})


def test_damaged_program(small):
    _, program = small
    content = program.to_dict()
    with pytest.raises(SimulationError, match="have the format version 99"):
        MachineProgram.from_dict({**content, "version": 99})
    with pytest.raises(SimulationError, match="damaged"):
        MachineProgram.from_dict({"version": IMAGE_VERSION})
