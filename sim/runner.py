"""Simulates a compiled folder and compares it with the golden model and the float reference."""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import assemble_outputs, load_inputs, write_npz
from .errors import SimulationError
from .golden import NetworkTrace
from .golden_run import golden_sequences, load_compiled, quantize_sequence
from .packets import (
    MachineProgram,
    Run,
    SequenceResult,
    constant_states,
    expected_words,
    parse_results,
    sequence_packets,
)
from .progress import progress
from .reference import compare, run_reference
from .verilate import build_driver

__all__ = [
    "DriverRun",
    "SimulationReport",
    "hardware_outputs",
    "load_program",
    "mismatches",
    "run_driver",
    "run_sequences",
    "simulate",
]

IntArray = npt.NDArray[np.int64]
States = Mapping[tuple[str, int], npt.NDArray[np.integer]]

PROGRAM = "program.json"
IMAGE = "image.bin"
VERILOG = "sparnn.v"

#: A stall of the host port multiplies the length of a run by at most this in practice.
_WATCHDOG_FACTOR = 4


@dataclass(frozen=True)
class DriverRun:
    """What the driver reported.

    Members
    -------
    cycles: simulated in all, loading and everything else included.
    seconds: of wall time.
    load_cycles: until the last word of the image was taken.
    """

    cycles: int
    seconds: float
    load_cycles: int


@dataclass(frozen=True)
class SimulationReport:
    """What ``sparnn simulate`` reports; the measures are those of docs/machine.md and numerics.md.

    Members
    -------
    bit_exact: every value that the hardware gave equals the golden model's.
    mismatches: how many do not; ``first_mismatch`` says where the first is.
    steps, sequences: steps of all sequences together.
    cycles: of all runs, from the first step's start to the last output, without loading.
    cycles_per_step: ``cycles / steps``.
    mac_units: multipliers.
    useful_macs: pairs of a non-zero weight and a non-zero activation.
    utilization: ``useful_macs / (mac_units * cycles)``.
    max_abs_error, sqnr_db: the hardware's outputs against the float reference; None where there is
        no error to speak of.
    load_cycles: loading of the image.
    simulated_cycles: in all. simulated_cycles_per_second: of wall time.
    """

    bit_exact: bool
    mismatches: int
    first_mismatch: str | None
    steps: int
    sequences: int
    cycles: int
    cycles_per_step: float
    mac_units: int
    useful_macs: int
    utilization: float
    max_abs_error: float | None
    sqnr_db: float | None
    load_cycles: int
    simulated_cycles: int
    simulated_cycles_per_second: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        error = "none" if self.max_abs_error is None else f"{self.max_abs_error:.4g}"
        sqnr = "" if self.sqnr_db is None else f", SQNR {self.sqnr_db:.1f} dB"
        exact = "yes" if self.bit_exact else f"NO, {self.mismatches} values differ"
        lines = [
            f"bit exact      {exact}",
            f"sequences      {self.sequences}, {self.steps} steps",
            f"cycles         {self.cycles}, {self.cycles_per_step:.1f} per step",
            f"utilization    {100 * self.utilization:.1f} % of {self.mac_units} MAC units, "
            f"{self.useful_macs} useful MACs",
            f"float model    largest error {error}{sqnr}",
            f"simulation     {self.simulated_cycles} cycles, {self.load_cycles} of them loading, "
            f"{self.simulated_cycles_per_second:.0f} per second",
        ]
        if self.first_mismatch:
            lines.insert(1, f"first mismatch {self.first_mismatch}")
        return lines


def simulate(
    folder: Path,
    inputs: Path,
    *,
    output: Path | None = None,
    waves: bool = False,
    idle: int = 0,
    stall: int = 0,
    seed: int = 0,
) -> SimulationReport:
    """Simulate a compiled folder on an input file.

    Parameters
    ----------
    output
        The npz file for the hardware's outputs, float32, by name and in the model's layout.
    waves
        Record `waves.vcd` in the compiled folder.
    idle, stall
        Percentage of cycles in which the host offers no word, and takes none; `seed` chooses which.

    Raises
    ------
    SimulationError
        The folder or the inputs are not usable, or the machine does not answer as it should.
    """
    folder = Path(folder)
    manifest, network = load_compiled(folder)
    io = manifest["io"]
    program = load_program(folder)
    sequences = load_inputs(inputs, io, network.input_sizes)
    fed = [quantize_sequence(network, sequence) for sequence in sequences]
    results, driver = run_sequences(
        folder,
        program,
        [(one.x, {**constant_states(network), **one.initial}) for one in fed],
        waves=folder / "waves.vcd" if waves else None,
        idle=idle,
        stall=stall,
        seed=seed,
    )
    traces = golden_sequences(network, io, sequences)
    count, first = mismatches(program, results, traces)
    outputs = assemble_outputs(io, [hardware_outputs(io, result) for result in results])
    if output is not None:
        write_npz(output, outputs)
    model = folder / manifest.get("reference", "model.onnx")
    quality = compare(run_reference(model, inputs, io), outputs)
    steps = sum(len(one.x) for one in fed)
    cycles = sum(result.cycles for result in results)
    useful = sum(trace.useful_macs for trace in traces)
    lanes = program.config.lanes
    return SimulationReport(
        bit_exact=count == 0,
        mismatches=count,
        first_mismatch=first,
        steps=steps,
        sequences=len(fed),
        cycles=cycles,
        cycles_per_step=cycles / steps,
        mac_units=lanes,
        useful_macs=useful,
        utilization=useful / (lanes * cycles) if cycles else 0.0,
        max_abs_error=quality["max_abs_error"],
        sqnr_db=quality["sqnr_db"],
        load_cycles=driver.load_cycles,
        simulated_cycles=driver.cycles,
        simulated_cycles_per_second=driver.cycles / max(driver.seconds, 1e-6),
    )


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
    idle: int = 0,
    stall: int = 0,
    seed: int = 0,
) -> tuple[list[SequenceResult], DriverRun]:
    """Load the image of a compiled folder into its Verilog and run sequences.

    Parameters
    ----------
    sequences
        Integers [steps, inputs], and initial states as for `packets.sequence_packets`.

    Raises
    ------
    SimulationError
        A file is missing or damaged, or the machine does not answer as it should.
    """
    image = _read_image(Path(folder) / IMAGE)
    parts: list[npt.NDArray[np.uint32]] = [image]
    runs: list[Run] = []
    for number, (x, initial) in enumerate(sequences):
        words, more = sequence_packets(program, number, x, initial)
        parts.append(words)
        runs.extend(more)
    binary = build_driver(Path(folder) / VERILOG, waves=waves is not None)
    longest = max(run.steps for run in runs)
    slowest = max(idle, stall)
    watchdog = 10000 + _WATCHDOG_FACTOR * longest * program.step_bound * 100 // (100 - slowest)
    options = {
        "--mark": len(image),
        "--idle": idle,
        "--stall": stall,
        "--seed": seed,
        "--watchdog": watchdog,
    }
    if waves is not None:
        options["--waves"] = str(waves.resolve())
    answer, driver, problem = run_driver(
        binary, np.concatenate(parts), expected_words(program, runs), options
    )
    try:
        return parse_results(program, runs, answer), driver
    except SimulationError as error:
        raise SimulationError(f"{error}{f' ({problem})' if problem else ''}") from None


def run_driver(
    binary: Path, words: npt.NDArray[np.uint32], expected: int, options: Mapping[str, object]
) -> tuple[npt.NDArray[np.uint32], DriverRun, str | None]:
    """Run a driver program (sim/driver/driver.cpp).

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
        run = DriverRun(report["cycles"], report["seconds"], report["marked"])
        return np.fromfile(answer, "<u4").astype(np.uint32), run, problem if status else None


def mismatches(
    program: MachineProgram, results: Sequence[SequenceResult], traces: Sequence[NetworkTrace]
) -> tuple[int, str | None]:
    """How many values of the hardware differ from the golden model's, and where the first is."""
    count = 0
    first = None
    for number, (result, trace) in enumerate(zip(results, traces, strict=True)):
        pairs = []
        for index, got in enumerate(result.outputs):
            if got is not None:
                golden = trace.layers[index].outputs
                # Where the last step alone is emitted, the golden model has all of them.
                pairs.append((index, "output", got, golden[len(golden) - len(got) :]))
        for index, got in result.states.items():
            state = trace.layers[index].state
            assert state is not None
            pairs.append((index, "state", got[np.newaxis], state[np.newaxis]))
        for index, what, got, golden in pairs:
            wrong = got != golden
            count += int(np.count_nonzero(wrong))
            if first is None and wrong.any():
                step, unit = (int(i) for i in np.argwhere(wrong)[0])
                first = (
                    f"sequence {number}, layer {program.layers[index].name!r}, {what} {unit} of "
                    f"step {step + len(trace.layers[index].outputs) - len(golden)}: hardware "
                    f"{got[step, unit]}, golden model {golden[step, unit]}"
                )
    return count, first


def hardware_outputs(io: Mapping[str, Any], result: SequenceResult) -> dict[str, IntArray]:
    """The model's outputs of one sequence as integers, for `assemble_outputs`."""
    outputs = {}
    for entry in io["outputs"]:
        layer, what = entry["layer"], entry["what"]
        if what == "state_c":
            outputs[entry["name"]] = result.states[layer]
            continue
        emitted = result.outputs[layer]
        if emitted is None:
            raise SimulationError(
                f"output {entry['name']!r} is not in program.json: compile the model again"
            )
        outputs[entry["name"]] = emitted if what == "sequence" else emitted[-1]
    return outputs


def _read_image(path: Path) -> npt.NDArray[np.uint32]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SimulationError(
            f"{path} cannot be read ({error.strerror}): compile the model again"
        ) from None
    if len(content) % 4:
        raise SimulationError(f"{path} does not hold whole words: compile the model again")
    return np.frombuffer(content, "<u4").astype(np.uint32)
