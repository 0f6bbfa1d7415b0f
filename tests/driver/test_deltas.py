"""Streams of a network with thresholds: what was sent of them is kept with their states."""

from types import SimpleNamespace

import numpy as np
import pytest
from support.job_device import JobDevice

from sparnn.driver.device import Device
from sparnn.driver.jobs import ArrayMemory, JobTransport
from sparnn.gen.compile import compile_model
from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.run import load_compiled
from sparnn.sim.network.arrays import quantize
from sparnn.sim.session.session import InferenceSession
from sparnn.sim.verilator.hardware import load_program

from .test_c_driver import Session, built


@pytest.fixture(scope="module")
def deltas(network, tmp_path_factory):
    """The network of the other drivers' tests with thresholds, and slow inputs."""
    folder, inputs = network
    place = tmp_path_factory.mktemp("deltas")
    steps = np.cumsum(np.tile(inputs, (3, 1, 1)) / 9, axis=0).astype(np.float32)
    np.savez(place / "x.npz", x=steps)
    (place / "machine.toml").write_text(
        "lanes = 4\npost_units = 2\nmax_v = 2\ncolumns = 32\nstore_depth = 64\ndelta = 1\n"
    )
    compile_model(
        folder / "model.onnx",
        place / "x.npz",
        place / "out",
        config=str(place / "machine.toml"),
        delta="0.03",
        bus="axi",
    )
    _, integers = load_compiled(place / "out")
    assert all(layer.delta_x for layer in integers.layers[:1])
    return place / "out", steps


def golden(folder, frames):
    """Each stream's outputs, frame by frame."""
    session = InferenceSession(folder, carry_state=True)
    return np.concatenate([session.run(None, {"x": frame})[0] for frame in frames])


def driver_of(folder, *, memory=True):
    device = JobDevice(load_program(folder).config)
    transport = JobTransport(device, ArrayMemory(device.memory), device.address, patience=0.2)
    if not memory:
        transport = SimpleNamespace(
            name="link",
            connect=transport.connect,
            exchange=transport.exchange,
            reset=transport.reset,
        )
    driver = Device(transport)
    driver.load(folder)
    return driver


def test_a_session_goes_on(deltas):
    """Frame by frame it gives what the whole sequence gives, and that is not what it would give
    if differences began anew with each frame."""
    folder, steps = deltas
    one = steps[:, :1]
    (whole,) = InferenceSession(folder).run(None, {"x": one})
    assert np.array_equal(golden(folder, [frame[np.newaxis] for frame in one]), whole)
    anew = InferenceSession(folder, carry_state=True)
    found = []
    for frame in one:
        found.append(anew.run(None, {"x": frame[np.newaxis]})[0])
        for states in anew.state["."]:
            for name in [name for name in states if name[0].startswith(("references", "totals"))]:
                del states[name]
    assert not np.array_equal(np.concatenate(found), whole)


@pytest.mark.parametrize("memory", [True, False])
def test_streams_take_turns(deltas, memory):
    folder, steps = deltas
    (whole,) = InferenceSession(folder).run(None, {"x": steps})
    driver = driver_of(folder, memory=memory)
    streams = [driver.stream() for _ in range(3)]
    for at in range(6):
        for one, stream in enumerate(streams):
            part = np.s_[at : at + 1, one : one + 1]
            assert np.array_equal(stream.run(steps[part])["y"], whole[part])
    # By name: what the host has read goes on elsewhere.
    _ = driver.run(steps[:5, :1])
    state = driver.state()
    assert {"references_x", "totals_h"} <= {role for role, _ in state}
    _ = driver.run(steps[:3, 1:2])
    later = driver.run(steps[5:, :1], state=state)["y"]
    assert np.array_equal(later, whole[5:, :1])


def test_the_c_driver_keeps_them(deltas, tmp_path):
    folder, steps = deltas
    library = built(folder, tmp_path)
    _, network = load_compiled(folder)
    x = [
        quantize(steps[:, k], network.layers[0].f_x, network.activation_bits)[0].astype(np.int16)
        for k in range(3)
    ]
    outputs = [run_network(network, one).layers[1].outputs for one in x]
    session = Session(library, folder).loaded()
    assert session.call("open_streams") == 0
    streams = [np.zeros(2, np.uint64) for _ in x]
    assert [session.call("new_stream", stream) for stream in streams] == [0, 0, 0]
    for step in range(5):
        for one in (2, 0, 1):
            assert session.call("run_stream", streams[one], x[one][step : step + 1], 1) == 0
            assert np.array_equal(session.outputs(1, 1, 3)[0], outputs[one][step])
    header = (folder / "sparnn.h").read_text()
    words = int(header.split("SPARNN_NETWORK_STATE_WORDS ")[1].split()[0])
    states = np.full(words + 1, 0xDEADBEEF, np.uint32)
    assert session.call("run", x[0][:4].copy(), 4, 0) == 0
    assert session.call("get_states", states) == 0
    assert states[-1] == 0xDEADBEEF
    assert states[-2] != 0xDEADBEEF
    assert session.call("run", x[1][:5].copy(), 5, 0) == 0
    assert session.call("set_states", states) == 0
    assert session.call("run", x[0][4:9].copy(), 5, 1) == 0
    assert np.array_equal(session.outputs(1, 5, 3), outputs[0][4:9])
