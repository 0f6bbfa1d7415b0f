"""Networks whose weights come from external memory: `bench memory`.

A network, of drawn weights or by its file, runs on a machine whose rings hold all of it
(*resident*), its largest layer (*swapped*), or less (*streamed*), with a memory of stated bandwidth
and latency.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.estimate.cycles import loop_cycles, run_cycles
from sparnn.gen.machines.backend import backend
from sparnn.gen.machines.shared.placement import Placement
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.gen.network.prune import prune
from sparnn.gen.quantize.activity import measure_activity
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.quantize import quantize as quantize_network
from sparnn.hdl.common.numbers import is_power_of_two
from sparnn.sim.aliases import IntArray
from sparnn.sim.golden.layers import run_network
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.arrays import quantize
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.session.compare import mismatches
from sparnn.sim.verilator.hardware import ExternalMemory, run_sequences
from sparnn.sim.verilator.kept_runs import kept_run

from .memory_machines import MACHINES, MODES, WantedMachine
from .memory_networks import named_network

__all__ = ["memory_points"]

#: Bursts under way and beats of each, of the master that the memory's model stands for.
BURSTS, BURST_BEATS = 8, 32


@dataclass(frozen=True, eq=False)
class _Work:
    """A network, its input, and what it computes."""

    network: IntegerNetwork
    sequence: InputSequence
    x: IntArray


def memory_points(
    network: str,
    macs: Sequence[int],
    *,
    machine: str = "sparse",
    bytes_per_cycle: Sequence[int],
    latency: Sequence[int],
    modes: Sequence[str] = ("streamed",),
    width: int = 1,
    masks: bool = True,
    balance: bool = True,
    ring: int = 1,
    prune_share: float = 0.0,
    steps: int = 4,
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """A point for each of them.

    Parameters
    ----------
    network: see :func:`~sparnn.gen.bench.memory_networks.named_network`.
    machine: ``sparse`` or ``dense``; width, masks, balance and ring are of the first.
    balance: rows are dealt to lanes so that these are as long busy; else as they come, which takes
        no time to work out.
    ring: times by which the rings of a swapped network are larger than its largest layer needs.
    prune_share: of the weights that are set to zero, by magnitude.

    Raises
    ------
    SparnnError: an unknown network, machine or mode, or MACs that no such machine has.
    """
    if machine not in MACHINES:
        raise SparnnError(f"--machine {machine} is unknown: use {' or '.join(MACHINES)}")
    for mode in modes:
        if mode not in MODES:
            raise SparnnError(f"--mode {mode} is unknown: use {', '.join(MODES)}")
    if not is_power_of_two(ring):
        raise SparnnError(f"--ring {ring} is not a power of two: use {1 << ring.bit_length() - 1}")
    work = _work(network, prune_share, steps, seed)
    for count, mode, rate in product(macs, modes, bytes_per_cycle):
        wanted = WantedMachine(
            macs=count,
            width=width,
            masks=masks,
            balance=balance,
            rate=rate,
            mode=mode,
            steps=steps,
            ring=ring,
        )
        placed = _placed(work, machine, wanted)
        for cycles in latency:
            memory = ExternalMemory(rate, cycles, BURSTS * BURST_BEATS)
            point = _measured(work, placed, memory)
            if mode == "swapped":
                resident = _placed(work, machine, replace(wanted, mode="resident", ring=1))
                without = _measured(work, resident, memory)["cycles_per_step"]
                extra = steps * (point["cycles_per_step"] - without)
                point["hidden_share"] = _hidden(placed, extra, rate)
            yield {
                "network": Path(network).name,
                "machine": machine,
                "mode": mode,
                "macs": count,
                "width": getattr(placed.config, "width", 1),
                "masks": int(masks and machine == "sparse"),
                "balance": int(balance),
                "ring": ring,
                "density": 1 - prune_share,
                "bytes_per_cycle": rate,
                "latency": cycles,
                "seed": seed,
                "steps": steps,
                **point,
            }


def _placed(work: _Work, machine: str, wanted: WantedMachine) -> Placement:
    """The network on a machine whose memories make it the wanted mode."""
    placed = MACHINES[machine].place(work.network, wanted)
    if wanted.mode not in placed.modes:
        raise SparnnError(f"--mode {wanted.mode}: the memories make it {placed.modes[0]}")
    return placed


def _hidden(placed: Placement, extra: float, rate: int) -> float:
    """Of the cycles that the memory takes for all sections but the first, for which nothing can run
    meanwhile, the share that a run is not longer by. ``extra``: cycles by which it is longer."""
    first, *others = (4 * section.size / rate for section in placed.sections)
    return 1 - max(0.0, extra - first) / sum(others)


def _work(name: str, share: float, steps: int, seed: int) -> _Work:
    rng = np.random.default_rng(seed)
    drawn = named_network(name, rng)
    if share:
        drawn = prune(drawn, share)
    sequence = InputSequence(rng.normal(size=(steps, drawn.layers[0].inputs)), {})
    integers = quantize_network(drawn, calibrate(drawn, [sequence]), 8, 8).network
    x, _ = quantize(sequence.x, integers.layers[0].f_x, integers.activation_bits)
    return _Work(integers, sequence, x)


def _expected(work: _Work, placed: Placement, rate: float) -> float:
    """Cycles of the run by the estimate's model."""
    activity = measure_activity(work.network, [work.sequence])
    return run_cycles(loop_cycles(placed, activity, bytes_per_cycle=rate), len(work.x))


def _measured(work: _Work, placed: Placement, memory: ExternalMemory) -> dict[str, Any]:
    """Cycles of a run, and of those what the memory took."""
    steps = len(work.x)
    trace = run_network(work.network, work.x)
    program = placed.program
    with tempfile.TemporaryDirectory(prefix="sparnn-bench-") as name:
        folder = Path(name)
        (folder / "sparnn.v").write_text(kept_verilog(placed.config))
        placed.image.astype("<u4").tofile(folder / "image.bin")
        placed.external.astype("<u4").tofile(folder / "weights.bin")
        # A resident network is read in the first run, and timed in the second one.
        one: tuple[IntArray, dict[tuple[str, int], IntArray]] = (work.x, {})
        sequences = [one] * (2 if "resident" in placed.modes else 1)
        results, driver = run_sequences(folder, program, sequences, memory=memory, run=kept_run)
    exact = mismatches(program, results, [trace] * len(sequences))[0] == 0
    sizes = [4 * section.size for section in placed.sections]
    times = {"resident": 0, "swapped": 1, "streamed": steps}
    bytes_read = sum(size * times[mode] for size, mode in zip(sizes, placed.modes, strict=True))
    cycles = results[-1].cycles
    layers = work.network.layers
    weights = [w for layer in layers for w in (layer.w_x, layer.w_h) if w is not None]
    useful = trace.useful_macs
    if not any(backend(placed.config).skips(placed.config)):
        useful = steps * sum(one.size for one in weights)  # docs/measures.md
    return {
        "modes": list(placed.modes),
        "bit_exact": exact,
        "cycles_per_step": cycles / steps,
        "expected_cycles": _expected(work, placed, memory.bytes_per_cycle) / steps,
        "bytes_per_step": bytes_read / steps,
        "bandwidth_share": bytes_read / (memory.bytes_per_cycle * cycles),
        "utilization": useful / (placed.config.mac_units * cycles),
        "stream_bits": placed.config.stream_bits,
        "ring_bits": MACHINES[placed.config.MACHINE].bits(placed.config),
        "weights": sum(int(np.count_nonzero(one)) for one in weights),
        "words_read": driver.beats,
    }
