"""Calibration, and the choice of binary points from what it measures."""

import numpy as np
import pytest
from support.onnx_builder import single
from support.onnx_graphs import SUPPORTED

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatLayer, FloatNetwork
from sparnn.gen.network.run import run_network
from sparnn.gen.onnx.reader import network_of
from sparnn.gen.quantize.calibrate import TensorRange, calibrate
from sparnn.gen.quantize.formats import (
    Probe,
    best_format,
    candidate_formats,
    format_for_maximum,
    quantized_values,
    rounding_sqnr_db,
    saturated_share,
)
from sparnn.sim.network.arrays import Sequence


def sequences(
    inputs: int, count: int = 5, steps: int = 7, seed: int = 0, scale: float = 1.0
) -> list[Sequence]:
    random = np.random.default_rng(seed)
    return [Sequence(scale * random.normal(size=(steps, inputs)), {}) for _ in range(count)]


def tensor(values: np.ndarray) -> TensorRange:
    values = values.reshape(-1, 1)
    return TensorRange(float(np.abs(values).max()), values.size, values.astype(np.float32))


def test_maxima_are_those_of_the_run() -> None:
    network = network_of(SUPPORTED["linear_around"]())
    given = sequences(4)
    ranges = calibrate(network, given)
    traces = run_network(network, np.stack([s.x for s in given]))
    assert ranges.x.max_abs == max(np.abs(s.x).max() for s in given)
    assert ranges.x.count == 5 * 7 * 4
    for layer, trace in zip(ranges.layers, traces, strict=True):
        parts = [trace.u, trace.pre] + ([] if trace.v is None else [trace.v])
        assert layer.pre.max_abs >= max(np.abs(p).max() for p in parts)
        assert layer.h.max_abs == np.abs(trace.h).max()
        assert (layer.state is None) == (trace.state is None)
        if layer.state is not None and trace.state is not None:
            assert layer.state.max_abs == np.abs(trace.state).max()


def test_lengths_may_differ_and_order_does_not_matter() -> None:
    network = network_of(SUPPORTED["lstm"]())
    given = [*sequences(5, 3, 4), *sequences(5, 2, 9, seed=1), *sequences(5, 1, 1, seed=2)]
    a, b = calibrate(network, given), calibrate(network, given[::-1])
    assert a.x.count == b.x.count == 5 * (12 + 18 + 1)
    assert a.layers[0].pre.max_abs == pytest.approx(b.layers[0].pre.max_abs, rel=1e-12)


def test_a_large_tensor_is_sampled_but_its_maximum_is_exact() -> None:
    network = network_of(single(inputs=64, units=2))
    given = sequences(64, 20, 500)
    given[3].x[77, 5] = 1000.0
    ranges = calibrate(network, given)
    assert ranges.x.max_abs == 1000.0
    assert ranges.x.count == 20 * 500 * 64
    assert 200_000 < ranges.x.sample.size < 320_000
    again = calibrate(network, given)
    assert np.array_equal(ranges.x.sample, again.x.sample)


def test_initial_states_count() -> None:
    network = network_of(SUPPORTED["states_given"]())
    given = [
        Sequence(
            s.x,
            {
                ("initial_h", 0): np.full(6, 3.0),
                ("initial_c", 0): np.full(6, 50.0),
                ("initial_h", 1): np.full(5, -2.0),
            },
        )
        for s in sequences(4)
    ]
    lstm, gru = calibrate(network, given).layers
    assert lstm.state is not None
    assert gru.state is not None
    assert lstm.h.max_abs == 3.0
    assert 50.0 <= lstm.state.max_abs <= 51.5
    assert gru.h.max_abs == gru.state.max_abs == 2.0


def test_refused() -> None:
    network = network_of(SUPPORTED["lstm"]())
    with pytest.raises(SparnnError, match="at least one sequence"):
        calibrate(network, [])
    with pytest.raises(SparnnError, match=r"sequence 1 has shape \[7, 4\], the model reads"):
        calibrate(network, [*sequences(5, 1), *sequences(4, 1)])
    with pytest.raises(SparnnError, match="with at least one step"):
        calibrate(network, sequences(5, 1, 0))
    bad = sequences(5)
    bad[2].x[1, 1] = np.nan
    with pytest.raises(SparnnError, match="sequence 2 holds NaN"):
        calibrate(network, bad)
    with pytest.raises(SparnnError, match="gives initial states"):
        calibrate(network_of(SUPPORTED["states_given"]()), sequences(4))


def test_a_network_that_diverges_is_refused() -> None:
    w = np.full((1, 2, 2), 1e10)
    zeros = np.zeros((1, 2))
    network = FloatNetwork((FloatLayer("wild", "rnn", "relu", w, w, zeros, zeros),))
    with pytest.raises(SparnnError, match="layer 'wild' overflows to infinity"):
        calibrate(network, [Sequence(np.ones((40, 2)), {})])


@pytest.mark.parametrize(
    ("largest", "f"), [(0, 15), (0.1, 15), (1.0, 14), (6.5, 11), (159, 7), (616, 5), (1e9, 0)]
)
def test_format_for_maximum(largest: float, f: int) -> None:
    assert format_for_maximum(largest) == f
    if 0 < f < 15:
        assert 1.25 * largest * 2**f <= 32767 < 1.25 * largest * 2 ** (f + 1)


def test_candidates_start_without_saturation() -> None:
    for largest in (0.01, 0.99, 1.0, 127.0, 5000.0):
        first = candidate_formats(largest, 8)[0]
        assert largest * 2.0**first <= 127
    assert candidate_formats(0.0, 8) == [15]
    assert candidate_formats(1e-9, 8) == [15]
    assert candidate_formats(1e30, 8) == [-16]


def test_best_format_weighs_saturation_against_rounding() -> None:
    """Exhaustively the best of all formats; one outlier does not cost everything else its bits."""
    random = np.random.default_rng(0)
    values = random.normal(size=100_000) * 0.1
    values[0] = 0.9
    for bits in (8, 12):
        t = tensor(values)
        errors = {
            f: float(((quantized_values(values, f, bits) - values) ** 2).sum())
            for f in range(-16, 16)
        }
        assert best_format(t, bits) == min(errors, key=lambda f: (errors[f], f))
    assert best_format(tensor(values), 8) > candidate_formats(0.9, 8)[0]
    assert saturated_share(tensor(values), best_format(tensor(values), 8), 8) > 0


def test_best_format_counts_features_by_weight() -> None:
    random = np.random.default_rng(0)
    values = np.stack([random.normal(size=1000), 100 * random.normal(size=1000)], axis=1)
    t = TensorRange(float(np.abs(values).max()), values.size, values.astype(np.float32))
    both = best_format(t, 8, np.array([1.0, 1.0]))
    first = best_format(t, 8, np.array([1.0, 1e-9]))
    assert first > both


def test_sqnr() -> None:
    exact = tensor(np.arange(-100, 100) / 16)
    assert rounding_sqnr_db(exact, 4, 8) == float("inf")
    uniform = tensor(np.random.default_rng(0).uniform(-1, 1, 100_000))
    assert rounding_sqnr_db(uniform, 15, 16) - rounding_sqnr_db(uniform, 7, 8) == pytest.approx(
        48.2, abs=0.5
    )


def test_probe_follows_the_recurrence() -> None:
    """Rounding inside the loop costs more than rounding the output once, where errors add up."""
    w_h = np.eye(4)[None]
    zeros = np.zeros((1, 4))
    w_x = np.random.default_rng(0).normal(size=(1, 4, 3))
    network = FloatNetwork((FloatLayer("sum", "rnn", "identity", w_x, w_h, zeros, zeros),))
    ranges = calibrate(network, sequences(3, 4, 200))
    probe = Probe(network, ranges)
    f = best_format(ranges.layers[0].h, 8)
    once = rounding_sqnr_db(ranges.layers[0].h, f, 8)
    assert next(probe.output_db(0, [f], 8)) < once - 10
    wide = candidate_formats(ranges.layers[0].h.max_abs, 16)[0]
    assert next(probe.output_db(0, [wide], 16)) > once
    assert next(probe.input_db([13], 16)) > 40
