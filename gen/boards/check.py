"""Which machines a board's top can hold."""

from pathlib import Path

from sparnn.gen.errors import SparnnError
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.host.program import MachineProgram

__all__ = ["lane_machine"]


def lane_machine(
    program: MachineProgram, folder: Path, *, with_memory: bool = False
) -> MachineConfig:
    """The machine of a compiled folder.

    Parameters
    ----------
    with_memory: the board's system reads external memory for the machine.

    Raises
    ------
    SparnnError: it is not a sparse machine; no other has a board's top. It reads weights from
        memory, and the board's top has none.
    """
    if program.config.MACHINE != "sparse":
        raise SparnnError(
            f"{folder} holds a dense machine: boards take sparse machines only; compile the "
            "model again with --config and a board's name"
        )
    bits = program.config.stream_bits
    if bits and not with_memory:
        raise SparnnError(
            f"{folder} holds a machine with stream_bits = {bits}: its weights come from external "
            "memory, and this board's top has none; compile with stream_bits = 0, or put the "
            "machine into a system with --bus axi"
        )
    return program.config
