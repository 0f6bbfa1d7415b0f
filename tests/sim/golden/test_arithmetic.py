"""The functions of docs/numerics.md: every input of every format."""

import numpy as np
import pytest

from sparnn.sim.golden.arithmetic import hard_sigmoid, sigmoid, tanh

EVERY = np.arange(-32768, 32768)


@pytest.mark.parametrize("f", range(16))
def test_close_to_the_functions(f: int) -> None:
    """Within 2^-10, what the post units of both machines compute bit for bit."""
    real = np.ldexp(EVERY.astype(float), -f)
    half = 0.5 * (1 + np.tanh(0.5 * real))
    assert np.abs(tanh(EVERY, f) / 32768 - np.tanh(real)).max() < 2**-10
    assert np.abs(sigmoid(EVERY, f) / 32768 - half).max() < 2**-10
    hard = np.clip(0.5 + real / 4, 0, 1)
    assert np.abs(hard_sigmoid(EVERY, f) / 32768 - hard).max() <= 2**-12


@pytest.mark.parametrize("f", range(16))
def test_odd_and_rising(f: int) -> None:
    values = tanh(EVERY, f)
    assert np.array_equal(values[1:32768], -values[:32768:-1])
    assert (np.diff(values) >= 0).all()
    assert (np.diff(sigmoid(EVERY, f)) >= 0).all()
    assert (np.diff(hard_sigmoid(EVERY, f)) >= 0).all()
    assert hard_sigmoid(EVERY, f).min() >= 0
