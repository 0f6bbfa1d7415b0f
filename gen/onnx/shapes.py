"""Operators on a runtime tensor that compute nothing.

A tensor keeps its axes through Transpose, Squeeze, Unsqueeze, Reshape, Flatten, Identity, Dropout
and Cast, and loses its time axis through a Gather or Slice of the last step. Anything else that
these operators can do is refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from onnx import helper

from .constants import Call, elements_of, pack
from .directions import directions_at, merged, picked, unmerged
from .values import Axis, Const, Signal, Size, Value, refuse

__all__ = ["PLUMBING"]


def _axis_index(call: Call, axis: int, rank: int, what: str = "axis") -> int:
    if not -rank <= axis < rank:
        raise refuse(call.node, f"{what} {axis} is outside a tensor of {rank} axes")
    return axis % rank


def _identity(call: Call) -> list[Value]:
    return [call.signal()]


def _dropout(call: Call) -> list[Value]:
    """Dropout in inference mode is the identity; its mask output is not supported."""
    mode = call.input(2)
    if mode is not None and not (isinstance(mode, Const) and not mode.array.any()):
        raise refuse(
            call.node, "training_mode is not a constant false; export the model in inference mode"
        )
    return [call.signal()]


def _cast(call: Call) -> list[Value]:
    signal = call.signal()
    target = np.dtype(helper.tensor_dtype_to_np_dtype(call.attrs["to"]))
    if target.kind != "f" or target.itemsize < np.dtype(signal.dtype).itemsize:
        raise refuse(
            call.node,
            f"casts activations from {np.dtype(signal.dtype)} to {target}, which rounds; only "
            "casts that keep or widen the float type are supported, so remove it",
        )
    return [replace(signal, dtype=target)]


def _transpose(call: Call) -> list[Value]:
    signal = call.signal()
    rank = len(signal.axes)
    perm = [int(p) for p in call.attrs.get("perm", range(rank - 1, -1, -1))]
    if sorted(perm) != list(range(rank)):
        raise refuse(call.node, f"perm {perm} does not fit a tensor of {rank} axes")
    return [replace(signal, axes=tuple(signal.axes[p] for p in perm))]


def _squeeze(call: Call) -> list[Value]:
    signal = call.signal()
    rank = len(signal.axes)
    given = call.integers("axes", 1)
    if given is None:
        if any(a.size is None for a in signal.axes):
            raise refuse(
                call.node,
                f"has no axes on shape {signal.shape_text}, so what it removes depends on the "
                "run-time shape; name the axes",
            )
        dropped = {i for i, a in enumerate(signal.axes) if a.unit}
    else:
        dropped = {_axis_index(call, a, rank) for a in given}
    for i in sorted(dropped):
        if not signal.axes[i].unit:
            raise refuse(
                call.node,
                f"squeezes axis {i} of shape {signal.shape_text}, which is not known to be 1",
            )
    return [replace(signal, axes=tuple(a for i, a in enumerate(signal.axes) if i not in dropped))]


def _unsqueeze(call: Call) -> list[Value]:
    signal = call.signal()
    given = call.integers("axes", 1) or []
    rank = len(signal.axes) + len(given)
    new = {_axis_index(call, a, rank) for a in given}
    if len(new) != len(given):
        raise refuse(call.node, f"axes {given} name one axis twice")
    old = iter(signal.axes)
    return [replace(signal, axes=tuple(Axis(1) if i in new else next(old) for i in range(rank)))]


def _matches(signal: Signal, target: Sequence[int | Size]) -> bool:
    """The target names every axis longer than 1, in order."""
    kept = [a for a in signal.axes if not a.unit]
    wanted = [t for t in target if t != 1]
    return (
        len(wanted) == len(kept)
        and wanted.count(-1) <= 1
        and all(t in (-1, a.size) or t == Size(a) for a, t in zip(kept, wanted, strict=True))
    )


def _regroup(call: Call, target: Sequence[int | Size]) -> list[Value]:
    """A reshape that keeps every axis longer than 1, in order, and only adds or drops 1s."""
    signal = call.signal()
    for variant in (unmerged(signal), merged(signal)):
        # The directions' features become one axis, or two again.
        if variant is not None and _matches(variant, target):
            signal = variant
    kept = [a for a in signal.axes if not a.unit]
    wanted = [t for t in target if t != 1]
    if len(wanted) == len(kept) + 1 and -1 in wanted:
        wanted.remove(-1)
        target = [1 if t == -1 else t for t in target]
    matches = len(wanted) == len(kept) and list(wanted).count(-1) <= 1
    for axis, t in zip(kept, wanted, strict=False):
        matches = matches and (t == -1 or t == axis.size or t == Size(axis))
    if not matches:
        text = ", ".join("?" if isinstance(t, Size) else str(t) for t in target)
        raise refuse(
            call.node,
            f"reshapes {signal.shape_text} to [{text}]; supported is a reshape that only adds or "
            "removes axes of size 1, so keep batch, time and features apart",
        )
    # Axes of size 1 keep their identity where possible, so that batch or time is not relabelled.
    units = sorted(
        (a for a in signal.axes if a.unit), key=lambda a: a.role not in ("batch", "time")
    )
    features = [a for a in units if a.role == "feature"]
    final = features[0] if features and target and target[-1] == 1 else None
    units = [a for a in units if a is not final]
    old = iter(kept)
    axes: list[Axis] = []
    for i, t in enumerate(target):
        if t != 1:
            axes.append(next(old))
        elif final is not None and i == len(target) - 1:
            axes.append(final)
        else:
            axes.append(units.pop(0) if units else Axis(1))
    return [replace(signal, axes=tuple(axes))]


def _reshape(call: Call) -> list[Value]:
    signal = call.signal()
    shape = elements_of(call.input(1))
    known = [e for e in shape[0] if e is not None] if shape is not None else []
    if shape is None or len(known) < len(shape[0]):
        raise refuse(
            call.node,
            f"reshapes {signal.shape_text} to a shape computed at run time that cannot be "
            "followed; export the model with fixed shapes or remove the Reshape",
        )
    target: list[int | Size] = []
    for i, element in enumerate(known):
        if element == 0 and not call.attrs.get("allowzero", 0) and i < len(signal.axes):
            axis = signal.axes[i]
            target.append(Size(axis) if axis.size is None else axis.size)
        else:
            target.append(element)
    return _regroup(call, target)


def _flatten(call: Call) -> list[Value]:
    signal = call.signal()
    rank = len(signal.axes)
    axis = int(call.attrs.get("axis", 1))
    axis = rank if axis == rank else _axis_index(call, axis, rank)
    target: list[int | Size] = []
    for group in (signal.axes[:axis], signal.axes[axis:]):
        long = [a for a in group if not a.unit]
        if len(long) > 1:
            raise refuse(
                call.node,
                f"merges axes of shape {signal.shape_text} that are not of size 1; a layer reads "
                "one vector per step, so take the last step or apply the layer to every step",
            )
        sizes = [a.size if a.size is not None else Size(a) for a in long]
        target.append(sizes[0] if sizes else 1)
    return _regroup(call, target)


def _last(call: Call, signal: Signal, axis: Axis, what: str) -> Signal:
    """The signal reduced to its final step, after checking that ``axis`` is the time axis."""
    if axis.role != "time":
        raise refuse(
            call.node,
            f"{what} on an axis that is not the time axis of a layer's output; only the last step "
            "of a sequence can be selected",
        )
    return replace(signal, last=True, step=signal.backwards)


def _gather(call: Call) -> list[Value]:
    signal = call.signal()
    at = _axis_index(call, int(call.attrs.get("axis", 0)), len(signal.axes))
    axis = signal.axes[at]
    index = elements_of(call.input(1))
    if index is None or len(index[0]) != 1:
        raise refuse(call.node, "selects with indices other than one constant: only the last step")
    (pick,), scalar = index
    final = (
        pick == -1 or pick == Size(axis, -1) or (axis.size is not None and pick == axis.size - 1)
    )
    if axis.role == "direction" and axis.size == 2 and pick in (-2, -1, 0, 1):
        return [picked(signal, at, int(pick) % 2, keep=not scalar)]
    if axis.unit and pick in (0, -1):
        new = signal
    elif final:
        new = _last(call, signal, axis, f"selects index {pick}")
    else:
        raise refuse(
            call.node,
            f"selects index {pick} of an axis of shape {signal.shape_text}; only the last step of "
            "the time axis can be selected (index -1)",
        )
    middle = () if scalar else (Axis(1),)
    return [replace(new, axes=(*signal.axes[:at], *middle, *signal.axes[at + 1 :]))]


def _slice(call: Call) -> list[Value]:
    signal = call.signal()
    rank = len(signal.axes)
    starts, ends = elements_of(_attr(call, "starts", 1)), elements_of(_attr(call, "ends", 2))
    if starts is None or ends is None or len(starts[0]) != len(ends[0]):
        raise refuse(call.node, "starts or ends cannot be followed; use constants")
    axes = call.integers("axes", 3) or list(range(len(starts[0])))
    steps = call.integers("steps", 4) or [1] * len(axes)
    if not len(axes) == len(steps) == len(starts[0]):
        raise refuse(call.node, "starts, ends, axes and steps have different lengths")
    for position, start, end, step in zip(axes, starts[0], ends[0], steps, strict=True):
        at = _axis_index(call, position, rank)
        axis = signal.axes[at]
        size = axis.size
        half = size // 2 if size and directions_at(signal) == at else 0
        limits = [v + size if size and v < 0 else v for v in (start, end) if isinstance(v, int)]
        if (
            half
            and step == 1
            and len(limits) == 2
            and (limits[0], min(limits[1], 2 * half))
            in (
                (0, half),
                (half, 2 * half),
            )
        ):
            signal = picked(signal, at, limits[0] // half, keep=True)
            continue
        open_end = end == Size(axis) or (isinstance(end, int) and end >= (size or 2**31 - 1))
        if (
            step == 1
            and open_end
            and (start == 0 or (size and isinstance(start, int) and start <= -size))
        ):
            continue
        single = start == -1 or start == Size(axis, -1) or (size is not None and start == size - 1)
        if step == 1 and single and open_end:
            if size != 1:
                signal = _last(call, signal, axis, "takes a slice")
            signal = replace(signal, axes=(*signal.axes[:at], Axis(1), *signal.axes[at + 1 :]))
            continue
        texts = ["?" if isinstance(v, Size) or v is None else str(v) for v in (start, end)]
        raise refuse(
            call.node,
            f"slices axis {at} of shape {signal.shape_text} from {texts[0]} to {texts[1]} by "
            f"{step}; only the last step of the time axis can be selected (from -1 to the end)",
        )
    return [signal]


def _attr(call: Call, name: str, index: int) -> Value | None:
    if name in call.attrs:
        return Const(np.asarray(call.attrs[name], np.int64), name)
    return call.input(index)


def _shape(call: Call) -> list[Value]:
    axes = call.signal().axes
    axes = axes[call.attrs.get("start", 0) : call.attrs.get("end", len(axes))]
    sizes = [Size(a) if a.size is None else a.size for a in axes]
    return [pack(sizes, False, call.node.output[0])]


#: Operators on a runtime tensor that compute nothing, by ONNX name.
PLUMBING: dict[str, Callable[[Call], list[Value]]] = {
    "Cast": _cast,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": _identity,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
