"""Matrices whose features stand along the first axis, as jax.vmap leaves them: ``(W xᵀ)ᵀ`` is
``x Wᵀ``. Such a tensor is followed as what it would be with its axes exchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from onnx import NodeProto, helper

if TYPE_CHECKING:
    from .tensors import Tensors

__all__ = ["turned"]


def turned(tensors: Tensors, node: NodeProto, attributes: Mapping[str, Any]) -> NodeProto | None:
    """What a node computes of matrices with exchanged axes, as a node of the exchanged ones; None
    where it does nothing with such."""
    shapes = [tensors.shapes.get(name, ()) for name in node.output]
    if any(len(shape) != 2 for shape in shapes):
        return None
    inputs, op, more = list(node.input), node.op_type, dict[str, Any]()
    known = [_name(name) in tensors.values for name in inputs]
    if op == "Transpose":
        if list(attributes.get("perm", (1, 0))) != [1, 0]:
            return None
        if known[0]:  # and back again
            return helper.make_node("Identity", [_name(inputs[0])], list(node.output))
        op = "Identity"
    elif op in ("Gemm", "MatMul"):
        found = _product(tensors, node, attributes)
        if found is None:
            return None
        inputs, more = found
        op = "Gemm"
    elif op in ("Add", "Sub", "Split") and known[0] and all(known[: 1 if op == "Split" else 2]):
        inputs = [_name(name) for name in inputs[: 1 if op == "Split" else 2]]
        more = {"axis": 1 - attributes.get("axis", 0) % 2} if op == "Split" else {}
    else:
        return None
    outputs = [_name(name) for name in node.output]
    for name, shape in zip(outputs, shapes, strict=True):
        tensors.shapes[name] = shape[::-1]
    return helper.make_node(op, inputs, outputs, **more)


def _product(
    tensors: Tensors, node: NodeProto, attributes: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any]] | None:
    """The inputs of ``x Wᵀ`` for ``W xᵀ``, and the attributes of the `Gemm`."""
    left, right = node.input[:2]
    added = len(node.input) > 2 and node.input[2] and attributes.get("beta", 1.0)
    if left not in tensors.constants or right in tensors.constants or added:
        return None
    x = right if attributes.get("transB", 0) else _name(right)
    if x not in tensors.values:
        return None
    alpha = attributes.get("alpha", 1.0)
    return [x, left], {"transB": 1 - attributes.get("transA", 0), "alpha": alpha}


def _name(tensor: str) -> str:
    """Of the tensor with exchanged axes."""
    return f"{tensor} turned"
