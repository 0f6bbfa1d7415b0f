"""One machine for all examples, so that its Verilog is built once; it runs for long."""

import pytest

MACHINE = """
lanes = 32
columns = 128
mask_depth = 1024
weight_depth = 8192
rows = 1024
parameter_depth = 1024
state_depth = 256
store_depth = 2048
program_depth = 8
"""


@pytest.fixture(scope="session")
def machine_file(tmp_path_factory, optimized):
    path = tmp_path_factory.mktemp("examples") / "machine.toml"
    path.write_text(MACHINE)
    return path
