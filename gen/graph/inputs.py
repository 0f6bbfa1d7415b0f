"""A model's inputs: their sizes, and drawn ones for whoever has no samples."""

from math import prod

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from sparnn.gen.errors import SparnnError
from sparnn.gen.onnx.reader import element_type

__all__ = ["drawn", "model_sizes"]

#: Values that are drawn for one input at most.
_MOST = 1 << 24


def drawn(
    model: ModelProto, size: int = 4, *, apart: bool = False
) -> dict[str, npt.NDArray[np.generic]]:
    """Inputs of the model's types; whole numbers are 1, which an index and a length may be.

    Parameters
    ----------
    size: of every axis that the model leaves open.
    apart: it is that of the first one; each with another name, or without one, is longer by 1.
    """
    rng = np.random.default_rng(0)
    feeds: dict[str, npt.NDArray[np.generic]] = {}
    kinds = {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
    names = {v.name: [d.dim_param for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    longer: dict[str, int] = {}
    for name, sizes in model_sizes(model).items():
        shape = []
        for axis, one in enumerate(sizes):
            own = names[name][axis] or f"{name}:{axis}"
            if one is None:
                one = size + longer.setdefault(own, len(longer) if apart else 0)
            shape.append(one)
        if prod(shape) > _MOST:
            raise SparnnError(
                f"graph input {name!r} has the sizes {shape}, more than {_MOST} values; export the "
                "model with smaller or with open sizes"
            )
        kind = element_type(kinds[name], f"graph input {name!r}")
        feeds[name] = (
            rng.normal(size=shape).astype(kind) if kind.kind == "f" else np.ones(shape, kind)
        )
    return feeds


def model_sizes(model: ModelProto) -> dict[str, tuple[int | None, ...]]:
    """Input -> the sizes that the model fixes, None where one is open.

    Raises
    ------
    SparnnError: an input without a shape, or of no size.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    sizes: dict[str, tuple[int | None, ...]] = {}
    for value in model.graph.input:
        if value.name in weights:
            continue
        tensor = value.type.tensor_type
        if not tensor.HasField("shape"):
            raise SparnnError(
                f"graph input {value.name!r} has no shape; export the model with one (sizes may "
                "stay open)"
            )
        sizes[value.name] = tuple(
            int(dim.dim_value) if dim.HasField("dim_value") else None for dim in tensor.shape.dim
        )
        if any(size is not None and size < 1 for size in sizes[value.name]):
            raise SparnnError(
                f"graph input {value.name!r} has the sizes {list(sizes[value.name])}; every size "
                "is at least 1, so export the model again"
            )
    return sizes
