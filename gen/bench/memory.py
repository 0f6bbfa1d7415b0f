"""Networks whose weights come from external memory: `bench memory`.

A network, of drawn weights or by its file, runs on a machine whose rings hold all of it
(*resident*), its largest layer (*swapped*), or less (*streamed*), with a memory of stated bandwidth
and latency.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.estimate.cycles import loop_cycles, run_cycles
from sparnn.gen.machines.presets import structure
from sparnn.gen.machines.sparse.layout import lay_out
from sparnn.gen.machines.sparse.place import place
from sparnn.gen.machines.sparse.program import SparsePlacement
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.gen.network.prune import prune
from sparnn.gen.quantize.activity import measure_activity
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.quantize import quantize as quantize_network
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.aliases import IntArray
from sparnn.sim.golden.layers import run_network
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.arrays import quantize
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.session.compare import mismatches
from sparnn.sim.verilator.hardware import ExternalMemory, run_sequences
from sparnn.sim.verilator.kept_runs import kept_run

from .masr import every_output
from .memory_networks import named_network

__all__ = ["MODES", "memory_points"]

MODES = ("resident", "swapped", "streamed")

#: Bursts under way and beats of each, of the master that the memory's model stands for.
BURSTS, BURST_BEATS = 8, 32
#: Entries of the rings of a streamed network, where a row needs no more.
_RINGS = {"mask_depth": 2048, "weight_depth": 8192}


@dataclass(frozen=True, eq=False)
class _Work:
    """A network, its input, and what it computes."""

    network: IntegerNetwork
    sequence: InputSequence
    x: IntArray


class _Lanes(NamedTuple):
    """What the lanes are, and whether they are balanced."""

    lanes: int
    width: int
    masks: bool
    balance: bool


def memory_points(
    network: str,
    macs: Sequence[int],
    *,
    bytes_per_cycle: Sequence[int],
    latency: Sequence[int],
    modes: Sequence[str] = ("streamed",),
    width: int = 1,
    masks: bool = True,
    balance: bool = True,
    prune_share: float = 0.0,
    steps: int = 4,
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """A point for each of them.

    Parameters
    ----------
    network: see :func:`~sparnn.gen.bench.memory_networks.named_network`.
    balance: rows are dealt to lanes so that these are as long busy; else as they come, which takes
        no time to work out.
    prune_share: of the weights that are set to zero, by magnitude.

    Raises
    ------
    SparnnError: an unknown network or mode, or MACs that are no lanes of this width.
    """
    for mode in modes:
        if mode not in MODES:
            raise SparnnError(f"--mode {mode} is unknown: use {', '.join(MODES)}")
    for count in macs:
        if count % width:
            raise SparnnError(
                f"--macs {count} is no multiple of --width {width}: a lane has {width} multipliers"
            )
    work = _work(network, prune_share, steps, seed)
    for count in macs:
        for mode in modes:
            for rate in bytes_per_cycle:
                lanes = _Lanes(count // width, width, masks, balance)
                placed = _placed(work, lanes, rate, mode, steps)
                for cycles in latency:
                    memory = ExternalMemory(rate, cycles, BURSTS * BURST_BEATS)
                    point = _measured(work, placed, memory)
                    if mode == "swapped":
                        resident = _placed(work, lanes, rate, "resident", steps)
                        without = _measured(work, resident, memory)["cycles_per_step"]
                        extra = steps * (point["cycles_per_step"] - without)
                        point["hidden_share"] = _hidden(placed, extra, rate)
                    yield {
                        "network": Path(network).name,
                        "mode": mode,
                        "macs": count,
                        "width": width,
                        "masks": int(masks),
                        "balance": int(balance),
                        "density": 1 - prune_share,
                        "bytes_per_cycle": rate,
                        "latency": cycles,
                        "seed": seed,
                        "steps": steps,
                        **point,
                    }


def _hidden(placed: SparsePlacement, extra: float, rate: int) -> float:
    """Of the cycles that the memory takes for all sections but the first, for which nothing can run
    meanwhile, the share that a run is not longer by. ``extra``: cycles by which it is longer."""
    first, *others = (4 * loop.section.size / rate for loop in placed.loop_words)
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


def _placed(work: _Work, wanted: _Lanes, rate: int, mode: str, steps: int) -> SparsePlacement:
    """The network on a machine whose rings make it that mode."""
    lanes, width, masks = wanted.lanes, wanted.width, wanted.masks
    entry = 1 << clog2(width * work.network.weight_bits)
    machine = SparseConfig(
        **structure(lanes, width=width),
        **_RINGS,
        lanes=lanes,
        width=width,
        masks=int(masks),
        stream_bits=max(32, entry, 8 * rate),
        chunk=max(SparseConfig.chunk, rate),
    )
    layout = None if wanted.balance else lay_out(work.network, machine, balance=False)
    outputs = [every_output(work.network)]
    placed = place(work.network, machine, outputs, fit=True, steps=steps, layout=layout)
    if mode == "streamed":
        if "streamed" not in placed.modes:
            raise SparnnError("the network fits the rings, so that nothing is streamed: take more "
                              "units, or fewer MACs")  # fmt: skip
        return placed
    most = [loop.most for loop in placed.loop_words]
    needs = np.max(most, axis=0) if mode == "swapped" else np.sum(most, axis=0)
    config = placed.config
    slots = (config.mask_slots if masks else 1, config.weight_slots)
    depths = [1 << clog2((int(need) + 80) * each) for need, each in zip(needs, slots, strict=True)]
    rings = {"mask_depth": depths[0]} if masks else {}
    placed = replace(placed, config=replace(config, weight_depth=depths[1], **rings))
    if set(placed.modes) != {mode}:
        raise SparnnError(f"--mode {mode}: rings of powers of two make it {placed.modes[0]}")
    return placed


def _expected(work: _Work, placed: SparsePlacement, rate: float) -> float:
    """Cycles of the run by the estimate's model."""
    activity = measure_activity(work.network, [work.sequence])
    return run_cycles(loop_cycles(placed, activity, bytes_per_cycle=rate), len(work.x))


def _measured(work: _Work, placed: SparsePlacement, memory: ExternalMemory) -> dict[str, Any]:
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
    sizes = [4 * loop.section.size for loop in placed.loop_words]
    times = {"resident": 0, "swapped": 1, "streamed": steps}
    bytes_read = sum(size * times[mode] for size, mode in zip(sizes, placed.modes, strict=True))
    cycles = results[-1].cycles
    return {
        "modes": list(placed.modes),
        "bit_exact": exact,
        "cycles_per_step": cycles / steps,
        "expected_cycles": _expected(work, placed, memory.bytes_per_cycle) / steps,
        "bytes_per_step": bytes_read / steps,
        "bandwidth_share": bytes_read / (memory.bytes_per_cycle * cycles),
        "utilization": trace.useful_macs / (placed.config.mac_units * cycles),
        "stream_bits": placed.config.stream_bits,
        "ring_bits": placed.config.lanes
        * (
            placed.config.weight_words * placed.config.stream_bits
            + placed.config.mask_depth * placed.config.chunk * placed.config.masks
        ),
        "weights": sum(
            int(np.count_nonzero(w))
            for layer in work.network.layers
            for w in (layer.w_x, layer.w_h)
            if w is not None
        ),
        "words_read": driver.beats,
    }
