"""ONNX files that are fine-tuned, pruned and written back. Needs sparnn[train]."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'sparnn[train]'")

from support.onnx_builder import Graph  # noqa: E402

import sparnn  # noqa: E402
from sparnn import train  # noqa: E402
from sparnn.gen.errors import SparnnError  # noqa: E402
from sparnn.gen.quantize.deltas import DeltaChoice  # noqa: E402

WORDS = np.random.default_rng(0).integers(0, 11, (24, 6))


@pytest.fixture(autouse=True)
def without_verilog(monkeypatch: pytest.MonkeyPatch) -> None:
    """The integers alone: what becomes of them in Verilog, others prove."""
    monkeypatch.setattr("sparnn.gen.compile.compile.kept_verilog", lambda config: "")
    torch.manual_seed(0)


def tagger() -> onnx.ModelProto:
    """Words -> embedding -> LSTM in two directions -> probabilities of two classes."""
    g = Graph(3)
    words = g.input("words", ["batch", "time"], onnx.TensorProto.INT64)
    x = g.add("Gather", [g.weights(11, 5), words])
    x = g.add("Transpose", [x], perm=[1, 0, 2])
    _, last = g.recurrent("LSTM", x, 5, 6, direction="bidirectional")
    y = g.add("Reshape", [g.add("Transpose", [last], perm=[1, 0, 2]), g.ints(0, -1)])
    y = g.add("Add", [g.add("MatMul", [y, g.weights(12, 2)]), g.weights(2)])
    g.output(g.add("Softmax", [y], axis=-1), "p")
    return g.model()


def gru() -> onnx.ModelProto:
    """Two GRUs and a linear layer."""
    g = Graph(4)
    x = g.input("x", ["time", "batch", 5])
    y = g.squeeze(g.recurrent("GRU", x, 5, 8)[0], 1)
    last = g.squeeze(g.recurrent("GRU", y, 8, 6)[1], 0)
    g.output(g.add("Add", [g.add("MatMul", [last, g.weights(6, 2)]), g.weights(2)]), "y")
    return g.model()


@pytest.fixture
def cut(tmp_path: Path) -> tuple[Path, Path]:
    onnx.save(tagger(), tmp_path / "tagger.onnx")
    np.savez(tmp_path / "words.npz", words=WORDS)
    return tmp_path / "tagger.onnx", tmp_path / "words.npz"


@pytest.fixture
def chain(tmp_path: Path) -> tuple[Path, Path]:
    onnx.save(gru(), tmp_path / "gru.onnx")
    x = np.random.default_rng(1).normal(size=(6, 24, 5)) * [1, 1, 1, 1, 1 / 90]
    np.savez(tmp_path / "x.npz", x=x.astype(np.float32))
    return tmp_path / "gru.onnx", tmp_path / "x.npz"


def examples(model: Any, samples: Path) -> list[Any]:
    """Whether the first input is larger at the end than at the start."""
    return [train.Example(x, int(x[-1, 0] > x[0, 0])) for x in model.sequences(samples)]


def tuned(model: Any, samples: Path, **options: Any) -> list[Any]:
    given = examples(model, samples)
    loss = torch.nn.functional.cross_entropy
    means = train.fine_tune(model.module, given, loss, epochs=4, rate=0.02, batch=8, **options)
    assert means[-1] < means[0]
    return given


def machine(file: Path, samples: Path, **options: Any) -> np.ndarray:
    compiled = sparnn.compile(
        file, calibrate=samples, lanes=2, weight_bits=8, activation_bits=8, **options
    )
    with np.load(samples) as data:
        found: np.ndarray = sparnn.InferenceSession(compiled).run(None, dict(data))[0]
    return found


def test_the_machine_gives_what_the_module_gave(chain: tuple[Path, Path], tmp_path: Path) -> None:
    """Through the exported file, with a scale for each feature, zeros and thresholds."""
    model = train.load(*chain, delta=0.03)
    pruning = train.GradualPruning(model.module, 0.5)
    given = tuned(model, chain[1], pruning=pruning)
    model.save(tmp_path / "tuned.onnx")
    before, after = onnx.load(chain[0]).graph, onnx.load(tmp_path / "tuned.onnx").graph
    assert list(after.input) == list(before.input)
    assert list(after.output) == list(before.output)
    with torch.no_grad():
        ours = model.module(torch.from_numpy(np.stack([one.x for one in given])))
    np.testing.assert_array_equal(machine(tmp_path / "tuned.onnx", chain[1], delta=0.03), ours)
    for layer in model.module.integers.layers[:2]:
        for matrix in (layer.w_x, layer.w_h):
            assert np.count_nonzero(matrix) <= 0.5 * matrix.size + 1


def test_a_graph_keeps_what_runs_on_the_host(cut: tuple[Path, Path], tmp_path: Path) -> None:
    model = train.load(*cut)
    given = tuned(model, cut[1])
    for name in ("first.onnx", "tuned.onnx"):  # what was trained may be trained again
        model.save(tmp_path / name)
        model = train.load(tmp_path / name, cut[1])
    with torch.no_grad():
        logits = model.module(torch.from_numpy(np.stack([one.x for one in given])))
    ours = torch.softmax(logits.float(), -1).numpy()
    np.testing.assert_allclose(machine(tmp_path / "tuned.onnx", cut[1]), ours, atol=1e-6)


def test_what_cannot_be_trained_says_so(cut: tuple[Path, Path], chain: tuple[Path, Path]) -> None:
    model = onnx.load(cut[0])
    model.opset_import[0].version = 12
    for node in model.graph.node:  # as that operator set has it
        if node.op_type == "Softmax":
            node.op_type = "Identity"
            del node.attribute[:]
    onnx.save(model, cut[0])
    with pytest.raises(SparnnError, match="operator set 12"):
        train.load(*cut)
    module = train.load(*chain, delta=DeltaChoice(None, 20.0)).module
    assert module.integers.sends_differences
    with pytest.raises(SparnnError, match="at least one example"):
        train.fine_tune(module, [], torch.nn.functional.cross_entropy, epochs=1)
    with pytest.raises(SparnnError, match="density = 0"):
        train.GradualPruning(module, 0)
    with pytest.raises(SparnnError, match="none of unstructured"):
        train.Structure("diagonal")
