"""One machine for all examples, so that its Verilog is built once."""

import pytest

MACHINE = """
lanes = 8
columns = 256
mask_depth = 4096
weight_depth = 32768
rows = 1024
parameter_depth = 1024
state_depth = 1024
store_depth = 2048
program_depth = 8
"""


@pytest.fixture(scope="session")
def machine_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("examples") / "machine.toml"
    path.write_text(MACHINE)
    return path
