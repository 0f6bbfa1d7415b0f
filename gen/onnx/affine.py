"""Batch norm, and factors and summands for each feature, folded into weights.

``K0 · x + K1`` with constants K0 and K1 goes into the layer that reads it: K0 into its weights, K1
into its bias (MASR, arXiv 1908.08976, section 3: stored activations keep their zeros). Directly
after a linear layer it goes into that one. Either is exact in real numbers, and is done in float64
before anything is quantized.
"""

from dataclasses import replace

import numpy as np

from sparnn.sim.aliases import FloatArray

from .chain import Chain, assign
from .constants import Call
from .values import Signal, Value, refuse, weight

__all__ = ["batch_norm", "divide", "folded", "multiply", "per_feature", "scaled", "subtract"]


def folded(signal: Signal, w: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weights [..., inputs] and biases [...] that read the signal without its ``affine``."""
    if signal.affine is None:
        return w, b
    factor, summand = signal.affine
    return w * factor, b + w @ summand


def scaled(
    call: Call, chain: Chain, signal: Signal, factor: FloatArray, summand: FloatArray
) -> Signal:
    """``factor · signal + summand``, each [features]."""
    if signal.direction is not None or signal.cell:
        raise refuse(
            call.node, "scales something other than the whole output of a layer; scale that"
        )
    source = signal.source
    layer = chain.drafts[source].layer if isinstance(source, int) else None
    if layer is not None and layer.kind == "linear" and layer.activation == "identity":
        return chain.change(
            call,
            signal,
            w_x=layer.w_x * factor[:, np.newaxis],
            b_x=layer.b_x * factor + summand,
            b_h=layer.b_h * factor,
        )
    if signal.affine is not None:
        factor, summand = factor * signal.affine[0], factor * signal.affine[1] + summand
    return replace(signal, affine=(factor, summand))


def per_feature(call: Call, signal: Signal, value: Value | None, role: str) -> FloatArray:
    """A constant that holds a value for each feature, or one for all: [features]."""
    array = weight(call.node, value, role)
    rank = len(signal.axes)
    at = [i for i, axis in enumerate(signal.axes) if axis.role == "feature"]
    if not at and isinstance(signal.source, str):
        at = [rank - 1]  # of the network's input, whose axes have no roles yet
    shape: tuple[int, ...] = (1,) * (rank - array.ndim) + array.shape
    if len(at) != 1 or len(shape) != rank or any(n != 1 for i, n in enumerate(shape) if i != at[0]):
        raise refuse(
            call.node,
            f"{role} has shape {list(array.shape)}, the activations {signal.shape_text}; only a "
            "constant for each feature, or one for all of them, can go into a layer's weights",
        )
    size = signal.axes[at[0]].size
    if size is None or shape[at[0]] not in (1, size):
        raise refuse(
            call.node, f"{role} holds {shape[at[0]]} values for activations {signal.shape_text}"
        )
    assign(call, signal.axes[at[0]], "feature", "its operand")
    return np.broadcast_to(array.reshape(-1), (size,)).copy()


def batch_norm(call: Call, chain: Chain) -> list[Value]:
    """ONNX BatchNormalization in inference: a factor and a summand for each feature."""
    signal, node = call.signal(), call.node
    if call.attrs.get("training_mode", 0) or len(node.output) > 1:
        raise refuse(node, "is in training mode; export the model in inference mode (model.eval())")
    if len(signal.axes) < 2 or signal.axes[1].role not in ("feature", ""):
        raise refuse(
            node,
            f"normalizes axis 1 of shape {signal.shape_text}, which is not the features of a layer",
        )
    assign(call, signal.axes[1], "feature", "X")
    names = ("scale", "B", "input_mean", "input_var")
    arrays = [weight(node, call.input(k), name) for k, name in enumerate(names, 1)]
    size = signal.axes[1].size
    if size is None or any(array.shape != (size,) for array in arrays):
        shapes = ", ".join(str(list(array.shape)) for array in arrays)
        raise refuse(node, f"has parameters of shapes {shapes} for shape {signal.shape_text}")
    gamma, beta, mean, variance = arrays
    variance = variance + float(call.attrs.get("epsilon", 1e-5))
    if (variance <= 0).any():
        raise refuse(node, "has a variance that is not positive; train the model again")
    factor = gamma / np.sqrt(variance)
    return [scaled(call, chain, signal, factor, beta - mean * factor)]


def _operands(call: Call, verb: str) -> tuple[Signal, Value | None, bool]:
    """The activation, the other operand, and whether the activation comes first."""
    left, right = call.input(0), call.input(1)
    if isinstance(left, Signal) and isinstance(right, Signal):
        raise refuse(
            call.node,
            f"{verb} two activations ({call.node.input[0]!r} and {call.node.input[1]!r}); one "
            "operand has to be a constant",
        )
    if isinstance(left, Signal):
        return left, right, True
    if not isinstance(right, Signal):
        raise refuse(call.node, "has no operand that depends on the input")
    return right, left, False


def multiply(call: Call, chain: Chain) -> list[Value]:
    """ONNX Mul by a constant."""
    signal, other, _ = _operands(call, "multiplies")
    factor = per_feature(call, signal, other, "the factor")
    return [scaled(call, chain, signal, factor, np.zeros_like(factor))]


def divide(call: Call, chain: Chain) -> list[Value]:
    """ONNX Div by a constant."""
    signal, other, first = _operands(call, "divides")
    divisor = per_feature(call, signal, other, "the divisor")
    if not first or (divisor == 0).any():
        raise refuse(call.node, "divides by an activation or by zero; only constants that are not")
    return [scaled(call, chain, signal, 1 / divisor, np.zeros_like(divisor))]


def subtract(call: Call, chain: Chain) -> list[Value]:
    """ONNX Sub of a constant, or from one."""
    signal, other, first = _operands(call, "subtracts")
    constant = per_feature(call, signal, other, "the constant")
    sign = 1.0 if first else -1.0
    return [scaled(call, chain, signal, np.full_like(constant, sign), -sign * constant)]
