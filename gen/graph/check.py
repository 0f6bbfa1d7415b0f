"""`sparnn check`: whether and how a model would be taken, without calibration and hardware."""

from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.onnx.reader import element_type, load_onnx, network_of
from sparnn.sim.network.arrays import read_npz
from sparnn.sim.session.whole import graph_feeds

from .cells import export_warnings
from .cut import cut, is_recurrent
from .read import model_sizes
from .specialize import has_branches, specialized
from .write import placement_lines

__all__ = ["check_model", "parts_of"]

#: The size of every axis that the model leaves open, of the inputs that are drawn.
_OPEN = 4
#: Values that are drawn for one input at most.
_MOST = 1 << 24


def check_model(path: Path, calibrate: Path | None = None) -> list[str]:
    """Which layers the machine computes, and what the host runs, as lines for people.

    A graph that has to be cut is run once in ONNX Runtime, on the sample inputs or on drawn ones.

    Raises
    ------
    SparnnError: the file cannot be read, or holds nothing for the machine.
    """
    model = load_onnx(path)
    try:
        network = network_of(model)
    except SparnnError as error:
        whole = error
    else:
        return ["taken          whole, by the machine", *_layers(network), *_warned(model)]
    arrays = {} if calibrate is None else dict(read_npz(calibrate))
    branches, notes = has_branches(model), list[str]()
    try:
        model, arrays, notes = specialized(model, arrays)
        feeds = graph_feeds(arrays, model_sizes(model), str(calibrate)) if calibrate else None
        found = cut(model, feeds or [_drawn(model)])
    except SparnnError as error:
        if calibrate is None and branches:
            raise SparnnError(
                f"{path}: {error}; its branches may need sample inputs, --calibrate"
            ) from error
        raise SparnnError(f"{path}: {whole if is_recurrent(model) else error}") from error
    lines = [f"taken          in {len(found.parts)} parts, the rest by the host"]
    lines += [f"fixed          {line}" for line in notes]
    lines += placement_lines(found)
    for number, part in enumerate(found.parts):
        lines += [f"part {number}", *_layers(part.network)]
    return [*lines, f"why cut        {whole}", *_warned(model)]


def _warned(model: ModelProto) -> list[str]:
    return [f"warning        {line}" for line in export_warnings(model)]


def parts_of(model: ModelProto) -> list[FloatNetwork]:
    """The networks that the machine would compute; a graph is cut on drawn inputs.

    Raises
    ------
    SparnnError: the model holds nothing for the machine.
    """
    try:
        return [network_of(model)]
    except SparnnError as error:
        whole = error
    try:
        model, _, _ = specialized(model, {})
        return [part.network for part in cut(model, [_drawn(model)]).parts]
    except SparnnError as error:
        raise whole if is_recurrent(model) else error from None


def _layers(network: FloatNetwork) -> list[str]:
    return [
        f"layer          {layer.name}: {layer.kind}, {layer.inputs} inputs, {layer.units} units"
        + ", backwards" * layer.reverse
        for layer in network.layers
    ]


def _drawn(model: ModelProto) -> dict[str, npt.NDArray[np.generic]]:
    """Inputs of the model's types; whole numbers are 1, which an index and a length may be."""
    rng = np.random.default_rng(0)
    feeds: dict[str, npt.NDArray[np.generic]] = {}
    kinds = {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
    for name, sizes in model_sizes(model).items():
        shape = [_OPEN if size is None else size for size in sizes]
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
