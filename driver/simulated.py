"""A device in simulation: the Verilog of a folder that was compiled with ``--bus axi``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sparnn.sim.verilator.bus import simulated_bus

from .jobs import JobTransport

__all__ = ["simulated_device"]


@contextmanager
def simulated_device(folder: Path | str, *, patience: float = 60.0) -> Iterator[JobTransport]:
    """The transport to a simulation of the machine on its bus, with 4 MiB of memory.

    Parameters
    ----------
    folder: with ``sparnn.v`` and ``sparnn_bus.v``. patience: seconds for which a job may take.

    Raises
    ------
    SimulationError: there is no such Verilog, or it cannot be built.
    """
    with simulated_bus(Path(folder)) as bus:
        yield JobTransport(bus, bus, 0, name="the simulated device", patience=patience)
