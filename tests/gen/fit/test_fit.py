"""The resource model and the machine that is picked with it."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from sparnn.gen.bench.random_networks import random_network
from sparnn.gen.cli.main import main
from sparnn.gen.errors import SparnnError
from sparnn.gen.fit.fit import smallest_machine
from sparnn.gen.fit.measure import FAMILIES, configurations
from sparnn.gen.fit.model import DATA, errors, predict, unmeasured
from sparnn.gen.fit.structure import is_plain, plain_memories
from sparnn.gen.machines.presets import load_config
from sparnn.gen.machines.sparse.place import place
from sparnn.gen.synth.memories import memories
from sparnn.gen.targets import TARGETS
from sparnn.hdl.emit import MACHINES, machine_verilog
from sparnn.hdl.sparse.config import SparseConfig

PAIRS = [(machine, family) for machine, families in FAMILIES.items() for family in families]


@pytest.mark.parametrize(("machine", "family"), PAIRS)
def test_held_out_machines_are_predicted_within_ten_percent(machine, family) -> None:
    found = errors(family, held_out=True, machine=machine)
    assert min(len(values) for values in found.values()) >= 2
    for name, values in found.items():
        assert max(map(abs, values)) < 0.10, (name, values)


def test_memories_are_found_with_their_copies() -> None:
    config = SparseConfig(lanes=8, post_units=2, max_v=4, weight_depth=2048, weight_bits=7)
    found = memories(machine_verilog(config), "sparnn")
    assert (2048, 7, 8) in found
    assert (config.store_depth, config.store_entry_bits, 1) in found
    assert (config.mask_depth, config.mask_entry_bits, 8) in found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bank_bytes": 1024},
        {"bank_bytes": 256, "sliced_copy": 1, "width": 4},
        {"bank_bytes": 512, "sliced_copy": 1, "masks": 0, "delta": 1},
    ],
)
def test_memories_are_listed_without_verilog(options) -> None:
    config = SparseConfig(lanes=4, post_units=2, max_v=2, weight_depth=1500, **options)
    assert is_plain(config)
    listed, found = Counter[tuple[int, int]](), Counter[tuple[int, int]]()
    for counter, held in (
        (listed, plain_memories(config)),
        (found, memories(machine_verilog(config), "sparnn")),
    ):
        for words, bits, copies in held:
            counter[words, bits] += copies
    assert listed == found


def test_banks_are_predicted_where_some_were_measured() -> None:
    config = SparseConfig(bank_bytes=2048, sliced_copy=1)
    assert not unmeasured(config, TARGETS["ecp5"])
    assert "no machine with bank_bytes = 2048" in unmeasured(config, TARGETS["gowin"])


def test_a_fitted_machine_runs_the_network() -> None:
    rng = np.random.default_rng(5)
    wide = SparseConfig(lanes=4, max_v=4)
    network = random_network(rng, wide, layers=2)
    config = smallest_machine(network, 4, TARGETS["ecp5"], 8)
    assert config.weight_depth < wide.weight_depth
    outputs = [{"layer": network.stages[-1][-1], "what": "sequence"}]
    assert place(network, config, outputs).program.max_steps >= 8


@pytest.mark.parametrize(("machine", "family"), PAIRS)
def test_data_is_of_the_configurations_of_today(machine, family) -> None:
    rows = json.loads(DATA.read_text())["measured"]
    rows = [row for row in rows if (row["machine"], row["target"]) == (machine, family)]
    # Parameters that came later had their defaults.
    measured = [MACHINES[machine](**row["config"]) for row in rows]
    assert measured == configurations(TARGETS[family], machine)


FOUND = {"lut", "lut_logic", "ff", "dsp", "bram"}
DIGITS = Path("examples") / "digits" / "lstm.onnx"


def run(capsys, *arguments: object) -> str:
    """What `sparnn fit` prints."""
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *map(str, arguments)])
    assert stopped.value.code == 0
    return capsys.readouterr().out


def refusal(capsys, *arguments: object) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *map(str, arguments)])
    assert stopped.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]  # on a slow machine after lines of progress
    assert said.startswith("sparnn: error: ")
    return said


def test_command_writes_a_machine_that_compile_takes(checkout, capsys, tmp_path) -> None:
    model, machine = checkout / DIGITS, tmp_path / "machine.toml"
    said = run(capsys, model, "--target", "ecp5", "--lanes", 2, "-o", machine)
    assert "machine        2 lanes" in said
    config = load_config(str(machine))
    report = json.loads(run(capsys, model, "--board", "ulx3s", "--lanes", 2, "--json", "-"))
    board = report["config"]  # of wide lanes
    assert board["width"] == 8
    assert board | {"width": 1, "weight_depth": config.weight_depth} == asdict(config)
    assert report["device"] == "LFE5U-85F-6"
    assert set(report["predicted"]) == FOUND
    # The network's weights, and hardly more.
    network = 64 * 4 * (8 + 64) + 10 * 64
    assert network <= 2 * config.weight_depth < 1.1 * network
    assert network <= 16 * board["weight_depth"]
    assert all(report["predicted"][name] <= most for name, most in report["available"].items())


def test_command_fits_the_compact_machine_of_ice40(checkout, capsys) -> None:
    report = json.loads(run(capsys, checkout / DIGITS, "--board", "icebreaker", "--json", "-"))
    assert report["config"]["compact"] == 1
    assert report["config"]["lanes"] == 2
    assert set(report["predicted"]) == {*FOUND, "spram", "cells"}
    # Placed with its serial link: 4,367 of 5,280 (docs/notes/boards.md).
    assert 3_400 < report["predicted"]["cells"] < 4_367
    assert "cells takes about" in report["too_large"]["4"]


def test_command_refuses_a_family_that_is_not_measured(checkout, capsys) -> None:
    said = refusal(capsys, checkout / DIGITS, "--target", "nexus")
    assert "no measured sparse machines" in said
    assert "ecp5, gowin, ice40, xilinx7" in said


def test_command_refuses_what_does_not_fit(checkout, capsys, tmp_path) -> None:
    model = checkout / DIGITS
    said = refusal(capsys, model, "--target", "ecp5", "--device", "12k", "--lanes", 256)
    assert "does not fit LFE5U-12F-6: with 256 lanes lut takes about" in said
    assert "dsp takes about 32" in said
    assert "take a larger device" in said
    assert "the boards are ulx3s" in refusal(capsys, model, "--board", "none")
    assert "leave out --target" in refusal(capsys, model, "--board", "ulx3s", "--target", "ecp5")
    assert "needs --board, or --target" in refusal(capsys, model)
    assert "it has 85k" in refusal(capsys, model, "--target", "ecp5", "--device", "up5k")
    assert "does not exist" in refusal(
        capsys, model, "--target", "ecp5", "--json", tmp_path / "no" / "a.json"
    )


def test_wide_lanes_are_not_guessed() -> None:
    for changes in ({"width": 8}, {"masks": 0}):
        with pytest.raises(SparnnError, match="measure this machine with sparnn synth"):
            predict(SparseConfig(**changes), TARGETS["gowin"])
