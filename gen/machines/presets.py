"""Named machines, machines described by a TOML file, and machines fitted to a network.

The structure of a machine follows from its number of lanes (:func:`structure`); a preset is a name
for a number of lanes, a file may set every parameter of
:class:`~sparnn.hdl.sparse.config.SparseConfig`.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from sparnn.gen.boards import BOARDS
from sparnn.gen.errors import SparnnError
from sparnn.hdl.emit import MACHINES, machine_config
from sparnn.hdl.machine import MachineConfig
from sparnn.hdl.sparse.config import SparseConfig

from .dense.presets import DENSE_PRESETS, dense_preset

__all__ = [
    "PRESETS",
    "is_file",
    "load_config",
    "load_machine",
    "named_widths",
    "structure",
    "with_whole_blocks",
]

#: Preset -> the parameters that it fixes; the others follow from them or are the defaults.
PRESETS: Mapping[str, Mapping[str, int]] = {
    "tiny": {"lanes": 1},
    "small": {"lanes": 8},
    "default": {"lanes": 8},
    "m16": {"lanes": 16},
    "m64": {"lanes": 64},
    "m256": {"lanes": 256},
    "m1024": {"lanes": 1024},
    "masr": {
        "lanes": 64,
        "weight_bits": 10,
        "activation_bits": 10,
        # 32 bits have two pairs on average: not always one in time (docs/sparse-array.md).
        "chunk": 64,
        "split_scales": 1,
        "threads": 2,
    },
    **{board.name: board.machine for board in BOARDS.values()},
}

#: Lanes that one post unit serves, multipliers where they are wide, most post units, and most lanes
#: that split a row's columns.
LANES_PER_POST_UNIT = 16
MACS_PER_POST = 32
MOST_POST_UNITS = 32
MOST_V = 16


#: A machine, of the kind that is given.
_Machine = TypeVar("_Machine", bound=MachineConfig)


def _file_of(machine: type[MachineConfig]) -> type[BaseModel]:
    """The keys of a configuration file: the parameters of a machine, each optional."""
    keys: dict[str, Any] = {field.name: (int | None, None) for field in fields(machine)}
    return create_model(
        machine.__name__, __config__=ConfigDict(extra="forbid", strict=True), **keys
    )


def structure(
    lanes: int, *, width: int = 1, post_units: int | None = None, delta: int = 0
) -> dict[str, int]:
    """Legal ``post_units``, ``max_v`` and ``queue_depth`` for a number of lanes of a width.

    One post unit for each 16 lanes, or for 32 multipliers of wide ones (16 where they see
    differences: a block of rows has fewer pairs, and as many sums), rounded down to a power of two
    that divides the lanes, at most 32; ``max_v`` is the largest power of two up to 16 that
    divides the lanes of a cluster. A queue holds two blocks of sums, and 8 at least.
    """
    if post_units is None:
        macs, each = lanes, LANES_PER_POST_UNIT
        if width > 1:
            macs, each = lanes * width, MACS_PER_POST >> delta
        post_units = _power_of_two_divisor(lanes, min(MOST_POST_UNITS, max(1, macs // each)))
    return {
        "queue_depth": max(SparseConfig.queue_depth, 2 * width),
        "post_units": post_units,
        "max_v": _power_of_two_divisor(max(1, lanes // max(1, post_units)), MOST_V),
    }


def with_whole_blocks(
    machine: _Machine, layers: Iterable[tuple[int, ...]], name: str | None = None
) -> _Machine:
    """The machine, with half as many post units where the blocks of rows of all layers, [gates,
    units], are whole in these alone.

    Rows that are pruned together lie in one block then, with one mask. Elsewhere a block at the end
    of a post unit's rows has rows of two, and the columns of both: MASR's layer of 800 units,
    pruned in blocks of eight, uses 76.0 % of the slots of 32 lanes on eight post units and 93.7 %
    on four. What a file or the preset ``name`` says stays.
    """
    if not isinstance(machine, SparseConfig):
        return machine
    half = machine.post_units // 2
    named = is_file(name) or "post_units" in PRESETS.get(name or "", ())
    if named or machine.width == 1 or not machine.masks or machine.delta or not half:
        return machine

    def whole(post_units: int) -> bool:
        rows = (units // post_units * gates for gates, units in sizes)
        return all(units % post_units == 0 for _, units in sizes) and not any(
            count % machine.width for count in rows
        )

    sizes = list(layers)
    if whole(machine.post_units) or not whole(half):
        return machine
    max_v = structure(machine.lanes, width=machine.width, post_units=half)["max_v"]
    return replace(machine, post_units=half, max_v=max_v)


def is_file(name_or_path: str | None) -> bool:
    """Whether a ``--config`` argument names a file (which is taken as it is) and not a preset."""
    return (
        name_or_path is not None
        and name_or_path not in PRESETS
        and name_or_path not in DENSE_PRESETS
    )


def named_widths(name_or_path: str | None) -> frozenset[str]:
    """Those of ``weight_bits`` and ``activation_bits`` that a ``--config`` argument settles: a file
    both, as it is taken as it is, a preset those that it names."""
    widths = frozenset({"weight_bits", "activation_bits"})
    if is_file(name_or_path):
        return widths
    return widths & {
        *PRESETS.get(name_or_path or "", ()),
        *DENSE_PRESETS.get(name_or_path or "", ()),
    }


def load_config(
    name_or_path: str | None, lanes: int | None = None, **overrides: int | None
) -> SparseConfig:
    """The machine of a ``--config`` argument.

    Parameters
    ----------
    name_or_path: a preset's name, or the path of a TOML file; None is the preset ``default``.
    lanes: replaces the number of lanes. The structure then follows from it, except for what a file
        says itself.
    overrides: parameters of SparseConfig that win over both; None is no override.

    Raises
    ------
    SparnnError: an unknown preset, a file that cannot be read, an unknown key or a wrong type.
    ConfigurationError: an impossible machine.
    """
    chosen: dict[str, int]
    if name_or_path is None:
        chosen = dict(PRESETS["default"])
    elif name_or_path in PRESETS:
        chosen = dict(PRESETS[name_or_path])
    else:
        machine, chosen = _read(name_or_path)
        if machine != SparseConfig.MACHINE:
            raise SparnnError(
                f"--config {name_or_path}: a {machine} machine, where a sparse one is needed"
            )
    if lanes is not None:
        chosen["lanes"] = lanes
    chosen.update({name: int(value) for name, value in overrides.items() if value is not None})
    count = chosen.setdefault("lanes", PRESETS["default"]["lanes"])
    if count >= 1:  # SparseConfig refuses the others
        width = chosen.get("width", 1)
        given = {name: chosen[name] for name in ("post_units", "delta") if name in chosen}
        chosen = structure(count, width=width, **given) | chosen
    return SparseConfig(**chosen)


def load_machine(
    name_or_path: str | None, lanes: int | None = None, **overrides: int | None
) -> MachineConfig:
    """Like :func:`load_config`; the name may also be that of a dense machine, and a file says which
    machine it describes by ``machine = "sparse"`` (as where it says nothing) or ``"dense"``.

    Raises
    ------
    SparnnError, ConfigurationError: as :func:`load_config`; lanes, their width or masks, or split
        scales for a dense machine.
    """
    machine, content = "sparse", None
    if is_file(name_or_path):
        assert name_or_path is not None
        machine, content = _read(name_or_path)
    elif name_or_path in DENSE_PRESETS:
        machine = "dense"
    if machine == "sparse":
        return load_config(name_or_path, lanes, **overrides)
    assert name_or_path is not None
    if lanes is not None:
        raise SparnnError(
            f"--lanes {lanes}: the size of {name_or_path} is fixed; choose another of "
            f"{', '.join(DENSE_PRESETS)}"
        )
    chosen = {name: value for name, value in overrides.items() if value is not None}
    for name in ("width", "masks"):
        if name in chosen:
            raise SparnnError(
                f"--{name}: {name_or_path} is a dense machine, whose size is fixed; leave it "
                f"out, or choose another of {', '.join(DENSE_PRESETS)}"
            )
    _ = chosen.pop("delta", None)  # refused for the network that has thresholds
    if chosen.pop("split_scales", 0):
        raise SparnnError(
            f"--split-scales: {name_or_path} is a dense machine, whose rows have one scale each; "
            f"leave the option out, or choose a sparse machine, such as --config masr"
        )
    if content is not None:
        return machine_config(machine, content | chosen)
    return dense_preset(name_or_path, **chosen)


def _power_of_two_divisor(value: int, most: int) -> int:
    """The largest power of two that divides ``value`` and is at most ``most``."""
    power = 1
    while power * 2 <= most and value % (power * 2) == 0:
        power *= 2
    return power


def _read(path: str) -> tuple[str, dict[str, int]]:
    """The machine's name in a file, ``sparse`` where none is given, and its parameters."""
    file = Path(path)
    names = ", ".join([*sorted(PRESETS), *DENSE_PRESETS])
    if not file.is_file():
        raise SparnnError(
            f"--config {path}: neither a preset ({names}) nor a file; name one of the presets or a "
            f"TOML file"
        )
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SparnnError(f"--config {path}: not a TOML file ({error}); correct it") from None
    machine = content.pop("machine", SparseConfig.MACHINE)
    if not isinstance(machine, str) or machine not in MACHINES:
        raise SparnnError(
            f"--config {path}: machine = {machine!r} is unknown; use one of {', '.join(MACHINES)}"
        )
    return machine, _checked(path, content, MACHINES[machine])


def _checked(path: str, content: dict[str, Any], machine: type[MachineConfig]) -> dict[str, int]:
    try:
        read = _file_of(machine).model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(field.name for field in fields(machine))
            others = [
                f'; write machine = "{name}" for a machine that has it'
                for name, other in MACHINES.items()
                if key in {field.name for field in fields(other)}
            ]
            raise SparnnError(
                f"--config {path}: unknown key {key!r}; the keys of a {machine.MACHINE} machine "
                f"are {known}{''.join(others)}"
            ) from None
        raise SparnnError(
            f"--config {path}: {key} = {first['input']!r} is not an integer; give a whole number"
        ) from None
    return read.model_dump(exclude_none=True)
