"""What a :class:`~sparnn.driver.device.Device` needs of whatever carries its words."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from sparnn.hdl.machine import MachineConfig

__all__ = ["Transport", "Words"]

Words = npt.NDArray[np.uint32]


class Transport(Protocol):
    """A way to a machine. Errors are :class:`~sparnn.sim.errors.SimulationError`.

    Members
    -------
    name: what messages call the device.
    """

    name: str

    def connect(self, config: MachineConfig) -> None:
        """Reset the machine's control, and make sure that it is this machine."""

    def exchange(self, words: Words, expected: int, cycles: int) -> Words:
        """Send packet words; the words of the answer.

        Parameters
        ----------
        expected: words of answer if all goes well. cycles: that the machine may work at most.
        """

    def reset(self) -> None:
        """Reset the machine's control. Its memories keep what they hold."""
