"""A float network as an ONNX model with the original's inputs and outputs.

The float reference of a pruned network: the original model still has all its weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .model import FloatLayer, FloatNetwork

__all__ = ["float_model"]

_OPSET = 17
_IR_VERSION = 8
_States = Mapping[str, Mapping[str, Any] | None]
_CANONICAL = ("time", "batch", "feature")
#: Our gates in ONNX's order: LSTM i, o, f, c; GRU z, r, h.
_GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
_ACTIVATIONS = {
    "relu": "Relu",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "hard_sigmoid": "HardSigmoid",
    "identity": "Affine",
}
#: alpha and beta of those that have them.
_PARAMETERS = {"hard_sigmoid": (0.25, 0.5), "identity": (1.0, 0.0)}


def float_model(network: FloatNetwork) -> onnx.ModelProto:
    """The model: float32, one chain, sequences as [time, batch, feature] inside."""
    builder = _Builder()
    io = network.io
    inputs = {(entry["role"], entry["layer"]): entry for entry in io["inputs"]}
    names = {entry["name"]: entry["axes"] for entry in io["inputs"]}
    value = builder.to_canonical(inputs["x", 0])
    builder.batch = builder.node(
        "Gather", builder.node("Shape", value), builder.integers(1), axis=0
    )
    found: list[dict[str, str]] = []  # by layer the values of each output's ``what``
    for stage in network.stages:
        results = []
        if network.layers[stage[-1]].join == "reset":
            gates, candidate = (network.layers[index] for index in stage)
            start = {"initial_h": inputs.get(("initial_h", stage[0]))}
            whole = _whole_gru(gates, candidate)
            found += [{}, builder.layer(whole, value, start, reset_first=True)]
            value = found[-1]["sequence"]
            continue
        layers = [network.layers[index] for index in stage]
        given = [
            {role: inputs.get((role, index)) for role in ("initial_h", "initial_c")}
            for index in stage
        ]
        if len(stage) > 1 and _two_directions(layers, given):
            found += [{}, builder.both(layers, value, given)]
            value = found[-1]["sequence"]
            continue
        for layer, states in zip(layers, given, strict=True):
            source = value
            if layer.last_only and found:
                source = found[-1]["step" if layer.last_step else "last"]
            results.append(builder.layer(layer, source, states))
        found += results
        if len(stage) > 1:
            found[-1] = {
                what: builder.node("Concat", *(one[what] for one in results), axis=2)
                for what in results[0]
                if what in results[1]
            }
            if layers[-1].join == "sum":
                found[-1]["sequence"] = builder.node("Add", *(one["sequence"] for one in results))
                found[-1]["step"] = builder.last(found[-1]["sequence"])
        value = found[-1]["sequence"]
    for entry in io["outputs"]:
        builder.from_canonical(entry, found[entry["layer"]][entry["what"]])
    graph = helper.make_graph(
        builder.nodes,
        "sparnn",
        [_info(name, axes) for name, axes in names.items()],
        [_info(entry["name"], entry["axes"]) for entry in io["outputs"]],
        builder.constants,
    )
    opset = helper.make_opsetid("", _OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)


def _whole_gru(gates: FloatLayer, candidate: FloatLayer) -> FloatLayer:
    """One GRU with linear_before_reset = 0."""
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(gates, name), getattr(candidate, name)])
        for name in ("w_x", "w_h", "b_x", "b_h")
    }
    name, function = candidate.name, candidate.candidate
    return replace(gates, name=name, kind="gru", candidate=function, **arrays)


def _two_directions(layers: Sequence[FloatLayer], states: Sequence[_States]) -> bool:
    """Whether joined layers are the forward and the reverse direction of one node."""
    first, second = layers
    names = ("kind", "activation", "units", "gate", "candidate", "cell", "clip")
    same = all(getattr(first, name) == getattr(second, name) for name in names)
    starts = [
        [
            states[k][f"initial_{role}"] is None and getattr(layer, f"initial_{role}") is None
            for role in "hc"
        ]
        for k, layer in enumerate(layers)
    ]
    peepholes = (first.w_c is None) == (second.w_c is None)
    turned = second.reverse and not first.reverse
    return same and turned and peepholes and starts[0] == starts[1]


class _Builder:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.batch = ""

    def node(self, operator: str, *inputs: str, outputs: Sequence[str] = (), **fields: Any) -> str:
        names = list(outputs) or [f"sparnn_v{len(self.nodes)}"]  # none of the model's own names
        self.nodes.append(helper.make_node(operator, inputs, names, **fields))
        return names[0]

    def constant(self, array: np.ndarray[Any, Any]) -> str:
        name = f"sparnn_c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def floats(self, array: np.ndarray[Any, Any]) -> str:
        return self.constant(np.asarray(array, np.float32))

    def integers(self, *numbers: int) -> str:
        return self.constant(np.array(numbers, np.int64))

    def to_canonical(self, entry: Mapping[str, Any]) -> str:
        """A graph input as [time, batch, feature]; axes that it lacks have the size 1."""
        axes, value = list(entry["axes"]), entry["name"]
        if "direction" in axes:
            at = axes.index("direction")
            value = self.node("Gather", value, self.integers(entry.get("at", 0)), axis=at)
            value = self.node("Squeeze", value, self.integers(at))
            axes.remove("direction")
        order = [axes.index(axis) for axis in _CANONICAL if axis in axes]
        value = self.node("Transpose", value, perm=order)
        missing = [k for k, axis in enumerate(_CANONICAL) if axis not in axes]
        return self.node("Unsqueeze", value, self.integers(*missing)) if missing else value

    def from_canonical(self, entry: Mapping[str, Any], value: str) -> None:
        axes = list(entry["axes"])
        if "direction" in axes:  # [time, batch, direction, feature]
            shape = self.integers(0, 0, entry.get("directions", 1), -1)
            value = self.node("Reshape", value, shape)
            value = self.node("Transpose", value, perm=[2, 0, 1, 3])
        whole = ["direction", *_CANONICAL] if "direction" in axes else list(_CANONICAL)
        missing = [k for k, axis in enumerate(whole) if axis not in axes]
        if missing:
            value = self.node("Squeeze", value, self.integers(*missing))
        present = [axis for axis in whole if axis in axes]
        order = [present.index(axis) for axis in axes]
        self.node("Transpose", value, perm=order, outputs=[entry["name"]])

    def last(self, value: str) -> str:
        return self.node(
            "Slice", value, self.integers(-1), self.integers(np.iinfo(np.int64).max),
            self.integers(0),
        )  # fmt: skip

    def layer(
        self,
        layer: FloatLayer,
        value: str,
        states: _States,
        *,
        reset_first: bool = False,
    ) -> dict[str, str]:
        """What a layer gives, [time, batch, feature], by the ``what`` of an output."""
        if layer.kind == "linear":
            value = self.linear(layer, value)
            return {"sequence": value, "last": self.last(value), "step": self.last(value)}
        outputs = self.recurrent([layer], value, [states], reset_first=reset_first)
        sequence = self.node("Squeeze", outputs[0], self.integers(1))
        found = {"sequence": sequence, "step": self.last(sequence), "last": outputs[1]}
        return found | ({"state_c": outputs[2]} if layer.kind == "lstm" else {})

    def both(
        self, layers: Sequence[FloatLayer], value: str, states: Sequence[_States]
    ) -> dict[str, str]:
        """The same of the two directions of a layer, which the importer takes as one node alone."""
        outputs = self.recurrent(layers, value, states)
        if layers[-1].join == "sum":
            sequence = self.node("ReduceSum", outputs[0], self.integers(1), keepdims=0)
        else:
            sequence = self.node("Transpose", outputs[0], perm=[0, 2, 1, 3])
            sequence = self.node("Reshape", sequence, self.integers(0, 0, -1))
        found = {"sequence": sequence, "step": self.last(sequence)}
        for what, state in zip(("last", "state_c"), outputs[1:], strict=False):
            state = self.node("Transpose", state, perm=[1, 0, 2])
            state = self.node("Reshape", state, self.integers(0, -1))
            found[what] = self.node("Unsqueeze", state, self.integers(0))
        return found

    def recurrent(
        self,
        layers: Sequence[FloatLayer],
        value: str,
        states: Sequence[_States],
        *,
        reset_first: bool = False,
    ) -> list[str]:
        """The outputs of one node of one layer or of its two directions."""
        layer, order = layers[0], list(_GATES[layers[0].kind])

        def rows(name: str) -> np.ndarray[Any, Any]:
            arrays = [getattr(one, name)[order] for one in layers]
            return np.stack([a.reshape(layer.gates * layer.units, *a.shape[2:]) for a in arrays])

        bias = np.concatenate([rows("b_x"), rows("b_h")], axis=1)
        inputs = [value, self.floats(rows("w_x")), self.floats(rows("w_h")), self.floats(bias), ""]
        for role in ("initial_h", "initial_c")[: 1 + (layer.kind == "lstm")]:
            starts = [
                self.state(one, getattr(one, role), given[role])
                for one, given in zip(layers, states, strict=True)
            ]
            several = len(starts) > 1 and starts[0]
            inputs.append(self.node("Concat", *starts, axis=0) if several else starts[0])
        if layer.w_c is not None:  # ONNX: i, o, f
            peepholes = [one.w_c[[0, 2, 1]].reshape(-1) for one in layers if one.w_c is not None]
            inputs.append(self.floats(np.stack(peepholes)))
        fields: dict[str, Any] = {"hidden_size": layer.units}
        if layer.kind == "gru":
            fields["linear_before_reset"] = int(not reset_first)
        fields |= _functions(layer, len(layers))
        if len(layers) > 1:
            fields["direction"] = "bidirectional"
        elif layer.reverse:
            fields["direction"] = "reverse"
        name = f"sparnn_{layer.kind}{len(self.nodes)}"
        outputs = [f"{name}_{k}" for k in range(2 + (layer.kind == "lstm"))]
        self.node(layer.kind.upper(), *inputs, outputs=outputs, **fields)
        return outputs

    def linear(self, layer: FloatLayer, value: str) -> str:
        value = self.node("MatMul", value, self.floats(layer.w_x[0].T))
        value = self.node("Add", value, self.floats(layer.b_x[0] + layer.b_h[0]))
        if layer.activation == "identity":
            return value
        if layer.activation == "hard_sigmoid":
            return self.node("HardSigmoid", value, alpha=0.25, beta=0.5)
        return self.node(_ACTIVATIONS[layer.activation], value)

    def state(
        self,
        layer: FloatLayer,
        constant: np.ndarray[Any, Any] | None,
        entry: Mapping[str, Any] | None,
    ) -> str:
        """An initial state as [1, batch, units]."""
        if entry is not None:
            value = self.to_canonical(entry)
        elif constant is not None:
            value = self.floats(constant.reshape(1, 1, layer.units))
        else:
            return ""
        one = self.integers(1)
        shape = self.node("Concat", one, self.batch, one, axis=0)
        return self.node("Expand", value, shape)


def _functions(layer: FloatLayer, directions: int) -> dict[str, Any]:
    """The attributes that name a recurrent layer's functions, for each of its directions."""
    sigma = "hard_sigmoid" if layer.activation == "hard_sigmoid" else "sigmoid"
    names = {
        "lstm": [layer.gate, layer.candidate, layer.cell],
        "gru": [sigma, layer.candidate],
        "rnn": [layer.activation],
    }[layer.kind]
    names = [sigma if name == "sigmoid" else name for name in names] * directions
    found: dict[str, Any] = {"activations": [_ACTIVATIONS[name] for name in names]}
    given = [_PARAMETERS[name] for name in names if name in _PARAMETERS]
    if given:  # of those alone that have them
        alpha, beta = zip(*given, strict=True)
        found |= {"activation_alpha": list(alpha), "activation_beta": list(beta)}
    return found | ({} if layer.clip is None else {"clip": layer.clip})


def _info(name: str, axes: Sequence[str]) -> onnx.ValueInfoProto:
    # Only the number of axes is fixed.
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * len(axes))
