"""Which machines a board's top can hold."""

from pathlib import Path

from sparnn.gen.errors import SparnnError
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.host.program import MachineProgram

__all__ = ["lane_machine"]


def lane_machine(program: MachineProgram, folder: Path) -> MachineConfig:
    """The machine of a compiled folder.

    Raises
    ------
    SparnnError: it is not a sparse machine; no other has a board's top.
    """
    if program.config.MACHINE != "sparse":
        raise SparnnError(
            f"{folder} holds a dense machine: boards take sparse machines only; compile the "
            "model again with --config and a board's name"
        )
    return program.config
