"""`sparnn bench memory`: what it refuses, and the machines that it takes."""

from typing import Any

import numpy as np
import pytest

from sparnn.gen.bench.memory import memory_points
from sparnn.gen.bench.memory_machines import MACHINES, WantedMachine
from sparnn.gen.bench.random_networks import random_network
from sparnn.gen.errors import SparnnError
from sparnn.hdl.dense.config import DenseConfig

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"machine": "other"}, "--machine other is unknown: use sparse or dense"),
    ({"modes": ["always"]}, "--mode always is unknown"),
    ({"ring": 3}, "--ring 3 is not a power of two: use 2"),
    ({"network": "lstm2x8"}, "--network lstm2x8"),
    ({"macs": [6], "width": 4}, "--macs 6 is no multiple of --width 4"),
    (
        {"machine": "dense", "macs": [8], "modes": ["swapped"]},
        "--macs 8: no dense machine of that size has a preset; use one of 64",
    ),
    ({"machine": "dense", "macs": [64]}, "--mode streamed: the dense machine's layers"),
    ({"machine": "dense", "macs": [64], "modes": ["swapped"]}, "the memories make it resident"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_refused(changes: dict[str, Any], message: str) -> None:
    options: dict[str, Any] = {"network": "gru2x4", "macs": [8], "steps": 2} | changes
    network, macs = options.pop("network"), options.pop("macs")
    with pytest.raises(SparnnError, match=message):
        next(memory_points(network, macs, bytes_per_cycle=[8], latency=[10], **options))


def test_dense_memories_hold_two_layers_or_all() -> None:
    network = random_network(np.random.default_rng(1), DenseConfig(), layers=5)
    placed = {
        mode: MACHINES["dense"].place(network, WantedMachine(macs=64, rate=8, mode=mode, steps=2))
        for mode in ("resident", "swapped")
    }
    assert placed["resident"].modes == ("resident",)
    assert set(placed["swapped"].modes) == {"swapped"}
    depths = {mode: one.config.weight_depth for mode, one in placed.items()}
    assert depths["swapped"] < depths["resident"]
    bits = {mode: MACHINES["dense"].bits(one.config) for mode, one in placed.items()}
    assert bits["swapped"] * depths["resident"] == bits["resident"] * depths["swapped"]
