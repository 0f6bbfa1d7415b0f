"""`sparnn bench energy-logic`: what gates of ours and EIE take for a layer (docs/energy.md).

One lane, one cluster and the top are gates, the rest is Verilog, all of it runs the layer; the
outputs are compared. Each part counts as often as it stands in the machine.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sparnn.gen.energy.gates import GateModule, gates_verilog
from sparnn.gen.energy.liberty import read_liberty
from sparnn.gen.energy.toggles import WIRES, LogicEnergy, logic_energy
from sparnn.hdl.baseline.array import baseline_verilog
from sparnn.hdl.emit import machine_verilog

from .eie import EIE_OPTIONS, Comparison, baseline_runs, exact, our_run, prepare
from .energy import BASELINES, CHANGES, OPTIONS
from .workload import masr_workload

__all__ = ["LOGIC_DESIGNS", "LogicPoint", "logic_points"]

LOGIC_DESIGNS = (
    "eie",
    "ours",
    "ours, banks and slices",
    "ours, 4 rows, banks and slices",
    "eie, blocks of 4 rows",
)
"""Machines whose logic is compared where none are named."""

_PARTS = ("clock", "needed", "internal", "wires", "total")


@dataclass(frozen=True)
class LogicPoint:
    """One machine on a layer of the shape of MASR's.

    Members
    -------
    v: lanes that share a row, of ours. steps: of the sequence.
    cells: the library. begin, cycles: the window.
    useful_macs: in as many cycles, by the whole run's mean.
    lanes: multipliers.
    parts: of each module its copies, flip-flops and picojoules a multiplier and cycle.
    mac_pj: of clock pins, of those edges that are needed, inside of cells and of wires, picojoules
        a useful MAC; ``total`` has all clock edges.
    lane_cycle_pj: the same, a multiplier and cycle.
    leakage_mw: of all logic.
    """

    design: str
    lanes: int
    v: int | None
    hidden: int
    steps: int
    seed: int
    clock_gates: bool
    bit_exact: bool
    cells: str
    run_cycles: int
    begin: int
    cycles: int
    useful_macs: float
    parts: Mapping[str, Mapping[str, float]]
    mac_pj: Mapping[str, float]
    lane_cycle_pj: Mapping[str, float]
    leakage_mw: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class _Gates:
    """Writes Verilog with gates in it, and remembers which."""

    def __init__(self, verilog: Any, liberty: Path, how: Mapping[str, Any]) -> None:
        self._verilog, self._liberty, self._how = verilog, liberty, how
        self.modules: tuple[GateModule, ...] = ()

    def __call__(self, config: Any) -> str:
        text, self.modules = gates_verilog(self._verilog(config), self._liberty, **self._how)
        return text


def logic_points(
    lanes: int,
    liberty: Path,
    *,
    begin: int = 200,
    cycles: int = 1000,
    designs: Sequence[str] = LOGIC_DESIGNS,
    v: int | None = None,
    clock_gates: bool = False,
    **workload: Any,
) -> Iterator[LogicPoint]:
    """Machines of :data:`~sparnn.gen.bench.energy.DESIGNS`, on the same integers.

    Parameters
    ----------
    begin, cycles: the window, in cycles of the run. Pipelines fill before it.
    clock_gates: registers with an enable get clock gates of the library.
    workload: see :func:`~sparnn.gen.bench.workload.masr_workload`.
    """
    for design in designs:
        changed = {**workload, **CHANGES.get(design, {})}
        comparison = prepare(masr_workload(directions=2, **changed), workload.get("seed", 0))
        how = {"begin": begin, "cycles": cycles, "clock_gates": clock_gates}
        yield _point(design, comparison, lanes, liberty, v, how)


def _point(
    design: str,
    comparison: Comparison,
    lanes: int,
    liberty: Path,
    v: int | None,
    how: Mapping[str, Any],
) -> LogicPoint:
    counts: Mapping[str, int]
    cycles = how["cycles"]
    if design in OPTIONS:
        gates = _Gates(machine_verilog, liberty, how)
        options = replace(EIE_OPTIONS, v=v, **OPTIONS[design])
        _, run = our_run(comparison, lanes // options.width, options, gates)
        counts, run_cycles, same = run.driver.counts, run.cycles, run.bit_exact
    else:
        gates = _Gates(baseline_verilog, liberty, how)
        runs = baseline_runs(comparison, lanes, BASELINES[design], gates)
        counts, same = runs[0].driver.counts, exact(comparison, runs)
        run_cycles = sum(run.cycles for run in runs)
    library = read_liberty(liberty, wires=WIRES)
    useful = comparison.trace.useful_macs * cycles / run_cycles
    energies = {
        module.name: (module.copies, logic_energy(module, counts, library, cycles))
        for module in gates.modules
    }

    def total(name: str) -> float:
        return sum(copies * getattr(one, name) for copies, one in energies.values())

    return LogicPoint(
        design=design,
        lanes=lanes,
        v=v if design in OPTIONS else None,
        hidden=comparison.network.layers[0].units,
        steps=len(comparison.x),
        seed=comparison.seed,
        clock_gates=how["clock_gates"],
        bit_exact=same,
        cells=library.name,
        run_cycles=run_cycles,
        begin=how["begin"],
        cycles=cycles,
        useful_macs=useful,
        parts={name: _part(copies, one, lanes, cycles) for name, (copies, one) in energies.items()},
        mac_pj={name: total(name) / useful for name in _PARTS},
        lane_cycle_pj={name: total(name) / lanes / cycles for name in _PARTS},
        leakage_mw=total("leakage_mw"),
    )


def _part(copies: int, one: LogicEnergy, lanes: int, cycles: int) -> dict[str, float]:
    return {
        "copies": copies,
        "flip_flops": one.flip_flops,
        "gated": one.gated,
        "lane_cycle_pj": copies * one.total / lanes / cycles,
    }
