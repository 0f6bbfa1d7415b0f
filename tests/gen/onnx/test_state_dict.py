"""State dicts in safetensors with a TOML file: PyTorch's definition, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import save_file

from sparnn.gen.errors import SparnnError
from sparnn.gen.onnx.reader import import_onnx, load_onnx

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
Tensors = dict[str, np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def module(kind: str, inputs: int, units: int, *, layers=1, sides=1, bias=True, projected=0):
    """The tensors of a recurrent module of PyTorch, drawn."""
    rng = np.random.default_rng(5)
    found: Tensors = {}
    rows, given = GATES[kind] * units, projected or units
    for number in range(layers):
        for end in ("", "_reverse")[:sides]:
            shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, given)}
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if projected:
                shapes["weight_hr"] = (projected, units)
            for name, shape in shapes.items():
                value = rng.normal(size=shape).astype(np.float32)
                found[f"net.{name}_l{number}{end}"] = value
        inputs = sides * given
    return found


def direction(kind: str, x: np.ndarray, tensors: Tensors, end: str, activation: Any) -> np.ndarray:
    """One direction as the documents of torch.nn define it, step by step."""
    w, r = tensors[f"net.weight_ih_{end}"], tensors[f"net.weight_hh_{end}"]
    zero = np.zeros(len(w))
    b, b_h = (tensors.get(f"net.bias_{half}_{end}", zero) for half in ("ih", "hh"))
    projection = tensors.get(f"net.weight_hr_{end}")
    units = len(w) // GATES[kind]
    h = np.zeros((x.shape[1], r.shape[1]))
    c = np.zeros((x.shape[1], units))
    found = []
    for frame in x:
        of_x, of_h = frame @ w.T + b, h @ r.T + b_h
        if kind == "lstm":
            i, f, g, o = np.split(of_x + of_h, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            if projection is not None:
                h = h @ projection.T
        elif kind == "gru":
            (rx, zx, nx), (rh, zh, nh) = (np.split(one, 3, axis=1) for one in (of_x, of_h))
            z = sigmoid(zx + zh)
            h = (1 - z) * np.tanh(nx + sigmoid(rx + rh) * nh) + z * h
        else:
            h = activation(of_x + of_h)
        found.append(h)
    return np.stack(found)


def expected(kind, x, tensors, layers, sides, activation, *, last=False):
    for number in range(layers):
        both = [direction(kind, x, tensors, f"l{number}", activation)]
        if sides == 2:
            both.append(direction(kind, x[::-1], tensors, f"l{number}_reverse", activation)[::-1])
        ends = [both[0][-1], *(one[0] for one in both[1:])]
        x = np.concatenate(both, axis=-1)
    return np.concatenate(ends, axis=-1) if last else x


def written(folder: Path, tensors: Tensors, text: str) -> Path:
    save_file(tensors, folder / "net.safetensors")
    (folder / "net.toml").write_text('weights = "net.safetensors"\n' + text)
    return folder / "net.toml"


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("kind", "options", "activation"),
    [
        ("lstm", {"layers": 2}, None),
        ("lstm", {"sides": 2, "bias": False}, None),
        ("lstm", {"layers": 2, "sides": 2, "projected": 3}, None),
        ("gru", {"layers": 2, "sides": 2}, None),
        ("rnn", {}, None),
        ("rnn", {"layers": 2}, "relu"),
    ],
)
def test_as_pytorch_defines_it(kind, options, activation, last, tmp_path: Path) -> None:
    tensors = module(kind, 4, 5, **options)
    rng = np.random.default_rng(1)
    given = (options.get("projected") or 5) * options.get("sides", 1)
    head = {"head.weight": (2, given), "head.bias": (2,)}
    tensors |= {name: rng.normal(size=shape).astype(np.float32) for name, shape in head.items()}
    text = f'[[layers]]\nname = "net"\nkind = "{kind}"\n'
    text += f'activation = "{activation}"\n' if activation else ""
    text += 'returns = "last"\n' if last else ""
    text += '[[layers]]\nname = "head"\nkind = "linear"\nactivation = "sigmoid"\n'
    path = written(tmp_path, tensors, text)
    model = load_onnx(path)
    x = rng.normal(size=(6, 3, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (y,) = session.run(None, {"x": x})
    layers, sides = options.get("layers", 1), options.get("sides", 1)
    function = (lambda v: np.maximum(v, 0)) if activation == "relu" else np.tanh
    h = expected(kind, x, tensors, layers, sides, function, last=last)
    wanted = sigmoid(h @ tensors["head.weight"].T + tensors["head.bias"])
    np.testing.assert_allclose(y, wanted, atol=1e-5)
    assert import_onnx(path).layers  # all of it is for the machine


NET = '[[layers]]\nname = "net"\nkind = "gru"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"layers: field required"),
        ("layers = []", r"layers is empty"),
        ('[[layers]]\nname = "net"\nkind = "cnn"\n', r"layers\.0\.kind: .*'lstm', 'gru'"),
        ('[[layers]]\nname = "net"\nkind = "lstm"\n', r"has 15 rows, which are not 4 gates"),
        ('[[layers]]\nname = "other"\nkind = "gru"\n', r"there is no tensor other\.weight_ih_l0"),
        (NET + 'activation = "relu"\n', r"a.* gru of PyTorch has no activation 'relu'"),
        (NET + NET, r"net\.weight_ih_l0 is \[15, 4\], where \[any, 5\] belongs"),
        (NET + '[[layers]]\nname = "net"\nkind = "linear"\n', r"there is no tensor net\.weight;"),
        (NET + 'returns = "last"\n' + NET, r"returns its last state alone"),
        (NET, r"no layer has taken .* and 0 other tensors: name its module"),
        (NET + "extra = 1", r"extra"),
    ],
)
def test_what_is_refused(text: str, message: str, tmp_path: Path) -> None:
    tensors = module("gru", 4, 5) | {"conv.weight": np.zeros((2, 2), np.float32)}
    with pytest.raises(SparnnError, match=message):
        load_onnx(written(tmp_path, tensors, text))


def test_the_advice_is_right(tmp_path: Path) -> None:
    tensors = module("gru", 4, 5) | {"conv.weight": np.zeros((2, 2), np.float32)}
    path = written(tmp_path, tensors, 'ignore = ["conv"]\n' + NET)
    assert len(import_onnx(path).layers) == 1


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, (1 << 40).to_bytes(8, "little") + b"{}"])
def test_damaged_files(content: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, module("gru", 4, 5), NET)
    (tmp_path / "net.safetensors").write_bytes(content)
    with pytest.raises(SparnnError, match=r"cannot be read as safetensors"):
        load_onnx(path)
    path.write_text('weights = "../net.safetensors"\n' + NET)
    with pytest.raises(SparnnError, match=r"put the file beside this one"):
        load_onnx(path)
    (tmp_path / "bad.toml").write_text("weights = ")
    with pytest.raises(SparnnError, match=r"cannot be read as TOML"):
        load_onnx(tmp_path / "bad.toml")


def test_other_types_and_values(tmp_path: Path) -> None:
    tensors = module("rnn", 4, 5)
    tensors["net.bias_ih_l0"][0] = np.nan
    text = NET.replace("gru", "rnn")
    with pytest.raises(SparnnError, match=r"net\.bias_ih_l0 holds values that are not finite"):
        load_onnx(written(tmp_path, tensors, text))
    tensors["net.bias_ih_l0"] = np.zeros(5, np.int8)
    with pytest.raises(SparnnError, match=r"net\.bias_ih_l0 has the type I8"):
        load_onnx(written(tmp_path, tensors, text))
