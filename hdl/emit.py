"""The machines there are, and their Verilog; the one file of hdl/ that names both."""

from collections.abc import Mapping
from typing import Any

from .dense.config import DenseConfig
from .dense.parts import dense_parts
from .errors import ConfigurationError
from .machine import MachineConfig
from .sparse.config import SparseConfig
from .sparse.parts import sparse_parts
from .verilog import modules_verilog

__all__ = ["MACHINES", "TOP_MODULE", "machine_config", "machine_verilog"]

TOP_MODULE = "sparnn"

#: The configuration of each machine, by its name in files.
MACHINES: Mapping[str, type[MachineConfig]] = {
    config.MACHINE: config for config in (SparseConfig, DenseConfig)
}


def machine_config(machine: str, parameters: Mapping[str, Any]) -> MachineConfig:
    """The configuration of the machine of that name.

    Raises
    ------
    ConfigurationError: an unknown machine, or an impossible one.
    """
    if machine not in MACHINES:
        raise ConfigurationError(
            f"configuration: machine = {machine!r} is unknown; use one of {', '.join(MACHINES)}"
        )
    return MACHINES[machine](**parameters)


def machine_verilog(config: MachineConfig) -> str:
    """The whole machine as one Verilog text; the top module is :data:`TOP_MODULE`.

    What a machine has many of are modules of their own that the level above places as instances,
    so that size and time grow with the number of distinct components.
    Ports: ``clk``, ``rst``, ``rx__*`` and ``tx__*`` (``payload``, ``valid``, ``ready``).
    """
    if isinstance(config, DenseConfig):
        return modules_verilog(dense_parts(config, TOP_MODULE))
    assert isinstance(config, SparseConfig)
    return modules_verilog(sparse_parts(config, TOP_MODULE))
