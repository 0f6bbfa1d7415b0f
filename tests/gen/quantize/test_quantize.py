"""Quantization: integers that stand for the float network, judged by the golden model."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.float_networks import outputs, sample
from support.onnx_graphs import SUPPORTED
from support.onnx_random import random_model

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatLayer, FloatNetwork
from sparnn.gen.network.prune import prune
from sparnn.gen.onnx.reader import import_onnx, network_of
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.integers import requantizer
from sparnn.gen.quantize.quantize import quantize
from sparnn.gen.quantize.reports import proposals, saturation_report
from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.run import quantize_sequence
from sparnn.sim.network.arrays import Sequence, load_inputs


def sqnr(exact: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10((exact**2).sum() / ((got - exact) ** 2).sum()))


@pytest.mark.parametrize("name", SUPPORTED)
def test_16_bits_are_close_to_float(name: str) -> None:
    network = network_of(SUPPORTED[name]())
    given = sample(network)
    quantized = quantize(network, calibrate(network, given), 16, 16)
    for exact, got in outputs(network, quantized, given):
        assert np.abs(got - exact).max() <= 4e-3 * max(1.0, np.abs(exact).max())


@pytest.mark.parametrize("seed", range(40))
def test_random_chains_at_8_bits(seed: int) -> None:
    network = network_of(random_model(seed))
    given = sample(network, steps=1 + seed % 9, seed=seed)
    ranges = calibrate(network, given)
    for weights, activations, enough in ((16, 16, 40.0), (8, 8, 12.0)):
        quantized = quantize(network, ranges, weights, activations)
        for exact, got in outputs(network, quantized, given):
            small = np.abs(got - exact).max() < 0.02
            assert small or sqnr(exact, got) > enough


@pytest.mark.parametrize(
    ("name", "fraction"), [("lstm", 0.0), ("gru", 0.0), ("lstm_pruned60", 0.6), ("rnn_tanh", 0.0)]
)
def test_digits_keep_their_accuracy(checkout: Path, name: str, fraction: float) -> None:
    folder = checkout / "examples" / "digits"
    network = prune(import_onnx(folder / f"{name}.onnx"), fraction)
    io, sizes = network.io, network.input_sizes
    quantized = quantize(
        network, calibrate(network, load_inputs(folder / "calibrate.npz", io, sizes))
    )
    labels = np.load(folder / "test.npz")["labels"][::2]
    held_out = load_inputs(folder / "test.npz", io, sizes)[::2]
    ((exact, got),) = outputs(network, quantized, held_out)
    assert sqnr(exact, got) > 35
    correct = [np.mean(y.argmax(axis=1) == labels) for y in (exact, got)]
    assert correct[1] >= correct[0] - 0.01
    density = np.mean(quantized.network.layers[0].w_x != 0)
    assert density <= 1.001 - fraction


def test_io_and_formats_of_a_chain() -> None:
    network = network_of(SUPPORTED["linear_around"]())
    quantized = quantize(network, calibrate(network, sample(network)))
    first, lstm, last = quantized.network.layers
    assert first.f_out == lstm.f_x
    assert lstm.f_out == last.f_x
    assert (first.out_bits, lstm.out_bits, last.out_bits) == (8, 8, 16)
    assert last.f_out == last.f_pre
    assert quantized.io["inputs"][0]["f"] == first.f_x
    assert quantized.io["outputs"][0]["f"] == last.f_out
    assert "f" not in network.io["inputs"][0]


def test_states_in_their_formats() -> None:
    network = network_of(SUPPORTED["states_given"]())
    given = sample(network)
    quantized = quantize(network, calibrate(network, given))
    lstm, gru = quantized.network.layers
    assert {e["name"]: e["f"] for e in quantized.io["inputs"]} == {
        "x": lstm.f_x,
        "h0": lstm.f_out,
        "c0": lstm.f_state,
        "g0": gru.f_out,
    }
    constant = network_of(SUPPORTED["states_constant"]())
    layer = quantize(constant, calibrate(constant, sample(constant)), 8, 16).network.layers[0]
    source = constant.layers[0]
    assert layer.initial_h is not None
    assert layer.initial_c is not None
    assert source.initial_h is not None
    assert source.initial_c is not None
    np.testing.assert_allclose(
        np.ldexp(layer.initial_h, -layer.f_out), source.initial_h, atol=2.0 ** -(layer.f_out + 1)
    )
    np.testing.assert_allclose(
        np.ldexp(layer.initial_c, -layer.f_state),
        source.initial_c,
        atol=2.0 ** -(layer.f_state + 1),
    )


def test_biases_of_the_gru() -> None:
    """Only the n row keeps a bias in its hidden half."""
    network = network_of(SUPPORTED["gru"]())
    layer = quantize(network, calibrate(network, sample(network))).network.layers[0]
    source = network.layers[0]
    assert layer.bias_h is not None
    assert not layer.bias_h[:2].any()
    for integers, exact in (
        (layer.bias_x[:2], (source.b_x + source.b_h)[:2]),
        (layer.bias_x[2], source.b_x[2]),
        (layer.bias_h[2], source.b_h[2]),
    ):
        np.testing.assert_array_equal(integers, np.rint(np.ldexp(exact, layer.f_pre)))


def test_split_scales_lower_the_noise() -> None:
    """Weights of which the positive ones are small: the report and the output say so."""
    network = network_of(SUPPORTED["rnn_relu"]())
    for layer in network.layers:
        for weights in (layer.w_x, layer.w_h):
            if weights is not None:
                weights[weights > 0] *= 0.3
    ranges = calibrate(network, sample(network))
    reports = {}
    for split in (False, True):
        quantized = quantize(network, ranges, 6, 16, split_scales=split)
        assert all(layer.split == split for layer in quantized.network.layers)
        reports[split] = [t.sqnr_db for t in quantized.tensors if t.tensor == "weights"]
    assert all(
        better > plain + 0.5 for plain, better in zip(reports[False], reports[True], strict=True)
    )


@given(st.floats(1e-30, 32767))
def test_requantizer(ratio: float) -> None:
    (mult,), (shift,) = requantizer(np.array([ratio]), "here")
    assert 0 <= mult <= 32767
    assert 0 <= shift <= 47
    if mult == 0:
        assert shift == 0
        assert ratio <= 2.0**-48
    elif shift < 47:
        assert mult >= 16384 or shift == 0
    assert abs(mult * 2.0**-shift - ratio) <= max(ratio * 2.0**-14, 2.0**-48, 0.5 * (shift == 0))


def test_requantizer_at_its_ends() -> None:
    ratios = np.array([0.0, 1.0, 32767.0, 32767 / 65536 + 2.0**-18, 2.0**-33, 2.0**-47])
    mult, shift = requantizer(ratios, "here")
    assert mult.tolist() == [0, 16384, 32767, 32767, 16384, 1]
    assert shift.tolist() == [0, 14, 0, 16, 47, 47]
    (mult_up,), (shift_up,) = requantizer(np.array([1 - 2.0**-20]), "here")
    assert (mult_up, shift_up) == (16384, 14)
    with pytest.raises(SparnnError, match=r"there: .* the limit is 32767"):
        requantizer(np.array([32768.0]), "there")


def test_outliers_of_the_input_are_weighed_by_their_effect() -> None:
    """A maximum 500 times the median: at 8 bits the report says so and proposes a width."""
    network = network_of(SUPPORTED["lstm"]())
    given = sample(network, 30, 20)
    for s in given:
        s.x[:] = np.where(np.abs(s.x) > 2.5, s.x * 200, s.x)
    ranges = calibrate(network, given)
    narrow = quantize(network, ranges, 8, 8)
    report = next(t for t in narrow.tensors if t.tensor == "x")
    assert report.proposal is not None
    assert report.proposal > 8
    assert any("--activation-bits" in line for line in proposals(narrow.tensors))
    wide = quantize(network, ranges, 8, report.proposal)
    assert next(t for t in wide.tensors if t.tensor == "x").sqnr_db >= 30
    ((exact, got), _) = outputs(network, wide, given)
    ((_, coarse), _) = outputs(network, narrow, given)
    assert sqnr(exact, got) > sqnr(exact, coarse)


def test_saturation_is_reported() -> None:
    network = network_of(SUPPORTED["rnn_relu"]())
    given = sample(network, 40)
    given[0].x[0] = 60.0  # rare, and gone a step later
    quantized = quantize(network, calibrate(network, given))
    saturated = [t for t in quantized.tensors if t.saturated]
    assert len(saturation_report(quantized.tensors)) == len(saturated)
    for line, t in zip(saturation_report(quantized.tensors), saturated, strict=True):
        assert f"rnn0: {t.tensor} saturates in" in line


def test_wide_tensors_do_not_saturate() -> None:
    """Pre-activations and cell states keep room: none saturates on calibration data."""
    for name in ("lstm", "gru", "stacked"):
        network = network_of(SUPPORTED[name]())
        given = sample(network, 3, 50)
        quantized = quantize(network, calibrate(network, given))
        assert all(t.saturated == 0 for t in quantized.tensors if t.tensor in ("pre", "state"))
        for s in given:
            fed = quantize_sequence(quantized.network, s)
            for trace in run_network(quantized.network, fed.x, fed.initial).layers:
                assert not trace.saturated["pre"]
                assert not trace.saturated["state"]


def _linear_after(scale: float, bias: float = 0.0) -> FloatNetwork:
    zeros = np.zeros((1, 1))
    rnn = FloatLayer(
        "rnn", "rnn", "tanh", np.full((1, 1, 1), scale), np.ones((1, 1, 1)), zeros, zeros
    )
    head = FloatLayer(
        "head", "linear", "identity", np.ones((1, 1, 1)), None, np.full((1, 1), bias), zeros
    )
    return FloatNetwork((rnn, head), {"inputs": [], "outputs": []})


@pytest.mark.parametrize(
    ("network", "x", "bits", "message"),
    [
        (_linear_after(1), 1.0, (3, 8), "weight bits = 3 is outside 4 to 16"),
        (_linear_after(1), 1.0, (8, 17), "activation bits = 17 is outside 8 to 16"),
        (_linear_after(1), 1e9, (8, 8), "the calibration inputs reach 1e\\+09"),
        (_linear_after(1), 1e-6, (8, 8), "the calibration inputs reach only 1e-06"),
        (_linear_after(1, 1e6), 1.0, (8, 8), "layer 'head': a bias of 1e\\+06 does not fit"),
        (_linear_after(1e9), 1.0, (8, 8), "layer 'rnn', input half: the weights have to be scaled"),
    ],
)
def test_refused(network: FloatNetwork, x: float, bits: tuple[int, int], message: str) -> None:
    ranges = calibrate(network, [Sequence(np.full((4, 1), x), {})])
    with pytest.raises(SparnnError, match=message):
        quantize(network, ranges, *bits)


def test_silence_is_quantized() -> None:
    """All-zero calibration inputs, and weights of zero: every format still has a value."""
    network = _linear_after(0)
    ranges = calibrate(network, [Sequence(np.zeros((4, 1)), {})])
    quantized = quantize(network, ranges)
    trace = run_network(quantized.network, np.zeros((4, 1), np.int64))
    assert not trace.output(1, "sequence").any()
    assert proposals(quantized.tensors) == []
