"""What saturated in a run: by tensor, share and size."""

import numpy as np

from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.saturation import saturation, together
from sparnn.sim.network.arrays import Sequence
from sparnn.sim.network.network import IntegerLayer, IntegerNetwork


def linear() -> IntegerNetwork:
    """508 times the input, in 16 bits."""
    layer = IntegerLayer(
        name="out",
        kind="linear",
        activation="identity",
        w_x=np.array([[[127]]], np.int32),
        mult_x=np.array([[16384]], np.int32),
        shift_x=np.array([[12]], np.int32),
        bias_x=np.array([[0]], np.int32),
        w_h=None,
        mult_h=None,
        shift_h=None,
        bias_h=None,
        f_x=0,
        f_pre=0,
        f_state=0,
        f_out=0,
        out_bits=16,
    )
    return IntegerNetwork((layer,), 8, 8)


def test_share_and_size() -> None:
    network = linear()
    inputs = np.array([[1.0], [100.0], [-300.0], [40.0]])
    trace = run_network(network, np.clip(inputs, -128, 127).astype(np.int64))
    found = {one.tensor: one for one in saturation(network, [Sequence(inputs, {})], [trace])}
    assert set(found) == {"x", "u"}
    assert (found["x"].values, found["x"].saturated) == (4, 1)
    assert found["x"].largest == 300 / 128
    assert (found["u"].values, found["u"].saturated) == (4, 2)
    assert found["u"].largest == 508 * 128 / 32768
    assert found["u"].line() == "out: u in 2 of 4 values (50 %), up to 1.98 times the range"
    assert found["u"].as_dict()["share"] == 0.5
    twice = {one.tensor: one for one in together([*found.values(), *found.values()])}
    assert (twice["u"].values, twice["u"].saturated) == (8, 4)


def test_nothing_saturates() -> None:
    network = linear()
    x = np.array([[1], [2]])
    assert saturation(network, [Sequence(x.astype(float), {})], [run_network(network, x)]) == []
