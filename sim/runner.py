"""Simulates a compiled folder and compares it with the golden model and the float reference."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.hdl.host.protocol import Counter

from .golden.run import golden_sequences, load_compiled, quantize_sequence
from .golden.saturation import TensorSaturation, saturation, together
from .host.outputs import hardware_outputs
from .host.packets import constant_states
from .host_model import HostModel
from .network.arrays import assemble_outputs, padded_steps, read_inputs, sequences_of, write_npz
from .reference import compare, run_reference
from .session.compare import mismatches
from .session.golden import part_inputs
from .session.whole import Arrays, Whole
from .threads import one_thread
from .verilator.hardware import VERILOG, DriverRun, load_program, run_sequences

__all__ = ["SimulationReport", "simulate"]


@dataclass(frozen=True)
class SimulationReport:
    """What ``sparnn simulate`` reports; the measures are those of docs/machine.md and numerics.md.

    Members
    -------
    bit_exact: every value that the hardware gave equals the golden model's.
    mismatches: how many do not; ``first_mismatch`` says where the first is.
    steps, sequences: steps of all sequences together.
    cycles: of all runs, from RUN to the last output, without loading.
    cycles_per_step: ``cycles / steps``.
    mac_units: multipliers.
    useful_macs: pairs of a non-zero weight and a non-zero activation.
    utilization: ``useful_macs / (mac_units * cycles)``.
    max_abs_error, sqnr_db: the hardware's outputs against the float reference; None where there is
        no error to speak of.
    slots: of a machine with counters, the share of lanes times cycles by what became of them
        (docs/measures.md).
    saturation: the tensors that saturated, counted by the golden model: those of the hardware where
        it is bit exact.
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
    saturation: tuple[TensorSaturation, ...] = ()
    slots: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"saturation": [one.as_dict() for one in self.saturation]}

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
        lines += [f"saturated      {one.line()}" for one in self.saturation]
        if self.first_mismatch:
            lines.insert(1, f"first mismatch {self.first_mismatch}")
        return lines


@dataclass(frozen=True, eq=False)
class _PartRun:
    """What one part of the machine did with one set of inputs."""

    outputs: dict[str, npt.NDArray[np.float32]]
    mismatches: int
    first: str | None
    steps: int
    sequences: int
    cycles: int
    useful: int
    mac_units: int
    driver: DriverRun
    saturation: list[TensorSaturation]
    slots: Mapping[Counter, int]


@one_thread()
def simulate(
    folder: Path,
    inputs: Path,
    *,
    output: Path | None = None,
    waves: bool = False,
    idle: int = 0,
    stall: int = 0,
    seed: int = 0,
    verilog: Path | None = None,
) -> SimulationReport:
    """Simulate a compiled folder on an input file.

    Where the model's graph was cut, the host's pieces run in ONNX Runtime; cycles and useful MACs
    are those of all parts together, steps those of the part that makes the most.

    Parameters
    ----------
    output
        The npz file for the hardware's outputs, float32, by name and in the model's layout.
    waves
        Record `waves.vcd` in the compiled folder, or in those of its parts: the first 20,000 cycles
        after the image.
    idle, stall
        Percentage of cycles in which the host offers no word, and takes none; `seed` chooses which.
    verilog
        Instead of the folder's: another description of the same machine, such as its netlist.

    Raises
    ------
    SimulationError
        The folder or the inputs are not usable, or the machine does not answer as it should.
    """
    folder = Path(folder)
    options = {"waves": waves, "idle": idle, "stall": stall, "seed": seed}
    whole = Whole.of(folder)
    if whole is None:
        manifest, network = load_compiled(folder)
        io = manifest["io"]
        run = _run_part(folder, read_inputs(inputs, io, network.input_sizes), verilog, options)
        outputs, runs = run.outputs, [run]
        model = folder / manifest.get("reference", "model.onnx")
        reference = run_reference(model, inputs, io)
    else:
        outputs, runs, reference = _run_whole(whole, inputs, verilog or folder / VERILOG, options)
    if output is not None:
        write_npz(output, outputs)
    quality = compare(reference, outputs)
    steps = _most_steps(runs, 1 if whole is None else len(whole.parts))
    cycles, useful = sum(run.cycles for run in runs), sum(run.useful for run in runs)
    lanes, simulated = runs[0].mac_units, sum(run.driver.cycles for run in runs)
    seconds = sum(run.driver.seconds for run in runs)
    return SimulationReport(
        bit_exact=not any(run.mismatches for run in runs),
        mismatches=sum(run.mismatches for run in runs),
        first_mismatch=next((run.first for run in runs if run.first is not None), None),
        steps=steps,
        sequences=max(run.sequences for run in runs) * (len(runs) // max(1, _parts(whole))),
        cycles=cycles,
        cycles_per_step=cycles / steps,
        mac_units=lanes,
        useful_macs=useful,
        utilization=useful / (lanes * cycles) if cycles else 0.0,
        max_abs_error=quality["max_abs_error"],
        sqnr_db=quality["sqnr_db"],
        load_cycles=sum(run.driver.load_cycles for run in runs),
        simulated_cycles=simulated,
        simulated_cycles_per_second=simulated / max(seconds, 1e-6),
        saturation=tuple(together(one for run in runs for one in run.saturation)),
        slots=_slots([run.slots for run in runs]),
    )


def _slots(counted: Sequence[Mapping[Counter, int]]) -> dict[str, float]:
    """Counted slots of all runs as shares, by the counters' names; empty without counters."""
    sums = _added(counted)
    total = sum(sums.values())
    return {one.name.lower(): value / total for one, value in sums.items()} if total else {}


def _parts(whole: Whole | None) -> int:
    return 1 if whole is None else len(whole.parts)


def _most_steps(runs: Sequence[_PartRun], parts: int) -> int:
    """Steps of the part that makes the most, over all sets of inputs."""
    return max(sum(run.steps for run in runs[part::parts]) for part in range(parts))


def _run_whole(
    whole: Whole, inputs: Path, verilog: Path, options: Mapping[str, Any]
) -> tuple[dict[str, npt.NDArray[Any]], list[_PartRun], dict[str, npt.NDArray[Any]]]:
    """All outputs of a graph that was cut, the runs of its parts, and the float reference."""
    runs: list[_PartRun] = []

    def run_part(part: Path, known: Arrays) -> Arrays:
        runs.append(_run_part(part, part_inputs(part, known), verilog, options))
        return runs[-1].outputs

    feeds = whole.read(inputs)
    outputs = whole.joined([whole.run(feed, run_part) for feed in feeds])
    model = HostModel(whole.model, str(whole.model))
    reference = whole.joined([model.run(feed, whole.outputs) for feed in feeds])
    return outputs, runs, reference


def _run_part(
    folder: Path, arrays: Arrays, verilog: Path | None, options: Mapping[str, Any]
) -> _PartRun:
    manifest, network = load_compiled(folder)
    io = manifest["io"]
    program = load_program(folder)
    sequences = sequences_of(arrays, io)
    fed = [quantize_sequence(network, sequence) for sequence in sequences]
    waves = folder / "waves.vcd" if options["waves"] else None
    results, driver = run_sequences(
        folder,
        program,
        [(one.x, {**constant_states(network), **one.initial}) for one in fed],
        verilog=verilog,
        **{**options, "waves": waves},
    )
    traces = golden_sequences(network, io, sequences)
    count, first = mismatches(program, results, traces)
    return _PartRun(
        outputs=assemble_outputs(
            io, [hardware_outputs(io, result) for result in results], padded_steps(arrays, io)
        ),
        mismatches=count,
        first=first,
        steps=sum(len(one.x) for one in fed),
        sequences=len(fed),
        cycles=sum(result.cycles for result in results),
        useful=sum(trace.useful_macs for trace in traces),
        mac_units=program.config.mac_units,
        driver=driver,
        saturation=saturation(network, sequences, traces),
        slots=_added([result.slots for result in results]),
    )


def _added(counted: Sequence[Mapping[Counter, int]]) -> dict[Counter, int]:
    return {one: sum(slots.get(one, 0) for slots in counted) for one in Counter}
