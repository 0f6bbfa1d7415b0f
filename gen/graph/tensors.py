"""The tensors of a graph as functions of others (:mod:`.symbolic`), followed node by node.

Plumbing disappears: what moves axes and elements gives the same functions in other places.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, helper

from .hard_sigmoid import clip, hard_sigmoid, whole_gates
from .symbolic import Atom, Linear, Value, plain
from .turned import turned

__all__ = ["Tensors"]

Array = npt.NDArray[Any]

#: Operators that are applied to each element.
FUNCTIONS = {"Relu", "Sigmoid", "Tanh"}


class Tensors:
    """Values of the tensors that nodes make, one node after the other.

    Parameters
    ----------
    constants: tensors whose value is the same for every sequence. samples: the others, on the
        sample inputs; only their shapes and types are read.
    divisible: tensors of which a cell may read some elements alone.
    """

    def __init__(
        self,
        constants: Mapping[str, Array],
        samples: Mapping[str, Array],
        divisible: Collection[str] = (),
    ):
        self.constants, self.divisible = constants, divisible
        self.shapes = {name: array.shape for name, array in samples.items()}
        self.types = {name: array.dtype for name, array in samples.items()}
        self.values: dict[str, Value] = {}
        #: Tensor -> the tensors that it joins along an axis that is not the last one.
        self.joined: dict[str, tuple[int, tuple[Value, ...]]] = {}
        self._parts: dict[tuple[str, int, int], Atom] = {}

    def value(self, name: str) -> Value | None:
        """A tensor; one that is not known is an atom."""
        if name not in self.values:
            if name in self.constants:
                array = self.constants[name]
                rows = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
                if array.dtype.kind != "f" or not rows.size or (rows != rows[:1]).any():
                    return None
                shape = array.shape or (1,)
                self.values[name] = Value(shape, (Linear({}, rows[0].astype(np.float64)),))
            else:
                return self.atom(name)
        return self.values[name]

    def atom(self, name: str) -> Value | None:
        """A tensor that is not taken apart."""
        shape = self.shapes.get(name, ())
        if not shape:
            return None
        own = Atom("tensor", shape[-1], (), name, name in self.divisible)
        self.values[name] = Value(shape, (plain(own),))
        return self.values[name]

    def part(self, tensor: str, axis: int, number: int) -> Atom:
        """One place along one of a tensor's axes; the same atom each time."""
        key = (tensor, axis, number)
        if key not in self._parts:
            size = self.shapes[tensor][-1]
            self._parts[key] = Atom("part", size, key)
        return self._parts[key]

    def initial(self, name: str) -> Value | None:
        """What a matrix multiplies from the left: a constant is an atom there, since it may be an
        initial state, but zeros are zeros; and so are sums of products that are no state."""
        if name in self.constants and name not in self.values and self.constants[name].any():
            self.shapes[name] = self.constants[name].shape
            return self.atom(name)
        value = self.value(name)
        kinds = [] if value is None else [{a.kind for a in p.terms} for p in value.parts]
        if any("product" in one and len(one) > 1 for one in kinds):
            return self.atom(name)
        return value

    def add(self, node: NodeProto) -> None:
        """What a node gives; tensors that are not understood are atoms."""
        rule = _RULES.get(node.op_type)
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        found: Sequence[Value | None] = ()
        if rule is not None and node.domain in ("", "ai.onnx"):
            found = rule(self, node, attributes) or ()
        for name, value in zip(node.output, found, strict=False):
            if value is not None and value.shape == self.shapes.get(name):
                self.values[name] = value
        other = turned(self, node, attributes)
        if other is not None:
            self.add(other)

    def ints(self, node: NodeProto, attributes: Mapping[str, Any], name: str, place: int) -> Any:
        """A list of whole numbers, attribute or input; None where it is not known."""
        if name in attributes:
            return [int(one) for one in np.atleast_1d(attributes[name])]
        given = node.input[place] if len(node.input) > place else ""
        if not given or given not in self.constants:
            return None
        return [int(one) for one in self.constants[given].reshape(-1)]


Found = Sequence[Value | None] | None
Attributes = Mapping[str, Any]


def _shape(tensors: Tensors, node: NodeProto) -> tuple[int, ...]:
    return tensors.shapes.get(node.output[0], ())


def _aligned(tensors: Tensors, node: NodeProto) -> list[tuple[Linear, ...]] | None:
    """The operands' parts, cut at the same places; constants of one element are spread."""
    values = [tensors.value(name) for name in node.input]
    shape = _shape(tensors, node)
    if not shape or any(value is None for value in values):
        return None
    known = [value for value in values if value is not None]
    leading = {value.leading for value in known if not all(p.constant for p in value.parts)}
    if len(leading) > 1:
        return None
    wide = []
    for value in known:
        if value.shape[-1] == shape[-1]:
            wide.append(value)
        elif value.parts[0].constant and value.shape[-1] == 1:
            same = Linear({}, np.repeat(value.parts[0].bias, shape[-1]))
            wide.append(Value(shape, (same,)))
        else:
            return None
    places = sorted({edge for value in wide for edge in value.edges})
    cut = [value.cut(places) for value in wide]
    return None if any(one is None for one in cut) else [one for one in cut if one is not None]


def _sum(signs: Sequence[float]) -> Callable[[Tensors, NodeProto, Attributes], Found]:
    def rule(tensors: Tensors, node: NodeProto, attributes: Attributes) -> Found:
        operands = _aligned(tensors, node)
        if operands is None:
            return None
        parts = []
        for columns in zip(*operands, strict=True):
            total = columns[0]
            for k, one in enumerate(columns[1:], 1):
                sign = signs[k] if k < len(signs) else 1.0
                total = total.plus(one if sign > 0 else one.scaled(np.full(one.size, sign)))
            parts.append(total)
        return [Value(_shape(tensors, node), tuple(parts))]

    return rule


def _negative(tensors: Tensors, node: NodeProto, attributes: Attributes) -> Found:
    value = tensors.value(node.input[0])
    if value is None:
        return None
    return [Value(value.shape, tuple(p.scaled(np.full(p.size, -1.0)) for p in value.parts))]


def _product(tensors: Tensors, node: NodeProto, attributes: Attributes) -> Found:
    operands = _aligned(tensors, node)
    if operands is None:
        return None
    parts = []
    for left, right in zip(*operands, strict=True):
        if left.constant or right.constant:
            factor, other = (left, right) if left.constant else (right, left)
            parts.append(whole_gates(other.scaled(factor.bias)))
        else:
            parts.append(plain(Atom("product", left.size, (left, right))))
    return [_zeroless(Value(_shape(tensors, node), tuple(parts)))]


def _zeroless(value: Value) -> Value:
    """Without terms that are multiplied by zeros alone."""
    return Value(
        value.shape,
        tuple(Linear({a: m for a, m in p.terms.items() if m.any()}, p.bias) for p in value.parts),
    )


def _function(tensors: Tensors, node: NodeProto, attributes: Attributes) -> Found:
    value = tensors.value(node.input[0])
    if value is None:
        return None
    whole = node.output[0] if len(value.parts) == 1 else ""
    parts = [plain(Atom(node.op_type, p.size, (p,), whole)) for p in value.parts]
    return [Value(value.shape, tuple(parts))]


def _times(value: Value, matrix: Array, shape: tuple[int, ...]) -> Value:
    total, start = Linear({}, np.zeros(len(matrix))), 0
    for part in value.parts:
        total = total.plus(part.times(matrix[:, start : start + part.size]))
        start += part.size
    return Value(shape, (total,))


def _matmul(tensors: Tensors, node: NodeProto, attributes: Attributes) -> Found:
    left, right = node.input
    matrix = tensors.constants.get(right)
    if matrix is None or matrix.ndim != 2 or matrix.dtype.kind != "f":
        return None
    value = tensors.initial(left)
    if value is None:
        return None
    return [_times(value, matrix.T.astype(np.float64), _shape(tensors, node))]


def _gemm(tensors: Tensors, node: NodeProto, attributes: Attributes) -> Found:
    matrix = tensors.constants.get(node.input[1])
    if matrix is None or attributes.get("transA", 0) or matrix.ndim != 2:
        return None
    value = tensors.initial(node.input[0])
    if value is None:
        return None
    rows = matrix.astype(np.float64) if attributes.get("transB", 0) else matrix.T.astype(np.float64)
    shape = _shape(tensors, node)
    (total,) = _times(value, rows * attributes.get("alpha", 1.0), shape).parts
    if len(node.input) > 2 and node.input[2]:
        bias = tensors.value(node.input[2])
        if bias is None or len(bias.parts) != 1 or bias.leading not in ((), value.leading):
            return None
        (added,) = bias.parts
        if added.size != total.size:
            return None
        total = total.plus(added.scaled(np.full(added.size, attributes.get("beta", 1.0))))
    return [Value(shape, (total,))]


def _axis(attributes: Attributes, shape: Sequence[int], default: int = 0) -> int:
    return int(attributes.get("axis", default)) % len(shape)


def _index(
    tensors: Tensors, source: str, axis: int, number: int, shape: tuple[int, ...]
) -> Value | None:
    """One place along an axis that is not the last one; only of tensors whose axes are known."""
    value = tensors.values[source]
    parts = []
    for part in value.parts:
        terms = {}
        for atom, matrix in part.terms.items():
            whole = len(value.parts) == len(part.terms) == 1 and _is(part, atom)
            held = source if whole else atom.tensor
            if not held or tensors.shapes[held][:-1] != value.shape[:-1]:
                return None
            terms[tensors.part(held, axis, number)] = matrix
        parts.append(Linear(terms, part.bias))
    return Value(shape, tuple(parts))


def _is(value: Linear, atom: Atom) -> bool:
    """Whether this is the atom itself."""
    matrix = value.terms[atom]
    return matrix.ndim == 1 and bool((matrix == 1).all()) and not value.bias.any()


def _gather(tensors: Tensors, node: NodeProto, attributes: Attributes) -> Found:
    value, index = tensors.value(node.input[0]), tensors.constants.get(node.input[1])
    if value is None or index is None or index.size != 1:
        return None
    axis = _axis(attributes, value.shape)
    if axis == len(value.shape) - 1:
        return None
    number = int(index.reshape(-1)[0]) % value.shape[axis]
    shape = _shape(tensors, node)
    if value.shape[axis] == 1:
        return [Value(shape, value.parts)]
    return [_index(tensors, node.input[0], axis, number, shape)]


def _slice(tensors: Tensors, node: NodeProto, attributes: Attributes) -> Found:
    value = tensors.value(node.input[0])
    starts = tensors.ints(node, attributes, "starts", 1)
    ends = tensors.ints(node, attributes, "ends", 2)
    if value is None or starts is None or ends is None:
        return None
    axes = tensors.ints(node, attributes, "axes", 3) or range(len(starts))
    steps = tensors.ints(node, attributes, "steps", 4) or [1] * len(starts)
    cut = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        places = range(value.shape[axis])
        if places[start:end:step] != places:
            cut[axis % len(value.shape)] = places[start:end:step]
    shape = _shape(tensors, node)
    if not cut:
        return [value]
    ((axis, chosen), *more) = cut.items()
    if more or chosen.step != 1 or not chosen:
        return None
    if axis == len(value.shape) - 1:
        return [_piece(value, chosen[0], chosen[-1] + 1, shape)]
    if len(chosen) > 1:
        return None
    return [_index(tensors, node.input[0], axis, chosen[0], shape)]


def _piece(value: Value, first: int, last: int, shape: tuple[int, ...]) -> Value | None:
    parts = value.cut([first, last])
    if parts is None:
        return None
    kept, start = [], 0
    for part in parts:
        if first <= start and start + part.size <= last:
            kept.append(part)
        start += part.size
    return Value(shape, tuple(kept))


def _split(tensors: Tensors, node: NodeProto, attributes: Attributes) -> Found:
    value = tensors.value(node.input[0])
    if value is None:
        return None
    axis = _axis(attributes, value.shape)
    shapes = [tensors.shapes.get(name, ()) for name in node.output]
    if any(len(shape) != len(value.shape) for shape in shapes):
        return None
    found, start = [], 0
    for shape in shapes:
        last = start + shape[axis]
        if axis == len(value.shape) - 1:
            found.append(_piece(value, start, last, shape))
        else:
            one = last - start == 1
            source = node.input[0]
            found.append(_index(tensors, source, axis, start, shape) if one else None)
        start = last
    return found


def _concat(tensors: Tensors, node: NodeProto, attributes: Attributes) -> Found:
    values = [tensors.value(name) for name in node.input]
    shape = _shape(tensors, node)
    if not shape or any(value is None for value in values):
        return None
    known = tuple(value for value in values if value is not None)
    axis = _axis(attributes, shape)
    if axis != len(shape) - 1:
        tensors.joined[node.output[0]] = (axis, known)
        return None
    if len({value.leading for value in known}) != 1:
        return None
    return [Value(shape, tuple(part for value in known for part in value.parts))]


def _same(tensors: Tensors, node: NodeProto, attributes: Attributes) -> Found:
    """Operators that leave every element where it is, as far as axes of more than 1 go."""
    value = tensors.value(node.input[0])
    shape = _shape(tensors, node)
    if value is None or not shape or shape[-1] != value.shape[-1]:
        return None
    if tuple(size for size in shape[:-1] if size != 1) != value.leading or len(value.leading) > 1:
        return None
    return [Value(shape, value.parts)]


def _cast(tensors: Tensors, node: NodeProto, attributes: Attributes) -> Found:
    """Only to the type that the tensor has."""
    same = tensors.types.get(node.input[0]) == tensors.types.get(node.output[0])
    return _same(tensors, node, attributes) if same else None


def _where(tensors: Tensors, node: NodeProto, attributes: Attributes) -> Found:
    """Only by a condition that is the same everywhere, as masks are that mask nothing."""
    condition = tensors.constants.get(node.input[0])
    if condition is None or not condition.size or condition.any() != condition.all():
        return None
    value = tensors.value(node.input[1] if condition.any() else node.input[2])
    return None if value is None else [value]


def _transpose(tensors: Tensors, node: NodeProto, attributes: Attributes) -> Found:
    """Only what moves axes of size 1."""
    perm = [int(one) for one in attributes.get("perm", ())]
    return _same(tensors, node, attributes) if perm and perm[-1] == len(perm) - 1 else None


_RULES: Mapping[str, Callable[[Tensors, NodeProto, Attributes], Found]] = {
    "Add": _sum((1.0, 1.0)),
    "Cast": _cast,
    "Clip": clip,
    "Concat": _concat,
    "Dropout": _same,
    "Flatten": _same,
    "Gather": _gather,
    "Gemm": _gemm,
    "HardSigmoid": hard_sigmoid,
    "Identity": _same,
    "MatMul": _matmul,
    "Mul": _product,
    "Neg": _negative,
    "Reshape": _same,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _same,
    "Sub": _sum((1.0, -1.0)),
    "Sum": _sum(()),
    "Transpose": _transpose,
    "Unsqueeze": _same,
    "Where": _where,
} | dict.fromkeys(FUNCTIONS, _function)
