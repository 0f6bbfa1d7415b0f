"""The golden model against a slow scalar one, the true functions, and ONNX Runtime."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from sparnn.sim.errors import SimulationError
from sparnn.sim.golden import layers as golden
from sparnn.sim.golden.trace import TENSORS
from sparnn.sim.network.network import GATES, IntegerLayer, IntegerNetwork

KINDS = [
    ("lstm", ""),
    ("gru", ""),
    *(("rnn", a) for a in ("identity", "relu", "tanh", "sigmoid")),
    *(("linear", a) for a in ("identity", "relu", "tanh", "sigmoid")),
]

# The slow model: docs/numerics.md, one number at a time, in Python's integers and fractions.


def slow_rne(a, n):
    return round(Fraction(a, 2**n))  # Python rounds halves to even


def slow_saturate(a, bits):
    return max(-(2 ** (bits - 1)), min(2 ** (bits - 1) - 1, a))


def slow_table(i):
    return min(32767, round(math.tanh(i / 32) * 32768))


def slow_tanh15(z):
    m = min(abs(z), 32767)
    i, r = divmod(m, 128)
    t = slow_table(i) + ((slow_table(i + 1) - slow_table(i)) * r + 64) // 128
    return -t if z < 0 else t


def slow_norm(p, n):
    return slow_saturate(slow_rne(p, n) if n >= 0 else p * 2**-n, 16)


def slow_tanh(p, f):
    return slow_tanh15(slow_norm(p, f - 12))


def slow_sigmoid(p, f):
    return (32768 + slow_tanh15(slow_norm(p, f - 11))) // 2


def slow_row(layer, half, g, k, values):
    """Row g of unit k of the half x or h."""
    weights, mult, shift, bias = (
        getattr(layer, f"{name}_{half}")[g, k] for name in ("w", "mult", "shift", "bias")
    )
    acc = 0
    for weight, value in zip(weights.tolist(), values, strict=True):
        factors = getattr(layer, f"factors_{half}")
        if factors is not None:
            weight *= int(factors[0 if weight > 0 else 1, g, k])
        acc += weight * int(value)
    return slow_saturate(slow_rne(acc * int(mult), int(shift)) + int(bias), 16)


def slow_unit(layer, k, x, h, state):
    """One step of unit `k`: its new output and state."""
    rows = range(layer.gates)
    u = [slow_row(layer, "x", g, k, x) for g in rows]
    v = [0] * layer.gates
    if layer.has_hidden:
        v = [slow_row(layer, "h", g, k, h) for g in rows]
    pre = [slow_saturate(a + b, 16) for a, b in zip(u, v, strict=True)]
    fp, fs, fh = layer.f_pre, layer.f_state, layer.f_out

    def out(value, n):
        return slow_saturate(slow_rne(value, n), layer.out_bits)

    if layer.kind == "lstm":
        i, f, o = (slow_sigmoid(pre[g], fp) for g in (0, 1, 3))
        p = slow_rne(i * slow_tanh(pre[2], fp), 15 - fs)
        c = slow_saturate(slow_rne(f * state + p, 15), 16)
        return out(o * slow_tanh(c, fs), 30 - fh), c
    if layer.kind == "gru":
        r, z = slow_sigmoid(pre[0], fp), slow_sigmoid(pre[1], fp)
        n = slow_tanh(slow_saturate(u[2] + slow_rne(r * v[2], 15), 16), fp)
        s = slow_saturate(slow_rne(z * state + slow_rne((32768 - z) * n, 15 - fs), 15), 16)
        return out(s * 32768, 15 + fs - fh), s
    if layer.activation == "tanh":
        return out(slow_tanh(pre[0], fp) * 32768, 30 - fh), None
    if layer.activation == "sigmoid":
        return out(slow_sigmoid(pre[0], fp) * 32768, 30 - fh), None
    value = max(pre[0], 0) if layer.activation == "relu" else pre[0]
    return out(value * 32768, 15 + fp - fh), None


def slow_layer(layer, x, h, state):
    outputs, useful = [], 0
    for row in x:
        for weights, values in ((layer.w_x, row), (layer.w_h, h)):
            if weights is not None:
                rows = weights.reshape(-1, len(values))
                pairs = [pair for w in rows for pair in zip(w, values, strict=True)]
                useful += sum(1 for a, b in pairs if a != 0 and b != 0)
        units = [slow_unit(layer, k, row, h, state[k]) for k in range(layer.units)]
        h, state = [a for a, _ in units], [b for _, b in units]
        outputs.append(h)
    return outputs, state, useful


def random_layer(rng, kind, activation, **formats):
    """A layer of random integers with many extremes and zeros."""
    units, inputs = (int(n) for n in rng.integers(1, 5, 2))
    bits = int(rng.choice([4, 8, 16]))
    top = 2 ** (bits - 1) - 1

    def pick(shape, low, high, special):
        values = rng.integers(low, high + 1, shape)
        return np.where(rng.random(shape) < 0.4, rng.choice(special, shape), values)

    rows = (GATES[kind], units)
    fields = {"w_h": None, "mult_h": None, "shift_h": None, "bias_h": None}
    for half, columns in (("x", inputs), ("h", units)) if kind != "linear" else (("x", inputs),):
        fields[f"w_{half}"] = pick((*rows, columns), -top, top, [-top, top, 0])
        fields[f"mult_{half}"] = pick(rows, 0, 32767, [0, 1, 16384, 32767])
        # Mostly shifts that give pre-activations that do not saturate.
        fields[f"shift_{half}"] = pick(rows, bits + 8, bits + 20, [0, 1, 47, bits + 14])
        fields[f"bias_{half}"] = pick(rows, -2000, 2000, [-32768, 32767, 0])
        if rng.random() < 0.5:
            fields[f"factors_{half}"] = rng.integers(1, 4, (2, *rows))
    has_state = kind in ("lstm", "gru")
    fields |= {
        "f_x": int(rng.integers(-16, 16)),
        # Formats in which most values are neither zero nor saturated.
        "f_pre": int(rng.integers(9, 14)),
        "f_state": int(rng.integers(9, 16)) if has_state else 0,
        "f_out": int(rng.integers(5, 16)),
        "out_bits": int(rng.integers(8, 17)),
    }
    return IntegerLayer(kind, kind, activation, **(fields | formats))


def check_layer(rng, layer):
    low, high = -(2 ** (layer.out_bits - 1)), 2 ** (layer.out_bits - 1) - 1
    x = rng.integers(-32768, 32768, (int(rng.integers(1, 5)), layer.inputs))
    x[rng.random(x.shape) < 0.3] = rng.choice([0, -32768, 32767])
    h = rng.integers(low, high + 1, layer.units) if layer.has_hidden else None
    state = rng.integers(-32768, 32768, layer.units) if layer.kind in ("lstm", "gru") else None
    trace = golden.run_layer(layer, x, h, state)
    outputs, final, useful = slow_layer(
        layer,
        x.tolist(),
        [] if h is None else h.tolist(),
        [None] * layer.units if state is None else state.tolist(),
    )
    assert trace.outputs.tolist() == outputs
    assert trace.h.tolist() == outputs[-1]
    assert (trace.state is None) if state is None else (trace.state.tolist() == final)
    assert trace.useful_macs == useful


@pytest.mark.parametrize(("kind", "activation"), KINDS)
def test_layers_equal_the_slow_model(kind, activation):
    for seed in range(60):
        rng = np.random.default_rng(seed)
        check_layer(rng, random_layer(rng, kind, activation))


@pytest.mark.parametrize(("kind", "activation"), KINDS)
def test_every_format_equals_the_slow_model(kind, activation):
    rng = np.random.default_rng(1)
    for f in range(-16, 16):
        for formats in ({"f_out": f}, {"f_x": f}, {"f_pre": f}, {"f_state": f}):
            if (f < 0 and ("f_pre" in formats or "f_state" in formats)) or (
                "f_state" in formats and kind not in ("lstm", "gru")
            ):
                continue
            check_layer(rng, random_layer(rng, kind, activation, **formats))


def slow_predicted(layer, x):
    """A ReLU layer with thresholds, from zero: outputs, what is left out, useful pairs."""
    h, outputs, left_out, useful = [0] * layer.units, [], [], 0
    for values in x:
        row, kept = [], []
        for k in range(layer.units):
            v, bias = slow_row(layer, "h", 0, k, h), int(layer.bias_x[0, k])
            kept.append(slow_saturate(v + bias, 16) >= -int(layer.threshold[k]))
            u = slow_row(layer, "x", 0, k, values) if kept[k] else bias
            useful += sum(np.multiply(layer.w_h[0, k], h) != 0)
            useful += kept[k] * sum(np.multiply(layer.w_x[0, k], values) != 0)
            pre = max(slow_saturate(u + v, 16), 0)
            n = 15 + layer.f_pre - layer.f_out
            row.append(slow_saturate(slow_rne(pre * 32768, n), layer.out_bits))
        h = row
        outputs.append(row)
        left_out.append([not one for one in kept])
    return outputs, left_out, useful


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("limit", [0, 300, 32767])
def test_output_prediction_equals_the_slow_model(limit, reverse):
    rng = np.random.default_rng(limit)
    order = slice(None, None, -1 if reverse else 1)
    seen = 0
    for _ in range(30):
        layer = random_layer(rng, "rnn", "relu")
        threshold = rng.integers(0, limit + 1, layer.units)
        layer = replace(layer, threshold=threshold, reverse=reverse)
        x = rng.integers(-32768, 32768, (5, layer.inputs))
        x[rng.random(x.shape) < 0.4] = 0
        trace = golden.run_layer(layer, x)
        outputs, left_out, useful = slow_predicted(layer, x[order].tolist())
        assert trace.outputs.tolist() == outputs[order]
        assert trace.left_out.tolist() == left_out[order]
        assert trace.useful_macs == useful
        seen += trace.left_out.sum()
    assert seen > 0


@pytest.mark.parametrize("factor", [None, 3])
def test_extremes_do_not_overflow(factor):
    columns, full = 1 << 16, np.full((1, 1), 47)
    layer = IntegerLayer(
        "wide", "linear", "identity",
        np.full((1, 1, columns), -32767), None,
        np.full((1, 1), 32767), full, np.zeros((1, 1), int), None, None, None,
        0, 0, 0, 0, 16,
        factors_x=None if factor is None else np.full((2, 1, 1), factor),
    )  # fmt: skip
    trace = golden.run_layer(layer, np.full((1, columns), -32768))
    exact = slow_rne((factor or 1) * 32767 * 32768 * columns * 32767, 47)
    assert trace.outputs.tolist() == [[slow_saturate(exact, 16)]]
    assert trace.useful_macs == columns


@given(st.integers(-(2**61), 2**61), st.integers(0, 47))
@settings(max_examples=500, deadline=None)
def test_rne(a, n):
    assert golden.rne(a, n) == slow_rne(a, n)


@pytest.mark.parametrize("n", [*range(1, 48)])
def test_rne_ties_go_to_even(n):
    odd = np.arange(-9, 10, 2) * (1 << (n - 1))
    near = np.concatenate([odd - 1, odd, odd + 1])
    assert golden.rne(near, n).tolist() == [slow_rne(int(a), n) for a in near]
    assert np.all(golden.rne(odd, n) % 2 == 0)


def test_saturate():
    assert golden.saturate([-129, -128, 0, 127, 128], 8).tolist() == [-128, -128, 0, 127, 127]


@pytest.mark.parametrize("f", range(16))
def test_functions_are_close_for_every_input(f):
    p = np.arange(-32768, 32768)
    real = p * 2.0**-f
    hyperbolic, logistic = golden.tanh(p, f), golden.sigmoid(p, f)
    assert np.abs(hyperbolic / 32768 - np.tanh(real)).max() < 2**-10
    assert np.abs(logistic / 32768 - 0.5 * (1 + np.tanh(real / 2))).max() < 2**-10
    assert hyperbolic.min() >= -32767
    assert hyperbolic.max() <= 32767
    assert logistic.min() >= 0
    assert logistic.max() <= 32767
    for values in (hyperbolic, logistic):
        assert np.all(np.diff(values) >= 0)
    sample = p[:: 257 + f]
    assert golden.tanh(sample, f).tolist() == [slow_tanh(int(a), f) for a in sample]
    assert golden.sigmoid(sample, f).tolist() == [slow_sigmoid(int(a), f) for a in sample]


def one_unit(kind="rnn", **changes):
    """Weights and scales of one: u is the input itself, v the hidden state."""
    rows = (GATES[kind], 1)
    half = {"mult": np.full(rows, 16384), "shift": np.full(rows, 14), "bias": np.zeros(rows, int)}
    hidden = kind != "linear"
    fields = {
        "w_x": np.ones((*rows, 1), int),
        "w_h": np.ones((*rows, 1), int) if hidden else None,
        **{f"{name}_x": value for name, value in half.items()},
        **{f"{name}_h": value if hidden else None for name, value in half.items()},
        "f_x": 0, "f_pre": 0, "f_state": 0, "f_out": 0, "out_bits": 8,
    }  # fmt: skip
    activation = "" if kind == "gru" else "identity"
    return IntegerLayer(kind, kind, activation, **(fields | changes))


def test_saturations_are_counted_per_tensor():
    trace = golden.run_layer(one_unit(), np.array([[100], [27], [1], [-300]]))
    assert trace.outputs[:, 0].tolist() == [100, 127, 127, -128]
    assert trace.saturated == {"u": 0, "v": 0, "pre": 0, "state": 0, "h": 2, "sum": 0}
    wide = one_unit(shift_x=np.full((1, 1), 0), bias_h=np.full((1, 1), 32767), out_bits=16)
    trace = golden.run_layer(wide, np.array([[2], [2]]))
    assert trace.saturated == {"u": 2, "v": 1, "pre": 2, "state": 0, "h": 0, "sum": 0}


def test_gru_state_starts_from_h():
    layer = one_unit("gru", f_out=5, f_state=13, out_bits=16, initial_h=np.array([31]))
    # z is nearly 1 for a large input: the state is kept, in all its bits.
    far = np.array([[2000]])
    assert golden.run_layer(layer, far).state.tolist() == [31 * 256]
    assert golden.run_layer(layer, far, np.array([500])).state.tolist() == [32766]
    fine = one_unit("gru", f_out=15, f_state=13, out_bits=16)
    assert golden.run_layer(fine, far, np.array([6])).state.tolist() == [2]
    assert golden.run_layer(fine, far, np.array([6]), np.array([77])).state.tolist() == [77]


def test_a_sequence_may_be_cut_anywhere():
    rng = np.random.default_rng(4)
    for kind in ("lstm", "gru", "rnn"):
        layer = random_layer(rng, kind, "tanh" if kind == "rnn" else "")
        x = rng.integers(-128, 128, (600, layer.inputs))  # longer than two blocks
        whole = golden.run_layer(layer, x)
        first = golden.run_layer(layer, x[:300])
        second = golden.run_layer(layer, x[300:], first.h, first.state)
        assert np.array_equal(whole.outputs, np.vstack([first.outputs, second.outputs]))
        assert whole.useful_macs == first.useful_macs + second.useful_macs
        assert whole.saturated == {
            name: first.saturated[name] + second.saturated[name] for name in TENSORS
        }


def test_network_chains_layers_and_reads_the_last_step():
    head = one_unit("linear", w_x=np.full((1, 1, 1), 3), last_only=True, out_bits=16)
    network = IntegerNetwork((one_unit(), head), 8, 8)
    steps = []
    trace = golden.run_network(network, np.array([[1], [2], [0]]), advance=steps.append)
    assert trace.output(0, "sequence")[:, 0].tolist() == [1, 3, 3]
    assert trace.output(1, "sequence").tolist() == [[9]]
    assert trace.output(1, "last").tolist() == [9]
    assert trace.output(0, "state_h").tolist() == [3]
    assert trace.useful_macs == 2 + 2 + 1
    assert steps == [1, 1, 1]
    given_h = golden.run_network(network, np.array([[1]]), {("initial_h", 0): np.array([10])})
    assert given_h.output(1, "last").tolist() == [33]
    with pytest.raises(SimulationError, match="state_c"):
        trace.output(0, "state_c")


@pytest.mark.parametrize(
    ("x", "initial", "message"),
    [
        (np.array([[128]]), {}, r"x holds 128 … 128: 8 bits hold -128 … 127"),
        (np.array([[1.0]]), {}, "float64"),
        (np.zeros((0, 1), int), {}, "at least one step"),
        (np.zeros((3, 2), int), {}, r"integers \[steps, 1\]"),
        (np.zeros(3, int), {}, r"integers \[steps, 1\]"),
        (np.zeros((1, 1), int), {("initial_h", 0): np.array([200])}, "8 bits hold"),
        (np.zeros((1, 1), int), {("initial_c", 0): np.array([2])}, "takes no such initial state"),
        (np.zeros((1, 1), int), {("initial_h", 3): np.array([2])}, "layer 3 has no initial_h"),
    ],
)
def test_unsuitable_inputs_are_refused(x, initial, message):
    with pytest.raises(SimulationError, match=message):
        golden.run_network(IntegerNetwork((one_unit(),), 8, 8), x, initial)


# Cell equations and gate order against ONNX Runtime, with 16-bit weights and activations.


def quantized_half(W, b, f_x, f_pre):
    """Weight integers and mult, shift, bias for real rows [gates, units, columns]."""
    scale = np.abs(W).max(axis=2) / 32767
    real = scale * 2.0 ** (f_pre - f_x)
    shift = (14 - np.floor(np.log2(real))).astype(int)
    mult = np.minimum(32767, np.rint(real * 2.0**shift).astype(int))
    return (
        np.rint(W / scale[..., None]).astype(int),
        mult,
        shift,
        np.rint(b * 2.0**f_pre).astype(int),
    )


def run_onnx(op, x, W, R, B, h0, c0, **attributes):
    names = ["x", "W", "R", "B", "", "h0", *(["c0"] if op == "LSTM" else [])]
    node = helper.make_node(op, names, ["y"], hidden_size=R.shape[2], **attributes)
    given = {"W": W, "R": R, "B": B, "h0": h0[None, None], "c0": c0[None, None]}
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            onnx.numpy_helper.from_array(v.astype(np.float32), n)
            for n, v in given.items()
            if n in names
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": x[:, None].astype(np.float32)})[0][:, 0, 0]


@pytest.mark.parametrize(
    ("kind", "activation", "op", "order", "attributes"),
    [
        ("lstm", "", "LSTM", [0, 2, 3, 1], {}),  # ONNX: i, o, f, c
        ("gru", "", "GRU", [1, 0, 2], {"linear_before_reset": 1}),  # ONNX: z, r, h
        ("rnn", "tanh", "RNN", [0], {}),
        ("rnn", "relu", "RNN", [0], {"activations": ["Relu"]}),
    ],
)
def test_cells_equal_onnx_runtime(kind, activation, op, order, attributes):
    rng = np.random.default_rng(7)
    gates, units, inputs, steps = len(order), 12, 9, 40
    W = rng.normal(0, 0.5, (gates, units, inputs))
    R = rng.normal(0, 0.25, (gates, units, units))
    B = rng.normal(0, 0.5, (2, gates, units))
    x = rng.uniform(-1, 1, (steps, inputs))
    h0, c0 = rng.uniform(-0.9, 0.9, (2, units))
    B_onnx = B.reshape(1, -1)
    flat = {"W": W.reshape(1, -1, inputs), "R": R.reshape(1, -1, units), "B": B_onnx}
    expected = run_onnx(op, x, *flat.values(), h0, c0, **attributes)

    # Plain RNNs reach a few units, the outputs of the others stay within 1.
    f_x, f_pre, f_out = 15, 11, 11 if activation == "relu" else 15
    f_state = {"lstm": 12, "gru": 15}.get(kind, 0)
    b_x, b_h = B[0][order], B[1][order]
    both = np.array([not (kind == "gru" and g == 2) for g in range(gates)])[:, None]
    half_x = quantized_half(W[order], b_x + both * b_h, f_x, f_pre)
    half_h = quantized_half(R[order], b_h * ~both, f_out, f_pre)
    names = ("w", "mult", "shift", "bias")
    layer = IntegerLayer(
        kind, kind, activation,
        **{f"{n}_x": v for n, v in zip(names, half_x, strict=True)},
        **{f"{n}_h": v for n, v in zip(names, half_h, strict=True)},
        f_x=f_x, f_pre=f_pre, f_state=f_state, f_out=f_out, out_bits=16,
        initial_h=np.rint(h0 * 2.0**f_out).astype(int),
        initial_c=np.rint(c0 * 2.0**f_state).astype(int) if kind == "lstm" else None,
    )  # fmt: skip
    trace = golden.run_layer(layer, golden.saturate(np.rint(x * 2.0**f_x), 16))
    assert not any(trace.saturated.values())
    assert np.abs(trace.outputs * 2.0**-f_out - expected).max() < 2e-3
    assert np.abs(expected).max() > 0.5
