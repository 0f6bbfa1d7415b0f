"""What the importer knows of each tensor of an ONNX graph while it walks through the nodes."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from sparnn.gen.errors import SparnnError

__all__ = [
    "Axis",
    "Const",
    "Fill",
    "Opaque",
    "Signal",
    "Size",
    "Sizes",
    "Value",
    "check_finite",
    "label",
    "refuse",
    "weight",
]

#: Types of weights and activations; weights are converted to float64, which holds all exactly.
FLOAT_TYPES = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))


@dataclass(eq=False)
class Axis:
    """One axis of a runtime tensor, the same object wherever plumbing carries it.

    ``size`` is None while the model leaves it open. ``role`` is a label of ``model.AXES``, empty
    until an operator that gives the axis a meaning has read it. ``parts``: of the features of two
    directions side by side, the axis of directions and the one of a direction's features.
    """

    size: int | None
    role: str = ""
    parts: "tuple[Axis, Axis] | None" = None

    @property
    def unit(self) -> bool:
        return self.size == 1


@dataclass(frozen=True)
class Size:
    """An element of a shape computation: the size of ``axis`` plus ``offset``."""

    axis: Axis
    offset: int = 0


@dataclass(frozen=True)
class Const:
    """A tensor known at compile time; ``spread``: repeated along some of its axes of size 1."""

    array: NDArray[Any]
    name: str
    spread: bool = False


@dataclass(frozen=True)
class Fill:
    """A tensor of one value everywhere and a shape that depends on the input's."""

    value: float
    dtype: Any


@dataclass(frozen=True)
class Sizes:
    """An integer tensor of sizes, as Shape and what follows it compute; None: not known."""

    elements: tuple[int | Size | None, ...]
    scalar: bool = False


@dataclass(frozen=True)
class Opaque:
    """A result of shape arithmetic that is not followed; refused wherever its value matters."""

    node: str


@dataclass(frozen=True)
class Signal:
    """A runtime tensor: a graph input, or what a layer gives.

    ``source`` is the graph input's name or the layer's index; ``version`` counts the changes to
    the layer (bias, activation) that this tensor includes; ``last``: only the final step is in it,
    that is, what the layer computed last, or with ``step`` the last one of a sequence that a
    direction began with; ``backwards``: the layer has such a direction; ``direction``: only that
    one of the two directions is in it; ``affine``: a factor and a summand for each feature that are
    not applied yet, but wait for the layer that reads them (``onnx_affine``).
    """

    axes: tuple[Axis, ...]
    source: str | int
    dtype: Any
    version: int = 0
    last: bool = False
    cell: bool = False
    step: bool = False
    backwards: bool = False
    direction: int | None = None
    affine: "tuple[NDArray[np.float64], NDArray[np.float64]] | None" = field(
        default=None, compare=False
    )

    @property
    def shape_text(self) -> str:
        return "[" + ", ".join("?" if a.size is None else str(a.size) for a in self.axes) + "]"


Value = Const | Fill | Sizes | Opaque | Signal


def label(node: NodeProto) -> str:
    """How messages name a node: its name, or its first output's, and the operator."""
    name = node.name or next((o for o in node.output if o), "?")
    domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
    return f"node {name!r} ({domain}{node.op_type})"


def refuse(node: NodeProto, what: str) -> SparnnError:
    """The error for a node that is not supported; ``what`` completes the sentence."""
    return SparnnError(f"{label(node)}: {what}")


def check_finite(array: NDArray[Any], what: str) -> None:
    """Raise SparnnError when a constant holds NaN or infinity."""
    bad = ~np.isfinite(array)
    if bad.any():
        where = [int(i) for i in np.argwhere(bad)[0]]
        raise SparnnError(
            f"{what} holds {int(bad.sum())} values that are NaN or infinite, the first at index "
            f"{where}; only finite weights can be quantized, so repair or retrain the model"
        )


def weight(node: NodeProto, value: Value | None, role: str) -> NDArray[np.float64]:
    """A constant operand as float64 (exact for float16, float32 and float64).

    Raises SparnnError when it is computed at run time, not a float tensor, empty or not finite.
    """
    if not isinstance(value, Const) or value.spread:
        raise refuse(
            node,
            f"{role} is not a constant of the model; weights have to be initializers or Constant "
            "nodes, so export the model with its trained weights inside",
        )
    if value.array.dtype not in FLOAT_TYPES:
        raise refuse(
            node,
            f"{role} (tensor {value.name!r}) has type {value.array.dtype}; supported are float16, "
            "float32 and float64, so convert the model to float32",
        )
    if value.array.size == 0:
        raise refuse(
            node,
            f"{role} (tensor {value.name!r}) has shape {list(value.array.shape)}, which is empty; "
            "every size has to be at least 1",
        )
    check_finite(value.array, f"{label(node)}: {role} (tensor {value.name!r})")
    return value.array.astype(np.float64)
