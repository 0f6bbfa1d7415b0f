"""The two directions of a bidirectional layer, on their way from its node to what reads them.

A node gives them on an axis of their own, and exporters write them side by side (Transpose and
Reshape, or Concat of the two), or add them (ReduceSum, or Add of the two).
"""

from dataclasses import replace

from .chain import Chain
from .constants import Call
from .values import Axis, Signal, Value, refuse

__all__ = [
    "added",
    "concat",
    "directions_at",
    "merged",
    "picked",
    "reduce_sum",
    "split",
    "two_directions",
    "unmerged",
]


def directions_at(signal: Signal) -> int | None:
    """The axis of two directions, or that of their features side by side."""
    for i, axis in enumerate(signal.axes):
        if (axis.role == "direction" and axis.size == 2) or axis.parts is not None:
            return i
    return None


def merged(signal: Signal) -> Signal | None:
    """The directions' features side by side, where their axes are next to each other."""
    for i, (both, features) in enumerate(zip(signal.axes, signal.axes[1:], strict=False)):
        apart = both.role == "direction" and both.size == 2 and features.role == "feature"
        if apart and signal.affine is None:
            size = None if features.size is None else 2 * features.size
            joined = Axis(size, "feature", (both, features))
            return replace(signal, axes=(*signal.axes[:i], joined, *signal.axes[i + 2 :]))
    return None


def unmerged(signal: Signal) -> Signal | None:
    """The inverse of :func:`merged`."""
    for i, axis in enumerate(signal.axes):
        if axis.parts is not None and signal.affine is None:
            return replace(signal, axes=(*signal.axes[:i], *axis.parts, *signal.axes[i + 1 :]))
    return None


def picked(signal: Signal, at: int, direction: int, *, keep: bool) -> Signal:
    """One direction; of axis ``at`` its features stay, or nothing, or with ``keep`` a size of 1."""
    parts = signal.axes[at].parts
    middle = (parts[1],) if parts else (Axis(1, "direction"),) if keep else ()
    axes = (*signal.axes[:at], *middle, *signal.axes[at + 1 :])
    return replace(signal, axes=axes, direction=direction)


def split(call: Call, chain: Chain) -> list[Value]:
    """ONNX Split into the two directions."""
    signal = call.signal()
    rank = len(signal.axes)
    at = int(call.attrs.get("axis", 0)) % rank
    sizes = call.integers("split", 1)
    halves = sizes is None or (len(sizes) == 2 and sizes[0] == sizes[1])
    if at != directions_at(signal) or len(call.node.output) != 2 or not halves:
        raise refuse(
            call.node,
            f"splits shape {signal.shape_text} on axis {at}; only the two directions of a "
            "bidirectional layer can be split, to be added or put side by side again",
        )
    return [picked(signal, at, k, keep=True) for k in (0, 1)]


def two_directions(first: Signal, second: Signal) -> bool:
    """Whether these are the forward and the reverse direction of one tensor, in this order or, to
    be added, in the other."""
    plain = first.affine is None and second.affine is None
    return (
        plain
        and {first.direction, second.direction} == {0, 1}
        and (
            first.source,
            first.version,
            first.last,
            first.step,
            first.cell,
            _long(first),
        )
        == (second.source, second.version, second.last, second.step, second.cell, _long(second))
    )


def _long(signal: Signal) -> list[Axis]:
    return [axis for axis in signal.axes if axis.role != "direction"]


def concat(call: Call, chain: Chain) -> list[Value]:
    """ONNX Concat of the forward and the reverse direction along the features."""
    signals = [value for value in call.inputs if isinstance(value, Signal)]
    if (
        len(call.inputs) != 2
        or len(signals) != 2
        or not two_directions(*signals)
        or signals[0].direction != 0
    ):
        raise refuse(
            call.node,
            "this operator is not supported but for the forward and the reverse direction of one "
            "layer, in this order: only one chain of layers is supported, so split the model",
        )
    signal = signals[0]
    at = int(call.attrs["axis"]) % len(signal.axes)
    axis = signal.axes[at]
    if axis.role == "direction":
        both = Axis(2, "direction")
    elif axis.role == "feature":
        size = None if axis.size is None else 2 * axis.size
        both = Axis(size, "feature", (Axis(2, "direction"), axis))
    else:
        raise refuse(call.node, f"joins two directions on axis {at}, which is not their features")
    axes = (*signal.axes[:at], both, *signal.axes[at + 1 :])
    return [replace(signal, axes=axes, direction=None)]


def added(call: Call, chain: Chain, signal: Signal) -> Signal:
    """The sum of the two directions; ``signal`` has the axes of one of them."""
    if signal.affine is not None:
        raise refuse(call.node, "adds two directions that are scaled; add first and scale the sum")
    if signal.last:
        raise refuse(
            call.node,
            "adds the final states of two directions; only sequences can be added, so add first "
            "and select the last step of the sum",
        )
    changed = chain.change(call, replace(signal, direction=None), join="sum")
    return replace(changed, backwards=True)


def reduce_sum(call: Call, chain: Chain) -> list[Value]:
    """ONNX ReduceSum over the axis of the two directions."""
    signal = call.signal()
    given = call.integers("axes", 1) or []
    rank = len(signal.axes)
    at = directions_at(signal)
    if len(given) != 1 or given[0] % rank != at or signal.axes[at].parts is not None:
        raise refuse(
            call.node,
            f"sums axes {given} of shape {signal.shape_text}; only the two directions of a "
            "bidirectional layer can be added",
        )
    assert at is not None
    keep = bool(call.attrs.get("keepdims", 1))
    return [added(call, chain, picked(signal, at, 0, keep=keep))]
