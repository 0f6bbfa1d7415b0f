"""What a model says of how it was exported: cells as loose operators, and known faults."""

from collections import Counter
from collections.abc import Iterator, Sequence

import onnx
from onnx import GraphProto, ModelProto, NodeProto

from .model import reads

__all__ = ["export_warnings", "loose_cell"]

#: How often an LSTM and a GRU use σ and tanh in a step.
_CELLS = {(3, 2): "an LSTM", (2, 1): "a GRU", (0, 1): "an RNN"}
_PRODUCTS = frozenset({"Gemm", "MatMul"})
#: Operators of such a step, of what moves tensors around it, and of what counts steps.
_PLAIN = _PRODUCTS | frozenset(
    {"Add", "And", "Cast", "Concat", "Constant", "ConstantOfShape", "Dropout", "Equal", "Expand"}
    | {"Flatten", "Gather", "Identity", "Less", "Mul", "Neg", "Relu", "Reshape", "Shape"}
    | {"Sigmoid", "Slice", "Split", "Squeeze", "Sub", "Sum", "Tanh", "Transpose", "Unsqueeze"}
)
#: Operators by which masks keep the state of a step.
_MASKS = frozenset({"Not", "ReduceMax", "ReduceMin", "Where"})
_MODULES = {"an LSTM": "LSTM", "a GRU": "GRU", "an RNN": "RNN"}


def export_warnings(model: ModelProto) -> list[str]:
    """Sentences about what an exporter has left out, or is known to write wrongly."""
    read = {name for node in model.graph.node for name in reads(node)}
    read |= {value.name for value in (*model.graph.output, *model.graph.initializer)}
    unread = [
        f"graph input {value.name!r} is read by nothing: what it was for is not in the file, as "
        "Paddle2ONNX leaves sequence_length out; the machine computes the network without it"
        for value in model.graph.input
        if value.name not in read
    ]
    if model.producer_name != "pytorch":
        return unread
    return unread + [
        f"GRU {node.name or node.output[0]!r} resets before the product (linear_before_reset = 0) "
        "in a file that PyTorch wrote, whose GRU resets behind it: its exporter has left the "
        "attribute out (pytorch issue 189225), and outputs are off by up to 14 %; export with "
        "dynamo=False, or set linear_before_reset to 1 in the file"
        for node in _nodes(model)
        if node.op_type == "GRU"
        and not next((a.i for a in node.attribute if a.name == "linear_before_reset"), 0)
    ]


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    yield from model.graph.node
    for function in model.functions:
        yield from function.node


def loose_cell(model: ModelProto) -> str:
    """What is to be said of a model whose cells stand as operators, unrolled or in the body of a
    loop; "" where there are none."""
    for node in model.graph.node:
        for body in _bodies(node):
            kind, others = _kind(body.node), _others(body.node, 1)
            known = kind or "a cell of its own"
            walk = f"{node.op_type} {node.name or node.output[0]!r} goes through the steps of"
            if kind and not others:
                return f"{walk} {kind} whose cell stands as operators in its body; {_advice(kind)}"
            own = _PRODUCTS & {one.op_type for one in body.node}
            if others and own and node.op_type in ("Loop", "Scan"):
                return f"{walk} {known} {_more(others)}"
    kind, steps = _unrolled(model.graph)
    if not kind:
        return ""
    times = f"unrolled over {steps} steps" if steps > 1 else "of one step"
    others = _others(model.graph.node, steps - 1) if steps > 2 else []
    if others:
        return f"the model holds the cell of {kind} as single operators, {times}, {_more(others)}"
    return f"the model holds the cell of {kind} as single operators, {times}; {_advice(kind)}"


def _others(nodes: Sequence[NodeProto], least: int) -> list[str]:
    """Operators that stand there so often, and that no cell of ONNX has."""
    found = Counter(node.op_type for node in nodes)
    return sorted(name for name, count in found.items() if count >= least and name not in _PLAIN)


def _more(others: Sequence[str]) -> str:
    """What is to be said of a cell that is more than one of ONNX."""
    limit = (
        f"with the operators {', '.join(others)}, which are no part of an LSTM, GRU or RNN that is "
        "recognized"
    )
    if set(others) <= _MASKS:
        return (
            f"{limit}: they mask steps; where the masked steps are the last ones, export the model "
            "without the mask (in Keras Masking or mask_zero) and run each sequence without them"
        )
    return (
        f"{limit}; write the cell as one of these nodes if that has such an activation "
        "(ScaledTanh, say), or train with the layers of the framework instead"
    )


def _advice(kind: str) -> str:
    name = _MODULES[kind]
    return (
        f"export it with the operator {name}: in PyTorch nn.{name} on the whole sequence instead "
        f"of nn.{name}Cell in a loop (weight_ih, weight_hh and the biases become weight_ih_l0, "
        f"weight_hh_l0, …); in Keras a layer that is not unrolled, on a fixed number of steps"
    )


def _bodies(node: NodeProto) -> list[GraphProto]:
    return [
        body
        for attribute in node.attribute
        for body in (
            [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs
        )
    ]


def _kind(nodes: Sequence[NodeProto]) -> str:
    """Which cell's functions these nodes are, once; "" where they are none's."""
    found = Counter(node.op_type for node in nodes)
    if not sum(found[name] for name in _PRODUCTS):
        return ""
    return _CELLS.get((found["Sigmoid"], found["Tanh"]), "")


def _unrolled(graph: GraphProto) -> tuple[str, int]:
    """The cell, and how many times it stands there: as often as most weights are multiplied by."""
    weights = {tensor.name for tensor in graph.initializer}
    uses = Counter(
        name
        for node in graph.node
        if node.op_type in _PRODUCTS
        for name in node.input
        if name in weights
    )
    used = [count for count in uses.values() if count > 0]
    found = Counter(node.op_type for node in graph.node)
    for (sigmas, tanhs), kind in _CELLS.items():
        steps = found["Tanh"] // tanhs
        # One step of an RNN looks like any layer with tanh.
        least = 1 if sigmas else 2
        alike = found["Sigmoid"] == sigmas * steps and found["Tanh"] == tanhs * steps
        # The first step's hidden half may have been folded: its state is zero.
        repeated = sum(count >= steps - 1 for count in used) >= 2
        if steps >= least and alike and repeated:
            return kind, steps
    return "", 0
