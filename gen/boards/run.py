"""`sparnn run`: a compiled folder on a board, or on the board's top in simulation."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.gen.errors import SparnnError
from sparnn.hdl.board.clock import ClockPlan
from sparnn.hdl.board.top import BOARD_MODULE, BoardTop, board_verilog
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.run import golden_sequences, load_compiled, quantize_sequence
from sparnn.sim.host.answers import SequenceResult, expected_words, parse_results
from sparnn.sim.host.board_link import BoardLink
from sparnn.sim.host.outputs import hardware_outputs
from sparnn.sim.host.packets import constant_states, sequence_packets
from sparnn.sim.host.program import MachineProgram, Run
from sparnn.sim.host.serial_port import SerialPort, open_port
from sparnn.sim.network.arrays import assemble_outputs, load_inputs, write_npz
from sparnn.sim.reference import compare, run_reference
from sparnn.sim.session.compare import mismatches
from sparnn.sim.verilator.board import DIVISOR, simulated_board
from sparnn.sim.verilator.hardware import IMAGE, States, load_program, read_image

from . import SerialBoard, find_board
from .check import lane_machine

__all__ = ["BoardRun", "RunReport", "run_on_board", "run_sequences_on", "serial_board"]

#: ``--port``: no board, but its top in simulation.
SIMULATION = "sim"
#: Simulated cycles a second of wall time that the watchdog counts on.
_SIMULATED_HZ = 2e4
#: The watchdog waits this many times as long as the longest run can take.
_FACTOR = 4


@dataclass(frozen=True)
class RunReport:
    """What ``sparnn run`` reports.

    Members
    -------
    bit_exact, mismatches, first_mismatch, steps, sequences, cycles, max_abs_error, sqnr_db: as of
        :class:`~sparnn.sim.runner.SimulationReport`. cycles include waiting for the line.
    machine_mhz: the machine's clock.
    milliseconds_per_step: ``cycles / steps`` at that clock.
    load_seconds, run_seconds: wall time of loading and running, the line included.
    words_sent, words_received: over the line, without credits.
    """

    board: str
    port: str
    bit_exact: bool
    mismatches: int
    first_mismatch: str | None
    steps: int
    sequences: int
    cycles: int
    machine_mhz: float
    milliseconds_per_step: float
    max_abs_error: float | None
    sqnr_db: float | None
    load_seconds: float
    run_seconds: float
    words_sent: int
    words_received: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        error = "none" if self.max_abs_error is None else f"{self.max_abs_error:.4g}"
        lines = [
            f"bit exact      {'yes' if self.bit_exact else f'NO, {self.mismatches} values differ'}",
            f"sequences      {self.sequences}, {self.steps} steps",
            f"cycles         {self.cycles}, {self.milliseconds_per_step:.4f} ms per step at "
            f"{self.machine_mhz:g} MHz",
            f"float model    largest error {error}",
            f"line           {self.words_sent} words sent, {self.words_received} received; loading "
            f"{self.load_seconds:.1f} s, running {self.run_seconds:.1f} s",
        ]
        if self.first_mismatch:
            lines.insert(1, f"first mismatch {self.first_mismatch}")
        return lines


def run_on_board(
    folder: Path,
    board_name: str,
    port: str,
    inputs: Path,
    *,
    output: Path | None = None,
    baud: int | None = None,
    mhz: float | None = None,
    patience: float = 10.0,
    log: Path | None = None,
) -> RunReport:
    """Load a compiled folder into a board, run an input file, and compare.

    Parameters
    ----------
    port: a serial port; "sim" runs the Verilog of the board's top behind a pseudo terminal.
    output: npz file for the outputs, float32, by name and in the model's layout.
    baud, mhz: as the bitstream was made, where not the board's own.
    patience: seconds without an answer after which the board is given up.
    log: with "sim", every byte on the pins.

    Raises
    ------
    SparnnError, SimulationError: the board, the port, the folder, the inputs or the answers are not
        what they should be.
    """
    board = serial_board(board_name)
    folder = Path(folder)
    manifest, network = load_compiled(folder)
    io = manifest["io"]
    program = load_program(folder)
    sequences = load_inputs(inputs, io, network.input_sizes)
    fed = [quantize_sequence(network, each) for each in sequences]
    states = [{**constant_states(network), **one.initial} for one in fed]
    ran = run_sequences_on(
        board,
        port,
        folder,
        program,
        [(one.x, own) for one, own in zip(fed, states, strict=True)],
        baud=baud,
        mhz=mhz,
        patience=patience,
        log=log,
    )
    results = ran.results
    machine_mhz = float(board.plan(mhz).output_mhz)
    traces = golden_sequences(network, io, sequences)
    count, first = mismatches(program, results, traces)
    outputs = assemble_outputs(io, [hardware_outputs(io, result) for result in results])
    if output is not None:
        write_npz(output, outputs)
    reference = folder / manifest.get("reference", "model.onnx")
    quality = compare(run_reference(reference, inputs, io), outputs)
    steps = sum(len(one.x) for one in fed)
    cycles = sum(result.cycles for result in results)
    return RunReport(
        board=board.name,
        port=port,
        bit_exact=count == 0,
        mismatches=count,
        first_mismatch=first,
        steps=steps,
        sequences=len(results),
        cycles=cycles,
        machine_mhz=machine_mhz,
        milliseconds_per_step=cycles / steps / machine_mhz / 1e3,
        max_abs_error=quality["max_abs_error"],
        sqnr_db=quality["sqnr_db"],
        load_seconds=ran.load_seconds,
        run_seconds=ran.run_seconds,
        words_sent=ran.words_sent,
        words_received=ran.words_received,
    )


def serial_board(name: str) -> SerialBoard:
    """A board by its name.

    Raises
    ------
    SparnnError: there is none, or it has no serial port.
    """
    board = find_board(name)
    if not isinstance(board, SerialBoard):
        raise SparnnError(
            f"--board {board.name}: its machine is beside a processor, not behind a serial port: "
            "run it from there, with sparnn.driver (docs/drivers.md)"
        )
    return board


@dataclass(frozen=True, eq=False)
class BoardRun:
    """What a board answered; seconds and words as of :class:`RunReport`."""

    results: list[SequenceResult]
    load_seconds: float
    run_seconds: float
    words_sent: int
    words_received: int


def run_sequences_on(
    board: SerialBoard,
    port: str,
    folder: Path,
    program: MachineProgram,
    sequences: Sequence[tuple[npt.NDArray[np.integer[Any]], States]],
    *,
    baud: int | None = None,
    mhz: float | None = None,
    patience: float = 10.0,
    log: Path | None = None,
) -> BoardRun:
    """Load the image of a compiled folder into a board and run sequences.

    Parameters
    ----------
    sequences: integers [steps, inputs], and initial states. The others: as of
        :func:`run_on_board`.

    Raises
    ------
    SparnnError, SimulationError: as there.
    """
    config = lane_machine(program, folder)
    image = read_image(folder / IMAGE)
    parts, runs = [], list[Run]()
    for number, (x, states) in enumerate(sequences):
        words, more = sequence_packets(program, number, x, states)
        parts.append(words)
        runs.extend(more)
    work = np.concatenate(parts)
    expected = expected_words(program, runs)
    simulated = port == SIMULATION
    longest = max(run.steps for run in runs) * program.step_bound
    hertz = _SIMULATED_HZ if simulated else float(board.plan(mhz).output_mhz) * 1e6
    with _port(port, config, baud or board.baud, log) as opened:
        link = BoardLink(opened, patience=patience)
        link.open()
        link.check_machine(config)
        started = time.monotonic()
        link.exchange(image, 0, title="Loading")
        loaded = time.monotonic()
        allowed = _FACTOR * longest / hertz
        answer = link.exchange(work, expected, allowed=allowed, title="Running")
        ended = time.monotonic()
    if len(answer) < expected and not len(answer):
        raise SimulationError(f"--port {port}: the machine did not answer within {patience:g} s")
    return BoardRun(
        parse_results(program, runs, answer),
        loaded - started,
        ended - loaded,
        len(image) + len(work) + 1,
        len(answer) + 2,
    )


@contextmanager
def _port(name: str, config: MachineConfig, baud: int, log: Path | None) -> Iterator[SerialPort]:
    if name != SIMULATION:
        with open_port(name, baud) as port:
            yield port
        return
    with tempfile.TemporaryDirectory(prefix="sparnn-") as folder:
        verilog = Path(folder) / "board.v"
        plan = ClockPlan("", Fraction(1), Fraction(1))
        verilog.write_text(board_verilog(config, BoardTop(plan, DIVISOR)), encoding="utf-8")
        with (
            simulated_board(verilog, BOARD_MODULE, log=log) as simulated,
            open_port(simulated, baud) as port,
        ):
            yield port
