"""A model, or a piece of one, that the host runs in ONNX Runtime."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import GraphProto, NodeProto, TensorProto

from .errors import SimulationError

__all__ = ["HostModel"]

Arrays = Mapping[str, npt.NDArray[Any]]

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}

#: What ends the whole process where a float16 Transpose stands before a MatMul (1.32).
_BREAKING = ["NchwcTransformer"]


class HostModel:
    """An ONNX model in ONNX Runtime, on the processor.

    Parameters
    ----------
    model
        A file, or the bytes of one.
    where
        What messages call it.

    Members
    -------
    inputs
        Name -> type, of those that a caller has to give.
    shapes
        Name -> the sizes that the model fixes; others are None or a name.

    Raises
    ------
    SimulationError
        ONNX Runtime cannot load it.
    """

    def __init__(self, model: Path | bytes, where: str):
        if isinstance(model, Path) and not model.is_file():
            raise SimulationError(f"{model} is not a file: give the ONNX model")
        self.where = where
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors are raised, not printed
        try:
            self._session = onnxruntime.InferenceSession(
                str(model) if isinstance(model, Path) else model,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=_BREAKING if _is_half(model) else [],
            )
        except Exception as error:  # its exceptions have no common base but this
            raise SimulationError(
                f"ONNX Runtime cannot load {where} ({_first_line(error)}): export the model again"
            ) from error
        self.inputs = {value.name: value.type for value in self._session.get_inputs()}
        self.outputs = {value.name: value.type for value in self._session.get_outputs()}
        self.shapes = {value.name: value.shape for value in self._session.get_inputs()}

    def run(self, feeds: Arrays, outputs: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """The outputs of these names.

        Raises
        ------
        SimulationError
            An input of a type that is not supported, or the model cannot be run on these inputs.
        """
        typed = {name: self._cast(name, feeds[name]) for name in self.inputs}
        try:
            return dict(zip(outputs, self._session.run(list(outputs), typed), strict=True))
        except Exception as error:
            raise SimulationError(
                f"ONNX Runtime cannot run {self.where} on these inputs ({_first_line(error)}): "
                "give arrays of the shape that the model was exported with"
            ) from error

    def _cast(self, name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        wanted = _TYPES.get(self.inputs[name])
        if wanted is None:
            raise SimulationError(
                f"input {name!r} of {self.where} is {self.inputs[name]}: it must be one of "
                f"{list(_TYPES)}"
            )
        with np.errstate(over="ignore"):  # an infinity ends in the outputs, where it is refused
            cast: npt.NDArray[Any] = np.asarray(array).astype(wanted)
        if np.dtype(wanted).kind in "iub" and not np.array_equal(cast, array):
            raise SimulationError(
                f"input {name!r} of {self.where} takes {np.dtype(wanted)}, and holds values that "
                "are none: give whole numbers in its range"
            )
        return cast


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")


def _is_half(model: Path | bytes) -> bool:
    """Whether anything in a model is float16; ONNX Runtime says of a model that it is damaged."""
    try:
        if isinstance(model, bytes):
            loaded = onnx.load_model_from_string(model)
        else:
            loaded = onnx.load_model(model, load_external_data=False)
    except Exception:  # its exceptions have no common base but this
        return False
    nodes = [node for function in loaded.functions for node in function.node]
    return _holds_half(loaded.graph) or any(map(_makes_half, nodes))


def _holds_half(graph: GraphProto) -> bool:
    kinds = {tensor.data_type for tensor in graph.initializer}
    kinds |= {value.type.tensor_type.elem_type for value in graph.input}
    return TensorProto.FLOAT16 in kinds or any(map(_makes_half, graph.node))


def _makes_half(node: NodeProto) -> bool:
    for attribute in node.attribute:
        half = attribute.i == TensorProto.FLOAT16 and attribute.name in ("to", "dtype")
        if half or attribute.t.data_type == TensorProto.FLOAT16:
            return True
        if any(_holds_half(body) for body in (attribute.g, *attribute.graphs)):
            return True
    return False
