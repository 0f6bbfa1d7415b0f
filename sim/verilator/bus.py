"""A Verilated machine on a bus: its registers and its memory."""

import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from sparnn.hdl.bus.top import BUS_MODULE
from sparnn.sim.errors import SimulationError

from .verilate import build_driver

__all__ = ["SimulatedBus", "simulated_bus"]

BUS_DRIVER = Path(__file__).parent / "driver" / "bus.cpp"

Words = npt.NDArray[np.uint32]


class SimulatedBus:
    """Registers and memory of a running simulation; time goes on while registers are accessed."""

    def __init__(self, process: "subprocess.Popen[bytes]", words: int) -> None:
        self._process = process
        self.words = words

    def read(self, offset: int) -> int:
        """A register.

        Raises
        ------
        SimulationError: it is refused, or the simulation has stopped.
        """
        value, response = struct.unpack("=II", self._ask(b"r", offset, 0, answer=8))
        self._check(response, offset)
        return int(value)

    def write(self, offset: int, value: int) -> None:
        """Write a register; errors as of :meth:`read`."""
        (response,) = struct.unpack("=I", self._ask(b"w", offset, value, answer=4))
        self._check(response, offset)

    def put(self, first: int, words: Words) -> None:
        """Words into memory."""
        self._ask(b"p", first, len(words), words.astype("=u4").tobytes())

    def get(self, first: int, count: int) -> Words:
        """Words of memory."""
        content = self._ask(b"g", first, count, answer=4 * count)
        return np.frombuffer(content, np.uint32).copy()

    def _check(self, response: int, offset: int) -> None:
        if response:
            raise SimulationError(f"the simulated device refuses the register at {offset:#x}")

    def _ask(
        self, command: bytes, first: int, second: int, rest: bytes = b"", *, answer: int = 0
    ) -> bytes:
        source, target = self._pipes()
        try:
            target.write(command + struct.pack("=II", first, second) + rest)
            target.flush()
            content = source.read(answer)
        except OSError:
            content = b""
        if len(content) != answer:
            raise SimulationError("the simulated device has stopped")
        return content

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        return self._process.stdout, self._process.stdin


@contextmanager
def simulated_bus(folder: Path, *, words: int = 1 << 20) -> Iterator[SimulatedBus]:
    """Run the Verilog of a folder that was compiled or emitted with ``--bus axi``.

    Parameters
    ----------
    words: of memory, from address 0.

    Raises
    ------
    SimulationError: there is no such Verilog, or it cannot be built.
    """
    try:
        texts = [(folder / name).read_bytes() for name in ("sparnn.v", "sparnn_bus.v")]
    except OSError as error:
        raise SimulationError(
            f"{error.filename} cannot be read ({error.strerror}): compile the model with --bus axi"
        ) from None
    if b"s_axi_awaddr" not in texts[1] or b"m_axi_araddr" not in texts[1]:
        raise SimulationError(f"{folder} was not compiled with --bus axi: compile the model again")
    with tempfile.TemporaryDirectory(prefix="sparnn-") as aside:
        verilog = Path(aside) / "bus.v"
        verilog.write_bytes(b"\n".join(texts))
        binary = build_driver(verilog, driver=BUS_DRIVER, top=BUS_MODULE)
    process = subprocess.Popen(
        [str(binary), str(words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield SimulatedBus(process, words)
    finally:
        process.kill()
        process.communicate()
