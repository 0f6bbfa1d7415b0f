"""Runs the cocotb bench tests/system/benches/machine_bench.py on a small machine."""

import json
import os
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from cocotb_tools.runner import get_runner

from sparnn.gen.machines.backend import backend
from sparnn.hdl.emit import machine_verilog
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.network.network import IntegerLayer, IntegerNetwork
from sparnn.sim.verilator.toolchain import find_toolchain

BENCHES = Path(__file__).parents[1] / "benches"
CONFIG = SparseConfig(
    lanes=4,
    post_units=2,
    max_v=2,
    chunk=8,
    sub_chunk=4,
    columns=16,
    mask_depth=256,
    weight_depth=256,
    rows=32,
    parameter_depth=64,
    state_depth=8,
    store_depth=64,
    program_depth=2,
)


def layer(kind, inputs, units, **changes):
    rng = np.random.default_rng(units)
    gates, hidden = (4, True) if kind == "lstm" else (1, False)
    fields = {
        "name": kind,
        "kind": kind,
        "activation": "" if kind == "lstm" else "identity",
        "w_x": rng.integers(-127, 128, (gates, units, inputs)),
        "w_h": rng.integers(-127, 128, (gates, units, units)) if hidden else None,
        "f_x": 7,
        "f_pre": 11,
        "f_state": 12 if hidden else 0,
        "f_out": 7,
        "out_bits": 8,
    }
    for half in "xh":
        given = hidden or half == "x"
        rows = (gates, units)
        fields[f"mult_{half}"] = rng.integers(16384, 32768, rows) if given else None
        fields[f"shift_{half}"] = np.full(rows, 17) if given else None
        fields[f"bias_{half}"] = rng.integers(-999, 999, rows) if given else None
    return IntegerLayer(**(fields | changes))


def network():
    """An LSTM of 5 units and a head of 2 outputs: one word of two elements."""
    head = layer("linear", 5, 2, f_out=11, out_bits=16)
    return IntegerNetwork((layer("lstm", 3, 5), head), 8, 8)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A folder with what the bench reads and the Verilog."""
    folder = tmp_path_factory.mktemp("bench")
    integers = network()
    outputs = [{"layer": 0, "what": "state_c"}, {"layer": 1, "what": "sequence"}]
    placed = backend(CONFIG).place(integers, CONFIG, outputs)
    (folder / "sparnn.v").write_text(machine_verilog(CONFIG))
    (folder / "program.json").write_text(json.dumps(placed.program.to_dict()))
    placed.image.astype("<u4").tofile(folder / "image.bin")
    integers.save(folder / "network.npz")
    return folder


def test_machine_bench(bench, monkeypatch):
    for name, value in find_toolchain().environment().items():
        monkeypatch.setenv(name, value)
    # The bench's own Python takes most of the time: build fast, and publish the ports alone.
    quick = " OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
    monkeypatch.setenv("MAKEFLAGS", os.environ["MAKEFLAGS"] + quick)
    monkeypatch.setenv("SPARNN_BENCH", str(bench))
    monkeypatch.setattr(sys, "path", [str(BENCHES), *sys.path])
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    runner = get_runner("verilator")
    runner.build(
        sources=[bench / "sparnn.v"],
        hdl_toplevel="sparnn",
        build_dir=bench / "build",
        build_args=["-Wno-lint", "-Wno-style", "--no-public-flat-rw", "--public-depth", "1"],
        timescale=("1ns", "1ns"),
        log_file=bench / "build.log",
    )
    results = runner.test(
        test_module="machine_bench",
        hdl_toplevel="sparnn",
        build_dir=bench / "build",
        test_dir=bench,
        log_file=bench / "test.log",
    )
    cases = list(ElementTree.parse(results).iter("testcase"))
    failed = [case.get("name") for case in cases if case.find("failure") is not None]
    log = (bench / "test.log").read_text()
    assert not failed, log[-8000:]
    assert len(cases) == 10, log[-8000:]
