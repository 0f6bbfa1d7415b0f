"""Thresholds of differences: what is asked for, what is chosen, and what is then sent."""

from pathlib import Path

import numpy as np
import pytest

from sparnn.gen.bench.random_networks import random_config, random_network, random_thresholds
from sparnn.gen.errors import SparnnError
from sparnn.gen.estimate.cycles import loop_cycles
from sparnn.gen.graph.read import read_model
from sparnn.gen.machines.shared.steps import single_steps
from sparnn.gen.machines.sparse.place import place
from sparnn.gen.quantize.activity import measure_activity
from sparnn.gen.quantize.deltas import DeltaChoice, delta_lines, parse_delta, with_thresholds
from sparnn.gen.quantize.features import quantize_best
from sparnn.gen.quantize.formats import sqnr_db
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.run import quantize_sequence
from sparnn.sim.network.arrays import Sequence


@pytest.mark.parametrize(
    ("delta", "db", "choice"),
    [
        (None, None, None),
        ("0", None, DeltaChoice(0.0)),
        ("0.02", None, DeltaChoice(0.02)),
        ("auto", None, DeltaChoice(None, 30.0)),
        ("auto", 20.0, DeltaChoice(None, 20.0)),
    ],
)
def test_what_is_asked_for(delta, db, choice):
    assert parse_delta(delta, db) == choice


@pytest.mark.parametrize(
    ("delta", "db", "message"),
    [
        ("much", None, "--delta much is neither auto nor a threshold"),
        ("-0.1", None, "give a number from 0 on"),
        ("nan", None, "give a number from 0 on"),
        ("inf", None, "give a number from 0 on"),
        (None, 20.0, "add --delta auto"),
        ("0", 20.0, "add --delta auto"),
    ],
)
def test_what_is_refused(delta, db, message):
    with pytest.raises(SparnnError, match=message):
        parse_delta(delta, db)


@pytest.fixture(scope="module")
def fitted():
    folder = Path("examples/digits")
    part = read_model(folder / "lstm.onnx", folder / "calibrate.npz").parts[0]
    return quantize_best(part.network, part.sequences[:12], 8, 8)


def chosen(fitted, choice):
    return with_thresholds(fitted, choice, single_steps(fitted.quantized.network))


def test_a_number_is_one_in_every_format(fitted):
    network = chosen(fitted, DeltaChoice(0.1)).quantized.network
    layer = network.layers[0]
    assert layer.delta_x == int(0.1 * 2**layer.f_x) > 0
    assert layer.delta_h == int(0.1 * 2**layer.f_out) > 0
    assert network.layers[-1].delta_x == 0  # of the last step alone
    with pytest.raises(SparnnError, match=r"layer 'lstm' holds x up to .* or --delta auto"):
        chosen(fitted, DeltaChoice(100.0))
    wide = quantize_best(fitted.network, fitted.sequences[:2], 8, 16)
    with pytest.raises(SparnnError, match="name at most --activation-bits 15"):
        chosen(wide, DeltaChoice(0.0))


def test_chosen_thresholds_keep_what_was_asked_for(fitted):
    shares = []
    for db in (40.0, 15.0):
        found = chosen(fitted, DeltaChoice(None, db))
        outputs = [
            np.concatenate(
                [
                    run_network(network, fed.x, fed.initial).layers[-1].sequence
                    for fed in (quantize_sequence(network, one) for one in fitted.compared())
                ]
            ).astype(np.float64)
            for network in (fitted.quantized.network, found.quantized.network)
        ]
        assert sqnr_db(*outputs) >= db
        activity = measure_activity(found.quantized.network, fitted.compared())
        shares.append(np.mean(activity.sent[0][1]))
        lines = delta_lines(found.quantized.network, activity)
        assert lines[0].startswith("lstm: ")
        assert f"{100 * shares[-1]:.1f} % of h sent" in lines[0]
    assert shares[1] < shares[0] < 1


@pytest.mark.parametrize("seed", range(30))
def test_what_is_sent_is_what_the_golden_model_multiplies(seed):
    rng = np.random.default_rng(seed)
    config = random_config(rng, activation_bits=8, delta=1)
    network = random_thresholds(rng, random_network(rng, config))
    layer = network.layers[0]
    moves = rng.integers(-6, 7, (9, layer.inputs))
    sequence = Sequence(np.ldexp(np.cumsum(moves, axis=0), -layer.f_x), {})
    fed = quantize_sequence(network, sequence)
    useful = run_network(network, fed.x, fed.initial).useful_macs
    sent = measure_activity(network, [sequence]).sent
    pairs = 0
    for one, (x, h) in zip(network.layers, sent, strict=True):
        pairs += int(x.sum(axis=0) @ np.count_nonzero(one.w_x, axis=(0, 1)))
        if h is not None:
            pairs += int(h.sum(axis=0) @ np.count_nonzero(one.w_h, axis=(0, 1)))
    assert pairs == useful


def test_what_is_not_sent_takes_no_cycles(fitted):
    """The estimate, and the balance before it, are of what is sent."""
    steady = []
    for real in (0.0, 0.5):
        network = chosen(fitted, DeltaChoice(real)).quantized.network
        activity = measure_activity(network, fitted.compared())
        placed = place(network, SparseConfig(delta=1), fit=True, activity=activity)
        steady.append(loop_cycles(placed, activity)[0].steady)
    assert steady[1] < 0.7 * steady[0]
