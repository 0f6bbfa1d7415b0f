"""Graphs that are not one network for the machine: cut, run in the golden model, and compared with
ONNX Runtime on the whole."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.onnx_builder import Graph, gemm

from sparnn.gen.compile import compile_model
from sparnn.gen.errors import SparnnError
from sparnn.gen.graph.check import check_model
from sparnn.gen.graph.cut import Cut, Part, cut
from sparnn.sim.errors import SimulationError
from sparnn.sim.host_model import HostModel
from sparnn.sim.session.golden import run_golden
from sparnn.sim.session.whole import Whole, graph_feeds

STEPS, BATCH, INPUTS, UNITS = 6, 3, 5, 4


def start(seed: int) -> tuple[Graph, str]:
    g = Graph(seed)
    return g, g.input("x", ["time", "batch", INPUTS])


def convolution_in_front() -> Graph:
    g, x = start(1)
    moved = g.add("Transpose", [x], perm=[1, 2, 0])
    conv = g.add("Conv", [moved, g.weights(INPUTS, INPUTS, 3)], kernel_shape=[3], pads=[1, 1])
    back = g.add("Transpose", [g.add("Relu", [conv])], perm=[2, 0, 1])
    y, _ = g.recurrent("GRU", back, INPUTS, UNITS)
    g.output(g.squeeze(y, 1), "y")
    return g


def last_states_of_two_layers() -> Graph:
    g, x = start(2)
    y, h = g.recurrent("LSTM", x, INPUTS, UNITS)
    _, h2 = g.recurrent("LSTM", g.squeeze(y, 1), UNITS, UNITS)
    states = g.add("Concat", [h, h2], axis=0)
    last = g.add("Gather", [states, g.const(np.array(-1))], axis=0)
    g.output(gemm(g, last, UNITS, 2), "y")
    return g


def two_heads() -> Graph:
    g, x = start(3)
    _, h = g.recurrent("LSTM", x, INPUTS, UNITS)
    last = g.squeeze(h, 0)
    g.output(gemm(g, last, UNITS, 3), "policy")
    g.output(gemm(g, last, UNITS, 1), "value")
    return g


def autoencoder() -> Graph:
    """A state repeated over the steps: two parts, and the host between them."""
    g, x = start(4)
    _, h = g.recurrent("LSTM", x, INPUTS, UNITS)
    repeated = g.add("Concat", [h] * STEPS, axis=0)
    y, _ = g.recurrent("GRU", repeated, UNITS, UNITS)
    g.output(g.squeeze(y, 1), "y")
    return g


def two_branches() -> Graph:
    """Neither layer reads the other: two parts, joined by the host."""
    g, x = start(5)
    forwards, _ = g.recurrent("LSTM", x, INPUTS, UNITS)
    backwards, _ = g.recurrent("LSTM", x, INPUTS, UNITS, direction="reverse")
    both = [g.squeeze(forwards, 1), g.squeeze(backwards, 1)]
    g.output(g.add("Mul", both), "y")
    return g


def residual() -> Graph:
    """The host adds a part's input to its output."""
    g, x = start(6)
    y, _ = g.recurrent("GRU", x, INPUTS, INPUTS)
    g.output(g.add("Add", [g.squeeze(y, 1), x]), "y")
    return g


def reset_first_backwards() -> Graph:
    g, x = start(7)
    y, h = g.recurrent("GRU", x, INPUTS, UNITS, direction="bidirectional", linear_before_reset=0)
    g.output(y, "y")
    g.output(h, "h")
    return g


def mean_of_steps() -> Graph:
    g, x = start(8)
    y, _ = g.recurrent("RNN", x, INPUTS, UNITS)
    g.output(g.add("ReduceMean", [g.squeeze(y, 1)], axes=[0], keepdims=0), "y")
    return g


def gates_of_elu_behind() -> Graph:
    """Which no machine computes: the host does, beside a layer that one computes."""
    g, x = start(9)
    y, _ = g.recurrent("GRU", x, INPUTS, UNITS)
    y = g.recurrent(
        "LSTM", g.squeeze(y, 1), UNITS, UNITS, activations=["Elu"] * 3, outputs=1
    )[0]  # fmt: skip
    g.output(g.squeeze(y, 1), "y")
    return g


#: Graph -> parts that it has, and whether the host runs something.
GRAPHS: dict[Callable[[], Graph], int] = {
    convolution_in_front: 1,
    last_states_of_two_layers: 1,
    two_heads: 1,
    autoencoder: 2,
    two_branches: 2,
    residual: 1,
    reset_first_backwards: 2,
    mean_of_steps: 1,
    gates_of_elu_behind: 1,
}


def saved(model: onnx.ModelProto, folder: Path, **inputs: np.ndarray) -> None:
    onnx.save(model, folder / "model.onnx")
    np.savez(folder / "x.npz", **inputs)


def samples(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(STEPS, BATCH, INPUTS)).astype(np.float32)


def golden(folder: Path, **options: int) -> dict[str, np.ndarray]:
    compile_model(folder / "model.onnx", folder / "x.npz", folder / "out", lanes=2, **options)
    run_golden(folder / "out", folder / "x.npz", folder / "y.npz")
    return dict(np.load(folder / "y.npz"))


@pytest.fixture(autouse=True)
def no_verilog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of a small compile, and not needed here."""
    monkeypatch.setattr("sparnn.gen.compile.compile.kept_verilog", lambda config: "")


@pytest.mark.parametrize("build", GRAPHS)
def test_equal_to_onnx_runtime(build: Callable[[], Graph], tmp_path: Path) -> None:
    model, x = build().model(), samples()
    saved(model, tmp_path, x=x)
    got = golden(tmp_path, weight_bits=14, activation_bits=14)
    want = HostModel(tmp_path / "model.onnx", "model").run({"x": x}, list(got))
    assert set(got) == {value.name for value in model.graph.output}
    for name, array in want.items():
        assert got[name].shape == array.shape
        noise = ((got[name] - array) ** 2).sum()
        assert 10 * np.log10((array**2).sum() / noise) > 45, name
    whole = Whole.of(tmp_path / "out")
    assert whole is not None
    assert len(whole.parts) == GRAPHS[build]


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_sequences_of_their_own_length(op: str, direction: str, tmp_path: Path) -> None:
    g, x = start(9)
    lengths = g.input("n", ["batch"], onnx.TensorProto.INT32)
    y, h = g.recurrent(op, x, INPUTS, UNITS, direction=direction)
    g.nodes[-1].input.extend([""] * (5 - len(g.nodes[-1].input)))
    g.nodes[-1].input[4] = lengths
    g.output(y, "y")
    g.output(h, "h")
    arrays = {"x": samples(), "n": np.array([STEPS, 1, 4], np.int32)}
    saved(g.model(), tmp_path, **arrays)
    got = golden(tmp_path, weight_bits=14, activation_bits=14)
    want = HostModel(tmp_path / "model.onnx", "model").run(arrays, ["y", "h"])
    for name in ("y", "h"):
        np.testing.assert_allclose(got[name], want[name], atol=0.01)
    assert not got["y"][1:, :, 1].any()
    np.savez(tmp_path / "x.npz", x=arrays["x"], n=np.array([STEPS + 1, 1, 1]))
    with pytest.raises(SimulationError, match="lengths from 1 to 7, and the input 6 steps"):
        run_golden(tmp_path / "out", tmp_path / "x.npz", tmp_path / "y.npz")


def test_inputs_of_different_units(tmp_path: Path) -> None:
    """Hertz beside millivolts: at 8 bits one scale would leave nothing of the small ones."""
    g, x = start(10)
    units = np.array([1e3, 1e-3, 1, 40, 0.02], np.float32)
    node = g.recurrent("LSTM", x, INPUTS, UNITS)
    w = g.initializers[0]
    array = onnx.numpy_helper.to_array(w) / units
    w.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float32), w.name))
    g.output(g.squeeze(node[0], 1), "y")
    x_values = samples() * units
    saved(g.model(), tmp_path, x=x_values)
    got = golden(tmp_path)
    want = HostModel(tmp_path / "model.onnx", "model").run({"x": x_values}, ["y"])["y"]
    noise = ((got["y"] - want) ** 2).sum()
    assert 10 * np.log10((want**2).sum() / noise) > 30


def parts_of(model: onnx.ModelProto, **feed: np.ndarray) -> Cut:
    return cut(model, [feed])


def test_stages_follow_one_another() -> None:
    """Every stage reads what is there already."""
    for build in GRAPHS:
        model = build().model()
        found = parts_of(model, x=samples())
        known = {value.name for value in model.graph.input}
        for stage in found.stages:
            names = [value.name for value in stage.model.graph.input]
            assert set(names) <= known, build
            known |= {value.name for value in stage.model.graph.output}
        assert {value.name for value in model.graph.output} <= known
        taken = [number for stage in found.stages for number in stage.nodes]
        assert len([s for s in found.stages if isinstance(s, Part)]) == GRAPHS[build]
        assert set(range(len(found.graph.nodes))) - set(taken) <= found.graph.fixed


def test_nothing_for_the_machine() -> None:
    g, x = start(11)
    g.output(g.add("Relu", [x]), "y")
    with pytest.raises(SparnnError, match="holds no LSTM, GRU or RNN node"):
        parts_of(g.model(), x=samples())
    g, x = start(12)
    y, _ = g.recurrent("LSTM", x, INPUTS, UNITS, activations=["Elu"] * 3)
    g.output(g.squeeze(y, 1), "y")
    with pytest.raises(SparnnError, match=r"activations = .* is not supported"):
        parts_of(g.model(), x=samples())


def test_a_folder_says_what_runs_where(tmp_path: Path) -> None:
    saved(convolution_in_front().model(), tmp_path, x=samples())
    summary = compile_model(tmp_path / "model.onnx", tmp_path / "x.npz", tmp_path / "out", lanes=2)
    text = "\n".join(summary.lines())
    assert "1 Conv, 1 Relu, in ONNX Runtime" in text
    assert "machine        part 0: " in text
    assert "1 GRU, 1 Squeeze" in text


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((4, 5, 3), r"the shape \[4, 5, 3\]: the model takes \['any', 1, 5\]"),
        ((4, 5), r"the model takes \['any', 1, 5\]"),
        ((0, 1, 5), "at least one of each"),
    ],
)
def test_arrays_that_contradict_the_model(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(SimulationError, match=said):
        graph_feeds({"x": np.zeros(shape)}, {"x": (None, 1, 5)}, "x.npz")


def test_several_sequences_where_the_model_takes_one() -> None:
    feeds = graph_feeds({"x": np.zeros((4, 3, 5))}, {"x": (None, 1, 5)}, "x.npz")
    assert [feed["x"].shape for feed in feeds] == [(4, 1, 5)] * 3
    with pytest.raises(SimulationError, match="lacks"):
        graph_feeds({"y": np.zeros(3), "z": np.zeros(3)}, {"x": (3,)}, "x.npz")
    with pytest.raises(SimulationError, match="NaN"):
        graph_feeds({"x": np.full(3, np.nan)}, {"x": (3,)}, "x.npz")


def test_check_says_how_a_model_is_taken(tmp_path: Path) -> None:
    saved(autoencoder().model(), tmp_path, x=samples())
    lines = check_model(tmp_path / "model.onnx")
    assert lines[0] == "taken          in 2 parts, the rest by the host"
    assert any("4 inputs, 4 units" in line for line in lines)
    assert lines[-1].startswith("why cut        ")
    g, x = start(14)
    y, _ = g.recurrent("LSTM", x, INPUTS, UNITS, direction="reverse")
    g.output(g.squeeze(y, 1), "y")
    saved(g.model(), tmp_path, x=samples())
    assert check_model(tmp_path / "model.onnx") == [
        "taken          whole, by the machine",
        "layer          lstm0: lstm, 5 inputs, 4 units, backwards",
    ]
    g, x = start(15)
    g.output(g.add("Relu", [x]), "y")
    saved(g.model(), tmp_path, x=samples())
    with pytest.raises(SparnnError, match="holds no LSTM, GRU or RNN node"):
        check_model(tmp_path / "model.onnx")
