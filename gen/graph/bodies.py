"""`Scan` and `Loop` nodes whose body is the step of a cell become LSTM, GRU and RNN nodes.

PyTorch writes its `scan` as a `Scan`, scripted loops as a `Loop` that gathers one step after the
other. Bodies that do anything else beside it are left as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from sparnn.gen.errors import SparnnError

from .chains import Chain, begun
from .host import Arrays, evaluate
from .model import Graph, reads
from .nodes import Writer
from .rolled import find_steps, tensors_of
from .settled import PASSING, settled
from .steps import Step
from .symbolic import Atom, Linear
from .tensors import Tensors

__all__ = ["unlooped"]

Array = npt.NDArray[Any]


def unlooped(model: ModelProto, feeds: Sequence[Arrays]) -> tuple[ModelProto, list[str]]:
    """The model with recurrent nodes in the place of loops over a cell.

    Returns
    -------
    The model, as it is where there is no such loop, and what was taken for what, for people.
    """
    loops = [node for node in model.graph.node if node.op_type in _KINDS]
    if not loops:
        return model, []
    graph = Graph(model)
    nodes: list[NodeProto] = []
    writer, notes = Writer(graph), list[str]()
    for node in graph.nodes:
        made, given = None, list[NodeProto]()
        if node.op_type in _KINDS:
            plain, given = settled(graph, node) if node.op_type == "Loop" else (node, given)
            loop = _KINDS[node.op_type](graph, plain, feeds)
            made = None if loop is None else _written(loop, writer)
        if made is None:
            nodes.append(node)
        else:
            nodes += [*given, *made]
            kinds = ", ".join(one.op_type for one in made if one.op_type in ("GRU", "LSTM", "RNN"))
            notes.append(f"{node.op_type} {node.name or node.output[0]!r} is {kinds}")
    return (writer.model(nodes), notes) if notes else (model, [])


@dataclass(frozen=True, eq=False)
class _Walk:
    """What the body of a loop reads at each step, and where its results go.

    Members
    -------
    states: of the body's states, input and output; ``first``, ``last``: the tensors outside.
    walked: a tensor of the body that is one step of a sequence -> that sequence, the axis of its
        steps, and whether they are taken backwards.
    outputs: a tensor of the body -> the sequence of its steps outside, its axis, and whether it is
        written backwards.
    """

    node: NodeProto
    graph: Graph
    tensors: Tensors
    steps: Sequence[Step]
    states: Sequence[tuple[str, str]]
    first: Sequence[str]
    last: Sequence[str]
    walked: Mapping[str, tuple[str, int, bool]]
    outputs: Sequence[tuple[str, str, int, bool]]
    shapes: Mapping[str, tuple[int, ...]]
    zeros: frozenset[str]


def _scan(graph: Graph, node: NodeProto, feeds: Sequence[Arrays]) -> _Walk | None:
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    body: GraphProto = attributes["body"]
    count = int(attributes["num_scan_inputs"])
    states = len(node.input) - count
    opset = next(o.version for o in graph.model.opset_import if o.domain in ("", "ai.onnx"))
    if opset < 9 or states < 1 or any(value.name in graph.weights for value in body.input):
        return None
    outputs = len(node.output) - states
    axes = attributes.get("scan_input_axes", [0] * count)
    backwards = attributes.get("scan_input_directions", [0] * count)
    out_axes = attributes.get("scan_output_axes", [0] * outputs)
    out_backwards = attributes.get("scan_output_directions", [0] * outputs)
    samples = _outside(graph, [*node.input, *_captured(graph, body)], feeds)
    if not _arrays(samples):
        return None
    given = dict(zip([value.name for value in body.input], node.input, strict=True))
    inside: dict[str, Array] = {}
    walked = {}
    for place, (name, source) in enumerate(given.items()):
        inside[name] = samples[source]
        if place >= states:
            k = place - states
            axis = int(axes[k]) % samples[source].ndim
            inside[name] = samples[source].take(0, axis=axis)
            walked[name] = (source, axis, bool(backwards[k]))
    results = [value.name for value in body.output]
    pairs = list(zip([value.name for value in body.input], results, strict=False))[:states]
    return _followed(
        graph, node, body, inside, samples,
        states=pairs, first=list(node.input[:states]), last=list(node.output[:states]),
        walked=walked,
        outputs=[
            (results[states + k], name, int(out_axes[k]), bool(out_backwards[k]))
            for k, name in enumerate(node.output[states:])
            if name
        ],
    )  # fmt: skip


def _loop(graph: Graph, node: NodeProto, feeds: Sequence[Arrays]) -> _Walk | None:
    (body,) = (helper.get_attribute_value(a) for a in node.attribute if a.name == "body")
    count, condition, *first = node.input
    captured = _captured(graph, body)
    samples = _outside(graph, [*node.input, *captured], feeds)
    if not _arrays(samples):
        return None
    number, going, *names = (value.name for value in body.input)
    always, *results = (value.name for value in body.output)
    made = {name: one for one in body.node for name in one.output}
    if not count or (condition and not _always(graph, condition, samples)):
        return None
    if always != going and not _true(made.get(always), always, body, graph, going):
        return None
    inside = dict(zip(names, [samples[name] for name in first], strict=True))
    inside |= {number: np.array(0), going: np.array(True)}
    walked: dict[str, tuple[str, int, bool]] = {}
    numbers = {number}
    for one in body.node:
        if one.op_type in PASSING and one.input[0] in numbers:
            numbers.update(one.output)
        if one.op_type == "Gather" and one.input[1] in numbers and one.input[0] in captured:
            source = one.input[0]
            axis = next((a.i for a in one.attribute if a.name == "axis"), 0) % samples[source].ndim
            if samples[source].shape[axis] != int(samples[count].reshape(-1)[0]):
                return None
            walked[one.output[0]] = (source, axis, False)
    if count in graph.weights and any(
        _fixed_size(graph, source, axis) is None for source, axis, _ in walked.values()
    ):
        return None
    states = len(first)
    return _followed(
        graph, node, body, inside, samples,
        states=list(zip(names, results, strict=False))[:states],
        first=first, last=list(node.output[:states]), walked=walked,
        outputs=[
            (results[states + k], name, 0, False)
            for k, name in enumerate(node.output[states:])
            if name
        ],
    )  # fmt: skip


_KINDS = {"Loop": _loop, "Scan": _scan}


def _always(graph: Graph, name: str, samples: Mapping[str, Array]) -> bool:
    known = name in graph.weights or graph.maker.get(name, -1) in graph.fixed
    return known and bool(samples[name].all())


def _true(node: NodeProto | None, name: str, body: GraphProto, graph: Graph, going: str) -> bool:
    """Whether a body's condition is a constant that is true, or the one that it was given."""
    if node is not None and node.op_type in ("Cast", "Identity"):
        source = node.input[0]
        made = {out: one for one in body.node for out in one.output}
        return source == going or _true(made.get(source), source, body, graph, going)
    if node is not None and node.op_type == "Constant":
        return bool(numpy_helper.to_array(node.attribute[0].t).all())
    known = {**graph.weights, **{t.name: t for t in body.initializer}}
    if name in known:
        return bool(numpy_helper.to_array(known[name]).all())
    outside = None if name not in graph.maker else graph.nodes[graph.maker[name]]
    return outside is not None and outside.op_type == "Constant" and _true(
        outside, name, body, graph, going
    )  # fmt: skip


def _captured(graph: Graph, body: GraphProto) -> list[str]:
    """What a body reads from outside, weights apart."""
    known = {value.name for value in (*body.input, *body.initializer)}
    known |= {name for node in body.node for name in node.output}
    found = [name for node in body.node for name in reads(node) if name not in known]
    return [name for name in dict.fromkeys(found) if name not in graph.weights]


def _outside(graph: Graph, names: Sequence[str], feeds: Sequence[Arrays]) -> dict[str, Array]:
    """Tensors around the loop, on the first sample inputs."""
    wanted = [name for name in dict.fromkeys(names) if name]
    given = {v.name: np.asarray(feeds[0][v.name]) for v in graph.inputs if v.name in wanted}
    found = {n: numpy_helper.to_array(graph.weights[n]) for n in wanted if n in graph.weights}
    inner = [name for name in wanted if name not in given and name not in found]
    computed = evaluate(graph.model, feeds[:1], inner)[0] if inner else {}
    return found | given | computed


def _arrays(samples: Mapping[str, Any]) -> bool:
    """Whether none is a sequence of tensors."""
    return all(isinstance(one, np.ndarray) for one in samples.values())


def _followed(
    graph: Graph,
    node: NodeProto,
    body: GraphProto,
    inside: Mapping[str, Array],
    samples: Mapping[str, Array],
    *,
    states: Sequence[tuple[str, str]],
    first: Sequence[str],
    last: Sequence[str],
    walked: Mapping[str, tuple[str, int, bool]],
    outputs: Sequence[tuple[str, str, int, bool]],
) -> _Walk | None:
    """Follow the body as a graph of its own, on one step of the samples."""
    captured = {name: samples[name] for name in _captured(graph, body)}
    fixed = {
        name: array for name, array in captured.items() if graph.maker.get(name, -1) in graph.fixed
    }
    feeds = {**inside, **{name: a for name, a in captured.items() if name not in fixed}}
    weights = [*body.initializer, *(numpy_helper.from_array(a, n) for n, a in fixed.items())]
    weights += [tensor for name, tensor in graph.weights.items() if name not in feeds]
    used = {name for one in body.node for name in reads(one)} | {v.name for v in body.output}
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), list(array.shape)
        )
        for name, array in feeds.items()
    ]
    made = helper.make_graph(
        list(body.node), "body", inputs,
        [helper.make_empty_tensor_value_info(value.name) for value in body.output],
        [tensor for tensor in weights if tensor.name in used],
    )  # fmt: skip
    model = helper.make_model(
        made, opset_imports=list(graph.model.opset_import), ir_version=graph.model.ir_version
    )
    own = Graph(model)
    try:
        tensors = tensors_of(
            own, [{value.name: feeds[value.name] for value in own.inputs}], walked.keys()
        )
    except SparnnError:
        return None
    found = find_steps(own, tensors)
    shapes = {name: array.shape for name, array in samples.items()}
    zeros = frozenset(
        name for name in first
        if (name in graph.weights or graph.maker.get(name, -1) in graph.fixed)
        and not samples[name].any()
    )  # fmt: skip
    return _Walk(
        node, graph, tensors, found, states, first, last, walked, outputs, shapes, zeros
    )  # fmt: skip


def _held(walk: _Walk, name: str) -> Atom | None:
    """The atom that a tensor of the body is."""
    value = walk.tensors.values.get(name)
    if value is None or len(value.parts) != 1 or len(value.parts[0].terms) != 1:
        return None
    ((atom, matrix),) = value.parts[0].terms.items()
    same = matrix.ndim == 1 and (matrix == 1).all() and not value.parts[0].bias.any()
    return atom if same else None


def _written(walk: _Walk, writer: Writer) -> list[NodeProto] | None:
    """The nodes of a loop; None where its body is no cell, or more than cells."""
    before = {given: _held(walk, result) for given, result in walk.states}
    atoms = {given: _held(walk, given) for given, _ in walk.states}
    chains: dict[Atom, Chain] = {}
    cells: dict[Atom, Atom] = {}
    for step in walk.steps:
        names = [given for given, atom in before.items() if atom is step.state]
        if not names or step.state is None or atoms[names[0]] is None:
            continue
        chain = begun(replace(step), atoms[names[0]])
        if chain is None:
            continue
        if step.cell is not None:
            own = [given for given, atom in before.items() if atom is step.new_cell]
            if not own or atoms[own[0]] is not step.cell or step.new_cell is None:
                continue
            cells[step.new_cell] = step.state
        elif step.kind == "LSTM":
            continue
        chains[step.state] = chain
    if not chains or any(
        atom is None or (atom not in chains and atom not in cells) for atom in before.values()
    ):
        return None
    return _Nodes(walk, writer, chains, cells, {a: n for n, a in before.items() if a}).all()


class _Nodes:
    """Writes the nodes of the cells in a body."""

    def __init__(
        self,
        walk: _Walk,
        writer: Writer,
        chains: Mapping[Atom, Chain],
        cells: Mapping[Atom, Atom],
        given: Mapping[Atom, str],
    ):
        self.walk, self.writer, self.chains, self.cells = walk, writer, chains, cells
        self.given = given
        self.base = walk.node.name or walk.node.output[0] or "loop"
        self.done: dict[Atom, tuple[str, bool]] = {}

    def all(self) -> list[NodeProto] | None:
        walk, writer = self.walk, self.writer
        begin = len(writer.nodes)
        for (given, result), target in zip(walk.states, walk.last, strict=True):
            atom = _held(walk, result)
            assert atom is not None
            made = self._node(self.cells.get(atom, atom))
            if made is None:
                return None
            end = "Yc" if atom in self.cells else "Yh"
            if target:
                shape = walk.shapes[walk.first[[g for g, _ in walk.states].index(given)]]
                writer.shaped(f"{made[0]}_{end}", target, shape)
        for name, target, axis, backwards in walk.outputs:
            if not self._sequence(name, target, axis, backwards):
                return None
        return writer.nodes[begin:]

    def _node(self, state: Atom) -> tuple[str, bool] | None:
        """A cell's node: the base of its names, and whether it goes backwards."""
        if state in self.done:
            return self.done[state]
        chain, base = self.chains[state], f"{self.base}_cell{len(self.done)}"
        inputs = [self._input(atom, f"{base}_x{k}") for k, atom in enumerate(chain.inputs[0])]
        known = [one for one in inputs if one is not None]
        ways = {way for _, way in known}
        if len(known) < len(inputs) or len(ways) != 1:
            return None
        (backwards,) = ways
        x = self.writer.side_by_side([name for name, _ in known], f"{base}_X")
        step = chain.steps[0]
        first = dict(zip([given for given, _ in self.walk.states], self.walk.first, strict=True))
        states = [first[self.given[state]]]
        if step.new_cell is not None:
            states.append(first[self.given[step.new_cell]])
        names = [
            "" if name in self.walk.zeros
            else self.writer.state(name, self.walk.shapes[name], f"{base}_{letter}0")
            for letter, name in zip("hc", states, strict=False)
        ]  # fmt: skip
        self.writer.recurrent(chain, base, x, names, backwards=backwards)
        self.done[state] = (base, backwards)
        return self.done[state]

    def _input(self, atom: Atom, target: str) -> tuple[str, bool] | None:
        """[time, batch, features] of what a cell reads: a sequence, or another cell's states."""
        if atom in self.chains:
            made = self._node(atom)
            return None if made is None else (self._states(made[0]), made[1])
        if atom.tensor not in self.walk.walked:
            return None
        source, axis, backwards = self.walk.walked[atom.tensor]
        found = self.writer.sequence(source, self.walk.shapes[source], axis, target)
        return None if found is None else (found, backwards)

    def _states(self, base: str) -> str:
        return self.writer.axes("Squeeze", f"{base}_Y", f"{base}_y", 1)

    def _sequence(self, name: str, target: str, axis: int, backwards: bool) -> bool:
        """What a loop gives of all steps: a linear function of a cell's states."""
        value = self.walk.tensors.values.get(name)
        if value is None or len(value.parts) != 1 or len(value.parts[0].terms) != 1:
            return False
        own: Linear = value.parts[0]
        ((atom, matrix),) = own.terms.items()
        made = self._node(atom) if atom in self.chains else None
        rank = len(value.shape)
        if made is None or made[1] != backwards or rank not in (1, 2):
            return False
        y = self.writer.linear(self._states(made[0]), own, matrix, target)
        at = axis % (rank + 1)
        if rank == 1:
            if at:
                return False
            self.writer.axes("Squeeze", y, target, 1)
        elif at == 0:
            self.writer.add("Identity", [y], [target])
        elif at == 1:
            self.writer.add("Transpose", [y], [target], perm=[1, 0, 2])
        else:
            return False
        return True


def _fixed_size(graph: Graph, tensor: str, axis: int) -> int | None:
    known = graph.values.get(tensor)
    dims = [] if known is None else known.type.tensor_type.shape.dim
    size = int(dims[axis].dim_value) if axis < len(dims) else 0
    return size or None
