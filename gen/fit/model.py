"""How large a machine will be: memories from its Verilog, logic from measured machines.

Block RAM and multipliers follow from the structure. LUTs, flip-flops and logic cells are linear in
a few quantities of the machine; the factors, none of them negative, are fitted to fit_data.json
(gen/fit/measure.py).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.synth.memories import memories
from sparnn.gen.targets import TARGETS, Target
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.emit import TOP_MODULE, machine_verilog
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.lane.lane_memory import LARGE_BITS
from sparnn.sim.aliases import FloatArray

from .measure import DATA

__all__ = ["errors", "predict"]

#: Words of one single-port RAM of iCE40 UP.
LARGE_WORDS = 16384

#: Memories of at most so many words are LUT RAM where there is some, flip-flops elsewhere.
SMALL = 32


def predict(config: SparseConfig, target: Target) -> dict[str, float]:
    """``lut``, ``lut_logic``, ``ff``, ``dsp`` and ``bram`` of a machine, before synthesis; on iCE40
    also ``spram`` and the logic ``cells`` that packing makes of it.

    Raises
    ------
    SparnnError: a family, or a kind of lane, without measured machines.
    """
    if not config.by_word:
        raise SparnnError(
            f"width = {config.width}, masks = {config.masks}: machines of such lanes are not among "
            "those that areas are predicted from; measure this one with sparnn synth, or use "
            "width = 1 and masks = 1"
        )
    factors = _factors(target.name)
    features = _features(config, target, _memories(config))
    return {name: max(0.0, float(features[name] @ factors[name])) for name in factors}


def errors(target: str, *, held_out: bool) -> dict[str, list[float]]:
    """Relative errors of the model on measured machines, signed, by resource."""
    found: dict[str, list[float]] = {}
    for row in _measured(target):
        if row["held_out"] != held_out:
            continue
        features = _features(SparseConfig(**row["config"]), TARGETS[target], row["memories"])
        for name, factors in _factors(target).items():
            value = max(0.0, float(features[name] @ factors))
            truth = row["resources"][name]
            found.setdefault(name, []).append((value - truth) / max(1.0, truth))
    return found


@cache
def _memories(config: SparseConfig) -> tuple[tuple[int, int, int], ...]:
    return tuple(memories(machine_verilog(config), TOP_MODULE))


def _features(
    config: SparseConfig, target: Target, machine_memories: Iterable[Sequence[int]]
) -> dict[str, FloatArray]:
    """What each resource is linear in."""
    lanes, posts = config.lanes, config.post_units
    held = [tuple(one) for one in machine_memories]
    large = 0
    for words, bits in (
        (config.weight_depth, config.weight_entry_bits),
        (config.mask_depth, config.mask_entry_bits),
    ):
        if "spram" in target.extra and 0 < config.large_memory <= words:
            each = 1 << max(0, (LARGE_BITS // bits).bit_length() - 1)
            stored = (ceil_div(words, each), bits * each, lanes)
            held.remove(stored)
            large += ceil_div(stored[0], LARGE_WORDS) * ceil_div(stored[1], LARGE_BITS) * lanes
    blocks = sum(
        target.block_ram.blocks(words, bits) * copies
        for words, bits, copies in held
        if words > SMALL
    )
    small = sum(words * bits * copies for words, bits, copies in held if words <= SMALL)
    widths = config.weight_bits + config.activation_bits
    logic = np.array(
        [
            1,
            lanes,
            lanes * widths,
            lanes * config.chunk,
            posts,
            posts * config.activation_bits,
            posts * config.hard_sigmoid,
            posts * config.reset_first,
            small,
        ],
        np.float64,
    )
    features = {
        "lut": logic,
        "lut_logic": logic,
        "ff": logic,
        # A multiplier per lane; four in a post unit, one in a serial one.
        "dsp": np.array([lanes + (1 if config.compact else 4) * posts], np.float64),
        # The constant: queues, which are block RAMs where there is no LUT RAM.
        "bram": np.array([blocks, 1], np.float64),
    }
    if target.packs_cells:
        features["cells"] = logic
    if "spram" in target.extra:
        features["spram"] = np.array([large], np.float64)
    return features


@cache
def _measured(target: str) -> tuple[Mapping[str, Any], ...]:
    if not DATA.is_file():
        raise SparnnError(f"{DATA} is missing: run python -m sparnn.gen.fit.measure")
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
    machines = [
        _features(SparseConfig(**row["config"]), TARGETS[target], row["memories"]) for row in rows
    ]
    return {
        name: _least_squares(
            np.array([machine[name] for machine in machines]),
            np.array([max(1.0, row["resources"][name]) for row in rows], np.float64),
        )
        for name in machines[0]
    }


def _least_squares(features: FloatArray, truth: FloatArray) -> FloatArray:
    """Factors of the least relative error: one that would be negative is left out, the most
    negative first."""
    weighted = features / truth[:, None]
    scale = np.abs(weighted).max(axis=0)
    used = np.flatnonzero(scale)
    while True:
        factors = np.zeros(features.shape[1])
        solved = np.linalg.lstsq(weighted[:, used] / scale[used], np.ones(len(truth)), rcond=1e-6)
        factors[used] = solved[0] / scale[used]
        if len(used) == 0 or (factors >= 0).all():
            return factors
        used = np.delete(used, np.argmin(solved[0]))
