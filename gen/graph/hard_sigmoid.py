"""`HardSigmoid` gates, also where they stand as a `Clip` of a linear function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import NodeProto

from .symbolic import Atom, Linear, Value, plain

if TYPE_CHECKING:
    from .tensors import Tensors

__all__ = ["clip", "hard_sigmoid", "whole_gates"]

#: How far from one a factor may be: exporters write a sixth in float32.
_NEAR = 1e-6


def hard_sigmoid(
    tensors: Tensors, node: NodeProto, attributes: Mapping[str, Any]
) -> Sequence[Value] | None:
    """``clip(alpha x + beta, 0, 1)``."""
    alpha, beta = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)
    return _clipped(tensors, node, alpha, beta, 1.0)


def clip(
    tensors: Tensors, node: NodeProto, attributes: Mapping[str, Any]
) -> Sequence[Value] | None:
    """``clip(x, 0, high)`` is ``high clip(x / high, 0, 1)``, as Keras and PyTorch have ReLU6."""
    bounds = []
    for name, place in (("min", 1), ("max", 2)):
        given = node.input[place] if len(node.input) > place else ""
        array = tensors.constants.get(given, np.array(attributes.get(name, np.nan)))
        bounds.append(float(array.reshape(-1)[0]) if array.size == 1 else np.nan)
    low, high = bounds
    if low != 0 or not 0 < high < np.inf:
        return None
    return _clipped(tensors, node, 1 / high, 0.0, high)


def _clipped(
    tensors: Tensors, node: NodeProto, alpha: float, beta: float, factor: float
) -> Sequence[Value] | None:
    value = tensors.value(node.input[0])
    if value is None:
        return None
    parts = []
    for part in value.parts:
        shifted = Linear({}, np.full(part.size, beta))
        inside = part.scaled(np.full(part.size, alpha)).plus(shifted)
        atom = plain(Atom("HardSigmoid", part.size, (inside,)))
        parts.append(atom.scaled(np.full(part.size, factor)))
    return [Value(value.shape, tuple(parts))]


def whole_gates(value: Linear) -> Linear:
    """The same, with gates that are multiplied by one but for rounding as they are."""
    terms = {
        atom: np.ones_like(m) if atom.kind == "HardSigmoid" and _is_one(m) else m
        for atom, m in value.terms.items()
    }
    return Linear(terms, value.bias)


def _is_one(matrix: Any) -> bool:
    return matrix.ndim == 1 and bool((abs(matrix - 1) < _NEAR).all())
