"""Vectors as functions of others: matrices, biases, and what σ, tanh and products make of them.

Weights that are split or joined and the order of additions disappear in this form; so a cell that
stands as single operators can be told by what it computes (:mod:`.steps`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Atom", "Linear", "Value", "plain"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Atom:
    """A vector for each sequence that is not taken apart further.

    Members
    -------
    kind: ``tensor``; ``part``, an index along one of a tensor's axes; ``product`` of two linear
        functions, element by element; ``Sigmoid``, ``HardSigmoid`` (here clip to 0 and 1),
        ``Tanh`` or ``Relu`` of one.
    tensor: the name of a tensor that holds it; "" where none does.
    divisible: whether its elements, a sequence's at one step, may be read apart from each other.
    """

    kind: str
    size: int
    args: tuple[Any, ...] = ()
    tensor: str = ""
    divisible: bool = False


@dataclass(frozen=True, eq=False)
class Linear:
    """A sum of atoms times matrices, and a bias. A coefficient of one axis is a diagonal matrix."""

    terms: Mapping[Atom, Array]
    bias: Array

    @property
    def size(self) -> int:
        return len(self.bias)

    def rows(self, first: int, last: int) -> "Linear | None":
        """Some of the elements; None where that takes apart a tensor."""
        if (first, last) == (0, self.size):
            return self
        found: dict[Atom, Array] = {}
        for atom, matrix in self.terms.items():
            own = atom
            if matrix.ndim == 1 and atom.divisible:
                found[atom] = np.diag(matrix)[first:last]
                continue
            if matrix.ndim == 1:
                if atom.kind in ("tensor", "part"):
                    return None
                args = [argument.rows(first, last) for argument in atom.args]
                if any(argument is None for argument in args):
                    return None
                own = Atom(atom.kind, last - first, tuple(args))
            found[own] = matrix[first:last]
        return Linear(found, self.bias[first:last])

    def scaled(self, factor: Array) -> "Linear":
        return Linear(
            {a: m * (factor if m.ndim == 1 else factor[:, None]) for a, m in self.terms.items()},
            self.bias * factor,
        )

    def plus(self, other: "Linear") -> "Linear":
        terms = dict(self.terms)
        for atom, matrix in other.terms.items():
            if atom in terms:
                a, b = terms[atom], matrix
                if a.ndim != b.ndim:
                    a, b = (np.diag(m) if m.ndim == 1 else m for m in (a, b))
                terms[atom] = a + b
            else:
                terms[atom] = matrix
        return Linear(terms, self.bias + other.bias)

    def times(self, matrix: Array) -> "Linear":
        """``matrix`` [rows, size] times this."""
        return Linear(
            {a: matrix * m if m.ndim == 1 else matrix @ m for a, m in self.terms.items()},
            matrix @ self.bias,
        )

    @property
    def constant(self) -> bool:
        return not self.terms


def plain(atom: Atom) -> Linear:
    """An atom itself."""
    return Linear({atom: np.ones(atom.size)}, np.zeros(atom.size))


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor: its shape on the sample inputs, and the parts of its last axis, one behind the
    other."""

    shape: tuple[int, ...]
    parts: tuple[Linear, ...]

    @property
    def leading(self) -> tuple[int, ...]:
        """The axes that are longer than 1, without the last one."""
        return tuple(size for size in self.shape[:-1] if size != 1)

    def cut(self, places: Sequence[int]) -> tuple[Linear, ...] | None:
        """The parts, cut at these places too."""
        found: list[Linear] = []
        start = 0
        for part in self.parts:
            inside = [p - start for p in places if start < p < start + part.size]
            for first, last in zip([0, *inside], [*inside, part.size], strict=True):
                rows = part.rows(first, last)
                if rows is None:
                    return None
                found.append(rows)
            start += part.size
        return tuple(found)

    @property
    def edges(self) -> list[int]:
        return [int(p) for p in np.cumsum([part.size for part in self.parts])]
