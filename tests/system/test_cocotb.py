"""Runs the cocotb bench tests/system/benches/machine_bench.py on small machines.

Lanes of single rows are deep: test_bus.py has them.
"""

from dataclasses import replace

import pytest
from support.benches import run_bench
from support.small_network import CONFIG, write_bench


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"width": 4, "masks": 0}, id="blocks"),
        pytest.param({}, id="rows", marks=pytest.mark.deep),
    ],
)
def test_machine_bench(tmp_path, changes):
    write_bench(tmp_path, replace(CONFIG, **changes))
    assert len(run_bench(tmp_path, "machine_bench", "sparnn", ("sparnn.v",))) == 10
