"""Cells beyond the defaults: equal to ONNX Runtime, near it in integers, or refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto
from support.float_networks import check, onnx_runtime, outputs, run_float, sample
from support.onnx_builder import Graph, feeds_for, single
from support.onnx_cells import CELLS

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.to_onnx import float_model
from sparnn.gen.onnx.reader import network_of
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.quantize import quantize


@pytest.mark.parametrize("name", CELLS)
def test_equal_to_onnx_runtime(name: str, tmp_path: Path) -> None:
    check(CELLS[name](), tmp_path)


@pytest.mark.parametrize("name", CELLS)
def test_written_as_onnx_again(name: str, tmp_path: Path) -> None:
    """The float reference of a pruned network means what the network does."""
    model = CELLS[name]()
    network = network_of(model)
    feeds = feeds_for(model)
    expected, got = onnx_runtime(float_model(network), feeds), run_float(network, feeds, tmp_path)
    for output, array in expected.items():
        np.testing.assert_allclose(got[output], array, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CELLS)
def test_16_bits_are_close_to_float(name: str) -> None:
    network = network_of(CELLS[name]())
    given = sample(network)
    quantized = quantize(network, calibrate(network, given), 16, 16)
    for exact, got in outputs(network, quantized, given):
        assert np.abs(got - exact).max() <= 4e-3 * max(1.0, np.abs(exact).max())


def _batch_first(op: str, **attributes: Any) -> ModelProto:
    """As PyTorch exports a layer with batch_first: x and y are [batch, time, feature]."""
    g = Graph(5)
    x = g.add("Transpose", [g.input("x", ["batch", "time", 4])], perm=[1, 0, 2])
    y = g.squeeze(g.recurrent(op, x, 4, 20, **attributes)[0], 1)
    g.output(g.add("Transpose", [y], perm=[1, 0, 2]), "y")
    return g.model()


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("RNN", {}),  # Keras' SimpleRNN, PyTorch's RNN
        ("RNN", {"activations": ["Relu"]}),
        ("LSTM", {}),  # the whole sequence, not its last step
        ("GRU", {}),
        ("LSTM", {"direction": "reverse"}),  # go_backwards
        ("GRU", {"direction": "reverse"}),
        ("RNN", {"direction": "reverse"}),
    ],
)
def test_what_is_converted_silently_elsewhere(op: str, attributes: dict, tmp_path: Path) -> None:
    """Each of these became different mathematics in hls4ml 1.3.0; here each is what it says."""
    model = _batch_first(op, **attributes)
    feeds = feeds_for(model, steps=10, batch=8)
    expected = onnx_runtime(model, feeds)["y"]
    got = run_float(network_of(model), feeds, tmp_path)["y"]
    assert got.shape == expected.shape == (8, 10, 20)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "attributes", "message"),
    [
        ("GRU", {"linear_before_reset": 0, "direction": "reverse"}, "direction = reverse is not"),
        ("GRU", {"linear_before_reset": 0, "direction": "bidirectional"}, "= bidirectional is not"),
        ("RNN", {"activations": ["LeakyRelu"]}, r"\['LeakyRelu'\].* is not supported, only Relu"),
        ("RNN", {"activations": ["Elu"]}, "is not supported, only Relu"),
        ("RNN", {"activations": ["Softsign"]}, "is not supported, only Relu"),
        ("RNN", {"activations": ["Softplus"]}, "is not supported, only Relu"),
        ("RNN", {"activations": ["ThresholdedRelu"]}, "is not supported, only Relu"),
        ("RNN", {"activations": ["Affine"]}, "affine has no activation_alpha"),
        (
            "RNN",
            {"activations": ["ScaledTanh"], "activation_alpha": [1.7], "activation_beta": [0.6]},
            "ScaledTanh with an alpha of 1",
        ),
        ("RNN", {"activations": ["Tanh"], "activation_alpha": [0.5]}, "1 values more than"),
        ("LSTM", {"activations": ["Elu", "Tanh", "Tanh"]}, "only Sigmoid, HardSigmoid, Tanh or"),
        ("LSTM", {"activations": ["Sigmoid", "Elu", "Tanh"]}, "only Sigmoid, HardSigmoid, Tanh or"),
        ("LSTM", {"activations": ["Tanh"] * 3, "input_forget": 1}, "input_forget needs Sigmoid"),
        ("GRU", {"activations": ["Relu", "Tanh"]}, "only Sigmoid or HardSigmoid, then"),
        ("LSTM", {"activations": ["Sigmoid", "Tanh", "HardSigmoid"]}, "or that σ; retrain"),
        ("GRU", {"activations": ["Sigmoid", "HardSigmoid"]}, "only Sigmoid or HardSigmoid, then"),
        ("GRU", {"activations": ["Sigmoid"]}, "are not 2 for each direction"),
        ("LSTM", {"clip": 0.0}, "changes nothing only from 12 on"),
        ("RNN", {"activations": ["HardSigmoid"], "clip": 2.0}, "changes nothing only from 2.5 on"),
        ("RNN", {"activations": ["Relu"], "clip": 100.0}, "only from inf on"),
    ],
)
def test_refused(op: str, attributes: dict, message: str) -> None:
    with pytest.raises(SparnnError, match=message):
        network_of(single(op, **attributes))
