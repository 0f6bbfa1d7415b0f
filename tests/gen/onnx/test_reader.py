"""The importer: equal to ONNX Runtime, or refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.float_networks import check, onnx_runtime, run_float
from support.onnx_builder import feeds_for, single
from support.onnx_graphs import SUPPORTED
from support.onnx_random import random_model

from sparnn.gen.bench.node_tests import node_test_row, node_tests
from sparnn.gen.errors import SparnnError
from sparnn.gen.onnx.reader import import_onnx, network_of

Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.mark.parametrize("name", SUPPORTED)
def test_equal_to_onnx_runtime(name: str, tmp_path: Path) -> None:
    check(SUPPORTED[name](), tmp_path)


@pytest.mark.parametrize("name", SUPPORTED)
def test_through_a_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(SUPPORTED[name](), path)
    assert import_onnx(path).io == network_of(SUPPORTED[name]()).io


@pytest.mark.parametrize("seed", range(60))
def test_random_chains(seed: int, tmp_path: Path) -> None:
    check(random_model(seed), tmp_path, steps=1 + seed % 7, batch=1 + seed % 3, seed=seed)


def test_examples(checkout: Path, tmp_path: Path) -> None:
    folder = checkout / "examples" / "digits"
    models = sorted(folder.glob("*.onnx"))
    assert {"lstm.onnx", "lstm_torch_export.onnx", "lstm_torch_export_dynamo.onnx"} <= {
        p.name for p in models
    }
    for path in models:
        network = check(onnx.load(path), tmp_path)
        assert network.io["inputs"][0]["sizes"] == [None, 8, 8]
        assert network.io["outputs"][0]["what"] == "last"
        assert network.layers[-1].last_only


def test_torch_exporters_agree(checkout: Path) -> None:
    folder = checkout / "examples" / "digits"
    plain = import_onnx(folder / "lstm.onnx")
    for name in ("lstm_torch_export.onnx", "lstm_torch_export_dynamo.onnx"):
        other = import_onnx(folder / name)
        for a, b in zip(plain.layers, other.layers, strict=True):
            assert np.array_equal(a.w_x, b.w_x)
            assert a.w_h is None or np.array_equal(a.w_h, b.w_h)
            assert np.array_equal(a.b_x + a.b_h, b.b_x + b.b_h)


def test_double_weights() -> None:
    """ONNX Runtime has no LSTM in double precision; the weights are those of the float model."""
    double, single_precision = network_of(single(dtype=np.float64)), network_of(single())
    for name in ("w_x", "w_h", "b_x", "b_h"):
        a, b = (getattr(n.layers[0], name) for n in (double, single_precision))
        assert np.array_equal(a.astype(np.float32), b)


def test_io_of_given_states() -> None:
    network = network_of(SUPPORTED["states_given"]())
    entries = {e["name"]: (e["role"], e["layer"], e["axes"]) for e in network.io["inputs"]}
    assert entries == {
        "x": ("x", 0, ["time", "batch", "feature"]),
        "h0": ("initial_h", 0, ["direction", "batch", "feature"]),
        "c0": ("initial_c", 0, ["batch", "feature"]),
        "g0": ("initial_h", 1, ["direction", "batch", "feature"]),
    }
    assert [(e["what"], e["axes"]) for e in network.io["outputs"]] == [
        ("sequence", ["time", "direction", "batch", "feature"]),
        ("last", ["batch", "feature"]),
    ]


def test_constant_states_are_kept() -> None:
    layer = network_of(SUPPORTED["states_constant"]()).layers[0]
    assert layer.initial_h is not None
    assert layer.initial_c is not None
    assert layer.initial_h.shape == layer.initial_c.shape == (6,)


def test_layout_1_is_layout_0_transposed(tmp_path: Path) -> None:
    """ONNX Runtime does not run layout 1, so it is compared with layout 0."""
    options = {"seed": 5, "inputs": 4, "units": 3}
    first = single("GRU", **options)
    other = single("GRU", **options, steps="batch", batch="time", layout=1)
    x = feeds_for(first)["x"]
    expected = onnx_runtime(first, {"x": x})
    got = run_float(network_of(other), {"x": x.transpose(1, 0, 2)}, tmp_path)
    np.testing.assert_allclose(got["y"].transpose(1, 2, 0, 3), expected["y"], atol=1e-5)
    np.testing.assert_allclose(got["y_h"].transpose(1, 0, 2), expected["y_h"], atol=1e-5)


# The node tests that the onnx package ships.


NODE_TESTS_REFUSED = {
    "test_gru_reverse": "linear_before_reset = 0 .* direction = reverse",
    "test_gru_bidirectional": "linear_before_reset = 0 .* direction = bidirectional",
}


def test_onnx_node_tests(tmp_path: Path) -> None:
    cases = node_tests()
    assert len(cases) >= 12
    accepted = 0
    for one in cases:
        if one.name in NODE_TESTS_REFUSED:
            with pytest.raises(SparnnError, match=NODE_TESTS_REFUSED[one.name]):
                network_of(one.model)
            continue
        got = run_float(network_of(one.model), dict(one.x), tmp_path)
        for key, array in one.outputs.items():
            np.testing.assert_allclose(got[key], array, rtol=1e-4, atol=1e-5, err_msg=one.name)
        accepted += 1
    assert accepted >= 15


def test_onnx_node_tests_in_integers() -> None:
    """Two of them; docs/results/conformance.md has all."""
    cases = {one.name: one for one in node_tests()}
    for name, where in (("test_gru_reverse", "with the host"), ("test_lstm_defaults", "machine")):
        row = node_test_row(cases[name])
        assert row["where"] == where
        assert row["golden_db"] > 25
