"""From a model to the simulated Verilog, and what the runner says when something is wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sparnn.gen.bench.random_networks import random_initial, random_network, random_x
from sparnn.gen.compile import compile_model
from sparnn.gen.machines.backend import backend
from sparnn.gen.machines.presets import load_config
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.answers import SequenceResult
from sparnn.sim.host.packets import constant_states
from sparnn.sim.runner import simulate
from sparnn.sim.session.compare import mismatches
from sparnn.sim.verilator import verilate
from sparnn.sim.verilator.cache import cache_folder
from sparnn.sim.verilator.hardware import load_program, run_driver, run_sequences
from sparnn.sim.verilator.verilate import build_driver

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
# The builds are shared by the tests of this file.
pytestmark = pytest.mark.xdist_group("runner")

#: Takes a word, gives it back plus one.
ECHO = """
module sparnn(input clk, input rst, input [31:0] rx__payload, input rx__valid, output rx__ready,
              output [31:0] tx__payload, output tx__valid, input tx__ready);
  reg full = 0;
  reg [31:0] word = 0;
  assign rx__ready = !full;
  assign tx__valid = full;
  assign tx__payload = word + 1;
  always @(posedge clk)
    if (rst) full <= 0;
    else if (!full) begin full <= rx__valid; word <= rx__payload; end
    else if (tx__ready) full <= 0;
endmodule
"""


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    file = tmp_path_factory.mktemp("echo") / "sparnn.v"
    file.write_text(ECHO)
    return file


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A compiled folder, an input file of 20 images, and the file's images."""
    folder = tmp_path_factory.mktemp("digits")
    model, calibrate = DIGITS / "rnn_tanh.onnx", DIGITS / "calibrate.npz"
    compile_model(model, calibrate, folder / "out", lanes=4)
    with np.load(DIGITS / "test.npz") as arrays:
        few = {name: arrays[name][:20] for name in arrays.files}
    np.savez(folder / "x.npz", **few)
    return folder / "out", folder / "x.npz"


@pytest.fixture
def copy(digits, tmp_path):
    """A copy of the compiled folder, to be damaged."""
    shutil.copytree(digits[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_digits(digits, tmp_path):
    folder, inputs = digits
    report = simulate(folder, inputs, output=tmp_path / "y.npz")
    assert report.bit_exact
    assert report.mismatches == 0
    assert (report.sequences, report.steps, report.mac_units) == (20, 160, 4)
    assert report.cycles_per_step == report.cycles / 160
    assert 0.3 < report.utilization <= 1
    assert report.sqnr_db > 20
    assert report.simulated_cycles > report.cycles + report.load_cycles
    json.dumps(report.as_dict(), allow_nan=False)
    assert report.lines()[0] == "bit exact      yes"
    with np.load(tmp_path / "y.npz") as outputs:
        (values,) = outputs.values()
    assert len(values) == 20


def test_idle_and_stalled_host(digits):
    folder, inputs = digits
    plain = simulate(folder, inputs)
    rough = simulate(folder, inputs, idle=40, stall=60, seed=3)
    assert rough.bit_exact
    assert rough.simulated_cycles > plain.simulated_cycles
    assert rough.useful_macs == plain.useful_macs


def test_waves(echo, tmp_path, monkeypatch):
    monkeypatch.setenv("SPARNN_BUILD", "quick")
    binary = build_driver(echo, waves=True)
    options = {"--waves": tmp_path / "w.vcd"}
    answer, _, problem = run_driver(binary, np.arange(50, dtype=np.uint32), 50, options)
    assert problem is None
    assert list(answer) == list(range(1, 51))
    assert "$enddefinitions" in (tmp_path / "w.vcd").read_text()


@pytest.mark.deep
def test_random_networks_on_one_machine(tmp_path):
    """All cells, states in and out, sequences longer than the store: on the Verilog itself."""
    config = load_config(
        None, 8, post_units=2, max_v=2, columns=128, weight_depth=2048, store_depth=128, rows=128
    )
    (tmp_path / "sparnn.v").write_text(kept_verilog(config))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        network = random_network(rng, config, largest=16)
        last = len(network.layers) - 1
        outputs = [{"layer": last, "what": str(rng.choice(["sequence", "last"]))}]
        for stage in network.stages:
            if all(network.layers[index].kind in ("lstm", "gru") for index in stage):
                outputs.append({"layer": stage[-1], "what": "state_c"})
        placed = backend(config).place(network, config, outputs)
        (tmp_path / "image.bin").write_bytes(placed.image.astype("<u4").tobytes())
        longest = min(40, placed.program.max_steps)
        sequences = []
        for steps in (1, int(rng.integers(1, longest + 1)), longest):
            given = random_initial(rng, network) if rng.random() < 0.5 else {}
            states = {**constant_states(network), **given}
            sequences.append((random_x(rng, network, steps), states))
        idle, stall = (int(percent) for percent in rng.choice([0, 0, 50], 2))
        results, _ = run_sequences(
            tmp_path, placed.program, sequences, idle=idle, stall=stall, seed=seed
        )
        traces = [run_network(network, x, initial) for x, initial in sequences]
        assert mismatches(placed.program, results, traces) == (0, None), seed


def test_a_wrong_weight_is_found(copy, digits):
    words = np.fromfile(copy / "image.bin", "<u4")
    words[-2] ^= 1 << 22  # the lowest bit of the last bias, of the head
    words.tofile(copy / "image.bin")
    report = simulate(copy, digits[1])
    assert not report.bit_exact
    assert report.mismatches == 20
    assert "sequence 0, layer " in report.first_mismatch
    assert "20 values differ" in report.lines()[0]
    assert report.first_mismatch in report.lines()[1]


def test_a_machine_that_says_less_is_reported(copy, digits):
    content = json.loads((copy / "program.json").read_text())
    content["layers"][0]["descriptor"]["emit"] = 1  # which the image does not say
    (copy / "program.json").write_text(json.dumps(content))
    with pytest.raises(SimulationError, match=r"expected RESULT .*no word was transferred"):
        simulate(copy, digits[1])


@pytest.mark.parametrize("name", ["program.json", "image.bin", "sparnn.v", "manifest.json"])
def test_missing_files(copy, digits, name):
    (copy / name).unlink()
    with pytest.raises(SimulationError, match=f"{name}.*compile"):
        simulate(copy, digits[1])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("program.json", b"{", r"program\.json is damaged"),
        ("program.json", b"{}", r"program\.json is damaged"),
        ("program.json", b"[]", r"program\.json is damaged"),
        ("image.bin", b"12345", "does not hold whole words"),
        ("sparnn.v", b"module sparnn(\n", "the simulation cannot be built: %Error"),
    ],
)
def test_damaged_files(copy, digits, name, content, message):
    (copy / name).write_bytes(content)
    with pytest.raises(SimulationError, match=message):
        simulate(copy, digits[1])


def test_driver_gives_up(echo):
    words = np.arange(10, dtype=np.uint32)
    answer, _, problem = run_driver(build_driver(echo), words, 11, {"--watchdog": 300})
    assert len(answer) == 10
    assert "no word was transferred" in problem
    assert "10 of 11 given" in problem
    _, run, problem = run_driver(build_driver(echo), words, 99, {"--limit": 200})
    assert "limit" in problem
    assert run.cycles == 200


def test_driver_marks_and_sees_surplus(echo):
    words = np.arange(10, dtype=np.uint32)
    answer, run, problem = run_driver(build_driver(echo), words, 4, {"--mark": 3})
    assert len(answer) == 10
    assert problem is None
    assert 0 < run.load_cycles < run.cycles


def test_driver_refuses(echo):
    with pytest.raises(SimulationError, match="status 2: unknown option --what"):
        run_driver(build_driver(echo), np.zeros(1, np.uint32), 1, {"--what": 1})


def test_builds_are_kept(echo, tmp_path, monkeypatch):
    first = build_driver(echo)
    monkeypatch.setattr(verilate, "_build", None)  # a call would fail
    assert build_driver(echo) == first
    assert cache_folder() in first.parents


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SPARNN_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/sparnn"),
        ({"HOME": "/c"}, "/c/.cache/sparnn"),
    ],
)
def test_cache_folder(monkeypatch, variables, expected):
    for name in ("SPARNN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


def test_cache_that_cannot_be_written(echo, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPARNN_CACHE", str(tmp_path / "file"))
    with pytest.raises(SimulationError, match="set SPARNN_CACHE to a writable folder"):
        build_driver(echo)


def test_mismatch_of_a_state(copy):
    program = load_program(copy)
    network_outputs = np.zeros((2, len(program.layers[0].neurons)), np.int64)

    class Trace:
        layers = (type("Layer", (), {"outputs": network_outputs, "state": network_outputs[0]}),)

    wrong = network_outputs[0].copy()
    wrong[3] = 5
    result = SequenceResult((None,), {0: wrong}, 1)
    count, first = mismatches(program, [result], [Trace()])
    assert count == 1
    assert first.endswith("state 3 of step 1: hardware 5, golden model 0")
