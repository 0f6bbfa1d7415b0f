"""One emitted dense machine runs one network after the other (`sparnn bench reload`).

All networks go through one simulation without a reset: each is loaded over the one before it, so
only program, weights and parameters change.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.gen.machines.dense.place import place
from sparnn.gen.machines.dense.program import model_layers
from sparnn.gen.machines.dense.tiles import DEFAULTS, Exploration
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.hdl.dense.config import DenseConfig
from sparnn.sim.cycles.dense import network_cycles
from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.answers import expected_words, parse_results
from sparnn.sim.host.packets import sequence_packets
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.session.compare import mismatches
from sparnn.sim.verilator.hardware import run_driver
from sparnn.sim.verilator.verilate import build_driver

from .sharp import dense_network

__all__ = ["reload_networks", "reload_points"]

_WATCHDOG = 1_000_000


def reload_networks(most: int, seed: int) -> dict[str, IntegerNetwork]:
    """Networks of different cells and sizes, none of which has more columns than ``most``."""
    rng = np.random.default_rng(seed)
    shapes = {
        "lstm": [("lstm", most // 2, 1)],
        "lstm odd": [("lstm", most // 3 + 1, 1)],
        "gru": [("gru", most // 2 - 1, 1)],
        "rnn": [("rnn", most * 3 // 4, 1)],
        "linear": [("linear", most - 3, 1)],
        "lstm both ways": [("lstm", most // 8, 2)],
        "gru then rnn": [("gru", most // 4, 1), ("rnn", most // 4, 1)],
    }
    networks = {}
    for name, layers in shapes.items():
        parts = [dense_network(rng, *shape) for shape in layers]
        networks[name] = IntegerNetwork(tuple(one for part in parts for one in part.layers), 8, 8)
    return networks


def reload_points(
    config: DenseConfig,
    networks: Mapping[str, IntegerNetwork],
    *,
    steps: int,
    seed: int,
    exploration: Exploration = DEFAULTS,
) -> list[dict[str, Any]]:
    """Run the networks in one simulation of one machine; one object for each. ``exploration``:
    by which their tiles are chosen.

    Raises
    ------
    SparnnError: a network does not fit. SimulationError: the machine does not answer.
    """
    rng = np.random.default_rng(seed)
    words: list[npt.NDArray[np.uint32]] = []
    loaded = []
    for name, network in networks.items():
        outputs = [{"layer": len(network.layers) - 1, "what": "sequence"}]
        placed = place(network, config, outputs, steps=steps, exploration=exploration)
        program = placed.program
        x = rng.integers(-128, 128, (steps, network.layers[0].inputs))
        packets, runs = sequence_packets(program, 0, x)
        words += [placed.image, packets]
        loaded.append((name, placed, program, runs, x))
    counts = [expected_words(program, runs) for *_, program, runs, _ in loaded]
    with tempfile.TemporaryDirectory(prefix="sparnn-bench-") as folder:
        verilog = Path(folder) / "sparnn.v"
        verilog.write_text(kept_verilog(config), encoding="utf-8")
        answer, _, problem = run_driver(
            build_driver(verilog), np.concatenate(words), sum(counts), {"--watchdog": _WATCHDOG}
        )
    if problem is not None:
        raise SimulationError(f"the machine does not answer: {problem}")
    points: list[dict[str, Any]] = []
    first = 0
    for (name, placed, program, runs, x), count in zip(loaded, counts, strict=True):
        results = parse_results(program, runs, answer[first : first + count])
        first += count
        network = placed.network
        different, _ = mismatches(program, results, [run_network(network, x)])
        points.append(
            {
                "network": name,
                "cells": _cells(network),
                "macs": config.mac_units,
                "steps": steps,
                "seed": seed,
                "bit_exact": different == 0,
                "cycles": results[0].cycles,
                "model_cycles": network_cycles(config, model_layers(placed, steps)),
                "load_words": len(words[2 * len(points)]),
                "tiles": "; ".join(one.tiling for one in program.layers),
            }
        )
    return points


def _cells(network: IntegerNetwork) -> str:
    return ", ".join(f"{one.kind} {one.inputs}-{one.units}" for one in network.layers)
