"""The resource model and the machine that is picked with it."""

import numpy as np

from sparnn.gen.fit import smallest_machine
from sparnn.gen.fit_calibrate import CONFIGURATIONS, DATA
from sparnn.gen.fit_model import errors, memories
from sparnn.gen.layout import lay_out
from sparnn.gen.pack import pack_network
from sparnn.gen.program import build_program
from sparnn.gen.random_networks import random_network
from sparnn.gen.targets import TARGETS
from sparnn.hdl.config import MachineConfig
from sparnn.hdl.emit import machine_verilog


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


def test_a_fitted_machine_runs_the_network() -> None:
    rng = np.random.default_rng(5)
    wide = MachineConfig(lanes=4, max_v=4)
    network = random_network(rng, wide, layers=2)
    config = smallest_machine(network, 4, TARGETS["ecp5"], 8)
    assert config.weight_depth < wide.weight_depth
    layout = lay_out(network, config)
    outputs = [{"layer": network.stages[-1][-1], "what": "sequence"}]
    program = build_program(network, layout, pack_network(network, layout, config), config, outputs)
    assert program.max_steps >= 8


def test_data_is_of_the_configurations_of_today() -> None:
    import json
    from dataclasses import asdict

    rows = json.loads(DATA.read_text())["measured"]
    assert [row["config"] for row in rows if row["target"] == "ecp5"] == [
        asdict(config) for config in CONFIGURATIONS
    ]
