"""`sparnn check`: whether and how a model would be taken, without calibration and hardware."""

from pathlib import Path

from onnx import ModelProto

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.onnx.reader import load_onnx, network_of
from sparnn.sim.network.arrays import read_npz
from sparnn.sim.session.whole import graph_feeds

from .cells import export_warnings
from .inputs import drawn, model_sizes
from .specialize import has_branches, specialized
from .take import nearer, take
from .write import placement_lines

__all__ = ["check_model", "parts_of"]


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
    # A loop over cells is none of them.
    branches = has_branches(model) and any(node.op_type == "If" for node in model.graph.node)
    notes = list[str]()
    try:
        model, arrays, notes = specialized(model, arrays)
        feeds = graph_feeds(arrays, model_sizes(model), str(calibrate)) if calibrate else None
        taken = take(model, feeds or [drawn(model)])
    except SparnnError as error:
        if calibrate is None and branches:
            raise SparnnError(
                f"{path}: {error}; its branches may need sample inputs, --calibrate"
            ) from error
        raise SparnnError(f"{path}: {nearer(whole, error, model)}") from error
    lines = [f"fixed          {line}" for line in notes]
    lines += [f"recognized     {line}" for line in taken.cells]
    if taken.cut is None:
        (network,) = taken.networks
        return ["taken          whole, by the machine", *lines, *_layers(network), *_warned(model)]
    count = len(taken.networks)
    lines.insert(0, f"taken          in {count} part{'s' * (count > 1)}, the rest by the host")
    lines += placement_lines(taken.cut)
    for number, network in enumerate(taken.networks):
        lines += [f"part {number}", *_layers(network)]
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
        return take(model, [drawn(model)]).networks
    except SparnnError as error:
        raise nearer(whole, error, model) from None


def _layers(network: FloatNetwork) -> list[str]:
    return [
        f"layer          {layer.name}: {layer.kind}, {layer.inputs} inputs, {layer.units} units"
        + ", backwards" * layer.reverse
        for layer in network.layers
    ]
