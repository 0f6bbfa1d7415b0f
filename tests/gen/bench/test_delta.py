"""`bench delta`: the drawn work has the share that is asked for, and the RTL computes it."""

import numpy as np
import pytest

from sparnn.gen.bench.delta import delta_points, drawn_work, parse_gru
from sparnn.gen.errors import SparnnError


def test_names():
    assert parse_gru("gru2x768") == (2, 768)
    for name in ("gru768", "lstm2x768", "gru0x5", "gru2x0"):
        with pytest.raises(SparnnError, match="name layers and units of a GRU"):
            parse_gru(name)
    with pytest.raises(SparnnError, match="--macs 12: lanes have 8 multipliers"):
        next(delta_points("gru1x8", [12]))


@pytest.mark.parametrize("sparsity", [0.5, 0.9])
def test_the_share_is_met(sparsity):
    work = drawn_work(2, 64, sparsity=sparsity, steps=24, seed=3)
    assert work.sent == pytest.approx(1 - sparsity, abs=0.02)
    again = drawn_work(2, 64, sparsity=sparsity, steps=24, seed=3)
    assert np.array_equal(work.sequence.x, again.sequence.x)


def test_a_small_network_on_the_rtl():
    (point,) = delta_points("gru1x24", [8], steps=6, seed=1)
    assert point["bit_exact"]
    assert (point["lanes"], point["width"], point["macs"], point["v"]) == (1, 8, 8, 1)
    assert 0 < point["sent_h"] < 1
    assert 0 < point["utilization"] < 1
    # 24 rows of each half and gate in blocks of 8 take as many cycles as the collector.
    assert point["cycles_per_step"] > 6 * 24
