"""An ONNX file becomes a float network, or one sentence that says why it cannot.

The importer walks through the nodes that the outputs depend on. It evaluates constants, follows the
axes of the input through the plumbing (``onnx_shapes``), and turns LSTM, GRU, RNN, Gemm and MatMul
into layers (``onnx_recurrent``, ``onnx_linear``). What it does not know it refuses: no operator is
dropped, and none is replaced by different mathematics.
"""

from collections.abc import Callable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, inliner, numpy_helper

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatNetwork

from .affine import batch_norm, divide, multiply, subtract
from .chain import Chain
from .constants import Call, fold
from .directions import concat, reduce_sum, split
from .linear import activate, add, gemm, matmul
from .recurrent import recurrent
from .shapes import PLUMBING
from .state_dict import SUFFIX, state_dict_model
from .values import FLOAT_TYPES, Axis, Const, Signal, Value, refuse

__all__ = [
    "LAYERS",
    "InvalidModelError",
    "element_type",
    "import_onnx",
    "load_onnx",
    "network_of",
]

#: Operator sets: 7 brought today's broadcasting and recurrent operators.
FIRST_OPSET = 7
LAST_OPSET = 26

#: Operators that become a layer or a part of one, by ONNX name.
LAYERS: dict[str, Callable[[Call, Chain], list[Value]]] = {
    "Add": add,
    "BatchNormalization": batch_norm,
    "Concat": concat,
    "Div": divide,
    "GRU": recurrent,
    "Gemm": gemm,
    "LSTM": recurrent,
    "MatMul": matmul,
    "Mul": multiply,
    "RNN": recurrent,
    "ReduceSum": reduce_sum,
    "Relu": activate,
    "Sigmoid": activate,
    "Split": split,
    "Sub": subtract,
    "Tanh": activate,
}

#: What to do about operators that are met often, but not supported.
ADVICE = {
    "ArgMax": "take the logits before it as the output",
    "If": "export the model with fixed shapes, without control flow",
    "LayerNormalization": "retrain without it",
    "LogSoftmax": "take the logits before it as the output",
    "Loop": "export the model with its LSTM, GRU or RNN operators, not unrolled",
    "Scan": "export the model with its LSTM, GRU or RNN operators",
    "Softmax": "take the logits before it as the output",
}


class InvalidModelError(SparnnError):
    """What ONNX's own checker refuses."""


def import_onnx(path: Path) -> FloatNetwork:
    """Read an ONNX file.

    Weights may be float16, float32 or float64; they are converted to float64, which is exact.

    Raises
    ------
    SparnnError : the file cannot be read, is not a valid model, or holds anything that the machine
        does not compute exactly as ONNX defines it.
    """
    model = load_onnx(path)
    try:
        return network_of(model)
    except SparnnError as error:
        raise SparnnError(f"{path}: {error}") from error


def load_onnx(path: Path) -> ModelProto:
    """An ONNX file, its external data included, or what a TOML file says of a state dict.

    Raises
    ------
    SparnnError : it cannot be read.
    """
    if path.suffix == SUFFIX:
        return state_dict_model(path)
    try:
        model = onnx.load(path)
        # What is no text, type or tensor fails here, and not somewhere behind.
        for name in _names(model):
            name.encode()
        for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
            if value.type.WhichOneof("value") == "tensor_type" and value.type.tensor_type.elem_type:
                element_type(value.type.tensor_type.elem_type, value.name)
        for tensor in model.graph.initializer:
            element_type(tensor.data_type, tensor.name)
            numpy_helper.to_array(tensor)
        for node in model.graph.node:
            _check_attributes(node)
        _check_expanded(model)
    except Exception as error:
        raise SparnnError(
            f"{path}: cannot be read as an ONNX model ({_reason(error)}); give the path of a "
            "complete .onnx file, with its external data files beside it"
        ) from error
    return model


#: Values that a constant may be expanded to.
_MOST = 1 << 26


def _check_attributes(node: NodeProto) -> None:
    """Refuse attributes that stand there twice, or are of another type than ONNX's."""
    names = [attribute.name for attribute in node.attribute]
    if len(set(names)) < len(names):
        raise ValueError(f"node {node.name!r} has an attribute twice")
    if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type):
        return
    known = onnx.defs.get_schema(node.op_type).attributes
    for attribute in node.attribute:
        if (
            attribute.name in known
            and getattr(known[attribute.name].type, "value") != attribute.type
        ):
            raise ValueError(f"node {node.name!r} has {attribute.name} of the wrong type")


def _check_expanded(model: ModelProto) -> None:
    """Refuse constants that become gigabytes when they are evaluated."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        place = {"ConstantOfShape": 0, "Expand": 1}.get(node.op_type)
        if place is None or place >= len(node.input) or node.input[place] not in weights:
            continue
        sizes = [int(one) for one in numpy_helper.to_array(weights[node.input[place]]).reshape(-1)]
        if prod(sizes) > _MOST:
            raise ValueError(f"node {node.name!r} makes {prod(sizes)} values of a constant")


def _names(model: ModelProto) -> Iterator[str]:
    for node in model.graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
    graph = model.graph
    for named in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        yield named.name


def network_of(model: ModelProto) -> FloatNetwork:
    """The network of a loaded model (see ``import_onnx``)."""
    opset = _check(model)
    if model.functions:
        model = inliner.inline_local_functions(model)
    graph = model.graph
    if graph.sparse_initializer:
        raise SparnnError("the model holds sparse initializers; store its weights as dense tensors")
    nodes = _needed(model)
    _check_states(nodes, graph)
    read = {name for node in nodes for name in node.input} | {o.name for o in graph.output}
    values: dict[str, Value] = {}
    for tensor in graph.initializer:
        if tensor.name in read:
            values[tensor.name] = Const(_array(tensor), tensor.name)
    chain = Chain()
    for info in graph.input:
        if info.name in values or any(t.name == info.name for t in graph.initializer):
            continue
        if info.name not in read:
            raise SparnnError(
                f"graph input {info.name!r} is read by nothing that the outputs depend on; remove "
                "it from the model"
            )
        signal = _graph_input(info)
        values[info.name] = signal
        chain.graph_inputs[info.name] = signal.axes
    for node in nodes:
        results = _step(node, values, opset, chain)
        values.update({name: v for name, v in zip(node.output, results, strict=False) if name})
    chain.check_recurrent()
    outputs = [_graph_output(info.name, values.get(info.name), chain) for info in graph.output]
    layers = chain.finish()
    return FloatNetwork(layers, {"inputs": _inputs(chain), "outputs": outputs})


def _check_states(nodes: Sequence[NodeProto], graph: onnx.GraphProto) -> None:
    """Refuse an initial state that the file itself says has another size than the layer.

    Zeros are taken whatever their shape is, and this is how PyTorch's newer exporter leaves the
    projection of an LSTM out.
    """
    sizes = {
        value.name: value.type.tensor_type.shape.dim[-1].dim_value
        for value in graph.value_info
        if value.type.tensor_type.shape.dim
    }
    for node in nodes:
        if node.op_type not in ("GRU", "LSTM", "RNN"):
            continue
        units = next((a.i for a in node.attribute if a.name == "hidden_size"), 0)
        for role, name in zip(("initial_h", "initial_c"), node.input[5:7], strict=False):
            size = sizes.get(name, 0)
            if units and size and size != units:
                raise refuse(
                    node,
                    f"{role} ({name!r}) has {size} features, but hidden_size is {units}: PyTorch's "
                    "newer exporter writes an LSTM with proj_size so, without its projection, "
                    "which is another network; give sparnn the module itself (sparnn.compile) or "
                    "its state dict in safetensors",
                )


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def _check(model: ModelProto) -> int:
    """Validate the model; return the version of the default operator set."""
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise InvalidModelError(
            f"not a valid ONNX model ({_reason(error)}); the file is damaged or incomplete, so "
            "export it again"
        ) from error
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    opset = int(versions[0]) if versions else 0
    last = min(LAST_OPSET, onnx.defs.onnx_opset_version())
    if not FIRST_OPSET <= opset <= last:
        raise SparnnError(
            f"the model uses operator set {opset}; supported are {FIRST_OPSET} to {last}, so "
            "convert it with onnx.version_converter or export it again"
        )
    return opset


def _needed(model: ModelProto) -> list[NodeProto]:
    """The nodes that the graph outputs depend on, in order."""
    wanted = {o.name for o in model.graph.output}
    nodes: list[NodeProto] = []
    for node in reversed(model.graph.node):
        if any(o in wanted for o in node.output if o):
            wanted.update(node.input)
            nodes.append(node)
            for attribute in node.attribute:
                if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
                    advice = ADVICE.get(node.op_type, "export the model without control flow")
                    raise refuse(node, f"operators with a body are not supported; {advice}")
    return nodes[::-1]


def _array(tensor: TensorProto) -> np.ndarray[Any, Any]:
    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:
        raise SparnnError(
            f"initializer {tensor.name!r} cannot be read ({_reason(error)}); the file is damaged "
            "or its external data is missing"
        ) from error


def element_type(number: int, where: str) -> np.dtype[Any]:
    """The type of a tensor's elements.

    Raises
    ------
    SparnnError : ONNX has no such type.
    """
    try:
        return np.dtype(helper.tensor_dtype_to_np_dtype(number))
    except (KeyError, TypeError, ValueError):
        raise SparnnError(
            f"{where} has elements of type {number}, which ONNX does not have; the file is "
            "damaged, so export it again"
        ) from None


def _graph_input(info: onnx.ValueInfoProto) -> Signal:
    """A graph input: a float tensor of known rank."""
    where = f"graph input {info.name!r}"
    if info.type.WhichOneof("value") != "tensor_type":
        raise SparnnError(f"{where} is not a tensor; only float tensors are supported")
    tensor = info.type.tensor_type
    dtype = element_type(tensor.elem_type, where)
    if dtype not in FLOAT_TYPES:
        raise SparnnError(
            f"{where} has type {dtype}; supported are float16, float32 and float64, so move what "
            "turns it into floats (an embedding, say) out of the model"
        )
    if not tensor.HasField("shape"):
        raise SparnnError(f"{where} has no shape; export the model with one (sizes may stay open)")
    axes = []
    for i, dim in enumerate(tensor.shape.dim):
        size = dim.dim_value if dim.HasField("dim_value") else None
        if size is not None and size < 1:
            raise SparnnError(f"{where} has size {size} on axis {i}; every size is at least 1")
        axes.append(Axis(size))
    return Signal(tuple(axes), info.name, dtype)


def _step(node: NodeProto, values: dict[str, Value], opset: int, chain: Chain) -> list[Value]:
    """What one node gives."""
    if node.domain not in ("", "ai.onnx"):
        raise refuse(
            node,
            f"operators of domain {node.domain!r} are not supported, only those of ONNX "
            "itself; export the model without them",
        )
    missing = [n for n in node.input if n and n not in values]
    if missing:
        raise refuse(
            node, f"reads {missing[0]!r}, an output that is not supported on the node that gives it"
        )
    attrs = {
        a.name: a.t if a.type == onnx.AttributeProto.TENSOR else helper.get_attribute_value(a)
        for a in node.attribute
    }
    call = Call(node, attrs, tuple(values[n] if n else None for n in node.input), opset)
    folded = fold(call)
    if folded is not None:
        return folded
    if node.op_type in LAYERS:
        return LAYERS[node.op_type](call, chain)
    if node.op_type in PLUMBING:
        return PLUMBING[node.op_type](call)
    supported = ", ".join(sorted(LAYERS)) + " and, to move axes, " + ", ".join(sorted(PLUMBING))
    advice = ADVICE.get(node.op_type, "the host computes it around recurrent layers")
    raise refuse(node, f"this operator is not supported: {advice} (supported: {supported})")


def _labels(where: str, axes: tuple[Axis, ...]) -> list[str]:
    """Roles of the axes; an axis of size 1 without one is the batch, or else a direction."""
    roles = [a.role for a in axes]
    for i, axis in enumerate(axes):
        if not roles[i]:
            if not axis.unit:
                raise SparnnError(
                    f"{where}: axis {i} is neither batch, time nor feature of a layer; every axis "
                    "has to reach a recurrent layer"
                )
            roles[i] = "direction" if "batch" in roles else "batch"
    repeated = [r for r in roles if roles.count(r) > 1]
    if repeated:
        raise SparnnError(
            f"{where} has two axes that stand for {repeated[0]}; remove the axes of size 1 that it "
            "does not need"
        )
    return roles


def _inputs(chain: Chain) -> list[dict[str, Any]]:
    entries = []
    assert chain.x is not None
    found = [(chain.x[0], "x", 0, chain.x[1])]
    found += [(name, *state) for name, states in chain.states.items() for state in states]
    for name, role, layer, axes in found:
        where = f"graph input {name!r}"
        labels = _labels(where, axes)
        sizes = [a.size for a in axes]
        entry = {"name": name, "role": role, "layer": layer, "axes": labels, "sizes": sizes}
        if len(chain.states.get(name, [])) > 1:
            entry["at"] = layer - chain.states[name][0][1]
        entries.append(entry)
    for name in chain.graph_inputs:
        if name not in {entry["name"] for entry in entries}:
            raise SparnnError(
                f"graph input {name!r} is neither a layer's input nor an initial state; remove it"
            )
    return entries


def _graph_output(name: str, value: Value | None, chain: Chain) -> dict[str, Any]:
    """The io entry of a graph output."""
    where = f"graph output {name!r}"
    if not isinstance(value, Signal) or isinstance(value.source, str):
        raise SparnnError(f"{where} does not come from a layer; remove it from the graph outputs")
    chain.whole(value, lambda what: SparnnError(f"{where} {what}"))
    if value.affine is not None:
        raise SparnnError(
            f"{where} is scaled or shifted after layer {chain.drafts[value.source].layer.name!r}, "
            "which only a layer that reads it can take over; make the layer itself the output and "
            "scale outside"
        )
    chain.use(value, where)
    labels = _labels(where, value.axes)
    what = "sequence" if "time" in labels and not value.last else "step" if value.step else "last"
    if value.cell:
        what = "state_c"
    entry: dict[str, Any] = {"name": name, "layer": value.source, "what": what, "axes": labels}
    layer = chain.drafts[value.source].layer
    if layer.join in ("concat", "sum"):
        entry["layers"] = [value.source - 1, value.source]
    if layer.join == "concat" and "direction" in labels:
        entry["directions"] = 2
    return entry
