"""Nodes that no machine computes as they stand, as others that mean the same."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

__all__ = ["rewritten"]

#: Where a slice that runs backwards ends, before the first element.
_BEFORE_FIRST = -(1 << 62)


def rewritten(model: ModelProto) -> ModelProto:
    """The model with

    - `DynamicQuantizeLSTM` (ONNX Runtime) as an LSTM of the weights that its integers mean: sparnn
      quantizes by itself;
    - a GRU that resets before the product and runs backwards as forward ones on reversed sequences,
      which the machine takes.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    maker = _Maker(copy)
    rules: Mapping[str, Callable[[NodeProto], list[NodeProto] | None]] = {
        "DynamicQuantizeLSTM": maker.dequantized,
        "GRU": maker.forwards,
    }
    nodes: list[NodeProto] = []
    for node in copy.graph.node:
        rule = rules.get(node.op_type)
        found = None if rule is None else rule(node)
        nodes += [node] if found is None else found
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


class _Maker:
    """Adds weights to a model for the nodes that it makes."""

    def __init__(self, model: ModelProto):
        self.graph = model.graph
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}

    def dequantized(self, node: NodeProto) -> list[NodeProto] | None:
        names = [*node.input, *[""] * (12 - len(node.input))]
        arrays = [self._array(names[place]) for place in (1, 2, 8, 9, 10, 11)]
        if any(array is None for array in arrays):
            return None
        w, r, w_scale, w_zero, r_scale, r_zero = (np.asarray(array) for array in arrays)
        inputs = [
            names[0],
            self._weight(f"{node.name}_W", _dequantized(w, w_scale, w_zero)),
            self._weight(f"{node.name}_R", _dequantized(r, r_scale, r_zero)),
            *names[3:8],
        ]
        while not inputs[-1]:
            inputs.pop()
        made = helper.make_node("LSTM", inputs, list(node.output), name=node.name)
        made.attribute.extend(node.attribute)
        return [made]

    def forwards(self, node: NodeProto) -> list[NodeProto] | None:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        direction = attributes.pop("direction", b"forward").decode()
        layout = attributes.get("layout", 0)
        inputs = [*node.input, *[""] * (6 - len(node.input))]
        arrays = [self._array(name) for name in inputs[1:4]]
        plain = not attributes.get("linear_before_reset", 0) and not inputs[4] and not inputs[5]
        known = all(
            array is not None or not name for array, name in zip(arrays, inputs[1:4], strict=True)
        )
        if direction == "forward" or layout or not plain or not known:
            return None
        activations = attributes.pop("activations", [])
        base = node.name or node.output[0]
        nodes: list[NodeProto] = []
        ys, hs = [], []
        for k, backwards in enumerate((True,) if direction == "reverse" else (False, True)):
            weights = [
                self._weight(f"{base}_{letter}{k}", np.asarray(array)[k : k + 1])
                for letter, array in zip("WRB", arrays, strict=True)
                if array is not None
            ]
            x = inputs[0]
            if backwards:
                x = f"{base}_x_reversed"
                nodes.append(self._reversed(inputs[0], x))
            y, h = f"{base}_Y{k}", f"{base}_Yh{k}"
            own = dict(attributes)
            if activations:
                own["activations"] = activations[2 * k : 2 * k + 2]
            made = helper.make_node("GRU", [x, *weights], [y, h], name=f"{base}_{k}", **own)
            nodes.append(made)
            if backwards:
                nodes.append(self._reversed(y, f"{y}_forwards"))
                y = f"{y}_forwards"
            ys.append(y)
            hs.append(h)
        for found, name, axis in zip((ys, hs), node.output, (1, 0), strict=False):
            if name:
                nodes.append(helper.make_node("Concat", found, [name], axis=axis))
        return nodes

    def _reversed(self, source: str, target: str) -> NodeProto:
        """The first axis from its end to its beginning."""
        numbers = {"starts": -1, "ends": _BEFORE_FIRST, "axes": 0, "steps": -1}
        names = [
            self._weight(f"sparnn_{name}", np.array([value])) for name, value in numbers.items()
        ]
        return helper.make_node("Slice", [source, *names], [target])

    def _array(self, name: str) -> npt.NDArray[Any] | None:
        return numpy_helper.to_array(self.weights[name]) if name in self.weights else None

    def _weight(self, name: str, array: npt.NDArray[Any]) -> str:
        """A constant of the model, by its name."""
        if name not in self.weights:
            tensor: TensorProto = numpy_helper.from_array(np.ascontiguousarray(array), name)
            self.graph.initializer.append(tensor)
            self.weights[name] = tensor
        return name


def _dequantized(
    values: npt.NDArray[Any], scale: npt.NDArray[Any], zero: npt.NDArray[Any]
) -> npt.NDArray[np.float32]:
    """[directions, columns, rows] integers as [directions, rows, columns] real numbers; scale and
    zero point are one for each direction, or for each of its rows."""
    shape = (len(values), 1, -1)
    real = (values.astype(np.float64) - zero.astype(np.float64).reshape(shape)) * scale.reshape(
        shape
    )
    return real.transpose(0, 2, 1).astype(np.float32)
