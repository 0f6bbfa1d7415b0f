"""The public interface: compile, save, load, run, stream."""

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.compiled import FULL
from support.onnx_builder import Graph

import sparnn
from sparnn.gen.errors import SparnnError
from sparnn.sim.errors import SimulationError

OPTIONS = {"lanes": 2, "weight_bits": 12, "activation_bits": 12}


def model(op: str = "LSTM", **attributes: Any) -> onnx.ModelProto:
    g = Graph(3)
    x = g.input("x", ["time", "batch", 5])
    y, _ = g.recurrent(op, x, 5, 4, **attributes)
    g.output(g.squeeze(y, 1), "y")
    return g.model()


def samples(steps: int = 6, batch: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=(steps, batch, 5)).astype(np.float32)}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> sparnn.Compiled:
    machine = tmp_path_factory.mktemp("api") / "machine.toml"
    machine.write_text(FULL)
    return sparnn.compile(model(), calibrate=samples(), config=str(machine))


def test_documented_example() -> None:
    names = {"model": model(), "samples": samples()}
    found = doctest.testmod(sparnn, extraglobs=names)
    assert found.attempted >= 6
    assert found.failed == 0


def test_saved_and_loaded(compiled: sparnn.Compiled, tmp_path: Path) -> None:
    compiled.save(tmp_path / "kept")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").write_text("")
    with pytest.raises(SparnnError, match="holds files that sparnn did not write"):
        compiled.save(tmp_path / "other")
    with pytest.raises(SimulationError, match=r"has no manifest\.json"):
        sparnn.load(tmp_path)
    one = sparnn.InferenceSession(sparnn.load(tmp_path / "kept"))
    other = sparnn.InferenceSession(compiled)
    np.testing.assert_array_equal(one.run(None, samples())[0], other.run(["y"], samples())[0])
    assert [tensor.name for tensor in one.get_inputs()] == ["x"]
    assert one.get_inputs()[0].shape == (None, None, 5)
    assert one.get_inputs()[0].type == one.get_outputs()[0].type == "tensor(float)"
    assert [tensor.name for tensor in one.get_outputs()] == ["y"]
    with pytest.raises(SimulationError, match="no output 'z': it has"):
        one.run(["z"], samples())


@pytest.mark.parametrize("op", ["LSTM", "GRU", "GRU0", "RNN"])
def test_frames_equal_the_whole(op: str) -> None:
    """State is carried on in integers, so that a stream loses nothing."""
    attributes = {"linear_before_reset": 0} if op == "GRU0" else {}
    made = sparnn.compile(model(op.rstrip("0"), **attributes), calibrate=samples(), **OPTIONS)
    session = sparnn.InferenceSession(made, carry_state=True)
    whole = sparnn.InferenceSession(made).run(None, samples())[0]
    frames = [session.run(None, {"x": samples()["x"][t : t + 1]})[0] for t in range(6)]
    np.testing.assert_array_equal(np.concatenate(frames), whole)
    kept = session.state
    assert kept
    with pytest.raises(SimulationError, match="the state is that of 2: call reset"):
        session.run(None, samples(batch=3))
    session.reset()
    np.testing.assert_array_equal(session.run(None, samples())[0], whole)


@pytest.mark.xdist_group("full")
def test_the_verilog_carries_the_same_state(compiled: sparnn.Compiled) -> None:
    golden = sparnn.InferenceSession(compiled, carry_state=True)
    verilog = sparnn.InferenceSession(compiled, "verilator", carry_state=True)
    for t in range(3):
        frame = {"x": samples()["x"][t : t + 1]}
        np.testing.assert_array_equal(verilog.run(None, frame)[0], golden.run(None, frame)[0])
    report = compiled.simulate(samples())
    assert report.bit_exact


def test_refusals(compiled: sparnn.Compiled) -> None:
    unknown: Any = "gpu"
    with pytest.raises(SimulationError, match="backend 'gpu' is unknown: use one of"):
        sparnn.InferenceSession(compiled, unknown)
    backwards = sparnn.compile(model(direction="reverse"), calibrate=samples(), **OPTIONS)
    with pytest.raises(SimulationError, match="cannot be carried on"):
        sparnn.InferenceSession(backwards, carry_state=True)
    with pytest.raises(SparnnError, match=r"PyTorch|torch\.nn\.Module"):
        sparnn.compile(object(), calibrate=samples())
