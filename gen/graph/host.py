"""What runs on the host while compiling: parts of the original model in ONNX Runtime."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, ValueInfoProto

from sparnn.gen.errors import SparnnError
from sparnn.sim.errors import SimulationError
from sparnn.sim.host_model import HostModel

__all__ = ["evaluate"]

Arrays = Mapping[str, npt.NDArray[Any]]


def evaluate(
    model: ModelProto, feeds: Sequence[Arrays], tensors: Sequence[str]
) -> list[dict[str, npt.NDArray[np.generic]]]:
    """Tensors of a model, inner ones too, for each of several sets of inputs.

    Raises
    ------
    SparnnError: ONNX Runtime cannot run the model.
    """
    extended = ModelProto()
    extended.CopyFrom(model)
    known = {value.name for value in extended.graph.output}
    inner = [name for name in tensors if name not in known]
    extended.graph.output.extend(ValueInfoProto(name=name) for name in dict.fromkeys(inner))
    try:
        host = HostModel(extended.SerializeToString(), "the model")
        return [host.run(feed, list(tensors)) for feed in feeds]
    except SimulationError as error:
        raise SparnnError(str(error)) from error
