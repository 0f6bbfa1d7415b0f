"""The part of an ONNX graph that does not depend on activations: constants and shape arithmetic.

A constant expression is evaluated as it stands; a shape computation is followed symbolically
(``Sizes``), because exporters write initial states and reshapes in terms of the input's shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from .values import Const, Fill, Opaque, Signal, Size, Sizes, Value, refuse

__all__ = ["Call", "elements_of", "fold", "pack"]

# fmt: off
#: Operators that are evaluated when all operands are constants. None is random or has a body.
FOLDED = frozenset({
    "Add", "Cast", "Concat", "Constant", "ConstantOfShape", "DequantizeLinear", "Div",
    "Equal", "Expand", "Flatten", "Gather", "Identity", "Mul", "Neg", "Reshape", "Shape",
    "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze", "Where",
})
#: Shape arithmetic that is not followed, but allowed as long as nothing depends on the result.
OPAQUE = frozenset({
    "Add", "Cast", "Concat", "ConstantOfShape", "Div", "Equal", "Expand", "Gather", "Greater",
    "Identity", "Less", "Max", "Min", "Mul", "Neg", "Reshape", "Slice", "Squeeze", "Sub",
    "Unsqueeze", "Where",
})
#: Axis-moving operators that keep a uniform tensor uniform.
UNIFORM = frozenset({
    "Cast", "Expand", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Tile",
    "Transpose", "Unsqueeze",
})
# fmt: on
LARGEST_CONSTANT = 1 << 26  # elements; keeps a malformed Expand from filling the memory


@dataclass(frozen=True)
class Call:
    """One node with its attributes as Python values and what is known of its operands."""

    node: NodeProto
    attrs: dict[str, Any]
    inputs: tuple[Value | None, ...]
    opset: int

    def input(self, index: int) -> Value | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def signal(self) -> Signal:
        value = self.input(0)
        if not isinstance(value, Signal):
            raise refuse(self.node, f"input {self.node.input[0]!r} is not a tensor of the network")
        return value

    def integers(self, attr: str, index: int) -> list[int] | None:
        """A list of integers that is an attribute in old opsets and an input in newer ones."""
        if attr in self.attrs:
            return [int(v) for v in self.attrs[attr]]
        value = self.input(index)
        if value is None:
            return None
        if isinstance(value, Const) and value.array.dtype.kind in "iu":
            return [int(v) for v in value.array.reshape(-1)]
        raise refuse(
            self.node,
            f"{attr} is computed at run time; export the model with fixed shapes (only the batch "
            "and time sizes may stay open)",
        )


def fold(call: Call) -> list[Value] | None:
    """The outputs of a node without runtime activations, or None when it has some."""
    node, inputs = call.node, [v for v in call.inputs if v is not None]
    if any(isinstance(v, Signal) for v in inputs) or node.domain not in ("", "ai.onnx"):
        return None
    if all(isinstance(v, Const) for v in inputs):
        return _evaluate(call) if node.op_type in FOLDED else None
    uniform = _uniform(inputs) if node.op_type == "Concat" else None
    if uniform is not None:
        return [uniform]
    first = call.input(0)
    if isinstance(first, Fill) and node.op_type == "Shape":  # of a repeated value, not followed
        return [Opaque(node.output[0])]
    if isinstance(first, Fill) and node.op_type in UNIFORM:
        if node.op_type == "Cast":
            first = Fill(first.value, helper.tensor_dtype_to_np_dtype(call.attrs["to"]))
        return [first]
    if node.op_type == "ConstantOfShape":
        value = call.attrs.get("value")
        array = np.zeros(1, np.float32) if value is None else _tensor(call, value)
        return [Fill(float(array.reshape(-1)[0]), array.dtype)]
    if isinstance(first, Const) and node.op_type in ("Expand", "Tile"):
        return [_spread(call, first)]
    if not any(isinstance(v, Fill) and np.dtype(v.dtype).kind == "f" for v in inputs):
        return _sizes(call)
    return None


def _tensor(call: Call, value: Any) -> Any:
    try:
        return numpy_helper.to_array(value)
    except Exception as error:
        raise refuse(call.node, f"its tensor cannot be read ({error}); export again") from error


def _uniform(inputs: Sequence[Value]) -> Fill | None:
    """The common value of uniform tensors, as exporters concatenate zeros."""
    fills = [v for v in inputs if isinstance(v, Fill)]
    if not fills:
        return None
    for v in inputs:
        same = (isinstance(v, Fill) and v.value == fills[0].value) or (
            isinstance(v, Const) and bool((v.array == fills[0].value).all())
        )
        if not same:
            return None
    return fills[0]


def _spread(call: Call, const: Const) -> Value:
    """Expand or Tile of a constant to a shape of which something is known only at run time.

    Axes of size 1 keep size 1 and stand for any number of copies.
    """
    array, target = const.array, call.input(1)
    if array.size and (array == array.flat[0]).all():
        return Fill(float(array.flat[0]), array.dtype)
    if isinstance(target, Sizes):
        counts = target.elements
        if call.node.op_type == "Expand":
            array = array.reshape((1,) * (len(counts) - array.ndim) + array.shape)
            return Const(array, const.name, spread=True)
        if len(counts) == array.ndim and all(
            n == 1 or t == 1 for n, t in zip(array.shape, counts, strict=True)
        ):
            return Const(array, const.name, spread=True)
    raise refuse(
        call.node,
        "repeats a constant to a shape that cannot be followed; store it with its final shape",
    )


def _evaluate(call: Call) -> list[Value]:
    """Evaluate a node whose operands are all constants."""
    node = call.node
    consts = [v for v in call.inputs if isinstance(v, Const)]
    if node.op_type in ("ConstantOfShape", "Expand", "Tile"):
        shape = [int(v) for v in consts[-1].array.reshape(-1)]
        base = consts[0].array.size if node.op_type != "ConstantOfShape" else 1
        total = float(np.prod([float(max(v, 1)) for v in shape])) * base
        if min(shape, default=0) < 0 or total > LARGEST_CONSTANT:
            raise refuse(
                node, f"makes a constant of shape {shape}; the limit is {LARGEST_CONSTANT} elements"
            )
    names = [n for n in node.input if n]
    feeds = {n: v.array for n, v in zip(names, consts, strict=True)}
    try:
        with np.errstate(all="ignore"):
            results = _evaluator(call, names).run(None, feeds)
    except Exception as error:
        reason = (str(error).splitlines() or ["?"])[0]
        raise refuse(node, f"cannot be evaluated on its constants ({reason})") from error
    spread = any(v.spread for v in consts)
    if spread and node.op_type not in ("Cast", "Identity", "Transpose", "Unsqueeze"):
        raise refuse(node, "reshapes a constant that was repeated along the batch; not followed")
    return [
        Const(np.asarray(r), name, spread) for r, name in zip(results, node.output, strict=False)
    ]


def _evaluator(call: Call, names: Sequence[str]) -> ReferenceEvaluator:
    """Of one node, by its own operator set; of the newest where the evaluator knows no older one,
    which then means the same."""
    try:
        return ReferenceEvaluator(_alone(call, names))
    except RuntimeError:
        return ReferenceEvaluator(call.node)


def _alone(call: Call, names: Sequence[str]) -> ModelProto:
    """A node as a model."""
    anything = [helper.make_empty_tensor_value_info(name) for name in names]
    results = [helper.make_empty_tensor_value_info(name) for name in call.node.output if name]
    graph = helper.make_graph([call.node], "constant", anything, results)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", call.opset)])


def elements_of(value: Value | None) -> tuple[tuple[int | Size | None, ...], bool] | None:
    if isinstance(value, Sizes):
        return value.elements, value.scalar
    if isinstance(value, Const) and value.array.dtype.kind in "iu" and value.array.ndim <= 1:
        return tuple(int(v) for v in value.array.reshape(-1)), value.array.ndim == 0
    return None


def pack(elements: Sequence[int | Size | None], scalar: bool, name: str) -> Value:
    if all(isinstance(e, int) for e in elements):
        array = np.array(elements, np.int64)
        return Const(array.reshape(()) if scalar else array, name)
    return Sizes(tuple(elements), scalar)


def _arithmetic(op: str, a: int | Size | None, b: int | Size | None) -> int | Size | None:
    """Size arithmetic that stays exact; None where it is not followed."""
    if isinstance(a, int) and isinstance(b, int) and op != "Div":
        return {"Add": a + b, "Sub": a - b, "Mul": a * b}[op]
    if isinstance(a, Size) and isinstance(b, int):
        if op in ("Add", "Sub"):
            return Size(a.axis, a.offset + (b if op == "Add" else -b))
        return a if b == 1 else None
    if isinstance(a, int) and isinstance(b, Size):
        if op == "Add":
            return Size(b.axis, b.offset + a)
        return b if op == "Mul" and a == 1 else None
    return None


def _sizes(call: Call) -> list[Value] | None:
    """Shape arithmetic: followed where it is simple, otherwise an Opaque result."""
    node, op = call.node, call.node.op_type
    name = node.output[0]
    operands = [elements_of(v) for v in call.inputs]
    first = operands[0] if operands else None
    if first is not None:
        elements, scalar = first
        if op == "Identity" or (op == "Cast" and call.attrs["to"] in (6, 7)):
            return [pack(elements, scalar, name)]
        if op == "Unsqueeze" and scalar:
            return [pack(elements, False, name)]
        if op in ("Squeeze", "Reshape") and len(elements) == 1:
            shape = call.integers("shape", 1) if op == "Reshape" else []
            if shape in ([], [1], [-1]):
                return [pack(elements, shape == [], name)]
        if op == "Concat" and all(o is not None for o in operands):
            return [pack([e for o in operands if o is not None for e in o[0]], False, name)]
        index = call.input(1)
        if op == "Gather" and isinstance(index, Const) and index.array.ndim <= 1 and not scalar:
            picks = [int(i) for i in index.array.reshape(-1)]
            if all(-len(elements) <= i < len(elements) for i in picks):
                return [pack([elements[i] for i in picks], index.array.ndim == 0, name)]
        if op == "Slice" and all(isinstance(v, Const) for v in call.inputs[1:] if v is not None):
            starts, ends = call.integers("starts", 1), call.integers("ends", 2)
            steps = call.integers("steps", 4) or [1]
            if starts and ends and steps[0] != 0:
                return [pack(elements[starts[0] : ends[0] : steps[0]], False, name)]
        second = operands[1] if len(operands) > 1 else None
        if op in ("Add", "Sub", "Mul", "Div") and second is not None:
            length = max(len(elements), len(second[0]))
            if {len(elements), len(second[0])} <= {1, length}:
                a, b = (tuple(e) * (length // len(e)) for e in (elements, second[0]))
                both = scalar and second[1]
                results = [_arithmetic(op, x, y) for x, y in zip(a, b, strict=True)]
                return [pack(results, both, name)]
    return [Opaque(o) for o in node.output] if op in OPAQUE else None
