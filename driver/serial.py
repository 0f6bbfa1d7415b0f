"""A board on a serial port (docs/link.md)."""

from contextlib import ExitStack

from sparnn.hdl.machine import MachineConfig
from sparnn.sim.errors import SimulationError
from sparnn.sim.host.board_link import BoardLink
from sparnn.sim.host.serial_port import open_port

from .transport import Words

__all__ = ["SerialTransport"]


class SerialTransport:
    """Packets over a serial port. A context manager, which closes the port.

    Parameters
    ----------
    port: as the system calls it. baud: as the bitstream was made. mhz: the machine's clock.
    patience: seconds without an answer after which the board is given up.
    """

    def __init__(self, port: str, baud: int, *, mhz: float = 10.0, patience: float = 10.0) -> None:
        self.name = port
        self._mhz = mhz
        self._close = ExitStack()
        opened = self._close.enter_context(open_port(port, baud))
        self._link = BoardLink(opened, patience=patience)

    def __enter__(self) -> "SerialTransport":
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    def connect(self, config: MachineConfig) -> None:
        """See :class:`~sparnn.driver.transport.Transport`."""
        self._link.open()
        self._link.check_machine(config)

    def exchange(self, words: Words, expected: int, cycles: int) -> Words:
        """See :class:`~sparnn.driver.transport.Transport`."""
        answer = self._link.exchange(words, expected, allowed=cycles / self._mhz / 1e6)
        if len(answer) < expected and not len(answer):
            raise SimulationError(f"{self.name}: the machine does not answer")
        return answer

    def reset(self) -> None:
        """See :class:`~sparnn.driver.transport.Transport`."""
        self._link.open()
