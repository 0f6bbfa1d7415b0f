"""The Python driver against a device in plain Python, and the golden model."""

from types import SimpleNamespace

import numpy as np
import pytest
from support.job_device import JobDevice

from sparnn.driver.device import Device
from sparnn.driver.jobs import ArrayMemory, JobTransport
from sparnn.driver.mapped import MappedRegisters, map_words, mapped_device
from sparnn.driver.simulated import simulated_device
from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.run import load_compiled, run_golden
from sparnn.sim.verilator.hardware import load_program


def golden(folder, inputs, tmp_path):
    np.savez(tmp_path / "in.npz", x=inputs)
    run_golden(folder, tmp_path / "in.npz", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as outputs:
        return outputs["y"]


def fake(folder, **options):
    device = JobDevice(load_program(folder).config, **options)
    return device, JobTransport(device, ArrayMemory(device.memory), device.address, patience=0.2)


def loaded(folder, **options):
    device, transport = fake(folder, **options)
    driver = Device(transport)
    driver.load(folder)
    return device, driver


def test_outputs_are_those_of_the_golden_model(network, tmp_path):
    folder, inputs = network
    _, driver = loaded(folder)
    outputs = driver.run({"x": inputs})
    assert list(outputs) == ["y"]
    assert np.array_equal(outputs["y"], golden(folder, inputs, tmp_path))
    assert driver.cycles > 0
    assert np.array_equal(driver.run(inputs)["y"], outputs["y"])
    driver.run(1000 * inputs)
    assert driver.saturated > 0


def test_a_sequence_in_pieces(network, tmp_path):
    folder, inputs = network
    _, driver = loaded(folder)
    one = inputs[:, :1]
    whole = golden(folder, one, tmp_path)
    first = driver.run(one[:4])["y"]
    state = driver.state()
    driver.run(inputs[:, 1:2])  # another stream in between
    second = driver.run(one[4:], state=state)["y"]
    assert np.array_equal(np.concatenate([first, second]), whole)
    _, network_ = load_compiled(folder)
    assert {role for role, _ in state} == {"initial_h", "initial_c"}
    assert all(len(values) == network_.layers[layer].units for (_, layer), values in state.items())


def test_streams_keep_their_states_in_memory(network, tmp_path):
    folder, inputs = network
    device, driver = loaded(folder)
    whole = golden(folder, inputs, tmp_path)
    streams = [driver.stream() for _ in range(4)]
    for at in range(3):
        for one, stream in enumerate(streams):
            frame = inputs[at : at + 1, one % 3 : one % 3 + 1]
            assert np.array_equal(stream.run(frame)["y"], whole[at : at + 1, one % 3 : one % 3 + 1])
    # A job that fails, here in its states, can be repeated; another stream has lost nothing.
    device.damage = 9
    with pytest.raises(SimulationError, match=r"check .* does not match.*states were read"):
        streams[0].run(inputs[3:, :1])
    assert np.array_equal(streams[0].run(inputs[3:, :1])["y"], whole[3:, :1])
    assert np.array_equal(streams[1].run(inputs[3:, 1:2])["y"], whole[3:, 1:2])
    with pytest.raises(SimulationError, match="3 sequences were given to one stream"):
        streams[2].run(inputs[:1])
    # From states that the host knows.
    driver.run(inputs[:2, :1])
    later = driver.stream(driver.state())
    assert np.array_equal(later.run(inputs[2:, :1])["y"], whole[2:, :1])
    with pytest.raises(SimulationError, match=r"do not fit .* make fewer streams"):
        [driver.stream() for _ in range(1000)]


def test_streams_pass_through_a_host_without_memory(network, tmp_path):
    folder, inputs = network
    _, transport = fake(folder)
    # A way to the machine that has no memory, such as a serial link.
    plain = SimpleNamespace(
        name="link", connect=transport.connect, exchange=transport.exchange, reset=transport.reset
    )
    driver = Device(plain)
    driver.load(folder)
    whole = golden(folder, inputs, tmp_path)
    streams = [driver.stream() for _ in range(2)]
    for at in (0, 1):
        for one, stream in enumerate(streams):
            frame = inputs[at : at + 1, one : one + 1]
            assert np.array_equal(stream.run(frame)["y"], whole[at : at + 1, one : one + 1])


def test_a_failed_job_is_told_and_the_next_one_runs(network):
    folder, inputs = network
    device, driver = loaded(folder)
    device.damage = 7
    with pytest.raises(SimulationError, match="the check of the job does not match"):
        driver.run(inputs)
    assert driver.run(inputs)["y"].shape == (9, 3, 3)
    driver.reset()
    assert driver.run(inputs)["y"].shape == (9, 3, 3)


@pytest.mark.parametrize(
    ("register", "value", "message"),
    [
        ("MAGIC", 0, "there is no sparnn at this address"),
        ("VERSION", 0x0263, "the hardware has the versions"),
        ("CAPABILITIES", 0, "behind streams"),
        ("IDENTITY", 5, r"another machine \(00000005\)"),
        ("STATUS", 0, "the reset has not ended"),
    ],
)
def test_other_hardware_is_refused(network, register, value, message):
    folder, _ = network
    device, transport = fake(folder)
    device.values[register] = value
    if register == "STATUS":
        device.write = lambda offset, value: None
    with pytest.raises(SimulationError, match=message):
        Device(transport).load(folder)


def test_too_little_memory(network):
    folder, _ = network
    _, transport = fake(folder, words=20)
    with pytest.raises(SimulationError, match="do not fit the 20 words of memory"):
        Device(transport).load(folder)


def test_load_comes_first(network):
    _, transport = fake(network[0])
    with pytest.raises(SimulationError, match="call load"):
        Device(transport).run(network[1])


def test_mapped_files(tmp_path):
    (tmp_path / "uio0").write_bytes(bytes(4096))
    (tmp_path / "udmabuf0").write_bytes(bytes(8192))
    words = map_words(tmp_path / "uio0", 4096)
    MappedRegisters(words).write(0x30, 77)
    assert MappedRegisters(words).read(0x30) == 77
    device = mapped_device(tmp_path / "uio0", tmp_path / "udmabuf0", 0x3000_0000, 8192)
    assert device.read("SOURCE_LO") == 77
    device.write("CONTROL.RESET", 1)
    assert words[4] == 2
    with pytest.raises(SimulationError, match="cannot be mapped"):
        map_words(tmp_path / "none", 4096)


def test_folders_without_a_bus_are_not_simulated(tmp_path):
    with pytest.raises(SimulationError, match="compile the model with --bus axi"):
        with simulated_device(tmp_path):
            pass
