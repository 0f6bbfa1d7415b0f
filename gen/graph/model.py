"""An ONNX graph as the cut needs it: what makes and reads a tensor, and parts as models."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

__all__ = ["Graph", "reads"]

#: Operators whose result follows from the shape of what they read, not from its values.
_SHAPES = frozenset({"Shape", "Size"})
#: Operators that give another result each time.
_RANDOM = frozenset(
    {"Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike"}
    | {"RandomUniform", "RandomUniformLike"}
)


def reads(node: NodeProto) -> list[str]:
    """The tensors that a node reads, those that its bodies take from outside among them."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        bodies = [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs
        for body in bodies:
            names += _free(body)
    return list(dict.fromkeys(names))


def _free(body: GraphProto) -> list[str]:
    """What a body reads from outside."""
    known = {value.name for value in (*body.input, *body.initializer)}
    found = []
    for node in body.node:
        found += [name for name in reads(node) if name not in known]
        known.update(node.output)
    return found + [value.name for value in body.output if value.name not in known]


class Graph:
    """The nodes that a model's outputs depend on, in topological order, and their tensors.

    Members
    -------
    nodes: by number, in an order in which each comes after what it reads.
    maker: tensor -> the number of the node that gives it.
    """

    def __init__(self, model: ModelProto):
        self.model = model
        self.graph = model.graph
        wanted = {value.name for value in model.graph.output}
        kept: list[NodeProto] = []
        for node in reversed(model.graph.node):
            if any(name in wanted for name in node.output if name):
                wanted.update(reads(node))
                kept.append(node)
        self.nodes = kept[::-1]
        self.maker = {
            name: number for number, node in enumerate(self.nodes) for name in node.output if name
        }
        self.weights: Mapping[str, TensorProto] = {t.name: t for t in model.graph.initializer}
        self.inputs = [value for value in model.graph.input if value.name not in self.weights]

    @cached_property
    def readers(self) -> Mapping[str, list[int]]:
        """Tensor -> the nodes that read it."""
        found: dict[str, list[int]] = {}
        for number, node in enumerate(self.nodes):
            for name in reads(node):
                found.setdefault(name, []).append(number)
        return found

    @cached_property
    def sources(self) -> Sequence[frozenset[int]]:
        """Of each node, the nodes that it reads from."""
        return [
            frozenset(self.maker[name] for name in reads(node) if name in self.maker)
            for node in self.nodes
        ]

    @cached_property
    def values(self) -> Mapping[str, ValueInfoProto]:
        """What shape inference says of tensors; of some nothing is known."""
        try:
            inferred = onnx.shape_inference.infer_shapes(self.model, data_prop=True).graph
        except Exception:  # of models that it does not understand nothing is known
            inferred = self.graph
        known = (*inferred.input, *inferred.value_info, *inferred.output)
        return {value.name: value for value in known}

    @cached_property
    def fixed(self) -> frozenset[int]:
        """Nodes whose results follow from constants and from shapes alone."""
        found: set[int] = set()
        for number, node in enumerate(self.nodes):
            known = all(
                name in self.weights or self.maker.get(name, -1) in found for name in reads(node)
            )
            if node.op_type in _SHAPES or (known and node.op_type not in _RANDOM):
                found.add(number)
        return frozenset(found)

    @cached_property
    def outputs(self) -> list[str]:
        return [value.name for value in self.graph.output]

    def before(self, number: int, among: Iterable[int]) -> set[int]:
        """A node and all those of some that it depends on, through them alone."""
        allowed, found, left = set(among), {number}, [number]
        while left:
            for source in self.sources[left.pop()]:
                if source in allowed and source not in found:
                    found.add(source)
                    left.append(source)
        return found

    def taken(self, numbers: Iterable[int]) -> list[str]:
        """The tensors that some nodes read from outside, weights apart, in order."""
        inside = set(numbers)
        return list(
            dict.fromkeys(
                name
                for number in sorted(inside)
                for name in reads(self.nodes[number])
                if name not in self.weights and self.maker.get(name, -1) not in inside
            )
        )

    def given(self, numbers: Iterable[int], readers: Iterable[int]) -> list[str]:
        """The tensors that some nodes give to others, or to the model's outputs."""
        inside = set(numbers)
        wanted = set(self.outputs)
        for number in readers:
            wanted.update(reads(self.nodes[number]))
        return [
            name
            for number in sorted(inside)
            for name in self.nodes[number].output
            if name in wanted
        ]

    def extract(
        self,
        numbers: Iterable[int],
        inputs: Sequence[ValueInfoProto],
        outputs: Sequence[ValueInfoProto],
        constants: Sequence[TensorProto] = (),
        nodes: Sequence[NodeProto] | None = None,
    ) -> ModelProto:
        """Some nodes as a model of their own.

        Parameters
        ----------
        constants: that replace tensors which would be inputs. nodes: instead of the graph's own.
        """
        chosen = [self.nodes[k] for k in sorted(numbers)] if nodes is None else list(nodes)
        read = {name for node in chosen for name in reads(node)}
        read |= {value.name for value in outputs}
        replaced = {tensor.name for tensor in constants}
        weights = [
            tensor for name, tensor in self.weights.items() if name in read and name not in replaced
        ]
        graph = helper.make_graph(
            chosen,
            self.graph.name or "graph",
            list(inputs),
            list(outputs),
            [*weights, *constants],
        )
        model = helper.make_model(graph, opset_imports=self.model.opset_import)
        model.ir_version = self.model.ir_version
        return model
