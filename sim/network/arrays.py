"""Arrays between the user's npz files, in the model's layout, and sequences of the machine.

The `io` section of a compiled folder's manifest describes the layout:

- `inputs`: `name`, `role` (`x`, `initial_h`, `initial_c`, `lengths`), `layer`, `axes`, `f`; of `x`
  perhaps `scale`, a power of two for each feature that it is multiplied by.
- `outputs`: `name`, `layer`, `what` (`sequence`, `last`, `state_h`, `state_c`), `axes`, `f`.

`axes` names each axis of the model's tensor, in order: `batch`, `time`, `direction`, `feature`. Any
may be missing, which stands for size 1. `direction` has the size 1, or 2 where both directions of
a layer lie in one tensor: an input then has an entry for each, with the same `name` and its place
`at`; an output has `directions` = 2.
"""

import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.sim.aliases import AnyFloatArray, IntArray, Io
from sparnn.sim.errors import SimulationError

__all__ = [
    "AXES",
    "IGNORED_ARRAYS",
    "Sequence",
    "assemble_outputs",
    "check_inputs",
    "dequantize",
    "load_inputs",
    "padded_steps",
    "quantize",
    "read_inputs",
    "read_npz",
    "sequences_of",
    "write_npz",
]


AXES = ("batch", "time", "direction", "feature")
"""The axes a model's tensor may have, in the order used inside this module."""

_MOST_BYTES = 512 << 20
"""What the arrays of a file may take in memory; small files may claim gigabytes."""

IGNORED_ARRAYS = frozenset({"labels"})
"""Arrays that an input file may hold beside the model's inputs: data sets carry their answers."""


@dataclass(frozen=True, eq=False)
class Sequence:
    """One sequence of one batch element.

    Members
    -------
    x
        The first layer's inputs, float64 [steps, inputs].
    initial
        Given initial states by (role, layer), float64 [units].
    """

    x: npt.NDArray[np.float64]
    initial: dict[tuple[str, int], npt.NDArray[np.float64]]


def load_inputs(
    path: Path, io: Io, sizes: Mapping[tuple[str, int], int] | None = None
) -> list[Sequence]:
    """The sequences in an input file, one per batch element.

    Parameters and errors are those of `read_inputs`. An input without a batch axis beside others
    with one is the same for all sequences.
    """
    return sequences_of(read_inputs(path, io, sizes), io)


def sequences_of(arrays: Mapping[str, npt.NDArray[np.float64]], io: Io) -> list[Sequence]:
    """The sequences of checked arrays, one per batch element.

    Each is as long as the input of the role `lengths` says, where there is one; features are
    multiplied by the input's `scale`, where it has one.

    Raises
    ------
    SimulationError
        A length that is not from 1 to the number of steps.
    """
    laid_out = {
        (entry["role"], entry["layer"]): _to_canonical(
            arrays[entry["name"]], entry["axes"], entry.get("at", 0)
        )
        for entry in io["inputs"]
    }
    count = max(array.shape[0] for array in laid_out.values())
    elements = {key: np.broadcast_to(a, (count, *a.shape[1:])) for key, a in laid_out.items()}
    x = elements.pop(("x", 0))
    scale = next((e.get("scale") for e in io["inputs"] if e["role"] == "x"), None)
    if scale is not None:
        x = x * np.asarray(scale)
    lengths = np.full(count, x.shape[1])
    if ("lengths", 0) in elements:
        lengths = elements.pop(("lengths", 0))[:, 0, 0].astype(np.int64)
        if lengths.min() < 1 or lengths.max() > x.shape[1]:
            raise SimulationError(
                f"sequences have lengths from {lengths.min()} to {lengths.max()}, and the input "
                f"{x.shape[1]} steps: give lengths from 1 to that"
            )
    return [
        Sequence(x[i, :steps].copy(), {key: array[i, 0].copy() for key, array in elements.items()})
        for i, steps in enumerate(lengths)
    ]


def padded_steps(arrays: Mapping[str, npt.NDArray[Any]], io: Io) -> int | None:
    """Steps of outputs whose sequences have lengths of their own; None where all are whole."""
    entries = {entry["role"]: entry for entry in io["inputs"]}
    if "lengths" not in entries:
        return None
    x = entries["x"]
    return int(arrays[x["name"]].shape[list(x["axes"]).index("time")])


def read_inputs(
    path: Path, io: Io, sizes: Mapping[tuple[str, int], int] | None = None
) -> dict[str, npt.NDArray[np.float64]]:
    """The checked arrays of an input file, by the model's input names and in its layout.

    Parameters
    ----------
    path
        An npz file with one array per model input. `x` is accepted where the model has one input;
        arrays in `IGNORED_ARRAYS` are skipped.
    io
        The layout, as in the manifest.
    sizes
        The number of features of each (role, layer), such as `IntegerNetwork.input_sizes`; without
        it that axis may have any size.

    Raises
    ------
    SimulationError
        The file is missing or not an npz; an array is missing, unknown, of another shape than the
        model's, not of numbers, without steps or sequences, or holds NaN or infinities.
    """
    if not any((entry["role"], entry["layer"]) == ("x", 0) for entry in io["inputs"]):
        raise SimulationError("the manifest names no input with role 'x': compile the model again")
    return check_inputs(read_npz(path), str(path), io, sizes)


def check_inputs(
    given: Mapping[str, npt.NDArray[Any]],
    path: str,
    io: Io,
    sizes: Mapping[tuple[str, int], int] | None = None,
) -> dict[str, npt.NDArray[np.float64]]:
    """:func:`read_inputs` of arrays that are there already; ``path``: what messages call them."""
    found = dict(given)
    names = list(dict.fromkeys(entry["name"] for entry in io["inputs"]))
    if len(names) == 1 and names[0] not in found and "x" in found:
        found[names[0]] = found.pop("x")
    missing = [name for name in names if name not in found]
    extra = sorted(set(found) - set(names) - IGNORED_ARRAYS)
    if missing or extra:
        problem = f"lacks {_listed(missing)}" if missing else f"holds {_listed(extra)} as well"
        raise SimulationError(
            f"{path} {problem}: it must hold one array for each of the model's inputs, "
            f"{_listed(names)}, and nothing else but {_listed(sorted(IGNORED_ARRAYS))}"
        )
    arrays: dict[str, npt.NDArray[np.float64]] = {}
    batch: tuple[str, int] | None = None
    for entry in io["inputs"]:
        name, axes = entry["name"], list(entry["axes"])
        size = (sizes or {}).get((entry["role"], entry["layer"]))
        directions = sum(other["name"] == name for other in io["inputs"])
        where = f"{path}: array {name!r}"
        array = _checked(where, found[name], entry["role"], axes, size, directions)
        if "batch" in axes:
            count = array.shape[axes.index("batch")]
            if batch is not None and batch[1] != count:
                raise SimulationError(
                    f"{path}: array {name!r} holds {count} sequences and {batch[0]!r} {batch[1]}: "
                    "all inputs must hold the same number along their batch axes"
                )
            batch = (name, count)
        arrays[name] = array
    return arrays


def _checked(
    where: str,
    array: npt.NDArray[Any],
    role: str,
    axes: list[str],
    size: int | None,
    directions: int,
) -> npt.NDArray[np.float64]:
    """`array` as float64, when it is a valid input of this role and layout."""
    if array.dtype.kind not in "iuf":
        raise SimulationError(
            f"{where} has the type {array.dtype}: only real numbers can be fed to the network"
        )
    allowed = {"x": AXES, "lengths": ("batch",)}.get(role, ("batch", "direction", "feature"))
    if len(set(axes)) != len(axes) or not set(axes) <= set(allowed):
        raise SimulationError(
            f"{where}: the manifest gives it the axes {axes}, but {role} has at most "
            f"{list(allowed)}: compile the model again"
        )
    layout = f"[{', '.join(axes)}]"
    if array.ndim != len(axes):
        raise SimulationError(
            f"{where} has the shape {array.shape}: the model takes {len(axes)} axes, {layout}"
        )
    for axis, expected in (("feature", size), ("direction", directions)):
        # A layout without a feature axis stands for one feature, and says so itself.
        actual = array.shape[axes.index(axis)] if axis in axes else 1
        if expected is not None and actual != expected:
            raise SimulationError(
                f"{where} has the shape {array.shape}, {actual} along {axis} of {layout}: "
                f"the model takes {expected}"
            )
    for axis, thing in (("time", "steps"), ("batch", "sequences")):
        if axis in axes and array.shape[axes.index(axis)] == 0:
            raise SimulationError(
                f"{where} has the shape {array.shape}, no {thing}: give at least one"
            )
    largest = float(np.finfo(np.float32).max)
    with np.errstate(over="ignore"):  # numbers of the long double type end as infinities
        values = array.astype(np.float64)
    bad = ~(np.abs(values) <= largest)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise SimulationError(
            f"{where} holds {array[index]} at index {index}: "
            f"every value must be finite and within ±{largest:.4g}"
        )
    return values


def quantize(values: AnyFloatArray, f: int, bits: int) -> tuple[IntArray, int]:
    """Real numbers as integers of format `f`: rounded half to even, saturated to `bits` bits.

    Parameters
    ----------
    values
        Finite numbers of any shape.

    Returns
    -------
    The integers, int64 of the same shape, and how many of them saturated.
    """
    scaled = np.rint(np.ldexp(np.asarray(values, np.float64), f))
    limit = 2.0 ** (bits - 1)
    clamped = np.clip(scaled, -limit, limit - 1)
    return clamped.astype(np.int64), int(np.count_nonzero(clamped != scaled))


def dequantize(integers: npt.NDArray[np.integer[Any]], f: int) -> npt.NDArray[np.float32]:
    """The numbers that integers of format `f` stand for; exact for up to 24 bits."""
    return np.ldexp(np.asarray(integers, np.float64), -f).astype(np.float32)


def assemble_outputs(
    io: Io,
    per_sequence: Iterable[Mapping[str, npt.NDArray[np.integer[Any]]]],
    steps: int | None = None,
) -> dict[str, npt.NDArray[np.float32]]:
    """The model's outputs, in its own layout.

    Parameters
    ----------
    io
        The layout, as in the manifest.
    per_sequence
        For each batch element the integers of each output by name: [steps, units] for `sequence`,
        [units] for all others.
    steps
        Sequences are filled up with zeros to so many steps (`padded_steps`).

    Raises
    ------
    SimulationError
        A layout without an axis that the data has more than one element along.
    """
    sequences = list(per_sequence)
    outputs = {}
    for entry in io["outputs"]:
        name = entry["name"]
        each = [np.atleast_2d(outputs_of[name]) for outputs_of in sequences]
        if steps is not None and entry["what"] == "sequence":
            each = [np.pad(one, ((0, steps - len(one)), (0, 0))) for one in each]
        stacked = np.stack(each)
        outputs[name] = dequantize(_from_canonical(name, stacked, entry), entry["f"])
    return outputs


def _to_canonical(array: npt.NDArray[Any], axes: Iterable[str], at: int) -> npt.NDArray[Any]:
    """From the model's layout to [batch, time, feature], one direction of it."""
    axes = list(axes)
    present = [axis for axis in AXES if axis in axes]
    ordered = array.transpose([axes.index(axis) for axis in present])
    size = dict(zip(present, ordered.shape, strict=True))
    return ordered.reshape([size.get(axis, 1) for axis in AXES])[:, :, at, :]


def _from_canonical(
    name: str, array: npt.NDArray[Any], entry: Mapping[str, Any]
) -> npt.NDArray[Any]:
    """From [batch, time, directions side by side] to the model's layout."""
    axes = list(entry["axes"])
    full = array.reshape(*array.shape[:2], entry.get("directions", 1), -1)
    for axis, size in zip(AXES, full.shape, strict=True):
        if axis not in axes and size != 1:
            raise SimulationError(
                f"output {name!r} has no {axis} axis, but {size} elements along it: "
                "feed one at a time, or export the model with that axis"
            )
    present = [axis for axis in AXES if axis in axes]
    squeezed = full.reshape([full.shape[AXES.index(axis)] for axis in present])
    return squeezed.transpose([present.index(axis) for axis in axes])


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an npz file; nothing in it is ever unpickled.

    Raises
    ------
    SimulationError
        There is no such file, or it is not an npz file of plain arrays.
    """
    path = Path(path)
    if not path.is_file():
        raise SimulationError(f"{path} is not a file: give an npz file, as numpy.savez writes it")
    try:
        # Opened here, because numpy leaves the file of a damaged archive open.
        with path.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it is a single array, an npy file")
            with archive:
                size = sum(member.file_size for member in archive.zip.infolist())
                if size > _MOST_BYTES:
                    raise ValueError(
                        f"it unpacks to {size >> 20} MiB, the limit is "
                        f"{_MOST_BYTES >> 20}; give fewer sequences"
                    )
                arrays = {name: archive[name] for name in archive.files}
        odd = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
        if odd:
            raise ValueError(f"its member {odd[0]!r} is not an array")
    except Exception as error:  # damaged files raise all kinds, from zlib.error to SyntaxError
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SimulationError(
            f"{path} cannot be read as an npz file of plain arrays ({reason}): "
            "write it with numpy.savez, without object arrays"
        ) from error
    return arrays


def write_npz(
    path: Path, arrays: Mapping[str, npt.NDArray[Any]], *, level: int | None = None
) -> None:
    """Write an npz file; the same arrays give the same bytes. ``level``: of compression, 0 to 9.

    The file is written aside and renamed, so `path` is never half written.

    Raises
    ------
    SimulationError
        The file cannot be written there.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise SimulationError(f"{path} exists and is not a regular file: give another output file")
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # Not numpy.savez: it cannot write an array that is named "file".
        with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
            for name, array in arrays.items():
                member = zipfile.ZipInfo(f"{name}.npy")
                member.compress_type = zipfile.ZIP_DEFLATED
                with archive.open(member, "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, np.asarray(array), allow_pickle=False)
        aside.replace(path)
    except OSError as error:
        raise SimulationError(
            f"{path} cannot be written ({error.strerror or error}): give a writable output file"
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
