"""The activation functions of ONNX LSTM, GRU and RNN: the machine's own, or scaled into them.

Where a function is one of the machine's of a scaled and shifted argument, the factor and the
summand go into the rows that it reads: exact, and free.
"""

from dataclasses import dataclass

import numpy as np

from sparnn.gen.network.model import GATES
from sparnn.sim.aliases import FloatArray

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
    "GRU": "Sigmoid or HardSigmoid, then Tanh or ScaledTanh with an alpha of 1",
    "LSTM": "Sigmoid or HardSigmoid, then Tanh or ScaledTanh with an alpha of 1, then Tanh",
}
#: Beyond this argument σ and tanh are within half a step of Q15 of their ends.
_SATURATED = 12.0


@dataclass(frozen=True, eq=False)
class RowFunctions:
    """What one direction's rows are for the machine.

    Members
    -------
    name : the layer's ``activation``.
    scale, shift : [gates] in the machine's order; its pre-activation is ``scale · a + shift`` of
        the model's.
    """

    name: str
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
        _check_clip(call, given[at], arguments[at])
        found.append(functions)
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
    gates = GATES[op.lower()]
    scale, shift = np.ones(len(gates)), np.zeros(len(gates))
    own = ""
    for place, (name, values) in enumerate(zip(names, arguments, strict=True)):
        if op == "RNN":
            rows = [0]
        elif place == 0:
            rows = [k for k, gate in enumerate(gates) if gate not in "gn"]
        else:
            rows = [k for k, gate in enumerate(gates) if gate in "gn"]
        plain = ("relu", "tanh", "sigmoid") if op == "RNN" else (_PLAIN[op][place],)
        if name in plain:
            own = name if op == "RNN" else own
        elif name == "hardsigmoid" and (op == "RNN" or place == 0):
            alpha, beta = values
            own = "hard_sigmoid"  # of p: 1/2 + p / 4, from 0 to 1
            scale[rows], shift[rows] = 4 * alpha, 4 * (beta - 0.5)
        elif name == "affine" and op == "RNN":
            own = "identity"
            scale[rows], shift[rows] = values
        elif name == "scaledtanh" and place < 2 and values[0] == 1 and (op == "RNN" or place):
            own = "tanh" if op == "RNN" else own
            scale[rows] = values[1]
        else:
            return None
    return RowFunctions(own, scale, shift)


def _check_clip(call: Call, names: list[str], arguments: list[tuple[float, ...]]) -> None:
    """Accept a clip that lies where the functions have come to their ends anyway."""
    clip = call.attrs.get("clip")
    if clip is None:
        return
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
    if not clip >= max(needed):
        raise refuse(
            call.node,
            f"clip = {clip:g} is not supported: the machine does not clip the inputs of "
            f"activations, which changes nothing only from {max(needed):g} on with {names}; "
            "retrain without clip, or with at least that: leaving it out of a trained model gives "
            "another network",
        )
