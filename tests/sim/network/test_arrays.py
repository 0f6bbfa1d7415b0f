"""Input files and layouts."""

import os

import numpy as np
import pytest

from sparnn.sim.errors import SimulationError
from sparnn.sim.network.arrays import (
    assemble_outputs,
    dequantize,
    load_inputs,
    quantize,
    read_npz,
    write_npz,
)


def x_input(*axes, name="x"):
    return {"name": name, "role": "x", "layer": 0, "axes": list(axes), "f": 7}


def state_input(*axes, name="h0"):
    return {"name": name, "role": "initial_h", "layer": 1, "axes": list(axes), "f": 7}


def layout(*inputs, outputs=()):
    return {"inputs": list(inputs), "outputs": list(outputs)}


PLAIN = layout(x_input("batch", "time", "feature"))
SIZES = {("x", 0): 3, ("initial_h", 1): 2}
X = np.arange(24.0).reshape(2, 4, 3)  # [batch, time, feature]


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("axes", "array"),
    [
        (("batch", "time", "feature"), X),
        (("time", "batch", "feature"), X.swapaxes(0, 1)),
        (("feature", "time", "batch"), X.T),
        (("batch", "direction", "time", "feature"), X[:, None]),
    ],
)
def test_any_order_of_axes(tmp_path, axes, array):
    path = save(tmp_path / "x.npz", x=array)
    sequences = load_inputs(path, layout(x_input(*axes)), SIZES)
    assert [s.initial for s in sequences] == [{}, {}]
    assert np.array_equal(np.stack([s.x for s in sequences]), X)


@pytest.mark.parametrize(
    ("axes", "array", "expected"),
    [
        (("time", "feature"), X[0], X[:1]),
        (("batch", "feature"), X[:, 0], X[:, :1]),
        (("feature",), X[0, 0], X[:1, :1]),
        (("time",), X[0, :, 0], X[:1, :, :1]),
        ((), X[1, 1, 1], X[1:, 1:2, 1:2]),
    ],
)
def test_missing_axes_have_size_one(tmp_path, axes, array, expected):
    path = save(tmp_path / "x.npz", x=array)
    sequences = load_inputs(path, layout(x_input(*axes)))
    assert np.array_equal(np.stack([s.x for s in sequences]), expected)


def test_initial_states(tmp_path):
    h = np.array([[[1.0, 2], [3, 4]]])
    io = layout(x_input("batch", "time", "feature"), state_input("direction", "batch", "feature"))
    sequences = load_inputs(save(tmp_path / "x.npz", x=X, h0=h), io, SIZES)
    assert [s.initial["initial_h", 1].tolist() for s in sequences] == [[1, 2], [3, 4]]
    shared = layout(x_input("batch", "time", "feature"), state_input("feature"))
    sequences = load_inputs(save(tmp_path / "x.npz", x=X, h0=h[0, 0]), shared, SIZES)
    assert [s.initial["initial_h", 1].tolist() for s in sequences] == [[1, 2], [1, 2]]


def test_names(tmp_path):
    io = layout(x_input("batch", "time", "feature", name="in/put:0"))
    for name in ("x", "in/put:0"):
        write_npz(tmp_path / "x.npz", {name: X, "labels": np.array(["a", "b"])})
        assert len(load_inputs(tmp_path / "x.npz", io, SIZES)) == 2
    write_npz(tmp_path / "x.npz", {"x": X, "in/put:0": X})
    with pytest.raises(SimulationError, match="holds 'x' as well"):
        load_inputs(tmp_path / "x.npz", io)
    two = layout(
        x_input("batch", "time", "feature", name="in"), state_input("batch", "feature", name="h")
    )
    with pytest.raises(SimulationError, match=r"lacks 'in': it must hold .* 'in', 'h'"):
        load_inputs(save(tmp_path / "x.npz", x=X, h=X[:, 0, :2]), two)


def changed(value, index=(1, 2, 0)):
    array = X.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (changed(np.nan), r"array 'x' holds nan at index \(1, 2, 0\)"),
        (changed(-np.inf), r"holds -inf at index \(1, 2, 0\)"),
        (changed(1e39), r"holds 1e\+39 at index .* within ±3\.403e\+38"),
        (X[0], r"has the shape \(4, 3\): the model takes 3 axes, \[batch, time, feature\]"),
        (X[:, :, :2], r"2 along feature of \[batch, time, feature\]: the model takes 3"),
        (X[:, :0], "no steps"),
        (X[:0], "no sequences"),
        (X.astype(complex), "has the type complex128"),
        (X.astype(str), "has the type <U"),
        (X > 3, "has the type bool"),
        (X.astype("datetime64[s]"), "has the type datetime64"),
        (X.astype(object), "without object arrays"),
    ],
)
def test_unsuitable_arrays_are_refused(tmp_path, array, message):
    path = save(tmp_path / "x.npz", x=array)
    with pytest.raises(SimulationError, match=message) as caught:
        load_inputs(path, PLAIN, SIZES)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["i1", "u8", "f2", "f4", ">f8", "g"])
def test_all_real_types_are_taken(tmp_path, dtype):
    (first, _) = load_inputs(save(tmp_path / "x.npz", x=X.astype(dtype)), PLAIN, SIZES)
    assert first.x.dtype == np.float64
    assert np.array_equal(first.x, X[0])


def test_batches_must_agree(tmp_path):
    io = layout(x_input("batch", "time", "feature"), state_input("batch", "feature"))
    with pytest.raises(SimulationError, match="'h0' holds 3 sequences and 'x' 2"):
        load_inputs(save(tmp_path / "x.npz", x=X, h0=np.zeros((3, 2))), io, SIZES)
    direction = layout(x_input("batch", "time", "feature"), state_input("direction", "feature"))
    with pytest.raises(SimulationError, match="2 along direction"):
        load_inputs(save(tmp_path / "x.npz", x=X, h0=np.zeros((2, 2))), direction, SIZES)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    for wrong in (path, tmp_path):
        with pytest.raises(SimulationError, match="is not a file: give an npz file"):
            load_inputs(wrong, PLAIN)
    path.write_text("not an archive")
    with pytest.raises(SimulationError, match="cannot be read as an npz"):
        load_inputs(path, PLAIN)
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(SimulationError, match="it is a single array, an npy file"):
        load_inputs(tmp_path / "x.npy", PLAIN)
    with pytest.raises(SimulationError, match="lacks 'x'"):
        load_inputs(save(path), PLAIN)
    with pytest.raises(SimulationError, match="holds 'y', 'z' as well"):
        load_inputs(save(path, x=X, z=X, y=X), PLAIN)


def test_layouts_that_make_no_sense_are_refused(tmp_path):
    path = save(tmp_path / "x.npz", x=X, h0=X)
    for axes in (("batch", "batch", "feature"), ("batch", "row", "feature")):
        with pytest.raises(SimulationError, match="the manifest gives it the axes"):
            load_inputs(path, layout(x_input(*axes), state_input("feature")))
    with pytest.raises(SimulationError, match="initial_h has at most"):
        load_inputs(path, layout(x_input("batch", "time", "feature"), state_input("time")))
    with pytest.raises(SimulationError, match="no input with role 'x'"):
        load_inputs(path, layout(state_input("feature")))


def test_quantize_rounds_to_even_and_saturates():
    values = np.array([0.25, 0.75, 1.25, -0.25, -0.75, 63.6, 63.75, -64.0, -64.3, 1e300])
    integers, saturated = quantize(values, 1, 8)
    assert integers.tolist() == [0, 2, 2, 0, -2, 127, 127, -128, -128, 127]
    assert saturated == 3
    assert quantize(np.array([np.float32(3.5) * 2**16]), -16, 8)[0].tolist() == [4]
    every = np.arange(-32768, 32768)
    for f in range(-16, 16):
        again, saturated = quantize(dequantize(every, f), f, 16)
        assert saturated == 0
        assert np.array_equal(again, every)


def output(what, *axes, name="y", f=4):
    return {"name": name, "layer": 0, "what": what, "axes": list(axes), "f": f}


def test_outputs_take_the_models_layout():
    sequence = np.arange(24).reshape(2, 4, 3)
    io = layout(
        outputs=(
            output("sequence", "time", "direction", "batch", "feature", name="y"),
            output("last", "batch", "feature", name="file"),
            output("state_c", "direction", "batch", "feature", name="c", f=-1),
        )
    )
    got = assemble_outputs(io, [{"y": s, "file": s[-1], "c": s[0]} for s in sequence])
    assert {name: a.dtype for name, a in got.items()} == dict.fromkeys(("y", "file", "c"), "f4")
    assert np.array_equal(got["y"], sequence.swapaxes(0, 1)[:, None] / 16)
    assert np.array_equal(got["file"], sequence[:, -1] / 16)
    assert np.array_equal(got["c"], sequence[None, :, 0] * 2)


def test_outputs_without_an_axis():
    one = [{"y": np.array([[16], [32]])}]
    assert assemble_outputs(layout(outputs=[output("sequence", "time")]), one)["y"].tolist() == [
        1.0,
        2.0,
    ]
    with pytest.raises(SimulationError, match="has no batch axis, but 2 elements"):
        assemble_outputs(layout(outputs=[output("sequence", "time", "feature")]), one * 2)
    with pytest.raises(SimulationError, match="has no time axis, but 2 elements"):
        assemble_outputs(layout(outputs=[output("sequence", "batch", "feature")]), one)


def test_written_files_read_back(tmp_path):
    arrays = {"file": X, "a/b:0": np.float32(3), "empty": np.zeros((0, 2), np.int8)}
    path = tmp_path / "y.npz"
    path.write_text("old")
    write_npz(path, arrays)
    assert [p.name for p in tmp_path.iterdir()] == ["y.npz"]
    again = read_npz(path)
    assert set(again) == set(arrays)
    for name, array in arrays.items():
        assert again[name].dtype == array.dtype
        assert np.array_equal(again[name], array)


def test_unwritable_files_are_refused(tmp_path):
    with pytest.raises(SimulationError, match="cannot be written"):
        write_npz(tmp_path / "no" / "y.npz", {"x": X})
    for other in (tmp_path, os.devnull):
        with pytest.raises(SimulationError, match="is not a regular file"):
            write_npz(other, {"x": X})
    path = tmp_path / "y.npz"
    path.write_text("old")
    with pytest.raises(ValueError, match="Object arrays"):
        write_npz(path, {"x": np.array([{}])})
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["y.npz"]
