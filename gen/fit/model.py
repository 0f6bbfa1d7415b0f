"""How large a machine will be: memories from its Verilog, logic from measured machines.

A machine that has something which no measured machine of its family had is not predicted:
:func:`unmeasured` says what.

Block RAM and multipliers follow from the structure. LUTs, flip-flops and logic cells are linear in
a few quantities of the machine; the factors, none of them negative, are fitted to fit_data.json
(gen/fit/measure.py).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.targets import TARGETS, Target
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.emit import MACHINES
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.aliases import FloatArray

from .kinds import kind_of
from .structure import TABLE

__all__ = ["DATA", "errors", "predict", "unmeasured"]

DATA = Path(__file__).with_name("fit_data.json")

#: Memories of at most so many words or bits are LUT RAM where there is some, flip-flops elsewhere.
#: Where a LUT holds more bits Yosys makes larger ones of LUTs too, and the tables of tanh.
SMALL = 32
SMALL_BITS = 1024
_SMALL_LUT6 = 128


#: Words and bits of a cell of LUT RAM.
_DEEP, _WIDE = 16, 4
#: Operands of half a multiplier, where a family has such.
_NARROW = 9

#: Parameters that the model is linear in, or that say how large a memory is. Any other one is an
#: option, whose values have to be among those that were measured.
_SIZES = frozenset(
    {"lanes", "width", "banks", "slices", "post_units", "max_v", "chunk", "columns", "rows"}
    | {"weight_bits", "activation_bits", "mask_depth", "weight_depth", "parameter_depth"}
    | {"state_depth", "store_depth", "program_depth"}
    | {"large_memory", "value_rows", "dense_rows", "vector_words"}
)
#: Sizes of what a machine may not have at all: whether it has is an option.
_SIZES_OR_NONE = frozenset({"bank_bytes"})


def predict(config: MachineConfig, target: Target) -> dict[str, float]:
    """``lut``, ``lut_logic``, ``ff``, ``dsp`` and ``bram`` of a machine, before synthesis; on iCE40
    also ``spram`` and the logic ``cells`` that packing makes of it.

    Raises
    ------
    SparnnError: a family, or a kind of lane, without measured machines.
    """
    kind = kind_of(config.MACHINE)
    wide = kind.wide(config)
    if wide:
        unknown = unmeasured(config, target)
        if unknown:
            raise SparnnError(
                f"{wide}: {unknown}; measure this machine with sparnn synth, or use width = 1 and "
                "masks = 1"
            )
    factors = _factors(config.MACHINE, target.name)
    features = _features(config, target, kind.memories(config))
    return {name: max(0.0, float(features[name] @ factors[name])) for name in factors}


def unmeasured(config: MachineConfig, target: Target) -> str:
    """What a machine has that no measured machine of the family had; "" where it has nothing."""
    try:
        rows = _measured(config.MACHINE, target.name)
    except SparnnError:
        return f"no {config.MACHINE} machine was measured on {target.title}"
    most = max(row["config"]["lanes"] for row in rows)
    if config.lanes > most:
        return f"no machine of more than {most} lanes was measured on {target.title}"
    measured = _measured_values(config.MACHINE, target.name)
    widest = max(measured["width"])
    if kind_of(config.MACHINE).wide(config) and asdict(config)["width"] > widest:
        return f"no lane of more than {widest} rows was measured on {target.title}"
    for name, values in measured.items():
        value = getattr(config, name)
        if name in _SIZES_OR_NONE:
            has_not = bool(value) not in map(bool, values)
        else:
            has_not = name not in _SIZES and value not in values
        if has_not:
            return f"no machine with {name} = {value} was measured on {target.title}"
    return ""


def errors(target: str, *, held_out: bool, machine: str = "sparse") -> dict[str, list[float]]:
    """Relative errors of the model on measured machines, signed, by resource."""
    found: dict[str, list[float]] = {}
    for row in _measured(machine, target):
        if row["held_out"] != held_out:
            continue
        config = MACHINES[machine](**row["config"])
        features = _features(config, TARGETS[target], row["memories"])
        for name, factors in _factors(machine, target).items():
            value = max(0.0, float(features[name] @ factors))
            truth = row["resources"][name]
            found.setdefault(name, []).append((value - truth) / max(1.0, truth))
    return found


def _features(
    config: MachineConfig, target: Target, memories: Iterable[Sequence[int]]
) -> dict[str, FloatArray]:
    """What each resource is linear in."""
    held = [(words, bits, copies) for words, bits, copies in memories]
    kind = kind_of(config.MACHINE)
    large = kind.take_large(config, held) if "spram" in target.extra else 0
    limit = SMALL
    if target.lut_inputs == 6:
        limit = _SMALL_LUT6
        held = [one for one in held if one[:2] != (TABLE[0] << config.hard_sigmoid, TABLE[1])]

    copied = kind.never_blocks(config)

    def is_small(words: int, bits: int) -> bool:
        return (words, bits) == copied or words <= limit or words * bits <= SMALL_BITS

    blocks = sum(
        target.block_ram.blocks(words, bits) * copies
        for words, bits, copies in held
        if not is_small(words, bits)
    )
    small = sum(
        _whole(words, _DEEP) * _whole(bits, _WIDE) * copies
        for words, bits, copies in held
        if is_small(words, bits)
    )
    narrow = max(config.weight_bits, config.activation_bits) <= _NARROW
    product = 0.5 if narrow and "MULT9X9" in target.dsp else 1.0
    logic, multipliers = kind.logic(config, small, product)
    features = {
        "lut": logic,
        "lut_logic": logic,
        "ff": logic,
        "dsp": multipliers,
        # The constant: queues, which are block RAMs where there is no LUT RAM.
        "bram": np.array([blocks, 1], np.float64),
    }
    if target.packs_cells:
        features["cells"] = logic
    if "spram" in target.extra:
        features["spram"] = np.array([large], np.float64)
    return features


def _whole(size: int, unit: int) -> int:
    return unit * ceil_div(size, unit)


@cache
def _measured(machine: str, target: str) -> tuple[Mapping[str, Any], ...]:
    if not DATA.is_file():
        raise SparnnError(f"{DATA} is missing: run python -m sparnn.gen.fit.measure")
    rows = json.loads(DATA.read_text(encoding="utf-8"))["measured"]
    rows = [row for row in rows if row["machine"] == machine]
    chosen = tuple(row for row in rows if row["target"] == target)
    if not chosen:
        names = ", ".join(sorted({row["target"] for row in rows}))
        raise SparnnError(
            f"--target {target}: no measured {machine} machines to predict from; sparnn fit knows "
            f"{names}"
        )
    return chosen


@cache
def _measured_values(machine: str, target: str) -> Mapping[str, frozenset[int]]:
    """The values that each parameter had on the measured machines."""
    configs = [asdict(MACHINES[machine](**row["config"])) for row in _measured(machine, target)]
    return {name: frozenset(one[name] for one in configs) for name in configs[0]}


@cache
def _factors(machine: str, target: str) -> dict[str, FloatArray]:
    """Least squares of the relative error, of the machines that are not held out."""
    rows = [row for row in _measured(machine, target) if not row["held_out"]]
    machines = [
        _features(MACHINES[machine](**row["config"]), TARGETS[target], row["memories"])
        for row in rows
    ]
    return {
        name: _least_squares(
            np.array([one[name] for one in machines]),
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
