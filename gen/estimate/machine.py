"""The estimate of placed networks on one machine: what `sparnn compile` prints and writes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sparnn.gen.boards import BOARDS
from sparnn.gen.machines.backend import backend
from sparnn.gen.machines.shared.placement import Placement
from sparnn.gen.quantize.activity import BoolArray
from sparnn.hdl.machine import MachineConfig

from .boards import BoardEstimate, board_estimates
from .cycles import LoopCycles, loop_cycles, run_cycles

__all__ = ["ESTIMATE", "MachineEstimate", "estimate_machine"]

#: The file of a compiled folder that holds it.
ESTIMATE = "estimate.json"


@dataclass(frozen=True)
class MachineEstimate:
    """Networks on one machine.

    Members
    -------
    config: the machine.
    parts: of each network the cycles of its loops.
    names: of each network, of its layers.
    steps: of the sequence that :attr:`run` is of.
    measured: the activations that are zero were measured on sample inputs; else none is.
    boards: the machine on boards.
    memories: parameter of the machine -> the entries that the networks need, and those it has.
    bytes_per_cycle: that external memory gives, where weights come from there.
    """

    config: MachineConfig
    parts: tuple[tuple[LoopCycles, ...], ...]
    names: tuple[tuple[str, ...], ...]
    steps: int
    measured: bool
    boards: tuple[BoardEstimate, ...]
    memories: Mapping[str, tuple[int, int]]
    bytes_per_cycle: float = 0.0

    @property
    def step(self) -> float:
        """Cycles of one more step of a sequence, of all networks; where all layers run one step,
        of that."""
        steady = sum(loop.step for part in self.parts for loop in part)
        return steady or self.run

    @property
    def run(self) -> float:
        """Cycles of a whole sequence."""
        return sum(run_cycles(part, self.steps) for part in self.parts)

    @property
    def bits(self) -> int:
        """Of all memories that the host fills."""
        return sum(
            count * entries * self.config.entry_bits(target)
            for target, (count, entries) in self.config.memories().items()
        )

    def lines(self, frame_ms: float | None = None) -> list[str]:
        """For people."""
        known = "" if self.measured else ", no activation taken for zero"
        lines = [
            f"estimate       {self.step:,.0f} cycles a step, {self.run:,.0f} for {self.steps} "
            f"steps{known}; {self.bits / 8192:,.1f} KB of memories"
        ]
        if frame_ms is not None:
            mhz = self.step / (1000 * frame_ms)
            lines.append(f"real time      from {mhz:.3g} MHz on, at a step every {frame_ms:g} ms")
        if self.config.stream_bits:
            loops = [loop for part in self.parts for loop in part]
            lines.append(
                f"memory         {self.bytes_per_cycle:g} bytes a cycle: it sets the pace of "
                f"{sum(loop.waits for loop in loops)} of {len(loops)} loops"
            )
        said: dict[str, list[str]] = {}  # boards of the same FPGA share a line
        for board in self.boards:
            text = board.text(self.step)
            if frame_ms is not None and board.fits:
                factor = 1000 * frame_ms / board.microseconds(self.step)
                text += f"; {factor:,.1f} times real time"
            said.setdefault(text, []).append(board.board.name)
        return lines + [f"on             {', '.join(on)}: {text}" for text, on in said.items()]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "machine": self.config.MACHINE,
            "lanes": self.config.lanes,
            "mac_units": self.config.mac_units,
            "cycles_per_step": self.step,
            "steps": self.steps,
            "cycles": self.run,
            "activity_measured": self.measured,
            "memory_bits": self.bits,
            "memories": {name: list(pair) for name, pair in self.memories.items()},
            "parts": [
                [
                    asdict(loop) | {"names": [names[index] for index in loop.layers]}
                    for loop in loops
                ]
                for loops, names in zip(self.parts, self.names, strict=True)
            ],
            **({"bytes_per_cycle": self.bytes_per_cycle} if self.config.stream_bits else {}),
            "boards": [board.as_dict(self.step) for board in self.boards],
        }


def estimate_machine(
    placements: Sequence[Placement],
    activities: Sequence[Sequence[BoolArray] | None],
    steps: int,
    *,
    boards: Sequence[str] = tuple(BOARDS),
    bytes_per_cycle: float | None = None,
) -> MachineEstimate:
    """Estimate networks that are placed on one machine.

    Parameters
    ----------
    activities: which activations are not zero, of each network; None: all.
    steps: of a sequence. boards: by name; all by default.
    bytes_per_cycle: that an external memory gives; one of its words by default.
    """
    config = placements[-1].config
    rate = bytes_per_cycle or config.stream_bits / 8
    return MachineEstimate(
        config,
        tuple(
            tuple(loop_cycles(placed, activity, bytes_per_cycle=rate))
            for placed, activity in zip(placements, activities, strict=True)
        ),
        tuple(tuple(layer.name for layer in one.network.layers) for one in placements),
        steps,
        all(activity is not None for activity in activities),
        tuple(board_estimates(config, boards)),
        _filled(placements, config),
        rate,
    )


def _filled(placements: Sequence[Placement], config: MachineConfig) -> dict[str, tuple[int, int]]:
    """A step's part of each memory; of several networks, which lie there in turn, the most."""
    found: dict[str, tuple[int, int]] = {}
    for placed in placements:
        for name, need in backend(config).needs(placed, 1).items():
            have = getattr(config, name)
            if have:
                found[name] = max(found.get(name, (0, have))[0], int(need)), have
    return found
