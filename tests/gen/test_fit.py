"""The resource model and the machine that is picked with it."""

import math
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sparnn.gen.errors import SparnnError
from sparnn.gen.fit import fit, smallest_machine
from sparnn.gen.fit_calibrate import CONFIGURATIONS, DATA
from sparnn.gen.fit_model import errors, memories, predict
from sparnn.gen.layout import lay_out
from sparnn.gen.pack import pack_network
from sparnn.gen.program import build_program
from sparnn.gen.random_networks import random_network
from sparnn.gen.targets import TARGETS
from sparnn.hdl.config import MachineConfig
from sparnn.hdl.emit import machine_verilog

DIGITS = Path("examples/digits/lstm.onnx")


def test_held_out_machines_are_predicted_within_ten_percent() -> None:
    found = errors("ecp5", held_out=True)
    assert min(len(values) for values in found.values()) >= 2
    for name in ("lut", "ff", "dsp"):
        assert max(map(abs, found[name])) < 0.10, (name, found[name])


def test_memories_are_found_with_their_copies() -> None:
    config = MachineConfig(lanes=8, post_units=2, max_v=4, weight_depth=2048, weight_bits=7)
    found = memories(machine_verilog(config), "sparnn")
    assert (2048, 7, 8) in found
    assert (config.store_depth, config.store_entry_bits, 1) in found
    assert (config.mask_depth, config.mask_entry_bits, 8) in found


def test_more_lanes_are_larger() -> None:
    small, large = (
        predict(MachineConfig(lanes=n, max_v=1), TARGETS["ecp5"]) for n in (2, 16)
    )
    assert all(small[name] < large[name] for name in small)


def test_a_fitted_machine_runs_the_network() -> None:
    rng = np.random.default_rng(5)
    wide = MachineConfig(lanes=4, max_v=4)
    network = random_network(rng, wide, layers=2)
    config = smallest_machine(network, 4, TARGETS["ecp5"], 8)
    assert config.weight_depth < wide.weight_depth
    layout = lay_out(network, config)
    outputs = [{"layer": network.stages[-1][-1], "what": "sequence"}]
    program = build_program(
        network, layout, pack_network(network, layout, config), config, outputs
    )
    assert program.max_steps >= 8


def test_digits_on_ecp5(checkout: Path, tmp_path: Path) -> None:
    result = fit(checkout / DIGITS, target="ecp5")
    assert result.config.lanes >= 8
    assert math.isfinite(result.needs["lut"])
    assert MachineConfig(**tomllib.loads(result.toml())) == result.config
    assert result.needs["bram"] <= result.device.capacity["bram"]


def test_too_large_says_by_how_much(checkout: Path) -> None:
    with pytest.raises(SparnnError, match=r"bram takes about \d+ of 56 \(\+\d+"):
        fit(checkout / DIGITS, target="ecp5", device="12k", lanes=64)


def test_refusals(checkout: Path, sparnn: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    model = checkout / DIGITS
    with pytest.raises(SparnnError, match="needs --board, or --target"):
        fit(model)
    with pytest.raises(SparnnError, match="leave out --target"):
        fit(model, board="ulx3s", target="ecp5")
    with pytest.raises(SparnnError, match="sparnn fit knows"):
        fit(model, target="xilinx7")
    refused = sparnn("fit", str(model), "--target", "ecp5", "--device", "12k", "--lanes", "64")
    assert refused.returncode == 2
    assert refused.stderr.startswith("sparnn: error: lstm.onnx does not fit")


def test_data_is_of_the_configurations_of_today() -> None:
    import json
    from dataclasses import asdict

    rows = json.loads(DATA.read_text())["measured"]
    assert [row["config"] for row in rows if row["target"] == "ecp5"] == [
        asdict(config) for config in CONFIGURATIONS
    ]
