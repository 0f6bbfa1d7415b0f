"""`sparnn fit`: the machine for a network on a device, or what does not fit."""

import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.shared.layers import cell_options
from sparnn.gen.machines.sparse.place import place
from sparnn.gen.machines.sparse.program import memory_needs
from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.onnx.reader import import_onnx
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.quantize import quantize
from sparnn.gen.targets import Device, Target, find_device, find_target
from sparnn.hdl.common.numbers import ceil_div, clog2
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.network.arrays import Sequence
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.progress import progress

from .measure import base_structure
from .model import predict

__all__ = ["Fit", "fit", "shortage", "smallest_machine"]

#: Lanes that are tried.
LANES = tuple(1 << n for n in range(9))

#: Share of a device that may be filled: beyond it place and route gets slow or fails. Of iCE40's
#: logic cells a tenth is for the board's serial link, which is in no figure here.
FILLED = {"lut": 0.85, "ff": 0.85, "dsp": 1.0, "bram": 1.0, "spram": 1.0, "cells": 0.8}


@dataclass(frozen=True)
class Fit:
    """The machine that was picked. ``needs`` are predictions; ``tried``: lanes -> what is short."""

    target: Target
    device: Device
    config: SparseConfig
    needs: Mapping[str, float]
    tried: Mapping[int, str]

    def toml(self) -> str:
        """For ``sparnn compile --config``."""
        lines = [f'machine = "{self.config.MACHINE}"']
        lines += [f"{name} = {value}" for name, value in asdict(self.config).items()]
        return "\n".join(lines) + "\n"

    def as_dict(self) -> dict[str, Any]:
        return {
            "target": self.target.name,
            "device": self.device.title,
            "config": asdict(self.config),
            "predicted": {name: round(value) for name, value in self.needs.items()},
            "available": dict(self.device.capacity),
            "too_large": {str(lanes): said for lanes, said in self.tried.items()},
        }

    def lines(self) -> list[str]:
        config = self.config
        return [
            f"device         {self.target.title}, {self.device.title}",
            f"machine        {config.lanes} lanes, {config.post_units} post units, V up to "
            f"{config.max_v}",
            f"memories       {config.weight_depth} weights and {config.mask_depth} mask words per "
            f"lane, {config.columns} columns, {config.store_depth} store words",
            "predicted      "
            + ", ".join(
                f"{self.needs[name]:.0f} of {available} {name}"
                for name, available in self.device.capacity.items()
                if name in self.needs
            ),
            *(f"too large      {lanes} lanes: {said}" for lanes, said in self.tried.items()),
        ]


def fit(
    model: Path,
    *,
    target: str | None = None,
    device: str | None = None,
    board: str | None = None,
    lanes: int | None = None,
    weight_bits: int = 8,
    activation_bits: int = 8,
    steps: int = 64,
) -> Fit:
    """Pick the most lanes whose machine, with memories just large enough, fits the device.

    Parameters
    ----------
    steps: time steps that the sequence store holds in one run; longer sequences take more runs.

    Raises
    ------
    SparnnError: a wrong name; nothing fits: what the smallest machine lacks, and by how much.
    """
    family, part, own = _place(target, device, board)
    network = _integers(import_onnx(model), weight_bits, activation_bits)
    tried: dict[int, str] = {}
    best: Fit | None = None
    with progress("Fitting"):
        for count in (lanes,) if lanes is not None else LANES:
            config = smallest_machine(network, count, family, steps, own)
            needs = predict(config, family)
            short = shortage(needs, part)
            if short:
                tried[count] = short
                break  # more lanes are larger
            best = Fit(family, part, config, needs, tried)
    if best is None:
        count, said = next(iter(tried.items()))
        raise SparnnError(
            f"{model.name} does not fit {part.title}: with {count} lane{'s' * (count > 1)} {said}; "
            f"take a larger device, fewer weight bits, a pruned or a smaller network"
        )
    return best


def smallest_machine(
    network: IntegerNetwork,
    lanes: int,
    target: Target,
    steps: int,
    own: Mapping[str, int] | None = None,
) -> SparseConfig:
    """A machine of so many lanes with memories for this network, rounded up to whole block RAMs.

    Parameters
    ----------
    own: what a board's machine has beside the family's (:func:`base_structure`).
    """
    config = SparseConfig(
        **base_structure(target, lanes)
        | dict(own or {})
        | {
            "lanes": lanes,
            "weight_bits": network.weight_bits,
            "activation_bits": network.activation_bits,
        }
    )
    needs = memory_needs(place(network, config, fit=True), steps)
    widths = {
        "mask_depth": config.mask_entry_bits,
        "weight_depth": config.weight_bits,
        "parameter_depth": 38,
        "state_depth": 16,
        "store_depth": config.store_entry_bits,
    }
    values = asdict(config) | cell_options(network, config)
    # Most machines that calibrate the model have it; only iCE40's are without.
    values["backwards"] = max(values["backwards"], config.backwards)
    for name, need in needs.items():
        if name == "columns":
            values[name] = config.chunk << max(0, clog2(need // config.chunk))
        elif name in widths:
            values[name] = _rounded(need, widths[name], target)
        else:
            values[name] = max(2, need)
    return SparseConfig(**values)


def _rounded(need: int, width: int, target: Target) -> int:
    """As many words as the blocks hold that ``need`` takes anyway."""
    shapes = target.block_ram.shapes
    depth, _ = min(
        shapes, key=lambda shape: (ceil_div(need, shape[0]) * ceil_div(width, shape[1]), shape[0])
    )
    return max(2, ceil_div(need, depth) * depth)


def shortage(needs: Mapping[str, float], device: Device) -> str:
    """What of these predictions is more than may be filled of a device; "" where it fits."""
    said = []
    for name, available in device.capacity.items():
        # LUTs without the doubled carry cells, which may share their places with LUTs.
        need = needs.get("lut_logic" if name == "lut" else name)
        if name in ("lut", "ff") and "cells" in needs:
            continue  # both are in the cells
        if need is not None and need > FILLED[name] * available:
            said.append(
                f"{name} takes about {need:.0f} of {available} ({need - available:+.0f}, "
                f"at most {FILLED[name]:.0%} may be filled)"
            )
    return "; ".join(said)


def _place(
    target: str | None, device: str | None, board: str | None
) -> tuple[Target, Device, Mapping[str, int]]:
    if board is not None:
        if target is not None or device is not None:
            raise SparnnError("--board names family and part: leave out --target and --device")
        try:
            found = importlib.import_module("sparnn.gen.boards").BOARDS
        except (ImportError, AttributeError):
            raise SparnnError(
                f"--board {board}: no boards are installed; use --target and --device"
            ) from None
        if board not in found:
            raise SparnnError(f"--board {board}: unknown; the boards are {', '.join(found)}")
        return found[board].target, found[board].part, found[board].structure
    if target is None:
        raise SparnnError("sparnn fit needs --board, or --target with or without --device")
    family = find_target(target)
    return family, find_device(family, device), {}


def _integers(network: FloatNetwork, weight_bits: int, activation_bits: int) -> IntegerNetwork:
    """The network in integers. Its formats do not change its size, so any inputs calibrate it."""
    rng = np.random.default_rng(0)
    given = {(entry["role"], entry["layer"]) for entry in network.io["inputs"]}
    sizes = {key: size for key, size in network.input_sizes.items() if key in given}
    sequences = [
        Sequence(
            rng.normal(size=(16, sizes["x", 0])),
            {key: rng.normal(size=size) for key, size in sizes.items() if key[0] != "x"},
        )
        for _ in range(4)
    ]
    return quantize(network, calibrate(network, sequences), weight_bits, activation_bits).network
