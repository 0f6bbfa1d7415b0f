"""Steps of one cell that follow each other: the weights that they share, and what each reads."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .steps import GATES, Step
from .symbolic import Atom, Linear

__all__ = ["Chain", "begun", "chains_of", "fed_back"]

Array = npt.NDArray[Any]
#: Of each atom that a step reads, the matrices by which its gates multiply it.
Table = dict[Atom, dict[str, Array]]

#: Relative to one, by how much weights of two steps may differ: exporters fold some of them.
_NEAR = 1e-6


@dataclass(eq=False)
class Chain:
    """One cell over several steps.

    Members
    -------
    inputs: of each step the atoms that it reads beside its state, in the order of ``weights``.
    initial: the state that the first step begins with; None where it is zero.
    weights, recurrent, biases: gate -> of each input, of the state, of both halves.
    peepholes: gate -> of the cell state.
    """

    steps: list[Step]
    inputs: list[list[Atom]]
    initial: Atom | None
    weights: dict[str, list[Array]]
    recurrent: dict[str, Array]
    biases: dict[str, tuple[Array, Array]]
    peepholes: Mapping[str, Array]

    @property
    def kind(self) -> str:
        return self.steps[0].kind

    @property
    def units(self) -> int:
        return len(next(iter(self.biases.values()))[0])

    @property
    def before(self) -> bool:
        """Whether a GRU resets the state before the product."""
        return any(step.before for step in self.steps)

    def stacked(self) -> tuple[Array, Array, Array]:
        """W, R and B of ONNX; of a gate that no step knows, zeros."""
        names, units = GATES[self.kind], self.units
        inputs = sum(one.size for one in self.inputs[0])
        known = self.weights
        w = [np.hstack(known[n]) if n in known else np.zeros((units, inputs)) for n in names]
        r = [self.recurrent.get(n, np.zeros((units, units))) for n in names]
        zero = np.zeros(units)
        b = [self.biases.get(n, (zero, zero))[half] for half in (0, 1) for n in names]
        return np.concatenate(w)[None], np.concatenate(r)[None], np.concatenate(b)[None]

    def seen(self) -> Array | None:
        """P of ONNX, of the gates i, o, f; None where no gate reads the cell state."""
        if not any(one.any() for one in self.peepholes.values()):
            return None
        zero = np.zeros(self.units)
        return np.concatenate([self.peepholes.get(name, zero) for name in "iof"])[None]


def _table(step: Step) -> Table | None:
    """What a step reads; None where something is not multiplied by a matrix."""
    found: Table = {}
    halves: list[tuple[str, Linear]] = list(step.gates.items())
    if step.recurrent is not None:
        halves.append(("recurrent", step.recurrent))
    for gate, value in halves:
        for atom, matrix in value.terms.items():
            if atom.kind == "product":
                return None
            found.setdefault(atom, {})[gate] = np.diag(matrix) if matrix.ndim == 1 else matrix
    return found


def _biases(step: Step) -> dict[str, tuple[Array, Array]]:
    zero = np.zeros(next(iter(step.gates.values())).size)
    found = {gate: (value.bias, zero) for gate, value in step.gates.items()}
    if step.recurrent is not None:
        found["h"] = (found["h"][0], step.recurrent.bias)
    return found


def _near(left: Array, right: Array) -> bool:
    return left.shape == right.shape and np.allclose(left, right, rtol=_NEAR, atol=_NEAR)


def begun(step: Step, previous: Atom | None) -> Chain | None:
    """A chain of one step, whose state that one is."""
    table = _table(step)
    if table is None or previous not in table:
        return None
    hidden = table.pop(previous)
    if step.kind == "GRU" and "recurrent" not in hidden:
        return None
    if "h" in hidden and step.kind == "GRU":
        return None
    if any("recurrent" in one for one in table.values()):
        return None
    if "recurrent" in hidden:
        hidden["h"] = hidden.pop("recurrent")
    inputs = list(table)
    weights = {
        gate: [table[a].get(gate, np.zeros((value.size, a.size))) for a in inputs]
        for gate, value in step.gates.items()
    }
    size = previous.size
    units = {gate: hidden.get(gate, np.zeros((size, size))) for gate in step.gates}
    if any(matrix.shape != (size, size) for matrix in units.values()) or not inputs:
        return None
    return Chain([step], [inputs], previous, weights, units, _biases(step), step.peepholes)


def _fits(chain: Chain, step: Step, previous: Atom | None) -> tuple[list[Atom], Atom | None] | None:
    """The inputs and the state of a step that has a chain's weights; None where it has others.

    previous: the state; None: whichever atom is multiplied as the chain's is, or none, of zeros.
    """
    table, first = _table(step), chain.steps[-1]
    if table is None or step.kind != chain.kind:
        return None
    if (step.function, step.gate) != (first.function, first.gate):
        return None
    known = [gate for gate in step.gates if gate in chain.weights]
    if not _same_peepholes(chain, step):
        return None
    for gate, (own, hidden) in _biases(step).items():
        if gate not in chain.biases:
            continue
        wanted = chain.biases[gate]
        whole = step.kind != "GRU" or gate != "h" or step.recurrent is not None
        pairs = ((own, wanted[0]), (hidden, wanted[1])) if whole else ((own, wanted[0]),)
        if not all(_near(a, b) for a, b in pairs):
            return None
    if step.recurrent is None and step.kind == "GRU" and chain.biases["h"][1].any():
        return None

    def same(atom: Atom, matrices: Mapping[str, Array], *, state: bool = False) -> bool:
        own = dict(table[atom])
        if ("recurrent" in own) != (state and step.kind == "GRU"):
            return False
        if "recurrent" in own:
            own["h"] = own.pop("recurrent")
        return all(
            _near(own.get(g, np.zeros_like(matrices[g])), matrices[g]) for g in known
        ) and set(own) <= set(known)

    left = list(table)
    if previous is None:
        previous = next((a for a in left if same(a, chain.recurrent, state=True)), None)
    elif previous not in left or not same(previous, chain.recurrent, state=True):
        return None
    left = [atom for atom in left if atom is not previous]
    inputs: list[Atom] = []
    for place in range(len(chain.inputs[0])):
        matrices = {gate: chain.weights[gate][place] for gate in known}
        found = next((a for a in left if same(a, matrices)), None)
        if found is None:
            return None
        left.remove(found)
        inputs.append(found)
    return None if left else (inputs, previous)


def _same_peepholes(chain: Chain, step: Step) -> bool:
    """Whether a step's gates read the cell state as the chain's do. From a cell state of zero the
    output gate's alone is known."""
    names = "o" if step.cell is None else "iof"
    zero = np.zeros(chain.units)
    return all(
        _near(step.peepholes.get(name, zero), chain.peepholes.get(name, zero)) for name in names
    )


def chains_of(steps: Sequence[Step]) -> list[Chain]:
    """The chains that steps form, in topological order; steps that are in none are left out."""
    chains: list[Chain] = []
    alone: dict[Atom, Step] = {}
    for step in steps:
        assert step.state is not None
        if not _appended(step, chains, alone):
            alone[step.state] = step
    for step in alone.values():
        chain = _single(step)
        if chain is not None:
            chains.append(chain)
    return chains


def fed_back(steps: Sequence[Step]) -> int:
    """How many steps read nothing but what the step before gave, as a decoder's do whose output is
    fed back. Of an RNN's, which look like any layer with tanh, those whose weights come again."""
    states = {step.state for step in steps}
    alone = [
        (value.bias, matrix)
        for value in (step.gates["h"] for step in steps if step.kind == "RNN")
        for atom, matrix in value.terms.items()
        if len(value.terms) == 1 and atom in states and atom.size == value.size
    ]
    again = [
        sum(_near(bias, b) and _near(matrix, m) for b, m in alone) > 1 for bias, matrix in alone
    ]
    return sum(_reads_itself(step) for step in steps) + sum(again)


def _reads_itself(step: Step) -> bool:
    given = [value for gate, value in step.gates.items() if step.kind != "GRU" or gate == "h"]
    own = [step.previous is not None and set(value.terms) <= {step.previous} for value in given]
    return bool(given) and all(own) and all(value.terms for value in given)


def _candidates(step: Step) -> Iterable[Atom]:
    """What may be the state that a step begins with."""
    if step.kind != "RNN":
        return () if step.previous is None else (step.previous,)
    return [atom for atom in (_table(step) or {}) if atom.size == step.gates["h"].size]


def _appended(step: Step, chains: list[Chain], alone: dict[Atom, Step]) -> bool:
    """Put a step behind a chain, or behind another step that is alone."""
    for previous in _candidates(step):
        for chain in chains:
            if chain.steps[-1].state is previous:
                found = _fits(chain, step, previous)
                if found is not None:
                    chain.steps.append(step)
                    chain.inputs.append(found[0])
                    return True
        if previous in alone:
            new = begun(step, previous)
            first = alone[previous]
            found = None if new is None else _fits(new, first, first.previous)
            if new is not None and found is not None:
                new.steps.insert(0, first)
                new.inputs.insert(0, found[0])
                new.initial = found[1]
                chains.append(new)
                del alone[previous]
                return True
    return False


def _single(step: Step) -> Chain | None:
    """One step alone: which input is its state is known of a GRU, and of an LSTM by its size."""
    if step.kind == "RNN":
        return None
    if step.previous is not None:
        return begun(step, step.previous)
    table = _table(step) or {}
    size = next(iter(step.gates.values())).size
    fitting = [atom for atom in table if atom.size == size and atom.kind == "tensor"]
    if step.kind != "LSTM" or len(table) < 2 or not fitting or step.cell is None:
        return None
    return begun(replace(step), fitting[-1])
