"""ONNX Gemm, MatMul, Add, Relu, Tanh and Sigmoid as linear layers with bias and activation."""

from dataclasses import replace

import numpy as np

from sparnn.gen.network.model import FloatLayer
from sparnn.sim.aliases import FloatArray

from .affine import folded, per_feature, scaled
from .chain import Chain, Draft, assign_size
from .constants import Call
from .directions import added, two_directions
from .values import Axis, Signal, Value, refuse, weight

__all__ = ["activate", "add", "gemm", "matmul"]


def _linear(
    call: Call, chain: Chain, signal: Signal, at: int, w: FloatArray, b: FloatArray
) -> Signal:
    """Add a linear layer with weights [units, inputs] that contracts axis ``at`` of ``signal``."""
    units, inputs = w.shape
    assign_size(call, signal.axes[at], "feature", inputs, "its operand")
    chain.connect(call, signal)
    w, b = folded(signal, w, b)
    layer = FloatLayer(
        name=chain.name(call),
        kind="linear",
        activation="identity",
        w_x=w[None],
        w_h=None,
        b_x=b.reshape(1, units),
        b_h=np.zeros((1, units)),
        last_only=signal.last,
        last_step=signal.step,
    )
    chain.drafts.append(Draft(layer, layer.name))
    axes = (*signal.axes[:at], Axis(units, "feature"), *signal.axes[at + 1 :])
    return Signal(axes, len(chain.drafts) - 1, signal.dtype, last=signal.last)


def gemm(call: Call, chain: Chain) -> list[Value]:
    """ONNX Gemm: alpha · A' · B' + beta · C with the activation as A and constants B, C."""
    node = call.node
    signal = call.signal()
    if len(signal.axes) != 2:
        raise refuse(node, f"A has shape {signal.shape_text}, expected two axes")
    w = weight(node, call.input(1), "B") * float(call.attrs.get("alpha", 1.0))
    if w.ndim != 2:
        raise refuse(node, f"B has shape {list(w.shape)}, expected two axes")
    w = w if call.attrs.get("transB", 0) else w.T
    b = np.zeros(w.shape[0])
    if call.input(2) is not None:
        c = weight(node, call.input(2), "C") * float(call.attrs.get("beta", 1.0))
        b = _bias(call, c, 2, 1, w.shape[0], "C")
    at = 0 if call.attrs.get("transA", 0) else 1
    result = _linear(call, chain, signal, at, w, b)
    return [result if at == 1 else replace(result, axes=result.axes[::-1])]


def _bias(call: Call, array: FloatArray, rank: int, at: int, units: int, role: str) -> FloatArray:
    """A constant that broadcasts along every axis of a [rank]-tensor but ``at``: [units]."""
    shape: tuple[int, ...] = (1,) * (rank - array.ndim) + array.shape
    if len(shape) != rank or any(n != 1 for i, n in enumerate(shape) if i != at):
        raise refuse(
            call.node,
            f"{role} has shape {list(array.shape)}; a bias holds one value per output feature",
        )
    if shape[at] not in (1, units):
        raise refuse(call.node, f"{role} holds {shape[at]} values for {units} output features")
    return np.broadcast_to(array.reshape(-1), (units,)).copy()


def matmul(call: Call, chain: Chain) -> list[Value]:
    """ONNX MatMul of an activation and a constant matrix, in either order."""
    node = call.node
    left, right = call.input(0), call.input(1)
    if isinstance(left, Signal) and isinstance(right, Signal):
        raise refuse(
            node, "multiplies two activations; one operand has to be a constant weight matrix"
        )
    signal, at = (left, -1) if isinstance(left, Signal) else (right, -2)
    if not isinstance(signal, Signal):
        raise refuse(node, "has no operand that depends on the input")
    w = weight(node, right if at == -1 else left, "the weight operand")
    rank = len(signal.axes)
    if w.ndim < 2 or w.ndim > max(rank, 2) or any(n != 1 for n in w.shape[:-2]) or rank < -at:
        raise refuse(
            node,
            f"multiplies {signal.shape_text} with {list(w.shape)}; supported is one matrix "
            "[inputs, outputs] for all steps",
        )
    rows, columns = w.shape[-2:]
    matrix = w.reshape(rows, columns)
    matrix = matrix.T if at == -1 else matrix
    return [_linear(call, chain, signal, rank + at, matrix, np.zeros(len(matrix)))]


def add(call: Call, chain: Chain) -> list[Value]:
    """ONNX Add of a constant: the bias of the MatMul or Gemm before it."""
    node = call.node
    left, right = call.input(0), call.input(1)
    if isinstance(left, Signal) and isinstance(right, Signal):
        if two_directions(left, right):
            return [added(call, chain, left)]
        raise refuse(
            node,
            f"adds two activations ({node.input[0]!r} and {node.input[1]!r}); residual connections "
            "are not supported, only one chain of layers",
        )
    signal, other = (left, right) if isinstance(left, Signal) else (right, left)
    if not isinstance(signal, Signal):
        raise refuse(node, "has no operand that depends on the input")
    source = signal.source
    layer = chain.drafts[source].layer if isinstance(source, int) else None
    if layer is None or layer.kind != "linear" or layer.activation != "identity":
        summand = per_feature(call, signal, other, "the summand")
        return [scaled(call, chain, signal, np.ones_like(summand), summand)]
    features = [i for i, a in enumerate(signal.axes) if a.role == "feature"]
    if len(features) != 1:
        raise refuse(node, "adds a bias after the feature axis was removed; add it before")
    constant = weight(node, other, "the bias operand")
    b = _bias(call, constant, len(signal.axes), features[0], layer.units, "the bias operand")
    return [chain.change(call, signal, b_x=layer.b_x + b)]


def activate(call: Call, chain: Chain) -> list[Value]:
    """ONNX Relu, Tanh and Sigmoid: the activation of the linear layer before it."""
    signal, op = call.signal(), call.node.op_type
    source = signal.source
    layer = chain.drafts[source].layer if isinstance(source, int) else None
    if layer is None or layer.kind != "linear" or layer.activation != "identity":
        after = "the input" if layer is None else f"layer {layer.name!r}"
        raise refuse(
            call.node,
            f"follows {after}; the machine applies {op} only directly after a MatMul or Gemm (with "
            "its bias), so run it outside",
        )
    return [chain.change(call, signal, activation=op.lower())]
