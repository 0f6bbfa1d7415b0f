"""The activation functions of ONNX LSTM, GRU and RNN: the machine's own, or scaled into them.

Where a function is one of the machine's of a scaled and shifted argument, the factor and the
summand go into the rows that it reads: exact, and free.
"""

from dataclasses import dataclass, replace

import numpy as np

from sparnn.gen.network.model import GATES
from sparnn.sim.aliases import FloatArray
from sparnn.sim.network.network import GATE_FUNCTIONS

from .constants import Call
from .values import refuse

__all__ = ["RowFunctions", "row_functions"]

#: Function -> the parameters that it takes, with ONNX's defaults; None: it has to be given.
_PARAMETERS: dict[str, tuple[float | None, ...]] = {
    "affine": (None, None),
    "elu": (1.0,),
    "hardsigmoid": (0.2, 0.5),
    "leakyrelu": (0.01,),
    "scaledtanh": (None, None),
    "thresholdedrelu": (1.0,),
}
_PLAIN = {"RNN": ["tanh"], "GRU": ["sigmoid", "tanh"], "LSTM": ["sigmoid", "tanh", "tanh"]}
#: What may stand at each place, for messages.
_LEGAL = {
    "RNN": "Relu, Tanh, Sigmoid, HardSigmoid, Affine and ScaledTanh with an alpha of 1",
    "GRU": "Sigmoid or HardSigmoid, then Tanh, Relu, that σ, Affine or ScaledTanh with an alpha "
    "of 1",
    "LSTM": "Sigmoid, HardSigmoid, Tanh or Relu, then Tanh, Relu, one σ for all, Affine or "
    "ScaledTanh with an alpha of 1, then Tanh, Relu or that σ",
}
#: Beyond this argument σ and tanh are within half a step of Q15 of their ends.
_SATURATED = 12.0


@dataclass(frozen=True, eq=False)
class RowFunctions:
    """What one direction's rows are for the machine.

    Members
    -------
    name : the layer's ``activation``.
    gate, candidate, cell : its functions of those names.
    clip : its clip.
    scale, shift : [gates] in the machine's order; its pre-activation is ``scale · a + shift`` of
        the model's.
    """

    name: str
    gate: str
    candidate: str
    cell: str
    clip: float | None
    scale: FloatArray
    shift: FloatArray


def row_functions(call: Call, count: int) -> list[RowFunctions]:
    """The functions of each of ``count`` directions, with ``clip`` checked.

    Raises
    ------
    SparnnError : a function that the machine does not compute exactly.
    """
    node, op, attrs = call.node, call.node.op_type, call.attrs
    names = [a.decode(errors="replace") for a in attrs.get("activations", [])]
    given = [name.lower() for name in names] or _PLAIN[op] * count
    if len(given) != len(_PLAIN[op]) * count:
        raise refuse(node, f"activations = {names} are not {len(_PLAIN[op])} for each direction")
    arguments = _arguments(call, given)
    each = len(_PLAIN[op])
    found = []
    for direction in range(count):
        at = slice(direction * each, (direction + 1) * each)
        functions = _direction(op, given[at], arguments[at])
        if functions is None:
            raise refuse(
                node,
                f"activations = {names} with alpha and beta {[list(a) for a in arguments]} is not "
                f"supported, only {_LEGAL[op]}; retrain with one of them",
            )
        clip = _clip(call, given[at], arguments[at])
        found.append(replace(functions, clip=clip))
    return found


def _arguments(call: Call, given: list[str]) -> list[tuple[float, ...]]:
    """alpha and beta of each function: taken from the two lists by those that have them."""
    lists = [
        [float(v) for v in call.attrs.get(name, [])]
        for name in ("activation_alpha", "activation_beta")
    ]
    found = []
    for name in given:
        values = []
        for at, default in enumerate(_PARAMETERS.get(name, ())):
            if not lists[at] and default is None:
                raise refuse(
                    call.node,
                    f"{name} has no activation_{('alpha', 'beta')[at]}, and ONNX names no default; "
                    "give one",
                )
            values.append(lists[at].pop(0) if lists[at] else float(default or 0))
        found.append(tuple(values))
    for name, left in zip(("activation_alpha", "activation_beta"), lists, strict=True):
        if left:
            raise refuse(
                call.node,
                f"{name} has {len(left)} values more than the activations {given} take; remove "
                "them",
            )
    return found


def _direction(
    op: str, names: list[str], arguments: list[tuple[float, ...]]
) -> RowFunctions | None:
    if op == "RNN":
        function = _function(names[0], arguments[0])
        if function is None:
            return None
        name, scale, shift = function
        return RowFunctions(
            name, "sigmoid", "tanh", "tanh", None, np.array([scale]), np.array([shift])
        )
    gates = GATES[op.lower()]
    functions = [_function(*each) for each in zip(names, arguments, strict=True)]
    if op == "GRU":  # it has no state that goes through a function
        functions.append(("tanh", 1.0, 0.0))
    gate, candidate, cell = functions
    if gate is None or candidate is None or cell is None:
        return None
    legal = ("sigmoid", "hard_sigmoid") if op == "GRU" else ("hard_sigmoid", *GATE_FUNCTIONS)
    if gate[0] not in legal or cell[1:] != (1.0, 0.0):  # no row could scale a state
        return None
    chosen = [gate[0], candidate[0], cell[0]]
    sigmas = {name for name in chosen if "sigmoid" in name}
    if len(sigmas) > 1:  # the machine has one for a layer
        return None
    of_candidate = np.array([name in "gn" for name in gates])
    gate_name, candidate_name, cell_name = (
        "sigmoid" if name in sigmas else name for name in chosen
    )
    return RowFunctions(
        "hard_sigmoid" if "hard_sigmoid" in sigmas else "",
        gate_name,
        candidate_name,
        cell_name,
        None,
        np.where(of_candidate, candidate[1], gate[1]),
        np.where(of_candidate, candidate[2], gate[2]),
    )


def _function(name: str, values: tuple[float, ...]) -> tuple[str, float, float] | None:
    """The machine's function, and the factor and the summand of its argument; None: it has none."""
    if name in ("relu", "tanh", "sigmoid"):
        return name, 1.0, 0.0
    if name == "hardsigmoid":
        alpha, beta = values
        return "hard_sigmoid", 4 * alpha, 4 * (beta - 0.5)  # of p: 1/2 + p / 4, from 0 to 1
    if name == "affine":
        alpha, beta = values
        return "identity", alpha, beta
    if name == "scaledtanh" and values[0] == 1:
        return "tanh", values[1], 0.0
    return None


def _clip(call: Call, names: list[str], arguments: list[tuple[float, ...]]) -> float | None:
    """The clip that the machine has to do: none where the functions have come to their ends."""
    clip = call.attrs.get("clip")
    if clip is None:
        return None
    needed = []
    for name, values in zip(names, arguments, strict=True):
        if name in ("sigmoid", "tanh"):
            needed.append(_SATURATED)
        elif name == "scaledtanh" and values[1]:
            needed.append(_SATURATED / abs(values[1]))
        elif name == "hardsigmoid" and values[0]:
            needed.append(max(abs(values[1]), abs(1 - values[1])) / abs(values[0]))
        else:
            needed.append(float("inf"))
    if clip >= max(needed):
        return None
    if clip > 0 and set(names) <= {"sigmoid", "tanh"}:
        return float(clip)
    raise refuse(
        call.node,
        f"clip = {clip:g} is not supported with {names}: the machine clips what Sigmoid and Tanh "
        f"read, and no more; here it changes nothing only from {max(needed):g} on; retrain without "
        "clip, or with at least that: leaving it out of a trained model gives another network",
    )
