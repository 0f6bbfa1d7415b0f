"""Sequences that come in pieces and take turns on one device."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Stream"]

Inputs = Mapping[str, npt.NDArray[Any]] | npt.NDArray[Any]
Outputs = dict[str, npt.NDArray[np.float32]]


class Stream:
    """One of any number of sequences on a device; :meth:`~sparnn.driver.device.Device.stream` makes
    it.

    Where the machine takes jobs from memory it reads the stream's states there and writes them back
    by itself. Each stream has two places, which take turns: a call that fails changes nothing, and
    can be repeated. Over a serial link the states pass through the host.
    """

    def __init__(self, run: Callable[[Inputs], Outputs]) -> None:
        self._run = run

    def run(self, inputs: Inputs) -> Outputs:
        """The model's outputs for the next steps of the sequence, as of
        :meth:`~sparnn.driver.device.Device.run`.

        Raises
        ------
        SimulationError: as there; or the inputs are several sequences.
        """
        return self._run(inputs)
