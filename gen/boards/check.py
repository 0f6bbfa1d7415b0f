"""Which machines a board's top can hold."""

from pathlib import Path

from sparnn.gen.errors import SparnnError
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.host.program import MachineProgram

__all__ = ["lane_machine"]


def lane_machine(program: MachineProgram, folder: Path) -> SparseConfig:
    """The machine of a compiled folder.

    Raises
    ------
    SparnnError: it is not a machine of lanes; no other has a board's top.
    """
    if program.config.MACHINE != "sparse":
        raise SparnnError(
            f"{folder} holds a machine of tiles: boards take machines of lanes only; compile the "
            "model again with --config and a board's name"
        )
    return program.config
