"""ONNX graphs as exporters write them: for tests of the importer and beyond."""

from collections.abc import Callable

from onnx import ModelProto
from support.onnx_directions import DIRECTIONS
from support.onnx_forward import FORWARD
from support.onnx_states import STATES

__all__ = ["SUPPORTED"]

#: Name -> a function without arguments that gives the model.
SUPPORTED: dict[str, Callable[[], ModelProto]] = {**FORWARD, **STATES, **DIRECTIONS}
