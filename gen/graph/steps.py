"""One step of an LSTM, a GRU or an RNN, told by what its operators compute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .symbolic import Atom, Linear, Value, plain

__all__ = ["GATES", "Step", "as_state", "cell_state", "step_of"]

Array = npt.NDArray[Any]
#: A sum of products: atoms, by their identity, -> coefficients.
Polynomial = dict[tuple[Atom, ...], Array]

#: Gates in the order of ONNX.
GATES = {"LSTM": ("i", "o", "f", "c"), "GRU": ("z", "r", "h"), "RNN": ("h",)}
#: What a candidate may be made by.
_CANDIDATES = ("Tanh", "Relu")
#: What gates may be made by.
_SIGMAS = ("Sigmoid", "HardSigmoid")
#: Products in one sum, of which no cell has as many.
_MOST = 6


@dataclass(eq=False)
class Step:
    """One step of a cell.

    Members
    -------
    kind: ``LSTM``, ``GRU`` or ``RNN``. function: of its candidate, as ONNX calls it; gate: of its
        gates.
    gates: gate -> what its function is applied to, of what the step is given. Of a gate that
        multiplies a state of zero nothing is known.
    previous: the state that the step begins with; None where that is zero.
    cell: the cell state that it begins with, or None.
    recurrent: of a GRU's candidate the hidden half, when the reset comes behind the product;
        before: the product is of the reset state.
    peepholes: gate -> by what it multiplies the cell state, element by element; of a gate that
        reads a state of zero nothing is known.
    """

    kind: str
    function: str
    gates: Mapping[str, Linear]
    previous: Atom | None
    cell: Atom | None = None
    recurrent: Linear | None = None
    before: bool = False
    peepholes: Mapping[str, Array] = field(default_factory=dict)
    state: Atom | None = None
    new_cell: Atom | None = None
    gate: str = "Sigmoid"


def _polynomial(value: Linear) -> Polynomial | None:
    """The products that a value is the sum of; None where it is more than products, element by
    element."""
    found: Polynomial = {(): value.bias} if value.bias.any() else {}
    for atom, matrix in value.terms.items():
        if matrix.ndim != 1:
            return None
        terms: Polynomial = {(atom,): np.ones(atom.size)}
        if atom.kind == "product":
            factors = [_polynomial(argument) for argument in atom.args]
            if factors[0] is None or factors[1] is None:
                return None
            terms = _multiplied(factors[0], factors[1])
        for key, coefficient in terms.items():
            own = matrix * coefficient
            found[key] = found[key] + own if key in found else own
        if len(found) > _MOST:
            return None
    return {key: one for key, one in found.items() if one.any()}


def _multiplied(left: Polynomial, right: Polynomial) -> Polynomial:
    found: Polynomial = {}
    for a, x in left.items():
        for b, y in right.items():
            key = tuple(sorted((*a, *b), key=id))
            found[key] = found[key] + x * y if key in found else x * y
    return found


def _signs(terms: Polynomial) -> dict[tuple[Atom, ...], int] | None:
    """The terms with their signs, where all coefficients are 1 or -1."""
    found = {}
    for key, coefficient in terms.items():
        if (coefficient != coefficient[0]).any() or abs(coefficient[0]) != 1:
            return None
        found[key] = int(coefficient[0])
    return found


def _argument(atom: Atom) -> Linear:
    (argument,) = atom.args
    assert isinstance(argument, Linear)
    return argument


def _of(kind: Sequence[str], key: tuple[Atom, ...]) -> list[Atom]:
    return [atom for atom in key if atom.kind in kind]


def cell_state(value: Value) -> tuple[dict[str, Atom], Atom | None] | None:
    """Of a new cell state of an LSTM, ``f c + i g``: its σ and tanh, and the old one; of the first
    step, whose old one is zero, ``i g``."""
    if len(value.parts) != 1:
        return None
    terms = _polynomial(value.parts[0])
    signs = None if terms is None else _signs(terms)
    if not signs or set(signs.values()) != {1} or any(len(key) != 2 for key in signs):
        return None
    found: dict[str, Atom] = {}
    old = None
    for key in signs:
        sigma = _of(_SIGMAS, key)
        other = [atom for atom in key if atom not in sigma]
        if len(sigma) != 1 or len(other) != 1:
            return None
        if other[0].kind in _CANDIDATES and "i" not in found:
            found |= {"i": sigma[0], "c": other[0]}
        elif other[0].kind in ("tensor", "part") and "f" not in found:
            found["f"], old = sigma[0], other[0]
        else:
            return None
    return (found, old) if "i" in found else None


def step_of(
    value: Value, cells: Mapping[Atom, Any], states: Mapping[Atom, Step], *, read: bool
) -> Step | None:
    """The step whose new state this is; None where it is none's.

    Parameters
    ----------
    cells: cell states that were found, with what :func:`cell_state` says of them.
    states: states that were found, with their steps.
    read: whether a matrix multiplies it. Without that a product of σ and tanh is the first part of
        an LSTM's cell state rather than a GRU's first state, ``z n``.
    """
    if len(value.parts) != 1:
        return None
    (own,) = value.parts
    terms = _polynomial(own)
    signs = None if terms is None else _signs(terms)
    if not signs:
        return None
    if len(signs) == 1:
        ((key, sign),) = signs.items()
        found = _lstm(key, cells, states) if sign == 1 and len(key) == 2 else None
        if found is not None or not read:
            return found
    return _gru(signs)


def _lstm(
    key: tuple[Atom, ...], cells: Mapping[Atom, Any], states: Mapping[Atom, Step]
) -> Step | None:
    sigma, tanh = _of(_SIGMAS, key), _of(_CANDIDATES, key)
    if len(sigma) != 1 or len(tanh) != 1:
        return None
    argument = _argument(tanh[0])
    if len(argument.terms) != 1:
        return None
    ((new, matrix),) = argument.terms.items()
    if new not in cells or matrix.ndim != 1 or (matrix != 1).any() or argument.bias.any():
        return None
    found, old = cells[new]
    if found["c"].kind != tanh[0].kind:
        return None
    atoms = {**found, "o": sigma[0]}
    functions = {atom.kind for name, atom in atoms.items() if name != "c"}
    if len(functions) > 1:
        return None
    gates = {name: _argument(atom) for name, atom in atoms.items()}
    peepholes: dict[str, Array] = {}
    for name, seen in (("i", old), ("f", old), ("o", new)):
        gate = gates.get(name)
        if gate is not None and seen in gate.terms and gate.terms[seen].ndim == 1:
            terms = dict(gate.terms)
            peepholes[name] = terms.pop(seen)
            gates[name] = Linear(terms, gate.bias)
    if any(m.ndim == 1 for gate in gates.values() for m in gate.terms.values()):
        return None
    before = next((s for s in states.values() if old is not None and s.new_cell is old), None)
    previous = None if before is None else before.state
    kind = tanh[0].kind
    return Step(
        "LSTM", kind, gates, previous, old, peepholes=peepholes, new_cell=new, gate=functions.pop()
    )


def _gru(signs: Mapping[tuple[Atom, ...], int]) -> Step | None:
    """``(1 - z) n + z h``, or with z the other way round."""
    sigmas = {atom for key in signs for atom in _of(_SIGMAS, key)}
    tanhs = {atom for key in signs for atom in _of(_CANDIDATES, key)}
    if len(sigmas) != 1 or len(tanhs) != 1:
        return None
    (z,), (n,) = sigmas, tanhs
    states = {atom for key in signs for atom in key if atom not in (z, n)}
    if len(states) > 1:
        return None
    h = next(iter(states), None)

    def key(*atoms: Atom) -> tuple[Atom, ...]:
        return tuple(sorted(atoms, key=id))

    usual: dict[tuple[Atom, ...], int] = {key(n): 1, key(z, n): -1}
    turned: dict[tuple[Atom, ...], int] = {key(z, n): 1}
    if h is not None:
        if h.kind not in ("tensor", "part"):
            return None
        usual[key(z, h)] = 1
        turned |= {key(h): 1, key(z, h): -1}
    gate = _argument(z)
    if dict(signs) == turned:
        # 1 - σ(a) is σ(-a), and 1 - clip(a) is clip(1 - a).
        gate = gate.scaled(np.full(gate.size, -1.0))
        if z.kind == "HardSigmoid":
            gate = gate.plus(Linear({}, np.ones(gate.size)))
    elif dict(signs) != usual:
        return None
    step = _candidate(n, gate, h, z.kind)
    return None if step is None else replace(step, gate=z.kind)


def _candidate(n: Atom, update: Linear, h: Atom | None, function: str) -> Step | None:
    """Takes the candidate of a GRU apart: what the reset gate multiplies, and the rest."""
    argument = _argument(n)
    rest = {atom: m for atom, m in argument.terms.items() if atom.kind == "tensor" or m.ndim == 2}
    resets = {atom: m for atom, m in argument.terms.items() if atom.kind in ("product", function)}
    rest = {atom: m for atom, m in rest.items() if atom not in resets}
    gates = {"z": update, "h": Linear(rest, argument.bias)}
    if len(resets) + len(rest) != len(argument.terms) or len(resets) > 1:
        return None
    if not resets:
        # The first step, from a state of zero: nothing is known of the reset gate.
        return None if h is not None else Step("GRU", n.kind, gates, None)
    ((atom, matrix),) = resets.items()
    if atom.kind == function:  # the reset gate times the hidden half's bias, of a state of zero
        if matrix.ndim != 1 or h is not None:
            return None
        gates["r"] = _argument(atom)
        return Step("GRU", n.kind, gates, None, recurrent=Linear({}, matrix))
    left, right = atom.args
    for sigma, hidden in ((left, right), (right, left)):
        r = _single(sigma)
        if r is None or r.kind != function:
            continue
        gates["r"] = _argument(r)
        if matrix.ndim == 2 or _single(hidden) is h:
            # The product is of the reset state. As a diagonal matrix it is of one that has units
            # of their own, which no cell of ONNX is.
            if matrix.ndim == 1 or _single(hidden) is not h or h is None:
                return None
            recurrent = Linear({h: matrix}, np.zeros(argument.size))
            return Step("GRU", n.kind, gates, h, recurrent=recurrent, before=True)
        return Step("GRU", n.kind, gates, h, recurrent=hidden.scaled(matrix))
    return None


def _single(value: Linear) -> Atom | None:
    """The atom that a value is, alone."""
    if len(value.terms) != 1 or value.bias.any():
        return None
    ((atom, matrix),) = value.terms.items()
    return atom if matrix.ndim == 1 and bool((matrix == 1).all()) else None


def as_state(step: Step, tensor: str, size: int) -> Linear:
    """The new state as an atom of its own, which later steps read."""
    step.state = Atom("tensor", size, (), tensor)
    return plain(step.state)
