"""What placing a network in a machine works out, as one value."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.aliases import Words
from sparnn.sim.host.program import MachineProgram
from sparnn.sim.network.network import IntegerNetwork

from .sections import Mode

__all__ = ["FITTED_STEPS", "Outputs", "Placement", "wanted_outputs"]

#: Steps of one run that the store of a fitted machine has room for.
FITTED_STEPS = 64

#: ``layer`` and ``what`` of each wanted output: the manifest's ``io["outputs"]``.
Outputs = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Placement(ABC):
    """A network placed in a machine. Each machine adds what it lays out and packs.

    Members
    -------
    network: the integers.
    config: the machine, enlarged to the network where that was wanted.
    wanted: of each stage, what the host wants of it: ``sequence``, ``last`` and so on.
    single: of each layer, whether it runs one step, whatever the length of the sequence.
    """

    network: IntegerNetwork
    config: MachineConfig
    wanted: tuple[frozenset[str], ...]
    single: tuple[bool, ...]

    @property
    @abstractmethod
    def program(self) -> MachineProgram:
        """What the host has to know to run the network.

        Raises
        ------
        SparnnError: a memory is too small, a value is out of the machine's range, or what is
            wanted is not computed.
        """

    @property
    @abstractmethod
    def image(self) -> Words:
        """The packets that load the network, 32-bit words."""

    @property
    def sections(self) -> tuple[Words, ...]:
        """What comes from external memory at once, each [words, 32-bit words of each]; none where
        all weights are loaded."""
        return ()

    @property
    def modes(self) -> tuple[Mode, ...]:
        """What becomes of each section."""
        return ()

    @property
    def external(self) -> Words:
        """What external memory holds, 32-bit words; none where all weights are loaded."""
        parts = [np.zeros(0, np.uint32), *(section.reshape(-1) for section in self.sections)]
        return np.concatenate(parts)

    def memory_lines(self) -> list[str]:
        """For the user: how each layer's weights come from external memory, if they do."""
        return []


def wanted_outputs(network: IntegerNetwork, outputs: Outputs) -> tuple[frozenset[str], ...]:
    """What is wanted of each stage, named by its last layer; by default the last one's sequence.

    Raises
    ------
    SparnnError: one of two joined layers alone is an output.
    """
    wanted = outputs or [{"layer": len(network.layers) - 1, "what": "sequence"}]
    for entry in wanted:
        if all(entry["layer"] != stage[-1] for stage in network.stages):
            raise SparnnError(
                f"layer {network.layers[entry['layer']].name!r} is an output alone, but is joined "
                "with the layer after it: take both of them, by the name of the second one"
            )
    return tuple(
        frozenset(entry["what"] for entry in wanted if entry["layer"] == stage[-1])
        for stage in network.stages
    )
