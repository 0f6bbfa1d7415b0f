"""`sparnn estimate`: a model on machines and boards, and which of them to take."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sparnn.gen.boards import BOARDS, find_board
from sparnn.gen.errors import SparnnError
from sparnn.gen.fit.model import unmeasured
from sparnn.gen.graph.check import parts_of
from sparnn.gen.graph.read import read_model
from sparnn.gen.machines.backend import backend
from sparnn.gen.machines.presets import is_file, load_machine, named_widths
from sparnn.gen.machines.shared.placement import Placement
from sparnn.gen.machines.shared.steps import longest_run
from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.onnx.reader import load_onnx
from sparnn.gen.quantize.activity import BoolArray, measure_activity
from sparnn.gen.quantize.calibrate import calibrate as measure_ranges
from sparnn.gen.quantize.features import Fitted, quantize_best
from sparnn.gen.quantize.quantize import Quantized, quantize
from sparnn.gen.quantize.widths import Wanted, choose_widths
from sparnn.hdl.errors import ConfigurationError
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.progress import progress
from sparnn.sim.threads import one_thread

from .boards import board_estimates, too_small
from .machine import MachineEstimate, estimate_machine

__all__ = ["Estimate", "estimate"]

#: Lanes that are tried on a board, and wide ones, with their rows, where areas of such are known;
#: and the dense machine beside the sparse one of as many MACs.
LANES = (1, 2, 4, 8, 16, 32, 64)
WIDE = ((2, 8), (4, 8), (8, 8), (16, 8))
BESIDE = ("m64", "dense64")
#: Steps of a sequence where no sample inputs say how many.
STEPS = 64


@dataclass(frozen=True)
class Estimate:
    """What was estimated.

    Members
    -------
    chosen: on the machine that was asked for.
    boards: for each board the machines that fit it, from slow to fast, and what stopped the next
        one of lanes of one row.
    beside: name -> the same network on a sparse and a dense machine of 64 MACs.
    frame_ms: milliseconds between two steps, where they are known.
    """

    chosen: MachineEstimate
    boards: dict[str, tuple[list[MachineEstimate], str]]
    beside: dict[str, MachineEstimate]
    frame_ms: float | None

    @property
    def advice(self) -> list[str]:
        """Which machine, how many lanes, which board."""
        lines = []
        for name, (fitting, stopped) in self.boards.items():
            if not fitting:
                lines.append(f"{name}: nothing fits, {stopped}")
                continue
            best = min(fitting, key=lambda one: one.step)
            taken = best
            if self.frame_ms is not None:
                enough = [one for one in fitting if _keeps_up(one, self.frame_ms)]
                taken = enough[0] if enough else best
            text = (
                f"{name}: --config {name} {_size(taken)}, "
                f"{taken.boards[0].microseconds(taken.step):,.1f} us a step"
            )
            if self.frame_ms is not None:
                factor = 1000 * self.frame_ms / taken.boards[0].microseconds(taken.step)
                text += f", {factor:,.1f} times real time"
                if factor < 1:
                    text += ": too slow"
            if taken is not best:
                text += (
                    f"; the fastest that fits is {_size(best)}, "
                    f"{best.boards[0].microseconds(best.step):,.1f} us"
                )
            lines.append(text)
        if len(self.beside) == len(BESIDE):
            sparse, dense = (self.beside[name].step for name in BESIDE)
            better = BESIDE[sparse > dense]
            lines.append(
                f"with 64 MACs: {BESIDE[0]} takes {sparse:,.0f} cycles a step, {BESIDE[1]} "
                f"{dense:,.0f}: --config {better} is faster"
            )
        return lines

    def lines(self) -> list[str]:
        """For people."""
        config = self.chosen.config
        lines = backend(config).lines(config) + self.chosen.lines(self.frame_ms)
        return lines + [f"advice         {line}" for line in self.advice]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "chosen": self.chosen.as_dict(),
            "boards": {
                name: {"fitting": [one.as_dict() for one in fitting], "stopped": stopped}
                for name, (fitting, stopped) in self.boards.items()
            },
            "beside": {name: one.as_dict() for name, one in self.beside.items()},
            "frame_ms": self.frame_ms,
            "advice": self.advice,
        }


def _size(one: MachineEstimate) -> str:
    """The options that ask for a machine of its size."""
    lanes, wide = one.config.lanes, one.config.mac_units // one.config.lanes
    return f"--lanes {lanes}" + (f" --width {wide}" if wide > 1 else "")


def _keeps_up(one: MachineEstimate, frame_ms: float) -> bool:
    return one.boards[0].microseconds(one.step) <= 1000 * frame_ms


@dataclass(frozen=True)
class _Part:
    """A network: in integers of some widths, and where its activations are not zero."""

    network: FloatNetwork
    sequences: Sequence[InputSequence]
    drawn: bool
    kept: dict[tuple[int, int, int], tuple[Quantized, list[BoolArray] | None]]

    def integers(self, machine: MachineConfig) -> tuple[Quantized, list[BoolArray] | None]:
        key = (machine.weight_bits, machine.activation_bits, machine.split_scales)
        if key not in self.kept:
            weights, activations, split = key
            if self.drawn:
                ranges = measure_ranges(self.network, self.sequences)
                made = quantize(self.network, ranges, weights, activations, split_scales=split == 1)
                self.kept[key] = made, None
            else:
                best = quantize_best(
                    self.network, self.sequences, weights, activations, split_scales=split == 1
                )
                self.keep(*key, best)
        return self.kept[key]

    def keep(self, weight_bits: int, activation_bits: int, split: int, fitted: Fitted) -> None:
        activity = measure_activity(fitted.quantized.network, fitted.sequences)
        self.kept[weight_bits, activation_bits, split] = fitted.quantized, activity


@one_thread()
def estimate(
    model: Path,
    *,
    calibrate: Path | None = None,
    board: str | None = None,
    config: str | None = None,
    lanes: int | None = None,
    width: int | None = None,
    weight_bits: int | None = None,
    activation_bits: int | None = None,
    steps: int | None = None,
    frame_ms: float | None = None,
    bytes_per_cycle: float | None = None,
) -> Estimate:
    """Estimate a model without compiling it.

    Parameters
    ----------
    calibrate: sample inputs, which say how many activations are zero. Without them none is taken
        for zero, and a graph that has to be cut is run on drawn inputs.
    board: the only one to look at.
    config, lanes, width, weight_bits, activation_bits: as of ``compile``; the board's machine by
        default. Widths that are not named are those that ``compile`` chooses on the sample inputs,
        and without such inputs the machine's.
    steps: of a sequence; by default the sample inputs'.
    frame_ms: milliseconds between two steps.
    bytes_per_cycle: that external memory gives to a machine with ``stream_bits``; one of its words
        by default.

    Raises
    ------
    SparnnError, ConfigurationError, SimulationError: something that the user has to change.
    """
    names = (find_board(board).name,) if board is not None else tuple(BOARDS)
    parts = _read(model, calibrate)
    if steps is None:
        steps = STEPS
        if calibrate is not None:
            steps = max(len(one.x) for part in parts for one in part.sequences)

    if bytes_per_cycle is not None and not load_machine(config or board, lanes).stream_bits:
        raise SparnnError(
            "--bytes-per-cycle: this machine reads nothing from external memory while it runs; "
            "name one with stream_bits by --config FILE.toml (docs/external-memory.md)"
        )
    known: dict[MachineConfig, MachineEstimate] = {}
    widths: dict[tuple[Wanted, int], dict[str, int]] = {}

    def machine_of(config: str | None, lanes: int | None, width: int | None) -> MachineConfig:
        machine = load_machine(
            config, lanes, width=width, weight_bits=weight_bits, activation_bits=activation_bits
        )
        if calibrate is None:
            return machine
        named = named_widths(config)
        wanted = Wanted.of(machine, named, None, weight_bits, activation_bits)
        key = wanted, machine.split_scales
        if key not in widths:
            widths[key] = _chosen_widths(parts, *key)
        return replace(machine, **widths[key])

    def on(
        config: str | None, lanes: int | None, width: int | None, boards: tuple[str, ...]
    ) -> MachineEstimate:
        machine = machine_of(config, lanes, width)
        activities = [part.integers(machine)[1] for part in parts]
        if machine not in known:  # boards of one machine
            placements = _placed(parts, machine, fit=not is_file(config))
            known[machine] = estimate_machine(
                placements, activities, steps, boards=(), bytes_per_cycle=bytes_per_cycle
            )
        one = known[machine]
        return replace(one, boards=tuple(board_estimates(one.config, boards)))

    def is_other(name: str, lanes: int, width: int) -> bool:
        """Whether such lanes are not the board's own, and areas of them are known."""
        try:
            machine = machine_of(name, lanes, width)
        except ConfigurationError:
            return False  # the board's machine cannot have them
        own = machine == machine_of(name, lanes, None)
        return not own and not unmeasured(machine, BOARDS[name].target)

    def never(name: str, lanes: int, width: int | None) -> str:
        """What is too large for a board in any case: asked before anything is placed, which takes
        longer."""
        machine = machine_of(name, lanes, width)
        for part in parts:
            machine = backend(machine).least(part.integers(machine)[0].network, machine)
        return too_small(machine, name)

    def largest(
        name: str, sizes: Sequence[tuple[int, int | None]]
    ) -> tuple[list[MachineEstimate], str]:
        """The machines of a board that fit it, of lanes and their rows, and why no larger one
        does."""
        fitting: list[MachineEstimate] = []
        for lanes, width in sizes:
            try:
                stopped = never(name, lanes, width)
                if stopped:
                    return fitting, f"{lanes} lane{'s' * (lanes > 1)}: {stopped}"
                one = on(name, lanes, width, (name,))
            except (SparnnError, ConfigurationError) as error:
                return fitting, str(error)
            stopped = one.boards[0].short or one.boards[0].unknown
            if stopped:
                return fitting, f"{lanes} lane{'s' * (lanes > 1)}: {stopped}"
            fitting.append(one)
        return fitting, ""

    with progress("Estimating"):
        chosen = on(config or board, lanes, width, names)
        sizes = [(count, width) for count in ((lanes,) if lanes is not None else LANES)]
        found = {name: largest(name, sizes) for name in names}
        if lanes is None and width is None:
            for name, (fitting, _) in found.items():
                fitting += largest(name, [size for size in WIDE if is_other(name, *size)])[0]
                fitting.sort(key=lambda one: -one.step)
        beside = {}
        if config is None and lanes is None and width is None:
            for name in BESIDE:
                try:
                    beside[name] = on(name, None, None, ())
                except (SparnnError, ConfigurationError):
                    continue  # a layer that this machine does not compute
    return Estimate(chosen, found, beside, frame_ms)


def _chosen_widths(parts: Sequence[_Part], wanted: Wanted, split: int) -> dict[str, int]:
    """The machine's parameters of the widths that ``compile`` would choose."""
    found = choose_widths(
        [(part.network, part.sequences) for part in parts], wanted, split_scales=split == 1
    )
    for part, fitted in zip(parts, found.networks, strict=True):
        part.keep(found.weight_bits, found.activation_bits, split, fitted)
    return {"weight_bits": found.weight_bits, "activation_bits": found.activation_bits}


def _read(model: Path, calibrate: Path | None) -> list[_Part]:
    if calibrate is not None:
        read = read_model(model, calibrate)
        return [_Part(one.network, one.sequences, False, {}) for one in read.parts]
    try:
        networks = parts_of(load_onnx(model))
    except SparnnError as error:
        raise SparnnError(f"{model}: {error}") from error
    return [_Part(network, _drawn(network), True, {}) for network in networks]


def _drawn(network: FloatNetwork) -> list[InputSequence]:
    """Inputs from which formats follow; they do not change the size of a network."""
    rng = np.random.default_rng(0)
    given = {(entry["role"], entry["layer"]) for entry in network.io["inputs"]}
    sizes = {key: size for key, size in network.input_sizes.items() if key in given}
    return [
        InputSequence(
            rng.normal(size=(16, sizes["x", 0])),
            {key: rng.normal(size=size) for key, size in sizes.items() if key[0] != "x"},
        )
        for _ in range(4)
    ]


def _placed(parts: Sequence[_Part], machine: MachineConfig, *, fit: bool) -> list[Placement]:
    """All networks on one machine, which grows where it may."""

    def place(part: _Part, fit: bool) -> Placement:
        quantized, activity = part.integers(machine)
        return backend(machine).place(
            quantized.network,
            machine,
            quantized.io["outputs"],
            fit=fit,
            steps=longest_run(quantized.network, part.sequences),
            activity=activity,
        )

    placements = []
    for part in parts:
        placements.append(place(part, fit))
        machine = placements[-1].config
        _ = placements[-1].program  # it refuses what does not fit
    return [
        one if one.config == machine else place(part, False)
        for one, part in zip(placements, parts, strict=True)
    ]
