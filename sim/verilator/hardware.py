"""Runs a compiled folder's Verilog: loads the image, feeds sequences, takes the answers."""

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparnn.sim.errors import SimulationError
from sparnn.sim.host.answers import SequenceResult, expected_words, parse_results
from sparnn.sim.host.packets import sequence_packets
from sparnn.sim.host.program import MachineProgram, Run
from sparnn.sim.host.streams import (
    StreamGroup,
    expected_stream_words,
    parse_streams,
    stream_packets,
)
from sparnn.sim.progress import progress

from .verilate import build_driver

__all__ = [
    "DriverRun",
    "ExternalMemory",
    "load_program",
    "read_image",
    "run_driver",
    "run_sequences",
]

PROGRAM = "program.json"
IMAGE = "image.bin"
VERILOG = "sparnn.v"
EXTERNAL = "weights.bin"

States = Mapping[tuple[str, int], npt.NDArray[np.integer]]

#: The watchdog waits this many times as long as the longest run can take.
_WATCHDOG_FACTOR = 4


@dataclass(frozen=True)
class DriverRun:
    """What the driver reported.

    Members
    -------
    cycles: simulated in all, loading and everything else included.
    seconds: of wall time.
    load_cycles: until the last word of the image was taken.
    beats: words that were read from external memory.
    counts: by number, of Verilog that counts (gen/energy/counting.py).
    """

    cycles: int
    seconds: float
    load_cycles: int
    beats: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ExternalMemory:
    """External memory of a simulation, for machines whose weights come from there.

    Members
    -------
    bytes_per_cycle: that it gives at most.
    latency: cycles from asking for a word to its being there.
    under_way: words that may be asked for, or there and not taken: those of all bursts.
    """

    bytes_per_cycle: int = 8
    latency: int = 60
    under_way: int = 256


def load_program(folder: Path) -> MachineProgram:
    """The program of a compiled folder.

    Raises
    ------
    SimulationError
        It is missing or damaged.
    """
    path = Path(folder) / PROGRAM
    try:
        return MachineProgram.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SimulationError(
            f"{path} cannot be read ({error.strerror}): compile the model again"
        ) from None
    except ValueError as error:
        raise SimulationError(f"{path} is damaged ({error}): compile the model again") from None


def run_sequences(
    folder: Path,
    program: MachineProgram,
    sequences: Sequence[tuple[npt.NDArray[np.integer], States]],
    *,
    waves: Path | None = None,
    coverage: Path | None = None,
    idle: int = 0,
    stall: int = 0,
    seed: int = 0,
    verilog: Path | None = None,
    memory: ExternalMemory | None = None,
    run: Callable[..., tuple[npt.NDArray[np.uint32], DriverRun, str | None]] | None = None,
) -> tuple[list[SequenceResult], DriverRun]:
    """Load the image of a compiled folder into its Verilog and run sequences.

    Parameters
    ----------
    sequences
        Integers [steps, inputs], and initial states as for `packets.sequence_packets`. Where
        streams take turns, those of equal length run together.
    verilog
        Another description of the same machine, such as its netlist.
    coverage
        Where Verilator's counts of lines, branches and bits go.
    memory
        Where masks and weights come from external memory.
    run
        In place of :func:`run_driver`: :func:`~sparnn.sim.verilator.kept_runs.kept_run`.

    Raises
    ------
    SimulationError
        A file is missing or damaged, or the machine does not answer as it should.
    """
    image = read_image(Path(folder) / IMAGE)
    parts: list[npt.NDArray[np.uint32]] = [image]
    runs: list[Run] = []
    groups: list[StreamGroup] = []
    if program.streams > 1:
        packets, groups = stream_packets(program, sequences)
        parts += packets
        longest = max(steps for group in groups for steps in group.runs)
        expected = expected_stream_words(program, groups)
    else:
        for number, (x, initial) in enumerate(sequences):
            words, more = sequence_packets(program, number, x, initial)
            parts.append(words)
            runs.extend(more)
        longest = max(run.steps for run in runs)
        expected = expected_words(program, runs)
    binary = build_driver(
        verilog or Path(folder) / VERILOG, waves=waves is not None, coverage=coverage is not None
    )
    slowest = max(idle, stall)
    watchdog = 10000 + _WATCHDOG_FACTOR * longest * program.step_bound * 100 // (100 - slowest)
    options: dict[str, object] = {
        "--mark": len(image),
        "--idle": idle,
        "--stall": stall,
        "--seed": seed,
        "--watchdog": watchdog,
    }
    if program.config.stream_bits:
        memory = memory or ExternalMemory()
        options |= {
            "--memory": str((Path(folder) / EXTERNAL).resolve()),
            "--bytes-per-cycle": memory.bytes_per_cycle,
            "--latency": memory.latency,
            "--under-way": memory.under_way,
        }
    if coverage is not None:
        options["--coverage"] = str(coverage.resolve())
    if waves is not None:
        options["--waves"] = str(waves.resolve())
    answer, driver, problem = (run or run_driver)(binary, np.concatenate(parts), expected, options)
    try:
        if groups:
            return parse_streams(program, groups, answer), driver
        return parse_results(program, runs, answer), driver
    except SimulationError as error:
        raise SimulationError(f"{error}{f' ({problem})' if problem else ''}") from None


def run_driver(
    binary: Path, words: npt.NDArray[np.uint32], expected: int, options: Mapping[str, object]
) -> tuple[npt.NDArray[np.uint32], DriverRun, str | None]:
    """Run a driver program (sim/verilator/driver/driver.cpp).

    Returns
    -------
    What came out; the driver's report; why it gave up, None where it did not.

    Raises
    ------
    SimulationError
        The program cannot be run.
    """
    with tempfile.TemporaryDirectory(prefix="sparnn-") as folder:
        source, answer = Path(folder) / "in.bin", Path(folder) / "out.bin"
        words.astype("<u4").tofile(source)
        arguments = [text for name, value in options.items() for text in (name, str(value))]
        process = subprocess.Popen(
            [str(binary), str(source), str(answer), str(expected), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        assert process.stderr is not None
        problem = None
        try:
            with progress("Simulating", total=len(words) + expected) as advance:
                done = 0
                for line in process.stderr:
                    if line.startswith("progress "):
                        taken, given, _ = (int(number) for number in line.split()[1:])
                        advance(taken + given - done)
                        done = taken + given
                    else:
                        problem = line.removeprefix("error:").strip()
            text = process.stdout.read()
            status = process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()
        if status not in (0, 3):
            raise SimulationError(f"the simulation stopped with status {status}: {problem}")
        report = json.loads(text)
        run = DriverRun(
            report["cycles"],
            report["seconds"],
            report["marked"],
            report["beats"],
            report["counts"],
        )
        return np.fromfile(answer, "<u4").astype(np.uint32), run, problem if status else None


def read_image(path: Path) -> npt.NDArray[np.uint32]:
    """The words of an image.

    Raises
    ------
    SimulationError
        It is missing or damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SimulationError(
            f"{path} cannot be read ({error.strerror}): compile the model again"
        ) from None
    if len(content) % 4:
        raise SimulationError(f"{path} does not hold whole words: compile the model again")
    return np.frombuffer(content, "<u4").astype(np.uint32)
