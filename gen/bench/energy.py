"""`sparnn bench energy`: what machines take for MASR's layer, by the same model (docs/energy.md).

Every machine runs the same integers on its RTL, with counters at its memories. A dense pass is the
same layer without a zero, on lanes without masks and on the dense machine.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sparnn.gen.energy.account import KINDS, banks_together, memory_energy, sliced
from sparnn.gen.energy.cacti import NODES
from sparnn.gen.energy.counting import Accesses, PortCounts, counting_verilog, counts_of
from sparnn.hdl.baseline.array import baseline_verilog
from sparnn.hdl.emit import machine_verilog

from .eie import EIE_OPTIONS, Comparison, baseline_runs, exact, our_run, prepare
from .masr import MASR_BITS
from .workload import masr_workload

__all__ = ["BASELINES", "CHANGES", "DESIGNS", "OPTIONS", "Counting", "EnergyPoint", "energy_points"]

BANK_BYTES = 1024
"""Of the variants in which memories that runs only read are divided into banks."""


_DIVIDED = {"bank_bytes": BANK_BYTES, "sliced_copy": True}

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "ours": {},
    "ours, banks and slices": _DIVIDED,
    "ours, 4 rows": {"width": 4},
    "ours, 4 rows, banks and slices": {"width": 4, **_DIVIDED},
    "dense pass": {"masks": False},
}
"""What of ours is on, by the machine's name."""


@dataclass(frozen=True)
class EnergyPoint:
    """One machine on MASR's layer, both directions.

    Members
    -------
    lanes: multipliers. v: lanes that share a row, of ours.
    useful_macs: of the workload that all but the dense passes run.
    memory_pj: at each node, by what memories hold, picojoules a step.
    ungated_pj: in sum, where a memory is read in every cycle in which its port is enabled.
    banked_pj: in sum, where weights, masks and pointers lie in banks of :data:`BANK_BYTES`.
    sliced_pj: that, and a lane's copy of the activations is a memory for each element of its words.
    leakage_mw: of all memories, at each node.
    memories: accesses a step of each memory.
    block: rows in which the layer's weights are zero together.
    """

    design: str
    lanes: int
    v: int | None
    seed: int
    steps: int
    bit_exact: bool
    cycles: int
    useful_macs: int
    memory_pj: Mapping[str, Mapping[str, float]]
    ungated_pj: Mapping[str, float]
    banked_pj: Mapping[str, float]
    sliced_pj: Mapping[str, float]
    leakage_mw: Mapping[str, float]
    memories: Sequence[Mapping[str, Any]]
    block: int = 1

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, eq=False)
class _Run:
    """What a machine did: memories with counts."""

    memories: tuple[PortCounts, ...]
    cycles: int
    bit_exact: bool
    v: int | None = None


class Counting:
    """Writes Verilog that counts, and remembers what."""

    def __init__(self, verilog: Callable[[Any], str]) -> None:
        self._verilog = verilog
        self.accesses: Accesses | None = None

    def __call__(self, config: Any) -> str:
        text, self.accesses = counting_verilog(self._verilog(config))
        return text

    def counted(self, counts: Mapping[str, int]) -> tuple[PortCounts, ...]:
        assert self.accesses is not None
        return self.accesses.counted(counts)


def _baseline(comparison: Comparison, lanes: int, design: str) -> _Run:
    counting = Counting(baseline_verilog)
    runs = baseline_runs(comparison, lanes, design, counting)
    memories = counting.counted(runs[0].driver.counts)
    for run in runs[1:]:
        memories = counts_of(memories, counting.counted(run.driver.counts))
    return _Run(memories, sum(run.cycles for run in runs), exact(comparison, runs))


def _ours(comparison: Comparison, lanes: int, v: int | None, **options: Any) -> _Run:
    counting = Counting(machine_verilog)
    width = options.get("width", 1)
    placed, run = our_run(
        comparison, lanes // width, replace(EIE_OPTIONS, v=v, **options), counting
    )
    return _Run(
        counting.counted(run.driver.counts),
        run.cycles,
        run.bit_exact,
        1 << placed.layout.layers[0].v_log2,
    )


BASELINES: Mapping[str, str] = {"eie": "eie", "ese": "ese", "eie, blocks of 4 rows": "eie"}
"""The array of a baseline, by the machine's name."""

_BLOCKS = {"block": 4}

#: Of the workload without a zero: a dense pass computes with every weight and every activation.
_NO_ZEROS = {"weight_density": 1.0, "hidden_density": 1.0, "input_density": 1.0}

CHANGES: Mapping[str, Mapping[str, Any]] = {
    "dense pass": _NO_ZEROS,
    "eie, blocks of 4 rows": _BLOCKS,
    "ours, 4 rows": _BLOCKS,
    "ours, 4 rows, banks and slices": _BLOCKS,
}
"""What of the workload differs from MASR's layer, by the machine's name."""

DESIGNS = ("eie", *OPTIONS, "ese", "eie, blocks of 4 rows")
"""Machines by name: :data:`BASELINES`, and ours with :data:`OPTIONS`."""


def energy_points(
    lanes: int,
    designs: Sequence[str],
    *,
    v: int | None = None,
    stored_steps: int = 333,
    post_units: int | None = None,
    **workload: Any,
) -> Iterator[EnergyPoint]:
    """The named machines of so many multipliers, one after the other.

    Parameters
    ----------
    v: lanes that share a row, of ours.
    stored_steps: that the memories hold.
    post_units: of ours; what follows from its lanes by default.
    workload: see :func:`~sparnn.gen.bench.workload.masr_workload`.
    """
    seed = workload.get("seed", 0)
    drawn = prepare(masr_workload(directions=2, **workload), seed, stored_steps)
    for name in designs:
        changes = CHANGES.get(name, {})
        work = drawn
        if changes:
            work = prepare(
                masr_workload(directions=2, **{**workload, **changes}), seed, stored_steps
            )
        useful = (work if "block" in changes else drawn).trace.useful_macs
        run = (
            _ours(work, lanes, v, post_units=post_units, **OPTIONS[name])
            if name in OPTIONS
            else _baseline(work, lanes, BASELINES[name])
        )
        point = _point(name, lanes, seed, len(drawn.x), useful, run)
        yield replace(point, block=changes.get("block", 1))


def _point(design: str, lanes: int, seed: int, steps: int, useful: int, run: _Run) -> EnergyPoint:
    memory: dict[str, dict[str, float]] = {}
    ungated: dict[str, float] = {}
    banked: dict[str, float] = {}
    slices: dict[str, float] = {}
    leakage: dict[str, float] = {}
    banks = dict.fromkeys(("weights", "masks", "pointers"), BANK_BYTES)
    for node in NODES:
        energies = memory_energy(run.memories, node)
        memory[str(node)] = {
            kind: sum(one.pj for one in energies if one.kind == kind) / steps for kind in KINDS
        }
        leakage[str(node)] = sum(one.leakage_mw for one in energies)
        for found, variant in (
            (ungated, memory_energy(run.memories, node, gated=False)),
            (banked, memory_energy(run.memories, node, bank_bytes=banks)),
            (slices, memory_energy(sliced(run.memories, MASR_BITS), node, bank_bytes=banks)),
        ):
            found[str(node)] = sum(one.pj for one in variant) / steps
    rows = [
        {
            "memory": one.counts.name,
            "kind": one.kind,
            "words": one.counts.words,
            "width": one.counts.width,
            "copies": one.counts.copies,
            "reads": one.counts.reads / steps,
            "fresh": one.counts.fresh / steps,
            "writes": one.counts.writes / steps,
        }
        for one in memory_energy(banks_together(run.memories), NODES[0])
    ]
    return EnergyPoint(
        design=design,
        lanes=lanes,
        v=run.v,
        seed=seed,
        steps=steps,
        bit_exact=run.bit_exact,
        cycles=run.cycles,
        useful_macs=useful,
        memory_pj=memory,
        ungated_pj=ungated,
        banked_pj=banked,
        sliced_pj=slices,
        leakage_mw=leakage,
        memories=rows,
    )
