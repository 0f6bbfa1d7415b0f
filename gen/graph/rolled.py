"""Cells that stand as single operators, as PyTorch writes ``nn.GRUCell`` in a Python loop, become
LSTM, GRU and RNN nodes.

What a step computes is told from its operators (:mod:`.symbolic`, :mod:`.steps`), steps with the
same weights that follow each other are one node (:mod:`.chains`). The model that comes of it runs
beside the original before anybody believes it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, inliner, numpy_helper

from .chains import Chain, chains_of, fed_back
from .host import Arrays, evaluate
from .model import Graph, reads
from .nodes import Writer
from .steps import Step, as_state, cell_state, step_of
from .symbolic import Atom, Value, plain
from .tensors import Tensors

__all__ = ["find_steps", "rolled", "tensors_of"]

Array = npt.NDArray[Any]


def rolled(model: ModelProto, feeds: Sequence[Arrays]) -> tuple[ModelProto, list[str], list[str]]:
    """The model with recurrent nodes in the place of cells that stand as operators.

    Parameters
    ----------
    feeds: sample inputs, which say what tensors look like.

    Returns
    -------
    The model, as it is where there is no such cell; for people what was taken for what, and why
    cells were not.
    """
    if model.functions:
        model = inliner.inline_local_functions(model)
    graph = Graph(model)
    found = _find(graph, feeds)
    usable, refused = list(found.chains), list[str]()
    if found.fed_back:
        refused.append(f"{found.fed_back} steps of cells: {_FED_BACK}")
    while usable:
        try:
            made = _Emitter(graph, found, usable).model()
            return made, [_note(one) for one in usable], refused
        except _UnusableError as error:
            usable = [one for one in usable if one is not error.chain]
            refused.append(str(error))
    return model, [], refused


def _note(chain: Chain) -> str:
    steps = f"{len(chain.steps)} steps" if len(chain.steps) > 1 else "one step"
    return f"{steps} of {chain.kind} cells of {chain.units} units are one {chain.kind}"


_FED_BACK = (
    "what a step reads depends on what the step before gave, through other operators, as in a "
    "decoder that reads its own output; no LSTM, GRU or RNN node does that, so export one step, "
    "with the state and what is fed back as inputs and outputs, and run the loop outside"
)
_WITHIN = (
    "something reads the cell state of a step that is not the last one, which no LSTM node gives; "
    "export the model without that output"
)
_NO_TENSOR = (
    "a step reads parts of a tensor that no tensor of the model holds; export the model with "
    "nn.LSTM, nn.GRU or nn.RNN"
)


class _UnusableError(Exception):
    """A chain that no node computes, and why, for people."""

    def __init__(self, chain: Chain, why: str):
        super().__init__(f"{len(chain.steps)} steps of {chain.kind} cells: {why}")
        self.chain = chain


@dataclass(frozen=True, eq=False)
class _Found:
    """What the tensors of a graph are, the chains among them, and how many steps read what they
    gave."""

    tensors: Tensors
    chains: Sequence[Chain]
    fed_back: int


def _find(graph: Graph, feeds: Sequence[Arrays]) -> _Found:
    tensors = tensors_of(graph, feeds)
    steps = find_steps(graph, tensors)
    return _Found(tensors, chains_of(steps), fed_back(steps))


def tensors_of(graph: Graph, feeds: Sequence[Arrays], divisible: Collection[str] = ()) -> Tensors:
    """The tensors of a graph before any node was followed."""
    tensors = Tensors(*_sampled(graph, feeds), divisible)
    for value in graph.inputs:
        tensors.atom(value.name)
    return tensors


def find_steps(graph: Graph, tensors: Tensors) -> list[Step]:
    """Follow the graph's tensors; the steps of cells among them, in order."""
    steps: list[Step] = []
    cells: dict[Atom, Any] = {}
    states: dict[Atom, Step] = {}
    for number, node in enumerate(graph.nodes):
        if number in graph.fixed:
            continue
        tensors.add(node)
        for name in node.output:
            value = tensors.values.get(name)
            if value is None:
                continue
            step = step_of(value, cells, states, read=_multiplied(graph, name))
            cell = None if step is not None else cell_state(value)
            # In later steps the input gate's product alone looks like a first cell state.
            if cell is not None and _activated(graph, name):
                atom = Atom("tensor", value.parts[0].size, (), name)
                cells[atom] = cell
                tensors.values[name] = Value(value.shape, (plain(atom),))
            elif step is None:
                step = _simple(node, value)
                if step is not None:
                    steps.append(step)
            else:
                tensors.values[name] = Value(
                    value.shape, (as_state(step, name, value.parts[0].size),)
                )
                assert step.state is not None
                states[step.state] = step
                steps.append(step)
    return steps


def _activated(graph: Graph, name: str) -> bool:
    """Whether a candidate's function is applied to a tensor."""
    return bool(_readers(graph, name) & {"Relu", "Tanh"})


def _multiplied(graph: Graph, name: str) -> bool:
    """Whether a tensor is multiplied by a matrix, perhaps beside others."""
    return bool(_readers(graph, name) & {"Concat", "Gemm", "MatMul"})


def _readers(graph: Graph, name: str) -> set[str]:
    """The operators that read a tensor, behind those that leave it as it is."""
    found: set[str] = set()
    for number in graph.readers.get(name, ()):
        node = graph.nodes[number]
        if node.op_type in ("Cast", "Dropout", "Identity", "Where"):
            found |= _readers(graph, node.output[0])
        else:
            found.add(node.op_type)
    return found


def _simple(node: NodeProto, value: Value) -> Step | None:
    """A tanh or ReLU of sums of products by matrices: a step of an RNN, if others follow."""
    if node.op_type not in ("Relu", "Tanh") or len(value.parts) != 1:
        return None
    ((atom, _),) = value.parts[0].terms.items()
    (argument,) = atom.args
    if not argument.terms or any(m.ndim == 1 for m in argument.terms.values()):
        return None
    return Step("RNN", node.op_type, {"h": argument}, None, state=atom)


def _sampled(graph: Graph, feeds: Sequence[Arrays]) -> tuple[dict[str, Array], dict[str, Array]]:
    """The constants, and all other tensors on the first sample inputs."""
    constants = {name: numpy_helper.to_array(one) for name, one in graph.weights.items()}
    fixed, others = list[str](), list[str]()
    for number, node in enumerate(graph.nodes):
        (fixed if number in graph.fixed else others).extend(name for name in node.output if name)
    given = {value.name: np.asarray(feeds[0][value.name]) for value in graph.inputs}
    found = evaluate(graph.model, feeds[:1], [*fixed, *others])[0]
    # Sequences of tensors are none.
    known = {name: one for name, one in found.items() if isinstance(one, np.ndarray)}
    constants |= {name: known[name] for name in fixed if name in known}
    return constants, given | {name: known[name] for name in others if name in known}


class _Emitter:
    """Writes the graph again, with a node for each chain."""

    def __init__(self, graph: Graph, found: _Found, chains: Sequence[Chain]):
        self.graph, self.tensors, self.chains = graph, found.tensors, chains
        self.writer = Writer(graph)
        self.base = {id(chain): f"cell{k}" for k, chain in enumerate(chains)}
        #: A state's tensor -> its chain and step; a cell state's likewise.
        self.states: dict[str, tuple[Chain, int]] = {}
        self.cells: dict[str, tuple[Chain, int]] = {}
        self.begun: set[int] = set()
        self.backwards: dict[int, bool] = {}
        for chain in chains:
            for k, step in enumerate(chain.steps):
                assert step.state is not None
                self.states[step.state.tensor] = (chain, k)
                if step.new_cell is not None:
                    self.cells[step.new_cell.tensor] = (chain, k)

    def model(self) -> ModelProto:
        """Raises :class:`_UnusableError` with the first chain that cannot be one node."""
        kept: dict[int, NodeProto] = {}
        wanted, seen = list(self.graph.outputs), set[str]()
        while wanted:
            name = wanted.pop()
            if name in seen or name in self.writer.weights:
                continue
            seen.add(name)
            node = self._maker(name)
            if node is not None and id(node) not in kept:
                kept[id(node)] = node
                wanted += reads(node)
        return self.writer.model(self._sorted(list(kept.values())))

    def _sorted(self, nodes: Sequence[NodeProto]) -> list[NodeProto]:
        """In an order in which each comes after what it reads; a chain that reads what it gives
        has none."""
        maker = {name: node for node in nodes for name in node.output if name}
        sources = {id(n): {id(maker[r]) for r in reads(n) if r in maker} for n in nodes}
        readers: dict[int, list[NodeProto]] = {}
        for node in nodes:
            for source in sources[id(node)]:
                readers.setdefault(source, []).append(node)
        ready = [node for node in nodes if not sources[id(node)]]
        found: list[NodeProto] = []
        while ready:
            node = ready.pop()
            found.append(node)
            for reader in readers.get(id(node), ()):
                sources[id(reader)].discard(id(node))
                if not sources[id(reader)]:
                    ready.append(reader)
        if len(found) < len(nodes):
            done = {name for node in found for name in node.output}
            made = [chain for chain in self.chains if id(chain) in self.begun]
            chain = next(c for c in made if f"{self.base[id(c)]}_Y" not in done)
            raise _UnusableError(chain, _FED_BACK)
        return found

    def _maker(self, name: str) -> NodeProto | None:
        """The node that gives a tensor, made where it is a chain's."""
        made = self.writer.made
        if name in made:
            return made[name]
        if name in self.states:
            self._state(name, *self.states[name])
        elif name in self.cells:
            self._cell(name, *self.cells[name])
        elif not (name in self.tensors.joined and self._sequence(name)):
            number = self.graph.maker.get(name)
            return None if number is None else self.graph.nodes[number]
        return made.get(name)

    # What a chain reads.

    def _tensor(self, atom: Atom, chain: Chain) -> tuple[str, tuple[int, ...]]:
        """The tensor that holds an atom, and its shape."""
        if atom.kind == "part":
            source, axis, number = atom.args
            shape = self.tensors.shapes[source]
            return self.writer.at(source, axis, number), (*shape[:axis], *shape[axis + 1 :])
        if not atom.tensor:
            raise _UnusableError(chain, _NO_TENSOR)
        return atom.tensor, self.tensors.shapes[atom.tensor]

    def _input(self, chain: Chain) -> tuple[str, bool]:
        """X [time, batch, inputs], and whether the node goes through it backwards."""
        base = self.base[id(chain)]
        places = range(len(chain.inputs[0]))
        columns = [self._whole(chain, place) for place in places]
        known = [column for column in columns if column is not None]
        backwards = bool(known and known[0][1])
        if len(known) == len(columns) and all(column[1] == backwards for column in known):
            names = [column[0] for column in known]
        else:
            names = [self._joined(chain, place) for place in places]
            backwards = False
        return self.writer.side_by_side(names, f"{base}_X"), backwards

    def _whole(self, chain: Chain, place: int) -> tuple[str, bool] | None:
        """What all steps read, where it is one sequence, and whether they go backwards."""
        atoms = [one[place] for one in chain.inputs]
        steps = len(atoms)
        if all(atom.kind == "part" for atom in atoms):
            sources = {atom.args[:2] for atom in atoms}
            backwards = _direction([atom.args[2] for atom in atoms])
            if len(sources) > 1 or backwards is None:
                return None
            ((source, axis),) = sources
            if _fixed_size(self.graph, source, axis) != steps:
                return None
            target = f"{self.base[id(chain)]}_x{place}"
            name = self.writer.sequence(source, self.tensors.shapes[source], axis, target)
            return None if name is None else (name, backwards)
        known = [self.states[atom.tensor] for atom in atoms if atom.tensor in self.states]
        if len(known) < steps or len({id(one[0]) for one in known}) != 1 or steps == 1:
            return None
        other = known[0][0]
        if other is chain or len(other.steps) != steps:
            return None
        backwards = _direction([self._time(other, number) for _, number in known])
        return None if backwards is None else (self._outputs(other), backwards)

    def _joined(self, chain: Chain, place: int) -> str:
        """What the steps read, one behind the other, as a sequence."""
        base = f"{self.base[id(chain)]}_x{place}"
        each = []
        for k, atoms in enumerate(chain.inputs):
            name, shape = self._tensor(atoms[place], chain)
            each.append(self.writer.state(name, shape, f"{base}_{k}"))
        return each[0] if len(each) == 1 else self.writer.add("Concat", each, [base], axis=0)

    # What it gives.

    def _node(self, chain: Chain) -> str:
        """The chain's node; the base of its outputs' names."""
        base = self.base[id(chain)]
        if id(chain) in self.begun:
            return base
        self.begun.add(id(chain))  # before its inputs: one that reads itself ends in _sorted
        x, self.backwards[id(chain)] = self._input(chain)
        states = []
        for letter, atom in (("h", chain.initial), ("c", chain.steps[0].cell)):
            name = ""
            if atom is not None:
                name = self.writer.state(*self._tensor(atom, chain), f"{base}_{letter}0")
            states.append(name)
        count = 2 if chain.kind == "LSTM" else 1
        backwards = self.backwards[id(chain)]
        self.writer.recurrent(chain, base, x, states[:count], backwards=backwards)
        return base

    def _time(self, chain: Chain, step: int) -> int:
        """Where a step's output stands in Y."""
        self._node(chain)
        return len(chain.steps) - 1 - step if self.backwards.get(id(chain)) else step

    def _outputs(self, chain: Chain) -> str:
        """All of a chain's states, [time, batch, units]."""
        base = self._node(chain)
        return self.writer.axes("Squeeze", f"{base}_Y", f"{base}_y", 1)

    def _state(self, name: str, chain: Chain, step: int) -> None:
        base = self._node(chain)
        last = step == len(chain.steps) - 1
        source = f"{base}_Yh"
        if not last:
            source = self.writer.at(f"{base}_Y", 0, self._time(chain, step))
        self.writer.shaped(source, name, self.tensors.shapes[name])

    def _cell(self, name: str, chain: Chain, step: int) -> None:
        if step < len(chain.steps) - 1:
            raise _UnusableError(chain, _WITHIN)
        self.writer.shaped(f"{self._node(chain)}_Yc", name, self.tensors.shapes[name])

    def _sequence(self, name: str) -> bool:
        """A tensor that joins what one matrix makes of all states of a chain, in their order."""
        axis, values = self.tensors.joined[name]
        own = [value.parts[0] for value in values if len(value.parts) == 1]
        atoms = [next(iter(one.terms)) for one in own if len(one.terms) == 1]
        known = [self.states[atom.tensor] for atom in atoms if atom.tensor in self.states]
        if not known or not len(known[0][0].steps) == len(known) == len(values):
            return False
        chain = known[0][0]
        alike = all(one[0] is chain for one in known) and len(values[0].shape) == 3
        alike = alike and all(value.shape[axis] == 1 for value in values)
        matrices = [one.terms[atom] for one, atom in zip(own, atoms, strict=True)]
        alike = alike and all(
            m.shape == matrices[0].shape and (m == matrices[0]).all() for m in matrices
        )
        alike = alike and all((one.bias == own[0].bias).all() for one in own)
        if not alike or _direction([self._time(chain, k) for _, k in known]) is not False:
            return False
        y = self.writer.linear(self._outputs(chain), own[0], matrices[0], name)
        if axis == 0:
            self.writer.add("Identity", [y], [name])
        else:
            self.writer.add("Transpose", [y], [name], perm=[1, 0, 2])
        return True


def _direction(numbers: Sequence[int]) -> bool | None:
    """Whether all steps are taken backwards; None where they are in no such order."""
    order = list(range(len(numbers)))
    return {tuple(order): False, tuple(order[::-1]): len(order) > 1}.get(tuple(numbers))


def _fixed_size(graph: Graph, tensor: str, axis: int) -> int | None:
    """The size of an axis that the model fixes."""
    known = graph.values.get(tensor)
    dims = [] if known is None else known.type.tensor_type.shape.dim
    return int(dims[axis].dim_value) if axis < len(dims) else None
