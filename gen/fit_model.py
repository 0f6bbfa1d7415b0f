"""How large a machine will be: memories from its Verilog, logic from measured machines.

Block RAM and multipliers follow from the structure. LUTs and flip-flops are linear in a few
quantities of the machine; the factors are fitted to fit_data.json (gen/fit_calibrate.py).
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.hdl.config import MachineConfig
from sparnn.hdl.emit import TOP_MODULE, machine_verilog

from .errors import SparnnError
from .fit_calibrate import DATA
from .targets import TARGETS, Target

__all__ = ["errors", "memories", "predict"]

#: Memories of at most so many words are LUT RAM where there is some, flip-flops elsewhere.
SMALL = 32

FloatArray = npt.NDArray[np.float64]


def predict(config: MachineConfig, target: Target) -> dict[str, float]:
    """``lut``, ``lut_logic``, ``ff``, ``dsp`` and ``bram`` of a machine, before synthesis.

    Raises
    ------
    SparnnError: a family without measured machines.
    """
    factors = _factors(target.name)
    features = _features(config, target)
    return {name: max(0.0, float(features[name] @ factors[name])) for name in factors}


def errors(target: str, *, held_out: bool) -> dict[str, list[float]]:
    """Relative errors of the model on measured machines, signed, by resource."""
    found: dict[str, list[float]] = {}
    for row in _measured(target):
        if row["held_out"] != held_out:
            continue
        predicted = predict(MachineConfig(**row["config"]), TARGETS[target])
        for name, value in predicted.items():
            truth = row["resources"][name]
            found.setdefault(name, []).append((value - truth) / max(1.0, truth))
    return found


def memories(verilog: str, top: str) -> list[tuple[int, int, int]]:
    """(words, bits, copies) of every memory array of a design."""
    modules: dict[str, tuple[list[tuple[int, int]], list[str]]] = {}
    for match in re.finditer(
        r"^module \\?([^\s(]+).*?^endmodule", verilog, re.MULTILINE | re.DOTALL
    ):
        body = match[0]
        arrays = [
            (int(words) + 1, int(bits) + 1)
            for bits, words in re.findall(
                r"^\s*reg (?:signed )?\[(\d+):0\] \S+ +\[(\d+):0\];", body, re.MULTILINE
            )
        ]
        modules[match[1]] = (arrays, re.findall(r"^  \\?(\S+) +\\?\S+ +\($", body, re.MULTILINE))
    found: list[tuple[int, int, int]] = []

    def visit(name: str, copies: int) -> None:
        arrays, inside = modules[name]
        found.extend((words, bits, copies) for words, bits in arrays)
        for child in dict.fromkeys(inside):
            if child in modules:
                visit(child, copies * inside.count(child))

    visit(top, 1)
    return found


@cache
def _memories(config: MachineConfig) -> tuple[tuple[int, int, int], ...]:
    return tuple(memories(machine_verilog(config), TOP_MODULE))


def _features(config: MachineConfig, target: Target) -> dict[str, FloatArray]:
    """What each resource is linear in."""
    lanes = config.lanes
    held = _memories(config)
    blocks = sum(
        target.block_ram.blocks(words, bits) * copies
        for words, bits, copies in held
        if words > SMALL
    )
    small = sum(words * bits * copies for words, bits, copies in held if words <= SMALL)
    widths = config.weight_bits + config.activation_bits
    logic = np.array([1, lanes, lanes * widths, small], np.float64)
    return {
        "lut": logic,
        "lut_logic": logic,
        "ff": logic,
        # A multiplier per lane and four in a post unit.
        "dsp": np.array([lanes + 4 * config.post_units], np.float64),
        "bram": np.array([blocks], np.float64),
    }


@cache
def _measured(target: str) -> tuple[Mapping[str, Any], ...]:
    if not DATA.is_file():
        raise SparnnError(f"{DATA} is missing: run python -m sparnn.gen.fit_calibrate")
    rows = json.loads(DATA.read_text(encoding="utf-8"))["measured"]
    chosen = tuple(row for row in rows if row["target"] == target)
    if not chosen:
        names = ", ".join(sorted({row["target"] for row in rows}))
        raise SparnnError(
            f"--target {target}: no measured machines to predict from; sparnn fit knows {names}"
        )
    return chosen


@cache
def _factors(target: str) -> dict[str, FloatArray]:
    """Least squares of the relative error, of the machines that are not held out."""
    rows = [row for row in _measured(target) if not row["held_out"]]
    machines = [_features(MachineConfig(**row["config"]), TARGETS[target]) for row in rows]
    found = {}
    for name in machines[0]:
        truth = np.array([max(1.0, row["resources"][name]) for row in rows], np.float64)
        weighted = np.array([machine[name] for machine in machines]) / truth[:, None]
        scale = np.abs(weighted).max(axis=0)
        scale[scale == 0] = 1
        solution = np.linalg.lstsq(weighted / scale, np.ones(len(rows)), rcond=1e-6)[0]
        found[name] = solution / scale
    return found
