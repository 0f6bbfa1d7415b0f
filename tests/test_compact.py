"""Machines for small FPGAs: random networks, and what they refuse."""

from pathlib import Path

import numpy as np
import pytest

from sparnn.gen.errors import SparnnError
from sparnn.gen.layout import lay_out
from sparnn.gen.pack import pack_network
from sparnn.gen.program import build_program
from sparnn.gen.random_networks import random_network
from sparnn.gen.regress import compact_machine, run_case
from sparnn.hdl.config import MachineConfig
from sparnn.hdl.emit import machine_verilog
from sparnn.hdl.errors import ConfigurationError

#: Small ones that cover the corners below.
MACHINES = (0, 1, 2, 3)
NETWORKS = 16


def test_the_machines_cover_the_corners() -> None:
    machines = [compact_machine(seed) for seed in MACHINES]

    def values(name: str) -> set[int]:
        return {getattr(machine, name) for machine in machines}

    print([(name, values(name)) for name in ("lanes", "max_v", "backwards", "large_memory", "chunk", "weight_bits", "threads", "hard_sigmoid")])
    assert values("backwards") == {0, 1}
    assert values("large_memory") == {0, 64}
    assert values("max_v") == {1, 2}
    assert 1 in values("lanes")
    assert min(values("weight_bits")) <= 8 < max(values("weight_bits"))
