"""Cuts an ONNX graph into parts for the machine and pieces for the host.

A part is a set of nodes that the importer takes as a network (:mod:`sparnn.gen.onnx.reader`): it
begins as one recurrent node and grows along the graph as long as the importer takes it. The
importer alone decides what the machine computes; all other nodes run on the host as they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import onnx
from onnx import (
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    inliner,
    numpy_helper,
)

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.onnx.reader import LAYERS, network_of
from sparnn.gen.onnx.shapes import PLUMBING

from .cells import loose_cell
from .host import Arrays, evaluate
from .model import Graph
from .products import products
from .rewrite import rewritten

__all__ = ["Cut", "Part", "Piece", "cut", "is_recurrent"]

RECURRENT = frozenset({"GRU", "LSTM", "RNN"})
#: Nodes that are added on trial, each alone refused, before a part stops growing there.
_AHEAD = 8
#: The input of a recurrent node that says how long each sequence is.
_LENGTHS = 4
#: Inputs of a recurrent node that are its weights, and its initial states.
_WEIGHTS, _STATES = (1, 2, 3, 7), (5, 6)


@dataclass(frozen=True, eq=False)
class Part:
    """Nodes for the machine. ``model``: the same as ONNX, whose inputs and outputs the io names."""

    nodes: frozenset[int]
    network: FloatNetwork
    model: ModelProto


@dataclass(frozen=True, eq=False)
class Piece:
    """Nodes for the host."""

    nodes: frozenset[int]
    model: ModelProto

    @property
    def inputs(self) -> list[str]:
        return [value.name for value in self.model.graph.input]

    @property
    def outputs(self) -> list[str]:
        return [value.name for value in self.model.graph.output]


@dataclass(frozen=True, eq=False)
class Cut:
    """Parts and pieces in the order in which they run.

    Members
    -------
    products: node -> its multiplications by weights (:mod:`sparnn.gen.graph.products`).
    """

    graph: Graph
    stages: tuple[Part | Piece, ...]
    products: Mapping[int, int]

    @property
    def parts(self) -> list[Part]:
        return [stage for stage in self.stages if isinstance(stage, Part)]


def cut(model: ModelProto, feeds: Sequence[Arrays]) -> Cut:
    """Cut a model that the importer does not take whole.

    Parameters
    ----------
    feeds: sample inputs, which say what tensors look like where shape inference does not.

    Raises
    ------
    SparnnError: no recurrent node is one for the machine; what the importer says of each.
    """
    if model.functions:
        model = inliner.inline_local_functions(model)
    grower = _Grower(Graph(rewritten(model)), feeds)
    graph = grower.graph
    refusals = []
    for number, node in enumerate(graph.nodes):
        if node.op_type in RECURRENT and number not in grower.claimed:
            refusal = grower.grow(number)
            if refusal is not None:
                refusals.append(str(refusal))
    if not grower.parts:
        raise SparnnError(
            refusals[0]
            if refusals
            else loose_cell(model)
            or "the model holds no LSTM, GRU or RNN node that its outputs depend on; sparnn "
            "accelerates recurrent networks, so give it the recurrent part"
        )
    return Cut(graph, tuple(_stages(graph, grower.parts)), products(graph, feeds))


def is_recurrent(model: ModelProto) -> bool:
    """Whether a recurrent node is among those that the outputs depend on."""
    return any(node.op_type in RECURRENT for node in Graph(rewritten(model)).nodes)


@dataclass
class _Grower:
    """Parts found so far."""

    graph: Graph
    feeds: Sequence[Arrays]
    parts: list[Part] = field(default_factory=list)
    claimed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._kept: dict[frozenset[int], Part | SparnnError] = {}
        self._tensors: dict[str, npt.NDArray[np.generic]] = {}

    def grow(self, seed: int) -> SparnnError | None:
        """Make a part of a recurrent node; why it is none, where it is not."""
        best = self._try(frozenset({seed}))
        if isinstance(best, SparnnError):
            return best
        blocked: set[int] = set()
        for forwards in (True, False):
            blocked.clear()
            while True:
                found = self._extended(best, forwards, blocked)
                if found is None:
                    break
                best = found
        self.parts.append(best)
        self.claimed |= best.nodes
        return None

    def _extended(self, part: Part, forwards: bool, blocked: set[int]) -> Part | None:
        """A larger part, or None where the importer takes none; ``blocked`` collects dead ends."""
        for first in self._neighbours(part.nodes, forwards):
            if first in blocked:
                continue
            nodes, following = part.nodes, first
            for _ in range(_AHEAD):
                nodes = nodes | {following}
                found = self._try(nodes)
                if isinstance(found, Part):
                    return found
                ahead = self._beyond(following, nodes, forwards)
                if ahead is None:
                    break
                following = ahead
            blocked.add(first)
        return None

    def _neighbours(self, nodes: Iterable[int], forwards: bool) -> list[int]:
        graph, inside = self.graph, set(nodes)
        found: set[int] = set()
        for number in inside:
            if forwards:
                for name in graph.nodes[number].output:
                    found.update(graph.readers.get(name, ()))
            else:
                found |= graph.sources[number]
        return sorted((n for n in found - inside if self._free(n)), reverse=not forwards)

    def _beyond(self, number: int, nodes: Iterable[int], forwards: bool) -> int | None:
        """The one node that follows on, where it is one."""
        inside = set(nodes)
        found = [n for n in self._neighbours({number}, forwards) if n not in inside]
        return found[0] if len(found) == 1 else None

    def _free(self, number: int) -> bool:
        node = self.graph.nodes[number]
        known = node.op_type in LAYERS or node.op_type in PLUMBING
        return known and number not in self.claimed and number not in self.graph.fixed

    def _try(self, nodes: frozenset[int]) -> Part | SparnnError:
        """These nodes, and what they need of shape arithmetic, as a part."""
        if nodes not in self._kept:
            try:
                self._kept[nodes] = self._part(nodes)
            except SparnnError as error:
                self._kept[nodes] = error
        return self._kept[nodes]

    def _part(self, nodes: frozenset[int]) -> Part:
        graph = self.graph
        if not _convex(graph, [*(part.nodes for part in self.parts), nodes]):
            raise SparnnError("the host would have to run in the middle of the part")
        constants = self._constants(nodes)
        taken = [name for name in graph.taken(nodes) if name not in constants]
        # Shape arithmetic goes with the part: the host computes it for itself.
        own = set(nodes)
        for name in taken:
            if graph.maker.get(name, -1) in graph.fixed:
                own |= graph.before(graph.maker[name], graph.fixed)
        taken = [name for name in graph.taken(own) if name not in constants]
        lengths = self._lengths(nodes)
        taken = [name for name in taken if name != lengths]
        outside = [k for k in range(len(graph.nodes)) if k not in nodes]
        given = graph.given(nodes, outside)
        model = graph.extract(
            own,
            [self._value(name) for name in taken],
            [self._value(name) for name in given],
            list(constants.values()),
            None if lengths is None else [_whole(graph.nodes[k]) for k in sorted(own)],
        )
        network = network_of(model)
        if lengths is not None:
            network = _with_lengths(network, lengths)
            model.graph.input.append(self._value(lengths))
        return Part(nodes, network, model)

    def _lengths(self, nodes: Iterable[int]) -> str | None:
        """The tensor that says how long each sequence is, of nodes that all agree in it.

        What lies behind the end of a sequence is zero, which only recurrent nodes and what moves
        axes keep so.
        """
        graph = self.graph
        found: set[str] = set()
        for number in nodes:
            node = graph.nodes[number]
            if node.op_type in RECURRENT:
                name = node.input[_LENGTHS] if len(node.input) > _LENGTHS else ""
                found.add(name if graph.maker.get(name, -1) not in graph.fixed else "")
        if found <= {""} or any(name in graph.weights for name in found):
            return None
        others = {graph.nodes[k].op_type for k in nodes} - RECURRENT
        if len(found) > 1 or not others <= set(PLUMBING):
            raise SparnnError("nodes of a part have to agree in the lengths of the sequences")
        return found.pop()

    def _constants(self, nodes: Iterable[int]) -> dict[str, TensorProto]:
        """Weights that follow from constants and from shapes alone, as constants, and such initial
        states that are the same for every sequence, as those of one sequence."""
        graph, found = self.graph, {}
        for number in nodes:
            node = graph.nodes[number]
            if node.op_type not in RECURRENT:
                continue
            layout = next((a.i for a in node.attribute if a.name == "layout"), 0)
            for place, name in enumerate(node.input):
                if not name or graph.maker.get(name, -1) not in graph.fixed:
                    continue
                value = self.sample(name)
                batch = 0 if layout else 1
                if place in _WEIGHTS:
                    found[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
                if place in _STATES and value.ndim == 3 and value.size:
                    one = value.take([0], axis=batch)
                    if (value == one).all():
                        found[name] = numpy_helper.from_array(np.ascontiguousarray(one), name)
        return found

    def sample(self, name: str) -> npt.NDArray[np.generic]:
        """A tensor on the first sample inputs."""
        if name not in self._tensors:
            self._tensors |= evaluate(self.graph.model, self.feeds[:1], [name])[0]
        return self._tensors[name]

    def _value(self, name: str) -> ValueInfoProto:
        """A tensor's name, type and axes; sizes that may differ between calls stay open."""
        known = self.graph.values.get(name)
        if known is not None and known.type.tensor_type.HasField("shape"):
            dims = [
                dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else f"{name}:{i}"
                for i, dim in enumerate(known.type.tensor_type.shape.dim)
            ]
            return helper.make_tensor_value_info(name, known.type.tensor_type.elem_type, dims)
        sample = self.sample(name)
        kind = helper.np_dtype_to_tensor_dtype(sample.dtype)
        return helper.make_tensor_value_info(
            name, kind, [f"{name}:{i}" for i in range(sample.ndim)]
        )


def _whole(node: NodeProto) -> NodeProto:
    """A recurrent node without lengths of sequences; another one as it is."""
    if node.op_type not in RECURRENT or len(node.input) <= _LENGTHS:
        return node
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[_LENGTHS] = ""
    return copy


def _with_lengths(network: FloatNetwork, name: str) -> FloatNetwork:
    """The network with one more input: how long each sequence is."""
    if any(entry["what"] == "step" for entry in network.io["outputs"]):
        raise SparnnError("the last step of sequences of different lengths is none of theirs")
    entry = {"name": name, "role": "lengths", "layer": 0, "axes": ["batch"], "sizes": [None]}
    return replace(network, io={**network.io, "inputs": [*network.io["inputs"], entry]})


def _convex(graph: Graph, groups: Sequence[Iterable[int]]) -> bool:
    """Whether groups of nodes and all other nodes, one by one, can run one after the other."""
    group_of = {number: k for k, group in enumerate(groups) for number in group}
    sources: dict[int, set[int]] = {}
    for number in range(len(graph.nodes)):
        if number in graph.fixed:
            continue
        own = -1 - group_of[number] if number in group_of else number
        for source in graph.sources[number]:
            if source in graph.fixed:
                continue
            other = -1 - group_of[source] if source in group_of else source
            if other != own:
                sources.setdefault(own, set()).add(other)
                sources.setdefault(other, set())
    left = {number: set(found) for number, found in sources.items()}
    while left:
        ready = {number for number, found in left.items() if not found}
        if not ready:
            return False
        left = {number: found - ready for number, found in left.items() if number not in ready}
    return True


def _stages(graph: Graph, parts: Sequence[Part]) -> Iterable[Part | Piece]:
    """Parts in an order in which they can run, and before and behind each the host's nodes."""
    part_of = {number: k for k, part in enumerate(parts) for number in part.nodes}
    needs: dict[int, frozenset[int]] = {}  # of each node, the parts that it depends on

    def parts_before(number: int) -> frozenset[int]:
        if number not in needs:
            needs[number] = frozenset()
            found: set[int] = set()
            for source in graph.sources[number]:
                found |= parts_before(source)
                if source in part_of and part_of.get(number) != part_of[source]:
                    found.add(part_of[source])
            needs[number] = frozenset(found)
        return needs[number]

    needed = _host_nodes(graph, parts, part_of)
    waiting = {
        k: frozenset().union(*(parts_before(number) for number in part.nodes)) - {k}
        for k, part in enumerate(parts)
    }
    done: set[int] = set()
    left = set(needed)
    stages: list[tuple[str, frozenset[int] | int]] = []
    while True:
        ready = frozenset(number for number in left if parts_before(number) <= done)
        if ready:
            stages.append(("host", ready))
            left -= ready
        following = [k for k, before in waiting.items() if k not in done and before <= done]
        if not following:
            break
        stages.append(("part", following[0]))
        done.add(following[0])
    for place, (kind, what) in enumerate(stages):
        if kind == "part":
            assert isinstance(what, int)
            yield parts[what]
            continue
        assert isinstance(what, frozenset)
        later = [
            number
            for _, other in stages[place + 1 :]
            for number in (parts[other].nodes if isinstance(other, int) else other)
        ]
        read_by_parts = {
            value.name
            for _, other in stages[place + 1 :]
            if isinstance(other, int)
            for value in parts[other].model.graph.input
        }
        yield _piece(graph, what, later, read_by_parts)


def _host_nodes(graph: Graph, parts: Sequence[Part], part_of: dict[int, int]) -> set[int]:
    """The nodes that the outputs and the parts need of the host."""
    wanted = set(graph.outputs) | {v.name for part in parts for v in part.model.graph.input}
    needed: set[int] = set()
    left = [graph.maker[name] for name in wanted if name in graph.maker]
    seen: set[int] = set()
    while left:
        number = left.pop()
        if number in seen:
            continue
        seen.add(number)
        if number not in part_of:
            needed.add(number)
            left += graph.sources[number]
    return needed


def _piece(
    graph: Graph, numbers: frozenset[int], later: Sequence[int], read_by_parts: set[str]
) -> Piece:
    given = graph.given(numbers, later)
    made = [name for number in sorted(numbers) for name in graph.nodes[number].output]
    given += [name for name in made if name in read_by_parts and name not in given]
    inputs = [_typed(graph, name) for name in graph.taken(numbers)]
    outputs = [ValueInfoProto(name=name) for name in given]
    return Piece(numbers, graph.extract(numbers, inputs, outputs))


def _typed(graph: Graph, name: str) -> ValueInfoProto:
    """A host piece's input: its type, and no sizes, which the caller's arrays have."""
    known = graph.values.get(name)
    kind = known.type.tensor_type.elem_type if known is not None else onnx.TensorProto.FLOAT
    value = ValueInfoProto(name=name)
    value.type.tensor_type.elem_type = kind or onnx.TensorProto.FLOAT
    return value
