"""ONNX LSTM, GRU and RNN as layers: attributes, gate order, initial states."""

from dataclasses import replace

import numpy as np

from sparnn.gen.model import FloatArray, FloatLayer
from sparnn.gen.onnx_chain import Chain, Draft, assign, assign_size
from sparnn.gen.onnx_constants import Call
from sparnn.gen.onnx_values import Axis, Const, Fill, Signal, Value, check_finite, refuse, weight

__all__ = ["recurrent"]

# ONNX stacks its gates i,o,f,c and z,r,h; docs/numerics.md wants i,f,g,o and r,z,n.
ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
DEFAULT_ACTIVATIONS = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"]}
ROW_ACTIVATIONS = ("relu", "tanh", "sigmoid")


def _attributes(call: Call) -> tuple[int, str]:
    """Check the attributes that LSTM, GRU and RNN share; return layout and RNN's activation."""
    node, attrs, op = call.node, call.attrs, call.node.op_type
    direction = attrs.get("direction", b"forward").decode(errors="replace")
    if direction != "forward":
        raise refuse(
            node,
            f"direction = {direction} is not supported yet, only forward; retrain or export a "
            "forward network",
        )
    names = [a.decode(errors="replace") for a in attrs.get("activations", [])]
    given = [n.lower() for n in names]
    for name in ("activation_alpha", "activation_beta"):
        if attrs.get(name):
            raise refuse(node, f"{name} = {list(attrs[name])} is not supported; remove it")
    if op == "RNN":
        given = given or ["tanh"]
        if len(given) != 1 or given[0] not in ROW_ACTIVATIONS:
            raise refuse(
                node, f"activations = {names} is not supported, only one of Relu, Tanh and Sigmoid"
            )
    elif given and given != DEFAULT_ACTIVATIONS[op]:
        default = [a.capitalize() for a in DEFAULT_ACTIVATIONS[op]]
        raise refuse(
            node,
            f"activations = {names} is not supported, only the default {default}; retrain with it",
        )
    if "clip" in attrs:
        raise refuse(
            node,
            f"clip = {attrs['clip']:g} is not supported: the machine does not clip the inputs of "
            "activations; export the model without clip",
        )
    if attrs.get("input_forget", 0):
        raise refuse(
            node,
            "input_forget = 1 (coupled input and forget gates) is not supported; retrain with "
            "separate gates",
        )
    if op == "GRU" and not attrs.get("linear_before_reset", 0):
        raise refuse(
            node,
            "linear_before_reset = 0 (reset before the matrix product) is not supported, only 1; "
            "retrain with reset_after=True (Keras) or with PyTorch's GRU, which is of this form",
        )
    layout = int(attrs.get("layout", 0))
    if layout not in (0, 1):
        raise refuse(node, f"layout = {layout} is not defined; it is 0 or 1")
    return layout, given[0] if op == "RNN" else ""


def _gates(call: Call, index: int, role: str, shape: tuple[int | None, ...]) -> FloatArray:
    """W or R: [1, gates·units, columns] as [gates, units, columns], gates reordered."""
    array = weight(call.node, call.input(index), role)
    matches = array.ndim == 3 and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if not matches:
        text = ", ".join("inputs" if s is None else str(s) for s in shape)
        raise refuse(
            call.node, f"{role} has shape {list(array.shape)}, expected [{text}]; export it again"
        )
    order = ORDER[call.node.op_type]
    return array[0].reshape(len(order), -1, array.shape[2])[list(order)]


def _initial(
    call: Call, chain: Chain, index: int, role: str, units: int, layout: int
) -> FloatArray | None:
    """initial_h or initial_c: a constant [units], or None and perhaps an entry of the io."""
    value: Value | None = call.input(index)
    if value is None:
        return None
    node, name = call.node, call.node.input[index] if index < len(call.node.input) else ""
    order = ("direction", "batch", "feature") if layout == 0 else ("batch", "direction", "feature")
    if isinstance(value, Fill):
        check_finite(np.asarray(value.value), f"{role} (tensor {name!r})")
        return np.full(units, value.value) if value.value else None
    if isinstance(value, Const):
        array = weight(node, replace(value, spread=False), role)
        if array.ndim != 3 or array.shape[2] != units or array.shape[order.index("direction")] != 1:
            raise refuse(
                node,
                f"{role} has shape {list(array.shape)}, expected [{', '.join(order)}] with "
                f"direction 1 and {units} features",
            )
        rows = array.reshape(-1, units)
        if (rows != rows[0]).any():
            raise refuse(
                node,
                f"{role} differs between the {len(rows)} sequences of the batch; a constant "
                "initial state has to be the same for all, or make it a graph input",
            )
        return rows[0] if rows[0].any() else None
    if not isinstance(value, Signal) or not isinstance(value.source, str):
        raise refuse(
            node,
            f"{role} ({name!r}) is computed inside the graph; it has to be absent, constant, zero "
            "or a graph input",
        )
    if value.source in chain.states or (chain.x and chain.x[0] == value.source):
        raise refuse(
            node,
            f"{role} reads graph input {value.source!r}, which something else reads too; give it "
            "an input of its own",
        )
    if len(value.axes) != 3:
        raise refuse(node, f"{role} has {len(value.axes)} axes, expected [{', '.join(order)}]")
    for axis, label in zip(value.axes, order, strict=True):
        if label == "batch":
            assign(call, axis, label, role)
        else:
            assign_size(call, axis, label, 1 if label == "direction" else units, role)
    where = chain.graph_inputs[value.source]
    chain.states[value.source] = (role, len(chain.drafts), where)
    return None


def recurrent(call: Call, chain: Chain) -> list[Value]:
    """ONNX LSTM, GRU and RNN, one forward direction."""
    node, op = call.node, call.node.op_type
    layout, activation = _attributes(call)
    gates = len(ORDER[op])
    signal = call.signal()
    r = weight(node, call.input(2), "R")
    units = int(r.shape[-1])
    if call.attrs.get("hidden_size", units) != units:
        raise refuse(node, f"hidden_size = {call.attrs['hidden_size']}, but R has {units} columns")
    w_h = _gates(call, 2, "R", (1, gates * units, units))
    w_x = _gates(call, 1, "W", (1, gates * units, None))
    b = np.zeros((2, gates, units))
    if call.input(3) is not None:
        flat = weight(node, call.input(3), "B")
        if flat.shape != (1, 2 * gates * units):
            raise refuse(node, f"B has shape {list(flat.shape)}, expected [1, {2 * gates * units}]")
        b = flat.reshape(2, gates, units)[:, list(ORDER[op])]
    if call.input(4) is not None:
        raise refuse(
            node,
            "sequence_lens is not supported: every sequence of a call has the same length; run "
            "sequences of different lengths one by one and export without it",
        )
    peephole = call.input(7) if op == "LSTM" else None
    zero = (isinstance(peephole, Const) and not peephole.array.any()) or (
        isinstance(peephole, Fill) and not peephole.value
    )
    if peephole is not None and not zero:
        raise refuse(node, "peepholes (input P) are not supported; retrain without them")
    if len(signal.axes) != 3:
        raise refuse(node, f"X has shape {signal.shape_text}; it needs three axes")
    if signal.last:
        raise refuse(
            node,
            "reads only the last step of a sequence; a recurrent layer needs all steps (Y, not "
            "Y_h), so feed it the sequence",
        )
    order = (1, 0) if layout else (0, 1)
    time, batch, feature = signal.axes[order[0]], signal.axes[order[1]], signal.axes[2]
    assign(call, time, "time", "X")
    assign(call, batch, "batch", "X")
    assign_size(call, feature, "feature", int(w_x.shape[2]), "X")
    chain.connect(call, signal)
    layer = FloatLayer(
        name=chain.name(call),
        kind=op.lower(),
        activation=activation,
        w_x=w_x,
        w_h=w_h,
        b_x=b[0],
        b_h=b[1],
        initial_h=_initial(call, chain, 5, "initial_h", units, layout),
        initial_c=_initial(call, chain, 6, "initial_c", units, layout) if op == "LSTM" else None,
    )
    index = len(chain.drafts)
    chain.drafts.append(Draft(layer, chain.name(call)))
    out, one = Axis(units, "feature"), Axis(1, "direction")
    y = (batch, time, one, out) if layout else (time, one, batch, out)
    y_h = (batch, one, out) if layout else (one, batch, out)
    outputs: list[Value] = [
        Signal(y, index, signal.dtype),
        Signal(y_h, index, signal.dtype, last=True),
        Signal(y_h, index, signal.dtype, last=True, cell=True),
    ]
    return outputs[: len(node.output)]
