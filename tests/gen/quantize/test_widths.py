"""Widths that are chosen, ways of calibrating, and what each tensor costs."""

import numpy as np
import pytest

from sparnn.gen.bench.estimate import drawn_network
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.presets import named_widths
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.calibration import parse_calibration
from sparnn.gen.quantize.features import quantize_best
from sparnn.gen.quantize.quantize import quantize
from sparnn.gen.quantize.sensitivity import sensitivity
from sparnn.gen.quantize.widths import Wanted, choose_widths
from sparnn.sim.network.arrays import Sequence

RNG = np.random.default_rng(0)
NETWORK = drawn_network([("gru", 12), ("linear", 5)], 6, 1.0, 1)
PLAIN = [Sequence(RNG.normal(size=(24, 6)), {}) for _ in range(3)]
#: Magnitudes of a spectrum: the largest is some 500 times the median.
SPECTRUM = [Sequence(np.exp(2.3 * RNG.normal(size=(40, 6))) / 20, {}) for _ in range(3)]


def test_eight_bits_stay_where_they_are_enough() -> None:
    chosen = choose_widths([(NETWORK, PLAIN)], Wanted())
    assert (chosen.weight_bits, chosen.activation_bits) == (8, 8)
    assert chosen.reached
    assert not chosen.widened
    assert "with weights of 8 and activations of 8 bits" in chosen.lines()[0]


def test_a_wide_range_gets_the_bits_that_it_needs() -> None:
    largest = max(np.abs(one.x).max() for one in SPECTRUM)
    assert largest > 400 * np.median(np.abs(SPECTRUM[0].x))
    narrow = quantize_best(NETWORK, SPECTRUM, 8, 8)
    chosen = choose_widths([(NETWORK, SPECTRUM)], Wanted())
    assert narrow.output_db < 30 <= chosen.sqnr_db
    assert chosen.activation_bits > 8
    assert chosen.widened
    assert f"8 and 8 bits give {narrow.output_db:.1f} dB" in chosen.lines()[0]


@pytest.mark.parametrize("db", [20.0, 40.0])
def test_the_cheapest_widths_that_keep_what_is_asked_for(db: float) -> None:
    wanted = Wanted(sqnr_db=db, cheapest=True)
    chosen = choose_widths([(NETWORK, PLAIN)], wanted)
    assert chosen.sqnr_db >= db
    total = chosen.weight_bits + chosen.activation_bits
    for weights in range(4, 17):
        for activations in range(8, total - weights):
            assert quantize_best(NETWORK, PLAIN, weights, activations).output_db < db


def test_named_bits_stay_and_the_others_follow() -> None:
    wanted = Wanted(sqnr_db=35, activation_bits=12, activations_fixed=True, cheapest=True)
    chosen = choose_widths([(NETWORK, PLAIN)], wanted)
    assert chosen.activation_bits == 12
    assert chosen.reached
    assert quantize_best(NETWORK, PLAIN, chosen.weight_bits - 1, 12).output_db < 35
    few = Wanted(sqnr_db=60, weight_bits=4, weights_fixed=True)
    chosen = choose_widths([(NETWORK, PLAIN)], few)
    assert chosen.weight_bits == 4
    assert not chosen.reached
    assert "the bits of weights were named" in chosen.lines()[-1]


def test_what_no_width_reaches_is_said() -> None:
    chosen = choose_widths([(NETWORK, PLAIN)], Wanted(sqnr_db=100))
    assert not chosen.reached
    assert chosen.sqnr_db >= quantize_best(NETWORK, PLAIN, 16, 16).output_db - 0.5
    assert "no width reaches" in chosen.lines()[-1]


def test_networks_on_one_machine_have_its_widths() -> None:
    chosen = choose_widths([(NETWORK, PLAIN), (NETWORK, SPECTRUM)], Wanted())
    assert chosen.sqnr_db == min(one.output_db for one in chosen.networks)
    assert {one.quantized.network.activation_bits for one in chosen.networks} == {
        chosen.activation_bits
    }


def test_what_a_config_settles(tmp_path) -> None:
    both = {"weight_bits", "activation_bits"}
    assert named_widths(None) == set()
    assert named_widths("m64") == set()
    assert named_widths("masr") == both
    assert named_widths(str(tmp_path / "machine.toml")) == both


def test_ways_of_calibrating() -> None:
    ranges = calibrate(NETWORK, SPECTRUM)
    made = {
        text: quantize(NETWORK, ranges, calibration=parse_calibration(text))
        for text in ("max", "percentile:99", "mse")
    }
    x = {text: one.tensors[0] for text, one in made.items()}
    assert x["max"].saturated == 0
    assert 0 < x["percentile:99"].saturated < 0.02
    assert x["mse"].sqnr_db >= max(one.sqnr_db for one in x.values()) - 1e-9
    assert quantize(NETWORK, ranges).tensors == made["mse"].tensors
    assert str(parse_calibration("percentile")) == "percentile:99.99"


@pytest.mark.parametrize("text", ["mean", "max:3", "percentile:", "percentile:20", "mse:1"])
def test_unknown_ways_are_refused(text: str) -> None:
    with pytest.raises(SparnnError, match="use mse, max, percentile"):
        parse_calibration(text)


def test_sensitivity() -> None:
    fitted = quantize_best(NETWORK, SPECTRUM, 12, 8)
    found = {(one.layer, one.tensor): one for one in sensitivity(fitted)}
    assert set(found) == {
        ("layer0", "x"),
        ("layer0", "weights"),
        ("layer0", "h"),
        ("layer1", "weights"),
        ("layer1", "h"),
    }
    worst = sensitivity(fitted)[0]
    assert worst.tensor == "x"
    # All noise together is more than that of any one, and not much more than that of the worst.
    assert fitted.output_db < worst.sqnr_db + 1
    assert fitted.output_db > worst.sqnr_db - 6
    wider = {
        (one.layer, one.tensor): one for one in sensitivity(quantize_best(NETWORK, SPECTRUM, 14, 8))
    }
    assert wider["layer0", "weights"].sqnr_db > found["layer0", "weights"].sqnr_db + 9
