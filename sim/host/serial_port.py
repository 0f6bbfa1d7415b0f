"""Serial ports, and what can be wrong with them."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import serial
from serial.tools import list_ports

from sparnn.sim.errors import SimulationError

__all__ = ["SerialPort", "open_port"]


class SerialPort:
    """A port of pyserial as :class:`~sparnn.sim.host.board_link.Port`."""

    def __init__(self, name: str, port: serial.Serial) -> None:
        self.name = name
        self._port = port

    def write(self, data: bytes) -> None:
        """Send all of it."""
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise _gone(self.name, error) from None

    def read(self, seconds: float) -> bytes:
        """What has arrived; if nothing has, what arrives first within so many seconds."""
        try:
            waiting = self._port.in_waiting
            if not waiting and seconds:
                self._port.timeout = seconds
                first = bytes(self._port.read(1))
                return first + bytes(self._port.read(self._port.in_waiting)) if first else b""
            return bytes(self._port.read(waiting)) if waiting else b""
        except (serial.SerialException, OSError) as error:
            raise _gone(self.name, error) from None


def _gone(name: str, error: Exception) -> SimulationError:
    return SimulationError(f"{name}: the port failed ({error}): check the cable, then run again")


@contextmanager
def open_port(name: str, baud: int) -> Iterator[SerialPort]:
    """A serial port, 8N1, for one program alone.

    Raises
    ------
    SimulationError: there is none of that name, it may not be opened, or it is no serial port.
    """
    try:
        port = serial.Serial(name, baud, timeout=0, write_timeout=10, exclusive=True)
    except ValueError as error:
        raise SimulationError(f"--port {name}: {error}; choose another --baud") from None
    except (serial.SerialException, OSError) as error:
        raise SimulationError(f"--port {name}: {_why(error)}") from None
    try:
        port.reset_input_buffer()
        yield SerialPort(name, port)
    finally:
        port.close()


def _why(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        found = ", ".join(sorted(one.device for one in list_ports.comports()))
        return (
            f"there is no such port; there are {found}"
            if found
            else ("there is no such port, nor any other serial port: connect the board")
        )
    if number in (errno.EACCES, errno.EPERM):
        return "no permission: add yourself to its group (often: sudo usermod -aG dialout $USER)"
    if number in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK):
        return "another program uses it: close that"
    if number in (errno.ENOTTY, errno.EISDIR, errno.EINVAL) or "configure port" in str(error):
        return "this is no serial port: name one such as /dev/ttyUSB0"
    if "exclusively lock" in str(error):
        return "another program uses it: close that"
    return f"it cannot be opened ({error})"
