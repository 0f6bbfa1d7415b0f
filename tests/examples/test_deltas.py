"""Every example with thresholds of 0: the bits of the ordinary network; one of them in Verilog."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparnn.gen.compile import compile_model
from sparnn.gen.graph.read import read_model
from sparnn.gen.machines.shared.steps import single_steps
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.deltas import DeltaChoice, with_thresholds
from sparnn.gen.quantize.features import Fitted
from sparnn.gen.quantize.quantize import quantize
from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.run import quantize_sequence
from sparnn.sim.runner import simulate
from sparnn.sim.session.golden import run_golden

EXAMPLES = Path(__file__).parents[2] / "examples"
#: All of the folder but what has no recurrent layer.
MODELS = [
    *(f"digits/{name}" for name in ("lstm", "lstm_pruned60", "gru", "rnn_relu", "rnn_tanh")),
    *("rnnoise/rnnoise", "silero/lstm", "vowels/rnn", "vowels/rnn_pruned33"),
]


@pytest.mark.parametrize("name", MODELS)
def test_thresholds_of_zero(name):
    model = EXAMPLES / f"{name}.onnx"
    for part in read_model(model, model.parent / "calibrate.npz").parts:
        sequences = [replace(one, x=one.x[:48]) for one in part.sequences[:2]]
        quantized = quantize(part.network, calibrate(part.network, sequences), 8, 8)
        fitted = Fitted(part.network, sequences, quantized)
        plain = quantized.network
        single = single_steps(plain)
        delta = with_thresholds(fitted, DeltaChoice(0.0), single).quantized.network
        for one in sequences:
            fed = quantize_sequence(plain, one)
            traces = [run_network(network, fed.x, fed.initial) for network in (plain, delta)]
            for a, b in zip(traces[0].layers, traces[1].layers, strict=True):
                assert np.array_equal(a.sequence, b.sequence)
                assert np.array_equal(a.h, b.h)


@pytest.mark.deep
def test_the_machine_with_thresholds_of_zero(tmp_path):
    """What the RTL of `compile --delta 0` computes is what the ordinary golden model does."""
    samples = EXAMPLES / "digits" / "calibrate.npz"
    with np.load(samples) as arrays:
        few = {name: array[:6] for name, array in arrays.items()}
    assert {array.shape[0] for array in few.values()} == {6}
    np.savez(tmp_path / "few.npz", **few)
    for delta in (None, "0"):
        compile_model(
            EXAMPLES / "digits" / "gru.onnx", samples, tmp_path / f"out{delta}", delta=delta
        )
    report = simulate(tmp_path / "out0", tmp_path / "few.npz", output=tmp_path / "rtl.npz")
    assert report.bit_exact
    run_golden(tmp_path / "outNone", tmp_path / "few.npz", tmp_path / "golden.npz")
    with np.load(tmp_path / "rtl.npz") as rtl, np.load(tmp_path / "golden.npz") as golden:
        assert {*rtl} == {*golden}
        assert all(np.array_equal(rtl[key], golden[key]) for key in rtl)
