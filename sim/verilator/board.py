"""A Verilated board at the other end of a pseudo terminal."""

import os
import subprocess
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sparnn.sim.errors import SimulationError

from .verilate import build_driver

__all__ = ["DIVISOR", "simulated_board"]

BOARD_DRIVER = Path(__file__).parent / "driver" / "board.cpp"

#: Clock cycles per bit in simulation: few, since every one of them has to be simulated.
DIVISOR = 4


@contextmanager
def simulated_board(verilog: Path, top: str, *, log: Path | None = None) -> Iterator[str]:
    """Run the Verilog of a board's top, made with :data:`DIVISOR` and without PLL.

    Parameters
    ----------
    log: every byte seen on the pins, see sim/verilator/driver/board.cpp.

    Yields
    ------
    The name of a serial port.

    Raises
    ------
    SimulationError: it cannot be built.
    """
    binary = build_driver(verilog, driver=BOARD_DRIVER, top=top)
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        command = [str(binary), str(master), str(DIVISOR)]
        if log is not None:
            command.append(str(log))
        process = subprocess.Popen(command, pass_fds=(master,), stderr=subprocess.PIPE, text=True)
        try:
            yield os.ttyname(slave)
        finally:
            process.terminate()
            try:
                _, said = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                _, said = process.communicate()
        if process.returncode:
            raise SimulationError(f"the simulated board stopped: {said.strip()}")
    finally:
        os.close(slave)
        os.close(master)
