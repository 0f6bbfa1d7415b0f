"""`Loop` nodes without what they carry from step to step and never change.

tf2onnx writes Keras's GRU and SimpleRNN, and jax2onnx every `scan`, as a `Loop` whose states are,
beside that of the cell, the weights, the sequence, and a second count of the steps; its condition
compares those counts with the length, which alone ends the loop where it is given no count. Here
weights and sequences are read from outside, the second count is the loop's own, and a condition
that holds until the last step is the one that the loop began with.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from .model import Graph

__all__ = ["PASSING", "settled"]

#: Operators that leave one number what it is.
PASSING = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
#: Inputs of a `Loop` before its states; of its body; outputs of its body before them.
_BEFORE, _BEFORE_INSIDE, _CONDITION = 2, 2, 1


def settled(graph: Graph, node: NodeProto) -> tuple[NodeProto, list[NodeProto]]:
    """A `Loop` that computes the same with fewer states.

    Returns
    -------
    The loop, as it is where nothing can be taken from it, and nodes that go before it: what it gave
    of states that never change.
    """
    (body,) = (helper.get_attribute_value(a) for a in node.attribute if a.name == "body")
    loop = _Loop(graph, node, body)
    places = range(len(node.input) - _BEFORE)
    same = {place for place in places if loop.unchanged(place)}
    counts = {place for place in places if loop.counter(place)} - same
    read = {name for one in graph.nodes for name in one.input} | set(graph.outputs)
    # Nobody is given the number behind the last one.
    counts = {place for place in counts if loop.given(place) not in read}
    holds = loop.holds(body.output[0].name)
    if not same and not counts and not holds:
        return node, []
    return loop.without(same, counts, holds), [
        helper.make_node("Identity", [node.input[_BEFORE + place]], [loop.given(place)])
        for place in sorted(same)
        if loop.given(place) in read
    ]


class _Loop:
    """A `Loop` node and its body."""

    def __init__(self, graph: Graph, node: NodeProto, body: GraphProto):
        self.graph, self.node, self.body = graph, node, body
        self.made: Mapping[str, NodeProto] = {o: n for n in body.node for o in n.output if o}
        self.inside: Mapping[str, TensorProto] = {t.name: t for t in body.initializer}
        self.inputs = [value.name for value in body.input]
        self.results = [value.name for value in body.output]
        #: How many steps there are.
        self.count = node.input[0] or self._limit(self.results[0])

    def _limit(self, name: str) -> str:
        """Of a loop that is given no count: the tensor outside with which its condition, which is
        nothing else, compares the number of the next step; "" where there is none."""
        node = self.made.get(name)
        while node is not None and node.op_type in PASSING:
            node = self.made.get(node.input[0])
        if node is None or node.op_type != "Less" or self._ahead(node.input[0]) != 1:
            return ""
        source = self._source(node.input[1])
        return "" if source in self.inside or source in self.made else source

    def given(self, place: int) -> str:
        """What the loop gives of a state; "" where it gives nothing."""
        return self.node.output[place] if place < len(self.node.output) else ""

    def unchanged(self, place: int) -> bool:
        """Whether the body gives a state on as it got it."""
        own, name = self.inputs[_BEFORE_INSIDE + place], self.results[_CONDITION + place]
        while name in self.made and self.made[name].op_type == "Identity":
            name = self.made[name].input[0]
        outside = self.node.input[_BEFORE + place]
        return name == own and outside not in {*self.made, *self.inside, *self.inputs}

    def counter(self, place: int) -> bool:
        """Whether a state is the number of the step."""
        first = self._number(self.node.input[_BEFORE + place])
        own, name = self.inputs[_BEFORE_INSIDE + place], self.results[_CONDITION + place]
        while name in self.made and self.made[name].op_type in ("Identity", "Cast"):
            name = self.made[name].input[0]
        step = self.made.get(name)
        if first != 0 or step is None or step.op_type != "Add" or own not in step.input:
            return False
        (other,) = [one for one in step.input if one != own] or [""]
        return self._number(other) == 1

    def holds(self, name: str) -> bool:
        """Whether a condition is true behind every step but the last one."""
        node = self.made.get(name)
        if node is None:
            return name == self.inputs[1]
        if node.op_type in PASSING:
            return self.holds(node.input[0])
        if node.op_type == "And":
            return all(self.holds(one) for one in node.input)
        if node.op_type != "Less":
            return False
        ahead, limit = self._ahead(node.input[0]), self._root(node.input[1])
        return bool(self.count) and ahead in (0, 1) and limit == self._root(self.count)

    def _ahead(self, name: str) -> int | None:
        """By how much a tensor is ahead of the number of the step; None where it is not that."""
        if name == self.inputs[0]:
            return 0
        if name in self.inputs[_BEFORE_INSIDE:]:
            return 0 if self.counter(self.inputs.index(name) - _BEFORE_INSIDE) else None
        node = self.made.get(name)
        if node is not None and node.op_type in PASSING:
            return self._ahead(node.input[0])
        if node is None or node.op_type != "Add":
            return None
        for one, other in (node.input, list(node.input)[::-1]):
            ahead, more = self._ahead(one), self._number(other)
            if ahead is not None and more is not None:
                return ahead + more
        return None

    def _root(self, name: str) -> str | int:
        """The tensor outside that a number comes from, or the number."""
        source = self._source(name)
        number = self._number(source)
        return source if number is None else number

    def _source(self, name: str) -> str:
        """The tensor outside, or constant, that a number comes from; "" where it may change."""
        while name:
            if name in self.inputs:
                place = self.inputs.index(name) - _BEFORE_INSIDE
                if place < 0 or not self.unchanged(place):
                    return ""
                name = self.node.input[_BEFORE + place]
                continue
            node = self.made.get(name)
            if node is None and name in self.graph.maker:
                node = self.graph.nodes[self.graph.maker[name]]
            if node is None or node.op_type not in PASSING:
                break
            name = node.input[0]
        return name

    def _number(self, name: str) -> int | None:
        """A constant of one whole number, in the body or outside."""
        tensor = self.inside.get(name) or self.graph.weights.get(name)
        node = self.made.get(name)
        if tensor is None and node is None and name in self.graph.maker:
            node = self.graph.nodes[self.graph.maker[name]]
        if node is not None and node.op_type == "Constant":
            tensor = next((a.t for a in node.attribute if a.name == "value"), None)
        array = None if tensor is None else numpy_helper.to_array(tensor)
        if array is None or array.size != 1 or array.dtype.kind not in "iuf":
            return None
        value = array.reshape(-1)[0]
        return int(value) if value == np.floor(value) else None

    def without(self, same: set[int], counts: set[int], holds: bool) -> NodeProto:
        """The loop without some of its states."""
        left = [k for k in range(len(self.node.input) - _BEFORE) if k not in same | counts]
        scans = len(self.results) - _CONDITION - (len(self.node.input) - _BEFORE)
        body = GraphProto()
        body.CopyFrom(self.body)
        names = {
            self.inputs[_BEFORE_INSIDE + place]: self.node.input[_BEFORE + place] for place in same
        }
        casts = [self._count(place) for place in sorted(counts)]
        nodes = [*casts, *(_renamed(one, names) for one in self.body.node)]
        del body.node[:], body.input[:], body.output[:]
        body.node.extend(nodes)
        inputs, results = list(self.body.input), list(self.body.output)
        body.input.extend([*inputs[:_BEFORE_INSIDE], *(inputs[_BEFORE_INSIDE + k] for k in left)])
        kept = [results[_CONDITION + k] for k in left]
        kept += results[len(results) - scans :] if scans else []
        body.output.extend([inputs[1] if holds else results[0], *kept])
        for value in body.output:
            value.name = names.get(value.name, value.name)
        every = len(self.node.input) - _BEFORE
        outputs = [self.given(k) for k in [*left, *range(every, every + scans)]]
        given = [self.count, self.node.input[1], *(self.node.input[_BEFORE + k] for k in left)]
        return helper.make_node("Loop", given, outputs, self.node.name, body=body)

    def _count(self, place: int) -> NodeProto:
        """The number of the step by a state's name and type."""
        value = self.body.input[_BEFORE_INSIDE + place]
        kind = value.type.tensor_type.elem_type
        return helper.make_node("Cast", [self.inputs[0]], [value.name], to=kind)


def _renamed(node: NodeProto, names: Mapping[str, str]) -> NodeProto:
    """A node that reads other tensors, in its bodies too."""
    copy = NodeProto()
    copy.CopyFrom(node)
    for one in _nodes(copy):
        for place, name in enumerate(one.input):
            one.input[place] = names.get(name, name)
    return copy


def _nodes(node: NodeProto) -> Iterator[NodeProto]:
    yield node
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            for inner in body.node:
                yield from _nodes(inner)
