"""The machine in an overlay of PYNQ: import this module before the overlay is made.

PYNQ looks for a driver of each component by its name; that of this class is the machine's, in
IP-XACT and as Vivado's script packs it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pynq import DefaultIP, allocate

from sparnn.hdl.bus.top import VLNV

from .device import Device
from .jobs import JobTransport
from .states import State
from .stream import Stream
from .transport import Words

__all__ = ["BufferMemory", "SparnnIP"]

#: Words of memory for jobs and their answers: 4 MiB.
MEMORY_WORDS = 1 << 20


class BufferMemory:
    """Memory in a buffer of PYNQ, which the processor may have in its cache."""

    def __init__(self, buffer: Any) -> None:
        self._buffer = buffer
        self.words = len(buffer)

    def put(self, first: int, words: Words) -> None:
        """Words into memory, where the machine sees them."""
        self._buffer[first : first + len(words)] = words
        self._buffer.flush()

    def get(self, first: int, count: int) -> Words:
        """Words of memory, as the machine wrote them."""
        self._buffer.invalidate()
        return np.array(self._buffer[first : first + count], np.uint32)


class SparnnIP(DefaultIP):
    """The machine as a component of an overlay. Values are real numbers, in the model's layout.

    Members
    -------
    saturated, cycles: see :class:`~sparnn.driver.device.Device`.
    """

    #: Names of the component for which PYNQ takes this class: as packed, and placed as a module.
    bindto = [":".join(VLNV), "xilinx.com:module_ref:sparnn_bus:1.0"]

    def __init__(self, description: Mapping[str, Any]) -> None:
        super().__init__(description)
        self._buffer = allocate(shape=(MEMORY_WORDS,), dtype=np.uint32)
        self._device = Device(
            JobTransport(
                self,
                BufferMemory(self._buffer),
                int(self._buffer.device_address),
                name=str(description.get("fullpath", "the component")),
            )
        )

    def load(self, folder: Path | str) -> None:
        """Load the network of a compiled folder; see :meth:`~sparnn.driver.device.Device.load`."""
        self._device.load(folder)

    def run(
        self,
        inputs: Mapping[str, npt.NDArray[Any]] | npt.NDArray[Any],
        *,
        state: State | None = None,
    ) -> dict[str, npt.NDArray[np.float32]]:
        """The model's outputs; see :meth:`~sparnn.driver.device.Device.run`."""
        return self._device.run(inputs, state=state)

    def state(self) -> State:
        """States that the last sequence left; see :meth:`~sparnn.driver.device.Device.state`."""
        return self._device.state()

    def stream(self, state: State | None = None) -> Stream:
        """A sequence in pieces; see :meth:`~sparnn.driver.device.Device.stream`."""
        return self._device.stream(state)

    def reset(self) -> None:
        """Reset the machine's control; the network stays loaded."""
        self._device.reset()

    @property
    def saturated(self) -> int:
        return self._device.saturated

    @property
    def cycles(self) -> int:
        return self._device.cycles
