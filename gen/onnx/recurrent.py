"""ONNX LSTM, GRU and RNN as layers: attributes, gate order, initial states."""

from dataclasses import replace
from typing import Any

import numpy as np

from sparnn.gen.network.model import FloatLayer
from sparnn.sim.aliases import FloatArray

from .activations import row_functions
from .affine import folded
from .chain import Chain, Draft, assign, assign_size
from .constants import Call
from .values import Axis, Const, Fill, Signal, Value, check_finite, refuse, weight

__all__ = ["recurrent"]

# ONNX stacks its gates i,o,f,c and z,r,h; docs/numerics.md wants i,f,g,o and r,z,n.
ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}


#: Whether each direction runs backwards, by the attribute.
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


def _attributes(call: Call) -> tuple[int, tuple[bool, ...]]:
    """Check the attributes that LSTM, GRU and RNN share.

    Returns the layout, and whether each direction runs backwards.
    """
    node, attrs, op = call.node, call.attrs, call.node.op_type
    direction = attrs.get("direction", b"forward").decode(errors="replace")
    if direction not in DIRECTIONS:
        raise refuse(node, f"direction = {direction} is none of {', '.join(DIRECTIONS)}")
    backwards = DIRECTIONS[direction]
    if op == "GRU" and not attrs.get("linear_before_reset", 0) and any(backwards):
        raise refuse(
            node,
            f"linear_before_reset = 0 (reset before the matrix product) with direction = "
            f"{direction} is not supported: the machine takes it one step at a time, forwards; "
            "retrain with reset_after=True (Keras) or with PyTorch's GRU, which have 1",
        )
    layout = int(attrs.get("layout", 0))
    if layout not in (0, 1):
        raise refuse(node, f"layout = {layout} is not defined; it is 0 or 1")
    return layout, backwards


def _gates(call: Call, index: int, role: str, shape: tuple[int | None, ...]) -> FloatArray:
    """W or R: [directions, gates·units, columns] as [directions, gates, units, columns], gates
    reordered."""
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
    split = array.reshape(len(array), len(order), -1, array.shape[2])
    return np.asarray(split[:, list(order)])


def _initial(
    call: Call, chain: Chain, index: int, role: str, units: int, layout: int, directions: int
) -> list[FloatArray | None]:
    """initial_h or initial_c of each direction: a constant [units], or None and perhaps an entry
    of the io."""
    nothing: list[FloatArray | None] = [None] * directions
    value: Value | None = call.input(index)
    if value is None:
        return nothing
    node, name = call.node, call.node.input[index] if index < len(call.node.input) else ""
    order = ("direction", "batch", "feature") if layout == 0 else ("batch", "direction", "feature")
    if isinstance(value, Fill):
        check_finite(np.asarray(value.value), f"{role} (tensor {name!r})")
        return [np.full(units, value.value)] * directions if value.value else nothing
    if isinstance(value, Const):
        array = weight(node, replace(value, spread=False), role)
        at = order.index("direction")
        if array.ndim != 3 or array.shape[2] != units or array.shape[at] != directions:
            raise refuse(
                node,
                f"{role} has shape {list(array.shape)}, expected [{', '.join(order)}] with "
                f"direction {directions} and {units} features",
            )
        rows = np.moveaxis(array, at, 0)
        if (rows != rows[:, :1]).any():
            raise refuse(
                node,
                f"{role} differs between the {rows.shape[1]} sequences of the batch; a constant "
                "initial state has to be the same for all, or make it a graph input",
            )
        return [row[0] if row[0].any() else None for row in rows]
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
            assign_size(call, axis, label, directions if label == "direction" else units, role)
    where = chain.graph_inputs[value.source]
    first = len(chain.drafts)
    chain.states[value.source] = [(role, first + k, where) for k in range(directions)]
    return nothing


def _peepholes(call: Call, directions: int, units: int) -> list[FloatArray | None]:
    """P of each direction: [3, units] of i, f, o, or None where there is none or all are zero."""
    value = call.input(7)
    if value is None or (isinstance(value, Fill) and not value.value):
        return [None] * directions
    array = weight(call.node, value, "P")
    if array.shape != (directions, 3 * units):
        raise refuse(
            call.node, f"P has shape {list(array.shape)}, expected [{directions}, {3 * units}]"
        )
    each = array.reshape(directions, 3, units)[:, [0, 2, 1]]  # ONNX: i, o, f
    return [one.copy() if one.any() else None for one in each]


def _check_lengths(call: Call, time: Axis) -> None:
    """Refuse sequence_lens, unless each is the whole length, which the model fixes."""
    value = call.input(4)
    if value is None:
        return
    lengths = value.array if isinstance(value, Const) else None
    if isinstance(value, Fill):
        lengths = np.array([value.value])
    if lengths is None or time.size is None or (lengths != time.size).any():
        raise refuse(
            call.node,
            "sequence_lens is not supported, unless it is constant and the length of X, which the "
            "model has to fix then: every sequence of a call has the same length; run sequences of "
            "different lengths one by one and export without it",
        )


def _reset_first(layer: FloatLayer) -> tuple[FloatLayer, ...]:
    """A GRU with linear_before_reset = 0 as the layer of its gates and that of its candidate."""

    def part(gates: slice, **changes: Any) -> FloatLayer:
        names = ("w_x", "w_h", "b_x", "b_h")
        changes |= {name: getattr(layer, name)[gates] for name in names}
        return replace(layer, **changes)

    sigma = layer.activation if layer.candidate == "sigmoid" else ""
    return (
        part(slice(0, 2), name=f"{layer.name}_gates", kind="gru_gates", candidate="tanh"),
        part(slice(2, 3), kind="gru_candidate", activation=sigma, initial_h=None, join="reset"),
    )


def recurrent(call: Call, chain: Chain) -> list[Value]:
    """ONNX LSTM, GRU and RNN: one layer for each direction, joined side by side."""
    node, op = call.node, call.node.op_type
    layout, backwards = _attributes(call)
    count = len(backwards)
    functions = row_functions(call, count)
    gates = len(ORDER[op])
    signal = call.signal()
    r = weight(node, call.input(2), "R")
    units = int(r.shape[-1])
    if call.attrs.get("hidden_size", units) != units:
        raise refuse(node, f"hidden_size = {call.attrs['hidden_size']}, but R has {units} columns")
    w_h = _gates(call, 2, "R", (count, gates * units, units))
    w_x = _gates(call, 1, "W", (count, gates * units, None))
    b = np.zeros((count, 2, gates, units))
    if call.input(3) is not None:
        flat = weight(node, call.input(3), "B")
        if flat.shape != (count, 2 * gates * units):
            raise refuse(
                node, f"B has shape {list(flat.shape)}, expected [{count}, {2 * gates * units}]"
            )
        b = flat.reshape(count, 2, gates, units)[:, :, list(ORDER[op])]
    w_c = _peepholes(call, count, units) if op == "LSTM" else [None] * count
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
    _check_lengths(call, time)
    assign(call, time, "time", "X")
    assign(call, batch, "batch", "X")
    assign_size(call, feature, "feature", int(w_x.shape[3]), "X")
    chain.connect(call, signal)
    h0 = _initial(call, chain, 5, "initial_h", units, layout, count)
    c0: list[FloatArray | None] = [None] * count
    if op == "LSTM":
        c0 = _initial(call, chain, 6, "initial_c", units, layout, count)
    w_x, b[:, 0] = folded(signal, w_x, b[:, 0])
    for k, one in enumerate(functions):
        w_x[k], w_h[k], b[k] = (
            w_x[k] * one.scale[:, None, None],
            w_h[k] * one.scale[:, None, None],
            b[k] * one.scale[:, None],
        )
        b[k, 0] += one.shift[:, None]
        seen = w_c[k]
        if seen is not None:
            seen *= one.scale[[0, 1, 3], None]
    if call.attrs.get("input_forget", 0):
        if any(one.gate != "sigmoid" for one in functions):
            raise refuse(
                node, "input_forget needs Sigmoid or HardSigmoid gates here; export without it"
            )
        # f = 1 - i, as ONNX Runtime has it: σ(-a) = 1 - σ(a)
        for array in (w_x, w_h, b[:, 0], b[:, 1]):
            array[:, 1] = -array[:, 0]
        for seen in w_c:
            if seen is not None:
                seen[1] = -seen[0]
    for k, reverse in enumerate(backwards):
        layer = FloatLayer(
            name=chain.name(call),
            kind=op.lower(),
            activation=functions[k].name,
            w_x=w_x[k],
            w_h=w_h[k],
            b_x=b[k, 0],
            b_h=b[k, 1],
            initial_h=h0[k],
            initial_c=c0[k],
            reverse=reverse,
            join="concat" if k else "",
            w_c=w_c[k],
            gate=functions[k].gate,
            candidate=functions[k].candidate,
            cell=functions[k].cell,
            clip=functions[k].clip,
        )
        layers: tuple[FloatLayer, ...] = (layer,)
        if op == "GRU" and not call.attrs.get("linear_before_reset", 0):
            layers = _reset_first(layer)
        chain.drafts += [Draft(one, one.name) for one in layers]
    index = len(chain.drafts) - 1
    out, both = Axis(units, "feature"), Axis(count, "direction")
    y = (batch, time, both, out) if layout else (time, both, batch, out)
    y_h = (batch, both, out) if layout else (both, batch, out)
    mark = any(backwards)
    outputs: list[Value] = [
        Signal(y, index, signal.dtype, backwards=mark),
        Signal(y_h, index, signal.dtype, last=True, backwards=mark),
        Signal(y_h, index, signal.dtype, last=True, cell=True, backwards=mark),
    ]
    return outputs[: len(node.output)]
