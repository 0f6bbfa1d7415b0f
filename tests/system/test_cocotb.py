"""Runs the cocotb bench tests/system/benches/machine_bench.py on a small machine."""

from support.benches import run_bench
from support.small_network import write_bench


def test_machine_bench(tmp_path):
    write_bench(tmp_path)
    assert len(run_bench(tmp_path, "machine_bench", "sparnn", ("sparnn.v",))) == 10
