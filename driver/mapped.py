"""Registers and memory that Linux maps: UIO, /dev/mem, u-dma-buf."""

import mmap
import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparnn.hdl.bus.table import ADDRESS_BITS
from sparnn.sim.errors import SimulationError

from .jobs import ArrayMemory, JobTransport

__all__ = ["MappedRegisters", "map_words", "mapped_device"]


class MappedRegisters:
    """Registers as 32-bit words of mapped memory."""

    def __init__(self, words: npt.NDArray[np.uint32]) -> None:
        self._words = words

    def read(self, offset: int) -> int:
        """What stands there: one load of 32 bits."""
        return int(self._words[offset // 4])

    def write(self, offset: int, value: int) -> None:
        """Put it there: one store of 32 bits."""
        self._words[offset // 4] = value


def map_words(file: Path | str, size: int, offset: int = 0) -> npt.NDArray[np.uint32]:
    """``size`` bytes of a device file as words; it stays mapped as long as they are used.

    Raises
    ------
    SimulationError: the file cannot be opened or mapped.
    """
    try:
        with ExitStack() as stack:
            handle = os.open(file, os.O_RDWR | os.O_SYNC)
            stack.callback(os.close, handle)
            mapped = mmap.mmap(handle, size, offset=offset)
    except (OSError, ValueError) as error:
        raise SimulationError(
            f"{file} cannot be mapped ({error}): check the name, the address, a multiple of "
            f"{mmap.PAGESIZE}, and that you may read and write it"
        ) from None
    return np.frombuffer(mapped, np.uint32)


def mapped_device(
    registers: Path | str,
    memory: Path | str,
    address: int,
    size: int,
    *,
    registers_offset: int = 0,
    patience: float = 10.0,
) -> JobTransport:
    """A machine whose registers and memory are files.

    Parameters
    ----------
    registers: ``/dev/uioN``, or ``/dev/mem`` with ``registers_offset`` the window's address.
    memory: ``/dev/mem``, or a device of contiguous memory such as ``/dev/udmabuf0``, whose first
        byte has the physical ``address``; ``size`` bytes of it.

    Raises
    ------
    SimulationError: a file cannot be mapped.
    """
    window = map_words(registers, 1 << ADDRESS_BITS, registers_offset)
    words = map_words(memory, size, address if Path(memory).name == "mem" else 0)
    return JobTransport(
        MappedRegisters(window),
        ArrayMemory(words),
        address,
        name=str(registers),
        patience=patience,
    )
