"""A machine that reads and writes memory by itself: jobs, as docs/interface.md says."""

import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sparnn.hdl.bus.faults import Fault, Part
from sparnn.hdl.bus.table import BUS_VERSION, MAGIC, REGISTERS
from sparnn.hdl.common.check import crc_words
from sparnn.hdl.host.protocol import IMAGE_VERSION, identity
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.errors import SimulationError

from .transport import Words

__all__ = ["ArrayMemory", "JobTransport", "Memory", "Registers", "StatePlaces", "job_words"]

_OFFSETS = {register.name: register.offset for register in REGISTERS}
_MASKS = {
    f"{register.name}.{field.name}": field.mask
    for register in REGISTERS
    for field in register.fields
}


class Registers(Protocol):
    """The window of the registers: single accesses of 32 bits, by the offset in bytes."""

    def read(self, offset: int) -> int:
        """What stands there."""

    def write(self, offset: int, value: int) -> None:
        """Put it there."""


class Memory(Protocol):
    """32-bit words that the machine can reach, and nobody else uses.

    Members
    -------
    words: how many.
    """

    words: int

    def put(self, first: int, words: Words) -> None:
        """Words into memory."""

    def get(self, first: int, count: int) -> Words:
        """Words of memory."""


class ArrayMemory:
    """Memory that lies in an array: coherent, or not cached."""

    def __init__(self, array: Words) -> None:
        self._array = array
        self.words = len(array)

    def put(self, first: int, words: Words) -> None:
        """See :class:`Memory`."""
        self._array[first : first + len(words)] = words

    def get(self, first: int, count: int) -> Words:
        """See :class:`Memory`."""
        return self._array[first : first + count].copy()


def job_words(config: MachineConfig, packets: npt.NDArray[np.integer[Any]]) -> Words:
    """A job: the machine's identity, packets, and the check of all."""
    words = np.concatenate([[identity(config)], packets]).astype(np.uint32)
    return np.append(words, np.uint32(crc_words(words)))


@dataclass
class StatePlaces:
    """Where the states of a stream lie in memory: words from its first one on.

    Members
    -------
    now: the last job left them there. then: the next one puts its own there.
    """

    now: int
    then: int


class JobTransport:
    """Packets as jobs in memory that both sides see.

    Parameters
    ----------
    registers: the window. memory: for the job and its answer. address: of its first byte, as the
        machine sees it.
    patience: seconds for which a job may take.
    """

    def __init__(
        self,
        registers: Registers,
        memory: Memory,
        address: int,
        *,
        name: str = "the device",
        patience: float = 10.0,
    ) -> None:
        self.name = name
        self._registers = registers
        self._memory = memory
        self._address = address
        self._patience = patience
        self._config: MachineConfig | None = None
        self._kept = 0  # words at the end of the memory: weights, states
        self._state_words = 0

    def read(self, name: str) -> int:
        """A register by its name in hdl/bus/table.py, or a field of it: ``STATUS.BUSY``."""
        value = self._registers.read(_OFFSETS[name.split(".")[0]])
        if "." not in name:
            return value
        mask = _MASKS[name]
        return (value & mask) // (mask & -mask)

    def write(self, name: str, value: int) -> None:
        """A register; ``CONTROL.RESET``: bits of it, with all others 0."""
        if "." in name:
            value *= _MASKS[name] & -_MASKS[name]
        self._registers.write(_OFFSETS[name.split(".")[0]], value)

    def connect(self, config: MachineConfig) -> None:
        """See :class:`~sparnn.driver.transport.Transport`.

        Raises
        ------
        SimulationError: there is no such machine, or another one.
        """
        if self.read("MAGIC") != MAGIC:
            raise SimulationError(
                f"{self.name}: there is no sparnn at this address ({self.read('MAGIC'):#010x}): "
                "check the address of the registers, and that the bitstream is loaded"
            )
        versions = self.read("VERSION.BUS"), self.read("VERSION.IMAGE")
        if versions != (BUS_VERSION, IMAGE_VERSION):
            raise SimulationError(
                f"{self.name}: the hardware has the versions {versions}, this sparnn speaks "
                f"{(BUS_VERSION, IMAGE_VERSION)}: make the bitstream again"
            )
        if not self.read("CAPABILITIES.JOBS"):
            raise SimulationError(f"{self.name}: the machine is behind streams, it takes no jobs")
        found, wanted = self.read("IDENTITY"), identity(config)
        if found != wanted:
            raise SimulationError(
                f"{self.name}: the hardware is another machine ({found:08x}) than the folder's "
                f"({wanted:08x}): compile the model for this one, or build the folder's Verilog"
            )
        self._config = config
        self._kept = self._state_words = 0
        self.reset()

    def keep_weights(self, words: Words) -> None:
        """Put what a machine with ``stream_bits`` reads at the end of the memory.

        Raises
        ------
        SimulationError: the memory is too small.
        """
        assert self._config is not None, "connect comes first"
        beat = self._config.stream_bits // 32
        ends = (self._address // 4 + self._memory.words) // beat * beat
        first = (ends - len(words)) // beat * beat - self._address // 4
        if first < 0:
            raise SimulationError(
                f"{self.name}: {len(words)} words of weights do not fit the {self._memory.words} "
                "words of memory: give more"
            )
        self._memory.put(first, words)
        self._kept = self._memory.words - first
        self._point("WEIGHTS", first)

    def keep_map(self, reads: Words, state_words: int) -> None:
        """Put the packets that read all states into memory, once for all streams.

        Parameters
        ----------
        state_words: of the states that they read, as packets that write them.
        """
        assert self._config is not None, "connect comes first"
        reads = job_words(self._config, reads)
        first = self._reserve(len(reads))
        self._memory.put(first, reads)
        self._point("MAP", first)
        self.write("MAP_WORDS", len(reads))
        self._state_words = state_words + 2
        self.write("STATE_WORDS", self._state_words)

    def keep_states(self, states: Words) -> StatePlaces:
        """Make room for the states of a stream, and put these there: packets that write them.

        Raises
        ------
        SimulationError: the memory is too small.
        """
        assert self._config is not None, "connect comes first"
        assert len(states) + 2 == self._state_words, "keep_map comes first"
        first = self._reserve(2 * self._state_words)
        self._memory.put(first, job_words(self._config, states))
        return StatePlaces(first, first + self._state_words)

    def _reserve(self, words: int) -> int:
        """The first of so many words that no job uses."""
        if self._kept + words > self._memory.words:
            raise SimulationError(
                f"{self.name}: {words} words of states do not fit the {self._memory.words} words "
                f"of memory, {self._kept} of which are kept: give more, or make fewer streams"
            )
        self._kept += words
        return self._memory.words - self._kept

    def _point(self, name: str, first: int) -> None:
        """An address into its registers: of a word of the memory."""
        address = self._address + 4 * first
        self.write(f"{name}_LO", address & 0xFFFFFFFF)
        self.write(f"{name}_HI", address >> 32)

    def exchange(
        self, words: Words, expected: int, cycles: int, places: StatePlaces | None = None
    ) -> Words:
        """See :class:`~sparnn.driver.transport.Transport`.

        Parameters
        ----------
        places: of the states that the job begins with, and of those that it leaves. When it has
            run they change their roles.

        Raises
        ------
        SimulationError: the memory is too small, or the job failed.
        """
        assert self._config is not None, "connect comes first"
        job = job_words(self._config, words)
        if len(job) + expected > self._memory.words - self._kept:
            raise SimulationError(
                f"{self.name}: a job of {len(job)} words and its answer of {expected} do not fit "
                f"the {self._memory.words} words of memory: give more, or run fewer sequences"
            )
        self._memory.put(0, job)
        self._point("SOURCE", 0)
        self._point("DESTINATION", len(job))
        self.write("STATES", 0 if places is None else 3)
        if places is not None:
            self._point("STATE_IN", places.now)
            self._point("STATE_OUT", places.then)
        self.write("SOURCE_WORDS", len(job))
        self.write("CAPACITY", expected)
        if self.read("TIMEOUT"):  # of the machine's own silence
            self.write("TIMEOUT", min(max(self.read("TIMEOUT"), 2 * cycles), 0xFFFFFFFF))
        self.write("IRQ_STATUS", 3)
        self.write("CONTROL.START", 1)
        self._wait("IRQ_STATUS", 3, "the job has not ended")
        if self.read("STATUS.FAILED"):
            raise self._failure()
        if places is not None:
            places.now, places.then = places.then, places.now
        written = self.read("WRITTEN")
        return self._memory.get(len(job), written)

    def reset(self) -> None:
        """See :class:`~sparnn.driver.transport.Transport`.

        Raises
        ------
        SimulationError: the memory does not end the transfers that have begun.
        """
        self.write("CONTROL.RESET", 1)
        self._wait("STATUS.READY", 1, "the reset has not ended: the memory does not answer")

    def _wait(self, name: str, mask: int, problem: str) -> None:
        end = time.monotonic() + self._patience
        while not self.read(name) & mask:
            if time.monotonic() > end:
                raise SimulationError(f"{self.name}: {problem} within {self._patience:g} s")

    def _failure(self) -> SimulationError:
        """What went wrong; the machine is reset, so that the next job can run."""
        code = self.read("ERROR.CODE")
        address = self.read("ERROR_ADDRESS_HI") << 32 | self.read("ERROR_ADDRESS_LO")
        text = Fault(code).text if code in list(Fault) else f"error {code}"
        if part := self.read("ERROR.PART"):
            text += f" ({Part(part).text})"
        error = SimulationError(
            f"{self.name}: {text} (word {self.read('ERROR_WORD')}, address {address:#x})"
        )
        self.reset()
        return error
