"""Writes recurrent nodes, and what moves axes before and behind them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from .chains import Chain
from .model import Graph, reads
from .symbolic import Linear

__all__ = ["Writer"]

Array = npt.NDArray[Any]


class Writer:
    """Nodes that are added to a graph, and their weights.

    Members
    -------
    nodes: what was added, in order. made: tensor -> the node that gives it.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.weights: dict[str, TensorProto] = dict(graph.weights)
        self.nodes: list[NodeProto] = []
        self.made: dict[str, NodeProto] = {}
        kinds = {tensor.data_type for tensor in self.weights.values()}
        kinds &= {TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE}
        self.kind = np.dtype(np.float32)
        if len(kinds) == 1:
            self.kind = np.dtype(helper.tensor_dtype_to_np_dtype(kinds.pop()))
        self.opset = next(
            o.version for o in graph.model.opset_import if o.domain in ("", "ai.onnx")
        )

    def add(self, op: str, inputs: Sequence[str], outputs: Sequence[str], **more: Any) -> str:
        """A node; its first output. What was added before is not added again."""
        if outputs[0] not in self.made:
            name = more.pop("name", outputs[0])
            node = helper.make_node(op, list(inputs), list(outputs), name, **more)
            self.nodes.append(node)
            self.made.update(dict.fromkeys([name for name in outputs if name], node))
        return outputs[0]

    def const(self, name: str, array: Array) -> str:
        self.weights[name] = numpy_helper.from_array(np.array(array, order="C"), name)
        return name

    def ints(self, *values: int) -> str:
        name = "sparnn_" + "_".join(map(str, values)).replace("-", "m")
        return self.const(name, np.array(values, np.int64))

    def axes(self, op: str, name: str, target: str, *axes: int) -> str:
        """Squeeze or Unsqueeze, whose axes are an attribute up to operator set 12."""
        if self.opset < 13:
            return self.add(op, [name], [target], axes=list(axes))
        return self.add(op, [name, self.ints(*axes)], [target])

    def at(self, source: str, axis: int, number: int) -> str:
        """One place along an axis, which goes."""
        place = self.const(f"sparnn_at{number}", np.array(number))
        return self.add("Gather", [source, place], [f"{source}_{axis}_{number}"], axis=axis)

    def flat(self, name: str, shape: Sequence[int], target: str) -> str:
        """A tensor as [batch, features]."""
        if len(shape) == 2:
            return name
        return self.add("Reshape", [name, self.ints(-1, shape[-1])], [target])

    def state(self, name: str, shape: Sequence[int], target: str) -> str:
        """A state as [1, batch, units]."""
        return self.axes("Unsqueeze", self.flat(name, shape, f"{target}_flat"), target, 0)

    def shaped(self, source: str, target: str, shape: Sequence[int]) -> None:
        """[1, batch, units] as a tensor of another shape."""
        if len(shape) == 2:
            self.axes("Squeeze", source, target, 0)
            return
        sizes = [1] * (len(shape) - 1) + [int(shape[-1])]
        if len(shape) > 1:
            long = [k for k, size in enumerate(shape[:-1]) if size != 1]
            sizes[long[0] if long else len(shape) - 2] = -1
        self.add("Reshape", [source, self.ints(*sizes)], [target])

    def sequence(self, source: str, shape: Sequence[int], axis: int, target: str) -> str | None:
        """A tensor with time on an axis as [time, batch, features]; None where it has others."""
        if len(shape) == 2 and axis == 0:
            return self.axes("Unsqueeze", source, target, 1)
        if len(shape) != 3 or axis == 2:
            return None
        if axis == 0:
            return source
        return self.add("Transpose", [source], [target], perm=[1, 0, 2])

    def side_by_side(self, names: Sequence[str], target: str) -> str:
        """Sequences as one of more features."""
        return names[0] if len(names) == 1 else self.add("Concat", names, [target], axis=2)

    def recurrent(
        self, chain: Chain, base: str, x: str, states: Sequence[str], *, backwards: bool
    ) -> None:
        """The node of a chain, with outputs ``base``_Y, ``base``_Yh and ``base``_Yc.

        Parameters
        ----------
        x: [time, batch, inputs]. states: initial ones, [1, batch, units]; "" for zeros.
        """
        arrays = zip("WRB", chain.stacked(), strict=True)
        weights = [self.const(f"{base}_{k}", one.astype(self.kind)) for k, one in arrays]
        inputs = [x, *weights, "", *states]
        seen = chain.seen()
        if seen is not None:
            inputs += [""] * (7 - len(inputs))
            inputs.append(self.const(f"{base}_P", seen.astype(self.kind)))
        while not inputs[-1]:
            inputs.pop()
        function = chain.steps[0].function
        gate = chain.steps[0].gate
        functions = {"LSTM": [gate, function, function], "GRU": [gate, function]}
        more: dict[str, Any] = {"activations": functions.get(chain.kind, [function])}
        if gate == "HardSigmoid":
            more |= {"activation_alpha": [1.0], "activation_beta": [0.0]}
        if chain.kind == "GRU":
            more["linear_before_reset"] = int(not chain.before)
        if backwards:
            more["direction"] = "reverse"
        outputs = [f"{base}_Y", f"{base}_Yh", f"{base}_Yc"][: 3 if chain.kind == "LSTM" else 2]
        self.add(chain.kind, inputs, outputs, name=base, hidden_size=chain.units, **more)

    def linear(self, y: str, own: Linear, matrix: Array, target: str) -> str:
        """A linear function of a sequence of states: matrix, or diagonal, and bias."""
        if matrix.ndim == 2 or (matrix != 1).any():
            rows = np.diag(matrix) if matrix.ndim == 1 else matrix
            weight = self.const(f"{target}_w", rows.T.astype(self.kind))
            y = self.add("MatMul", [y, weight], [f"{target}_product"])
        if own.bias.any():
            bias = self.const(f"{target}_b", own.bias.astype(self.kind))
            y = self.add("Add", [y, bias], [f"{target}_sum"])
        return y

    def model(self, nodes: Sequence[NodeProto]) -> ModelProto:
        """The graph with these nodes in the place of its own."""
        model = ModelProto()
        model.CopyFrom(self.graph.model)
        del model.graph.node[:], model.graph.value_info[:], model.graph.initializer[:]
        model.graph.node.extend(nodes)
        used = {name for node in nodes for name in reads(node)} | set(self.graph.outputs)
        model.graph.initializer.extend(one for name, one in self.weights.items() if name in used)
        return model
