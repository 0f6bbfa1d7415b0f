"""LSTMs with projections: equal to the recurrence as it is written, and refused where it is not."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.compiled import DENSE
from support.float_networks import onnx_runtime

from sparnn.gen.compile import compile_model
from sparnn.gen.errors import SparnnError
from sparnn.gen.network.projection import main, projected_network
from sparnn.sim.runner import simulate


def state_dict(layers: int, directions: int, *, bias: bool = True) -> dict[str, np.ndarray]:
    """Of an LSTM of 3 inputs, 7 units and a projection to 4."""
    rng = np.random.default_rng(5)
    weights: dict[str, np.ndarray] = {}
    inputs = 3
    for number in range(layers):
        for side in ("", "_reverse")[:directions]:
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (28, inputs),
                "weight_hh": (28, 4),
                "weight_hr": (4, 7),
            }
            if bias:
                shapes |= {"bias_ih": (28,), "bias_hh": (28,)}
            for name, shape in shapes.items():
                weights[f"{name}_l{number}{side}"] = rng.normal(size=shape).astype(np.float32) / 2
        inputs = 4 * directions
    return weights


def projected(weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """PyTorch's LSTM with proj_size, [time, batch, features], as its documentation writes it."""
    number = 0
    while f"weight_ih_l{number}" in weights:
        outputs = []
        for side in ("", "_reverse"):
            name = f"l{number}{side}"
            if f"weight_ih_{name}" not in weights:
                continue
            none = np.zeros(28)
            bias = weights.get(f"bias_ih_{name}", none) + weights.get(f"bias_hh_{name}", none)
            h, c = np.zeros((x.shape[1], 4)), np.zeros((x.shape[1], 7))
            found = []
            for x_t in x[::-1] if side else x:
                rows = x_t @ weights[f"weight_ih_{name}"].T + h @ weights[f"weight_hh_{name}"].T
                i, f, g, o = np.split(rows + bias, 4, axis=1)
                i, f, o = (1 / (1 + np.exp(-a)) for a in (i, f, o))
                c = f * c + i * np.tanh(g)
                h = (o * np.tanh(c)) @ weights[f"weight_hr_{name}"].T
                found.append(h)
            outputs.append(np.stack(found[::-1] if side else found))
        x = np.concatenate(outputs, axis=2)
        number += 1
    return x


@pytest.mark.parametrize(
    ("layers", "directions", "bias"), [(1, 1, True), (2, 1, False), (3, 2, True)]
)
def test_equal_to_the_recurrence(layers: int, directions: int, bias: bool, tmp_path: Path) -> None:
    weights = state_dict(layers, directions, bias=bias)
    np.savez(tmp_path / "w.npz", **weights)
    assert main([str(tmp_path / "w.npz"), "-o", str(tmp_path / "m.onnx")]) == 0
    x = np.random.default_rng(1).normal(size=(6, 2, 3)).astype(np.float32)
    got = onnx_runtime(onnx.load(tmp_path / "m.onnx"), {"x": x})["y"]
    np.testing.assert_allclose(got, projected(weights, x), atol=2e-6)


@pytest.mark.deep
@pytest.mark.xdist_group("dense")
def test_to_verilog(tmp_path: Path) -> None:
    """Bit exact, and near the recurrence."""
    np.savez(tmp_path / "w.npz", **state_dict(2, 1))
    main([str(tmp_path / "w.npz"), "-o", str(tmp_path / "m.onnx")])
    x = np.random.default_rng(1).normal(size=(8, 3, 3)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    (tmp_path / "machine.toml").write_text(DENSE)
    config = str(tmp_path / "machine.toml")
    compile_model(tmp_path / "m.onnx", tmp_path / "x.npz", tmp_path / "out", config=config)
    report = simulate(tmp_path / "out", tmp_path / "x.npz")
    assert report.bit_exact, report.first_mismatch
    assert report.sqnr_db is not None
    assert report.sqnr_db > 48


def _without(name: str) -> dict[str, np.ndarray]:
    weights = state_dict(1, 1)
    del weights[name]
    return weights


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (_without("weight_hr_l0"), "'weight_hr_l0' is missing; give the whole state dict"),
        (_without("weight_ih_l0"), "'weight_ih_l0' is missing"),
        (state_dict(1, 1) | {"scale": np.ones(1)}, "'scale' is no name of PyTorch's LSTM"),
        (
            state_dict(1, 1) | {"weight_hh_l0": np.ones((28, 7))},
            r"'weight_hh_l0' has the shape \[28, 7\], expected \[28, 4\]",
        ),
    ],
)
def test_refused(weights: dict[str, Any], message: str, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SparnnError, match=message):
        projected_network(weights)
    np.savez(tmp_path / "w.npz", **weights)
    assert main([str(tmp_path / "w.npz"), "-o", str(tmp_path / "m.onnx")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
