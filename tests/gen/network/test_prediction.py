"""Output prediction: thresholds from calibration, and what is measured of it."""

import numpy as np
import pytest

from sparnn.gen.bench.prediction import prediction_cycles, prediction_points
from sparnn.gen.bench.workload import masr_workload
from sparnn.gen.errors import SparnnError
from sparnn.gen.network.prediction import with_thresholds
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.quantize import quantize
from sparnn.sim.network.arrays import Sequence


@pytest.fixture(scope="module")
def workload():
    return masr_workload(hidden=48, steps=30, directions=2)


def test_thresholds_rise_with_the_share(workload):
    sample = [Sequence(workload.sample, {})]
    network = quantize(workload.network, calibrate(workload.network, sample), 10, 10).network
    low, high = (with_thresholds(network, workload.network, sample, one) for one in (0.9, 1.0))
    for one, other in zip(low.layers, high.layers, strict=True):
        assert one.threshold is not None
        assert other.threshold is not None
        assert (one.threshold <= other.threshold).all()
        assert (one.threshold < other.threshold).any()
    with pytest.raises(SparnnError, match=r"a share of 1\.5 is outside 0 to 1"):
        with_thresholds(network, workload.network, sample, 1.5)


def test_more_is_saved_and_more_is_wrong(workload):
    sample, test = ([Sequence(x, {})] for x in (workload.sample, workload.x))
    points = prediction_points(workload.network, sample, test, None, [1.0, 0.95, 0.8])
    assert points[0].share is None
    assert (points[0].rows_skipped, points[0].macs_saved, points[0].wrong) == (0, 0, 0)
    for name, sign in (("rows_skipped", 1), ("macs_saved", 1), ("wrong", 1), ("output_db", -1)):
        values = [sign * getattr(point, name) for point in points[1:]]
        assert values == sorted(values)
    assert points[-1].macs_saved > 0.1


def test_cycles_by_the_model_of_rows(workload):
    (point,) = prediction_cycles(workload, [4], [0.8])
    assert point.reordered >= 0.99 * point.today
    assert point.predicted < point.reordered
    assert point.speedup == point.today / point.predicted
    assert 0 < point.macs_saved < 1


def test_only_relu_layers(workload):
    from dataclasses import replace

    layers = tuple(replace(one, activation="tanh") for one in workload.network.layers)
    network = replace(workload.network, layers=layers)
    sample = [Sequence(np.abs(workload.sample), {})]
    integers = quantize(network, calibrate(network, sample), 10, 10).network
    with pytest.raises(SparnnError, match="needs an RNN with ReLU"):
        with_thresholds(integers, network, sample, 1.0)
