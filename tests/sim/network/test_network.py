"""The integer network: its checks, and its file."""

import contextlib
import dataclasses
import zipfile

import numpy as np
import pytest

from sparnn.sim.errors import SimulationError
from sparnn.sim.network.arrays import read_npz, write_npz
from sparnn.sim.network.network import GATES, IntegerLayer, IntegerNetwork


def layer(kind="lstm", inputs=3, units=2, **changes):
    rng = np.random.default_rng(3)
    rows = (GATES[kind], units)
    hidden = kind != "linear"
    fields = {
        "name": f"a {kind}",
        "kind": kind,
        "activation": "" if kind in ("lstm", "gru") else "tanh",
        "w_x": rng.integers(-127, 128, (*rows, inputs)),
        "w_h": rng.integers(-127, 128, (*rows, units)) if hidden else None,
        "f_x": 7, "f_pre": 11, "f_state": 12 if kind in ("lstm", "gru") else 0, "f_out": 7,
        "out_bits": 8,
    }  # fmt: skip
    for half in "xh":
        given = half == "x" or hidden
        fields[f"mult_{half}"] = rng.integers(16384, 32768, rows) if given else None
        fields[f"shift_{half}"] = rng.integers(0, 48, rows) if given else None
        fields[f"bias_{half}"] = rng.integers(-32768, 32768, rows) if given else None
    return IntegerLayer(**(fields | changes))


def head(**changes):
    return layer("linear", 2, 4, **({"f_out": 11, "out_bits": 16, "last_only": True} | changes))


def network(**changes):
    layers = (
        layer(initial_h=np.array([-128, 127]), initial_c=np.array([-32768, 32767])),
        layer("gru", 2, 2),
        layer("rnn", 2, 2, factors_h=np.array([[[1, 2]], [[3, 1]]])),
        layer("linear", 2, 2),
        head(),
    )
    return IntegerNetwork(**({"layers": layers, "weight_bits": 8, "activation_bits": 8} | changes))


def test_properties():
    one = layer("gru", inputs=5, units=4)
    assert (one.gates, one.units, one.inputs, one.has_hidden) == (3, 4, 5, True)
    assert not head().has_hidden
    assert network().input_sizes == {
        ("x", 0): 3,
        ("initial_h", 0): 2,
        ("initial_c", 0): 2,
        ("initial_h", 1): 2,
        ("initial_h", 2): 2,
    }


def test_arrays_are_copied_and_read_only():
    weights = np.zeros((1, 2, 3), np.int64)
    one = layer("rnn", w_x=weights)
    weights[:] = 1
    assert one.w_x.dtype == np.int32
    assert not one.w_x.any()
    with pytest.raises(ValueError, match="read-only"):
        one.w_x[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "tanh"}, "activation 'tanh'"),
        ({"f_x": 16}, "f_x is 16, it must be an integer -16 … 15"),
        ({"f_pre": -1}, "f_pre is -1, it must be an integer 0 … 15"),
        ({"f_state": 16}, "f_state is 16"),
        ({"f_out": -17}, "f_out is -17"),
        ({"f_out": 7.0}, "f_out is 7.0"),
        ({"out_bits": 17}, "out_bits is 17, it must be an integer 8 … 16"),
        ({"w_x": np.full((4, 2, 3), -32768)}, r"w_x\[0, 0, 0\] is -32768"),
        ({"w_x": np.zeros((4, 2, 3))}, "w_x has the type float64"),
        ({"w_x": np.zeros((4, 2), int)}, r"w_x has the shape \(4, 2\)"),
        ({"w_x": np.zeros((3, 2, 3), int)}, r"w_x has the shape \(3, 2, 3\)"),
        ({"w_x": np.zeros((4, 2, 0), int)}, "each at least 1"),
        ({"w_x": np.zeros((4, 2, 65537), int)}, "65537 inputs"),
        ({"w_h": np.zeros((4, 2, 3), int)}, "w_h has the shape"),
        ({"w_h": None}, "w_h has the shape None"),
        ({"mult_x": np.full((4, 2), 32768)}, r"mult_x\[0, 0\] is 32768, it must be 0 … 32767"),
        ({"mult_h": np.full((4, 2), -1)}, "mult_h.* is -1"),
        ({"shift_x": np.full((4, 2), 48)}, "shift_x.* is 48, it must be 0 … 47"),
        ({"bias_h": np.full((4, 2), 1 << 40)}, "bias_h.* is 1099511627776"),
        ({"bias_x": np.zeros(4, int)}, "bias_x has the shape"),
        ({"initial_h": np.array([0, 128])}, "initial_h holds 0 … 128, 8 bits hold -128 … 127"),
        ({"initial_c": np.array([0])}, "initial_c has the shape"),
        ({"factors_x": np.full((2, 4, 2), 4)}, r"factors_x\[0, 0, 0\] is 4, it must be 1 … 3"),
        ({"factors_h": np.zeros((2, 4, 2), int)}, "factors_h.* is 0, it must be 1 … 3"),
        ({"factors_h": np.ones((4, 2), int)}, r"factors_h has the shape \(4, 2\), it must be"),
        ({"threshold": np.ones(2, int)}, r"threshold has the shape \(2,\), it must be None"),
    ],
)
def test_impossible_layers_are_refused(changes, message):
    with pytest.raises(SimulationError, match=message):
        layer(**changes)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("linear", {"w_h": np.zeros((1, 2, 2), int)}, "must be None"),
        ("linear", {"initial_h": np.zeros(2, int)}, "must be None"),
        ("gru", {"initial_c": np.zeros(2, int)}, "must be None"),
        ("rnn", {"f_state": 3}, "it has no state, use 0"),
        ("rnn", {"activation": ""}, "activation ''"),
    ],
)
def test_what_a_kind_does_not_have_is_refused(kind, changes, message):
    with pytest.raises(SimulationError, match=message):
        layer(kind, **changes)


def test_unknown_kinds_are_refused():
    with pytest.raises(SimulationError, match="of kind 'cnn': use one of"):
        dataclasses.replace(layer(), kind="cnn")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight_bits": 3}, "weight_bits is 3"),
        ({"activation_bits": 17}, "activation_bits is 17"),
        ({"weight_bits": 7}, "w_x holds .* 7 bits hold -63 … 63"),
        ({"activation_bits": 9}, "8 output bits"),
        ({"layers": ()}, "no layers"),
        ({"layers": (head(),)}, "no layer comes before it"),
        ({"layers": (layer(), head(out_bits=8))}, "a final linear layer has 16"),
        ({"layers": (layer(), head(f_out=7))}, "they must be equal"),
        ({"layers": (layer(units=4), head())}, "reads 2 values of format 7, but .* gives 4"),
        ({"layers": (layer(f_out=6), head())}, "gives 2 of format 6"),
    ],
)
def test_impossible_networks_are_refused(changes, message):
    with pytest.raises(SimulationError, match=message):
        network(**changes)


def test_a_saved_network_is_the_same_network(tmp_path):
    one = network()
    one.save(tmp_path / "a.npz")
    network().save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.npz", "b.npz"}
    two = IntegerNetwork.load(tmp_path / "a.npz")
    assert (two.weight_bits, two.activation_bits) == (8, 8)
    assert len(two.layers) == len(one.layers)
    for mine, read in zip(one.layers, two.layers, strict=True):
        for field in dataclasses.fields(mine):
            expected, actual = getattr(mine, field.name), getattr(read, field.name)
            assert type(actual) is type(expected)
            assert np.array_equal(actual, expected), field.name


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "network.npz"
    network().save(path)
    whole = path.read_bytes()
    for length in (0, 1, 30, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(SimulationError, match="cannot be read as an npz"):
            IntegerNetwork.load(path)
    rng = np.random.default_rng(0)
    for _ in range(200):  # a changed byte is found, or changes nothing that counts
        changed = bytearray(whole)
        changed[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        with contextlib.suppress(SimulationError):
            IntegerNetwork.load(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "network.npz"
    with pytest.raises(SimulationError, match="is not a file"):
        IntegerNetwork.load(path)
    write_npz(path, {"x": np.zeros(3)})
    with pytest.raises(SimulationError, match="is not an integer network"):
        IntegerNetwork.load(path)
    for header in ("[]", "{}", "nonsense", '{"version": 2, "layers": [3]}'):
        write_npz(path, {"header": np.array(header)})
        with pytest.raises(SimulationError, match="is not an integer network"):
            IntegerNetwork.load(path)
    write_npz(path, {"header": np.array('{"version": 9}')})
    with pytest.raises(SimulationError, match="has the version 9, this sparnn reads 2"):
        IntegerNetwork.load(path)
    network().save(path)
    arrays = read_npz(path)
    write_npz(path, {name: a for name, a in arrays.items() if name != "1.mult_x"})
    with pytest.raises(SimulationError, match="layer 'a gru' lacks mult_x"):
        IntegerNetwork.load(path)
    write_npz(path, arrays | {"0.shift_h": arrays["0.shift_h"] + 40})
    with pytest.raises(SimulationError, match="holds an invalid network: layer 'a lstm': shift_h"):
        IntegerNetwork.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "text")
    with pytest.raises(SimulationError, match=r"'readme\.txt' is not an array"):
        IntegerNetwork.load(path)
