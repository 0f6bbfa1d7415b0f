"""The driver for PYNQ against stubs of PYNQ's classes, and the golden model."""

import importlib
import sys

import numpy as np
import pytest
from support.job_device import JobDevice
from support.pynq_stub import pynq_module

from sparnn.hdl.bus.top import VLNV
from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.run import run_golden
from sparnn.sim.verilator.hardware import load_program


@pytest.fixture
def device(network, monkeypatch):
    """A device in plain Python, which the module ``pynq`` has in its overlay as ``sparnn``."""
    device = JobDevice(load_program(network[0]).config, address=0x1600_0000)
    row = {
        "type": ":".join(VLNV),
        "phys_addr": 0x43C00000,
        "addr_range": 4096,
        "fullpath": "sparnn",
    }
    module = pynq_module(device, {"sparnn": row, "other": row | {"type": "a:b:c:1.0"}})
    monkeypatch.setitem(sys.modules, "pynq", module)
    monkeypatch.delitem(sys.modules, "sparnn.driver.pynq", raising=False)
    importlib.import_module("sparnn.driver.pynq")
    return device


def test_an_overlay_runs_the_network(network, device, tmp_path):
    from pynq import Overlay

    folder, inputs = network
    overlay = Overlay("sparnn.bit")
    overlay.sparnn.load(folder)
    outputs = overlay.sparnn.run(inputs)
    np.savez(tmp_path / "in.npz", x=inputs)
    run_golden(folder, tmp_path / "in.npz", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as expected:
        assert np.array_equal(outputs["y"], expected["y"])
        first = overlay.sparnn.run(inputs[:4, :1])["y"]
        state = overlay.sparnn.state()
        overlay.sparnn.reset()
        second = overlay.sparnn.run(inputs[4:, :1], state=state)["y"]
        assert np.array_equal(np.concatenate([first, second]), expected["y"][:, :1])
    assert overlay.sparnn.cycles > 0
    assert overlay.sparnn.saturated == 0
    assert not hasattr(overlay.other, "run")


def test_another_machine_is_told_with_the_components_name(network, device):
    from pynq import Overlay

    device.values["IDENTITY"] ^= 1
    with pytest.raises(SimulationError, match="sparnn: the hardware is another machine"):
        Overlay("sparnn.bit").sparnn.load(network[0])
