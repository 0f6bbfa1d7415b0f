"""A model from a PyTorch state dict in safetensors and a small TOML file that names its layers.

The tensors' names say how many layers and directions a module has, and whether it has biases and a
projection; the TOML file says what the names do not: the kind, the order, the activations.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open

from sparnn.gen.errors import SparnnError
from sparnn.sim.aliases import FloatArray

__all__ = ["SUFFIX", "state_dict_model"]

#: Of files that :func:`state_dict_model` reads.
SUFFIX = ".toml"

#: Bytes of a file of weights.
_MOST = 1 << 31

#: Gates as PyTorch stacks them -> the order in which ONNX does.
_ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
_TYPES = {"F16", "F32", "F64"}
_OPSET, _IR = 17, 8


class _Layer(BaseModel):
    """One ``[[layers]]``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    kind: Literal["lstm", "gru", "rnn", "linear"]
    activation: Literal["tanh", "relu", "sigmoid"] | None = None
    returns: Literal["sequence", "last"] = "sequence"


class _File(BaseModel):
    """The TOML file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    weights: str
    ignore: list[str] = []
    layers: list[_Layer]


def state_dict_model(path: Path) -> ModelProto:
    """The model that a TOML file and its file of weights are.

    Input ``x`` is [time, batch, inputs]; output ``y`` [time, batch, units], without the time where
    a layer returns its last state. Initial states are zero. Nothing of the files is executed.

    Raises
    ------
    SparnnError: a file cannot be read, or a tensor is missing, left over or of another shape.
    """
    try:
        content = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        raise SparnnError(f"{path}: cannot be read as TOML ({error})") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(one) for one in first["loc"])
        raise SparnnError(
            f"{path}: {where}: {first['msg'].lower()}; it holds weights, layers with name, kind, "
            "activation and returns, and perhaps ignore (docs/models.md)"
        ) from None
    if not content.layers:
        raise SparnnError(f"{path}: layers is empty; name the modules in the order they run in")
    if Path(content.weights).is_absolute() or ".." in Path(content.weights).parts:
        raise SparnnError(f"{path}: weights is {content.weights!r}; put the file beside this one")
    weights = _Weights(_tensors(path.parent / content.weights))
    built = _Built()
    for number, layer in enumerate(content.layers):
        try:
            _add(built, layer, weights)
        except SparnnError as error:
            raise SparnnError(f"{path}: layer {number}, {layer.name}: {error}") from None
    left = [
        name
        for name in weights.left
        if not any(name == prefix or name.startswith(f"{prefix}.") for prefix in content.ignore)
    ]
    if left:
        raise SparnnError(
            f"{path}: no layer has taken {left[0]} and {len(left) - 1} other tensors: name its "
            'module in layers or, if the network goes without it, in ignore = ["…"]'
        )
    return built.model()


def _tensors(path: Path) -> Mapping[str, FloatArray]:
    try:
        size = path.stat().st_size
        if size > _MOST:
            raise SparnnError(f"{path} has {size} bytes; files up to {_MOST} are read")
        found = {}
        with safe_open(path, framework="numpy") as file:
            # The file is no mapping: it has keys() and cannot be iterated.
            for name in file.keys():  # noqa: SIM118
                kind = file.get_slice(name).get_dtype()
                if kind not in _TYPES and not name.endswith("num_batches_tracked"):
                    raise SparnnError(
                        f"{path}: {name} has the type {kind}; save it as float32: "
                        "{name: tensor.float() …}"
                    )
                found[name] = file.get_tensor(name).astype(np.float64)
    except (OSError, SafetensorError) as error:
        raise SparnnError(
            f"{path}: cannot be read as safetensors ({error}); save the state dict with "
            "safetensors.torch.save_file"
        ) from None
    for name, value in found.items():
        if not np.isfinite(value).all():
            raise SparnnError(f"{path}: {name} holds values that are not finite")
    return found


class _Weights:
    """The tensors of a file; ``left``: those that nobody has taken."""

    def __init__(self, tensors: Mapping[str, FloatArray]) -> None:
        self._tensors = tensors
        self.left = dict.fromkeys(tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def take(self, name: str, *shape: int | None) -> FloatArray:
        """A tensor of that shape; None: any size."""
        if name not in self._tensors:
            near = ", ".join(list(self._tensors)[:4])
            raise SparnnError(f"there is no tensor {name}; the file has {near}, …")
        found = self._tensors[name]
        fits = found.ndim == len(shape) and all(
            wanted in (None, size) for wanted, size in zip(shape, found.shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if one is None else str(one) for one in shape)
            raise SparnnError(f"{name} is {list(found.shape)}, where [{wanted}] belongs")
        self.left.pop(name, None)
        return found


@dataclass
class _Built:
    """The graph so far. ``value``: what the next layer reads, with so many ``units``."""

    value: str = "x"
    units: int | None = None
    inputs: int = 0
    last: bool = False
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, name: str, value: FloatArray) -> str:
        return self.constant(name, value.astype(np.float32))

    def node(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, **attributes))

    def model(self) -> ModelProto:
        shape = ["batch"] if self.last else ["time", "batch"]
        graph = helper.make_graph(
            self.nodes,
            "state_dict",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["time", "batch", self.inputs])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [*shape, self.units])],
            self.constants,
        )
        graph.node[-1].output[0] = "y"
        opset = helper.make_opsetid("", _OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=_IR)


def _add(built: _Built, layer: _Layer, weights: _Weights) -> None:
    if layer.kind == "linear":
        if layer.returns == "last":
            raise SparnnError('returns = "last" is of recurrent layers')
        _add_linear(built, layer, weights)
        return
    if built.last:
        raise SparnnError('the layer before returns its last state alone; let it be "sequence"')
    if layer.activation is not None and (layer.kind != "rnn" or layer.activation == "sigmoid"):
        raise SparnnError(f"an {layer.kind} of PyTorch has no activation {layer.activation!r}")
    number = 0
    while f"{layer.name}.weight_ih_l{number}" in weights or not number:
        above = f"{layer.name}.weight_ih_l{number + 1}" in weights
        _add_recurrent(built, layer, weights, number, last=layer.returns == "last" and not above)
        number += 1


def _add_linear(built: _Built, layer: _Layer, weights: _Weights) -> None:
    matrix = weights.take(f"{layer.name}.weight", None, built.units)
    built.units, built.inputs = len(matrix), built.inputs or matrix.shape[1]
    parts = [built.value, built.weight(f"{layer.name}.weight", matrix.T)]
    built.value = f"{layer.name}.product"
    built.node("MatMul", parts, [built.value])
    if f"{layer.name}.bias" in weights:
        bias = weights.take(f"{layer.name}.bias", len(matrix))
        parts = [built.value, built.weight(f"{layer.name}.bias", bias)]
        built.value = f"{layer.name}.sum"
        built.node("Add", parts, [built.value])
    if layer.activation is not None:
        built.node(layer.activation.capitalize(), [built.value], [f"{layer.name}.y"])
        built.value = f"{layer.name}.y"


def _add_recurrent(
    built: _Built, layer: _Layer, weights: _Weights, number: int, *, last: bool
) -> None:
    """One layer of a module, in as many directions as it has."""
    ends = ["", "_reverse"]
    if f"{layer.name}.weight_ih_l{number}_reverse" not in weights:
        ends = ends[:1]
    sides = [_Side.take(weights, layer, f"l{number}{end}", built.units) for end in ends]
    units = sides[0].units
    if any(side.w.shape != sides[0].w.shape or side.units != units for side in sides):
        raise SparnnError(f"the two directions of layer {number} have different sizes")
    name = f"{layer.name}_l{number}"
    built.inputs = built.inputs or sides[0].w.shape[1]
    parts = [
        built.value,
        built.weight(f"{name}.W", np.stack([side.w for side in sides])),
        built.weight(f"{name}.R", np.stack([side.r for side in sides])),
        built.weight(f"{name}.B", np.stack([side.b for side in sides])),
    ]
    attributes: dict[str, Any] = {"hidden_size": units}
    if len(sides) == 2:
        attributes["direction"] = "bidirectional"
    if layer.kind == "gru":
        attributes["linear_before_reset"] = 1
    if layer.kind == "rnn":
        attributes["activations"] = [(layer.activation or "tanh").capitalize()] * len(sides)
    built.node(layer.kind.upper(), parts, [f"{name}.Y", f"{name}.Y_h"], **attributes)
    built.value, built.last, built.units = f"{name}.y", last, len(sides) * units
    # [time, directions, batch, units], or without the time: the directions side by side.
    order, sizes = ([1, 0, 2], [0, built.units]) if last else ([0, 2, 1, 3], [0, 0, built.units])
    built.node("Transpose", [f"{name}.Y_h" if last else f"{name}.Y"], [f"{name}.t"], perm=order)
    shape = built.constant(f"{name}.shape", np.array(sizes))
    built.node("Reshape", [f"{name}.t", shape], [built.value])
    projections = [side.projection for side in sides if side.projection is not None]
    if projections:
        rows, columns = projections[0].shape
        whole = np.zeros((len(sides) * columns, len(sides) * rows))
        for side, matrix in enumerate(projections):
            whole[side * columns : (side + 1) * columns, side * rows : (side + 1) * rows] = matrix.T
        built.node("MatMul", [built.value, built.weight(f"{name}.P", whole)], [f"{name}.p"])
        built.value, built.units = f"{name}.p", len(sides) * rows


@dataclass(frozen=True)
class _Side:
    """One direction of a layer, its gates in ONNX's order.

    Members
    -------
    w: [gates x units, inputs]. r: [gates x units, units], times the projection where there is one.
    b: both biases, one after the other. projection: [projected, units], of an LSTM with proj_size.
    """

    w: FloatArray
    r: FloatArray
    b: FloatArray
    projection: FloatArray | None
    units: int

    @classmethod
    def take(cls, weights: _Weights, layer: _Layer, end: str, inputs: int | None) -> "_Side":
        def named(part: str) -> str:
            return f"{layer.name}.{part}_{end}"

        order = _ORDER[layer.kind]
        gates = len(order)
        w = weights.take(named("weight_ih"), None, inputs)
        units = len(w) // gates
        if units * gates != len(w) or not units:
            raise SparnnError(
                f"{named('weight_ih')} has {len(w)} rows, which are not {gates} gates; kind may be "
                "another one"
            )
        projection = None
        if named("weight_hr") in weights:
            if layer.kind != "lstm":
                raise SparnnError(f"{named('weight_hr')}: only an LSTM has a projection")
            projection = weights.take(named("weight_hr"), None, units)
        columns = units if projection is None else len(projection)
        r = weights.take(named("weight_hh"), len(w), columns)
        if projection is not None:
            r = r @ projection
        biases = [np.zeros(len(w))] * 2
        if named("bias_ih") in weights:
            biases = [weights.take(named(f"bias_{half}"), len(w)) for half in ("ih", "hh")]

        def ordered(value: FloatArray) -> FloatArray:
            return np.concatenate([value[gate * units : (gate + 1) * units] for gate in order])

        b = np.concatenate([ordered(bias) for bias in biases])
        return cls(ordered(w), ordered(r), b, projection, units)
