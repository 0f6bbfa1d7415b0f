"""FPGA families: one description each."""

from collections.abc import Mapping

from sparnn.gen.errors import SparnnError

from .ecp5 import ECP5
from .gowin import GOWIN
from .ice40 import ICE40
from .intel import INTEL
from .nexus import NEXUS
from .target import BlockRam, Device, Multiplier, Target
from .xilinx import XILINX7, XILINXUP

__all__ = ["TARGETS", "BlockRam", "Device", "Multiplier", "Target", "find_device", "find_target"]

TARGETS: Mapping[str, Target] = {
    target.name: target for target in (ECP5, ICE40, NEXUS, GOWIN, XILINX7, XILINXUP, INTEL)
}


def find_target(name: str) -> Target:
    """The family of that name.

    Raises
    ------
    SparnnError: there is none.
    """
    if name not in TARGETS:
        raise SparnnError(f"--target {name}: unknown; the targets are {', '.join(TARGETS)}")
    return TARGETS[name]


def find_device(target: Target, name: str | None) -> Device:
    """The family's device of that name, its default one for None.

    Raises
    ------
    SparnnError: there is none.
    """
    if name is None:
        return target.default_device
    if name not in target.devices:
        raise SparnnError(
            f"--device {name}: no device of {target.name}; it has {', '.join(target.devices)}"
        )
    return target.devices[name]
