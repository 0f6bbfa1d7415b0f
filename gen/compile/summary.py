"""What `sparnn compile` has made, and what it says about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sparnn.gen.estimate.machine import MachineEstimate
from sparnn.gen.machines.backend import backend
from sparnn.gen.machines.shared.placement import Placement
from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.quantize.activity import Activity
from sparnn.gen.quantize.deltas import delta_lines
from sparnn.gen.quantize.quantize import Quantized
from sparnn.gen.quantize.reports import proposals, saturation_report
from sparnn.gen.quantize.widths import Chosen
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.progress import Phases

__all__ = ["CompileSummary", "CompiledPart"]


@dataclass(frozen=True, eq=False)
class CompiledPart:
    """One network on the machine.

    Members
    -------
    network: its real numbers, pruned where that was wanted. quantized: its integers.
    activity: see :func:`~sparnn.gen.quantize.activity.measure_activity`.
    placement: where they lie. pruned: whether weights were set to zero.
    samples: the first calibration sequences, for the benches.
    """

    network: FloatNetwork
    quantized: Quantized
    activity: Activity
    placement: Placement
    pruned: bool
    samples: Sequence[InputSequence]

    def pack(self) -> None:
        """Make program and image, which refuse what does not fit."""
        _ = self.placement.program, self.placement.image

    def lines(self, *, propose: bool) -> list[str]:
        """For the user. ``propose``: name the tensors that more bits would serve."""
        lines = []
        program = self.placement.program
        for layer, placed in zip(self.quantized.network.layers, program.layers, strict=True):
            weights = [w for w in (layer.w_x, layer.w_h) if w is not None]
            total = sum(w.size for w in weights)
            present = sum(int(np.count_nonzero(w)) for w in weights)
            lines.append(
                f"layer          {layer.name}: {layer.kind}, {layer.inputs} inputs, {layer.units} "
                f"units, {present} of {total} weights, {placed.tiling}"
            )
        lines.append(
            f"image          {4 * len(self.placement.image)} bytes, up to {program.max_steps} "
            "steps in one run"
        )
        lines += [f"memory         {line}" for line in self.placement.memory_lines()]
        lines += [
            f"deltas         {line}" for line in delta_lines(self.quantized.network, self.activity)
        ]
        lines += [f"saturation     {line}" for line in saturation_report(self.quantized.tensors)]
        if propose:
            lines += [f"precision      {line}" for line in proposals(self.quantized.tensors)]
        if self.pruned:
            lines.append("pruned         by magnitude, without retraining: check the accuracy")
        return lines


@dataclass(frozen=True, eq=False)
class CompileSummary:
    """What was compiled. ``host``: what runs on the host, and warnings, for people."""

    output: Path
    parts: tuple[CompiledPart, ...]
    host: tuple[str, ...]
    widths: Chosen
    verilog_bytes: int
    estimate: MachineEstimate
    phases: Phases

    def lines(self) -> list[str]:
        """For the user."""
        config = self.parts[-1].placement.config
        lines = backend(config).lines(config)
        for number, part in enumerate(self.parts):
            if len(self.parts) > 1:
                lines.append(f"part {number}")
            lines += part.lines(propose=not self.widths.reached)
        lines += self.host
        lines += self.widths.lines()
        lines += self.estimate.lines()
        lines.append(f"Verilog        {self.verilog_bytes} bytes")
        return [*lines, f"written        {self.output}"]
