"""The Python driver on the Verilog of the machine on its bus: `make cocotb` runs it."""

import numpy as np
import pytest

from sparnn.driver.device import Device
from sparnn.driver.simulated import simulated_device
from sparnn.gen.compile import compile_model
from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.run import run_golden
from sparnn.sim.session.session import InferenceSession

SPARSE = """
parity = 1
lanes = 4
post_units = 2
max_v = 2
activation_bits = 10
columns = 32
mask_depth = 512
weight_depth = 2048
"""
DENSE = """
parity = 1
machine = "dense"
lanes = 8
width = 8
banks = 2
activation_bits = 10
columns = 32
gate_depth = 32
"""
PARITY = {
    "sharing": SPARSE + "sharing = 1",
    "rings": SPARSE + "stream_bits = 64",
    "rings without masks": SPARSE + "stream_bits = 64\nmasks = 0\nwidth = 2",
    "dense": DENSE,
    "dense with masks": DENSE + "mask_depth = 256",
    "dense from memory": DENSE + "stream_bits = 64",
}


@pytest.mark.parametrize("machine", PARITY)
def test_parity_is_silent_where_nothing_is_damaged(network, tmp_path, machine):
    """Each kind of memory of a lane, words from external memory included."""
    folder, inputs = network
    (tmp_path / "machine.toml").write_text(PARITY[machine])
    np.savez(tmp_path / "x.npz", x=inputs)
    compiled = tmp_path / "out"
    model, config = folder / "model.onnx", str(tmp_path / "machine.toml")
    compile_model(model, tmp_path / "x.npz", compiled, config=config, bus="axi", bus_bits=64)
    run_golden(compiled, tmp_path / "x.npz", tmp_path / "y.npz")
    with simulated_device(compiled) as transport, np.load(tmp_path / "y.npz") as outputs:
        device = Device(transport)
        device.load(compiled)
        assert np.array_equal(device.run({"x": inputs})["y"], outputs["y"])
        device.stream().run(inputs[:1, :1])
        assert transport.read("CAPABILITIES.PARITY") == 1
        assert transport.read("PARITY") == 0


def test_outputs_states_and_faults(network, tmp_path):
    folder, inputs = network
    np.savez(tmp_path / "in.npz", x=inputs)
    run_golden(folder, tmp_path / "in.npz", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as outputs:
        expected = outputs["y"]
    with simulated_device(folder) as transport:
        device = Device(transport)
        device.load(folder)
        assert np.array_equal(device.run({"x": inputs})["y"], expected)
        first = device.run(inputs[:4, :1])["y"]
        second = device.run(inputs[4:, :1], state=device.state())["y"]
        assert np.array_equal(np.concatenate([first, second]), expected[:, :1])
        streams = [device.stream() for _ in range(4)]
        for at, steps in ((0, 1), (1, 1), (2, 3)):
            for one, stream in enumerate(streams):
                part = np.s_[at : at + steps, one % 3 : one % 3 + 1]
                assert np.array_equal(stream.run(inputs[part])["y"], expected[part])
        with pytest.raises(SimulationError, match="the machine refused a packet"):
            transport.exchange(np.array([7 << 28], np.uint32), 1, 1)
        with pytest.raises(SimulationError, match="the answer is longer than the room for it"):
            transport.exchange(np.array([6 << 28], np.uint32), 1, 1)
        with pytest.raises(SimulationError, match="refuses the register at 0x0"):
            transport.write("MAGIC", 1)
        assert np.array_equal(device.run({"x": inputs})["y"], expected)


def test_differences_are_kept_with_states(network, tmp_path):
    """Streams of a network with thresholds, and what the host reads and writes by name."""
    folder, inputs = network
    text = "lanes = 4\npost_units = 2\nmax_v = 2\ncolumns = 32\ndelta = 1\n"
    (tmp_path / "machine.toml").write_text(text)
    steps = np.cumsum(inputs / 9, axis=0).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=steps)
    compiled, config = tmp_path / "out", str(tmp_path / "machine.toml")
    options = {"config": config, "delta": "0.03", "bus": "axi"}
    compile_model(folder / "model.onnx", tmp_path / "x.npz", compiled, **options)
    (whole,) = InferenceSession(compiled).run(None, {"x": steps})
    with simulated_device(compiled) as transport:
        device = Device(transport)
        device.load(compiled)
        streams = [device.stream() for _ in range(3)]
        for at in range(4):
            for one, stream in enumerate(streams):
                part = np.s_[at : at + 1, one : one + 1]
                assert np.array_equal(stream.run(steps[part])["y"], whole[part])
        device.run(steps[:5, :1])
        state = device.state()
        device.run(steps[:3, 1:2])
        later = device.run(steps[5:, :1], state=state)["y"]
        assert np.array_equal(later, whole[5:, :1])
