"""Where a part loses: each layer's outputs in integers beside those in real numbers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.network.run import run_network as run_float
from sparnn.gen.network.to_onnx import float_model
from sparnn.gen.onnx.reader import load_onnx, network_of
from sparnn.gen.quantize.formats import sqnr_db
from sparnn.gen.quantize.weight_rows import quantize_rows
from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.run import load_compiled, quantize_sequence
from sparnn.sim.network.arrays import check_inputs, sequences_of

__all__ = ["LayerQuality", "layer_quality", "part_network", "rounded_model"]

Arrays = Mapping[str, npt.NDArray[Any]]
#: Steps that are compared.
_STEPS = 1024


@dataclass(frozen=True)
class LayerQuality:
    """One layer.

    Members
    -------
    part, layer: where. sqnr_db: of its outputs; infinite where they are the same.
    change_db: that less the one of what the layer reads; infinite where either is.
    """

    part: str
    layer: str
    sqnr_db: float
    change_db: float

    def line(self) -> str:
        """For people."""
        change = ""
        if np.isfinite(self.change_db):
            change = f", {self.change_db:+.1f} dB to what it reads"
        return f"{self.layer}: {self.sqnr_db:.1f} dB{change}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no infinity."""
        return {
            name: value if isinstance(value, str) or np.isfinite(value) else None
            for name, value in asdict(self).items()
        }


def part_network(part: Path) -> FloatNetwork:
    """The float network of a part's folder, pruned where it was."""
    manifest, _ = load_compiled(part)
    return network_of(load_onnx(part / manifest.get("reference", "model.onnx")))


def rounded_model(part: Path) -> bytes:
    """The same with weights of the compiled bits, in real numbers, as an ONNX model."""
    manifest, integers = load_compiled(part)
    network = part_network(part)
    given = next(e.get("scale") for e in manifest["io"]["inputs"] if e["role"] == "x")
    first = network.stages[0]
    layers = []
    for index, (layer, whole) in enumerate(zip(network.layers, integers.layers, strict=True)):
        split, bits = whole.factors_x is not None, integers.weight_bits
        scale = np.ones(layer.inputs)
        if given is not None and index in first:
            scale = np.asarray(given, np.float64)
        w_x = quantize_rows(layer.w_x / scale, bits, split=split).values * scale
        w_h = layer.w_h
        if w_h is not None:
            w_h = quantize_rows(w_h, bits, split=split).values
        layers.append(replace(layer, w_x=w_x, w_h=w_h))
    content: bytes = float_model(replace(network, layers=tuple(layers))).SerializeToString()
    return content


def layer_quality(part: Path, known: Arrays) -> list[LayerQuality]:
    """Every layer of a part on its inputs, and where the most is lost."""
    manifest, integers = load_compiled(part)
    network = part_network(part)
    names = {entry["name"] for entry in manifest["io"]["inputs"]}
    own = {name: array for name, array in known.items() if name in names}
    arrays = check_inputs(own, f"part {part.name}", manifest["io"], integers.input_sizes)
    pairs: list[list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]] = [
        [] for _ in range(1 + len(network.layers))
    ]
    left = _STEPS
    plain = sequences_of(arrays, network.io)
    for scaled, real in zip(sequences_of(arrays, manifest["io"]), plain, strict=True):
        if left <= 0:
            break
        left -= len(real.x)
        fed = quantize_sequence(integers, scaled)
        initial = {key: values[np.newaxis] for key, values in real.initial.items()}
        exact = run_float(network, real.x[np.newaxis], initial)
        trace = run_network(integers, fed.x, fed.initial)
        pairs[0].append((scaled.x, np.ldexp(fed.x.astype(np.float64), -integers.layers[0].f_x)))
        for place, (wanted, got, layer) in enumerate(
            zip(exact, trace.layers, integers.layers, strict=True), 1
        ):
            values = np.ldexp(got.outputs.astype(np.float64), -layer.f_out)
            pairs[place].append((wanted.h[0], values))
    db = [
        sqnr_db(*(np.concatenate([pair[k].reshape(-1) for pair in of]) for k in (0, 1)))
        for of in pairs
    ]
    found = [LayerQuality(part.name, "input", db[0], float("inf"))]
    reads = {
        index: max(network.stages[number - 1]) + 1 if number else 0
        for number, stage in enumerate(network.stages)
        for index in stage
    }
    for index, layer in enumerate(integers.layers):
        before, after = db[reads[index]], db[index + 1]
        change = after - before if np.isfinite([before, after]).all() else float("inf")
        found.append(LayerQuality(part.name, layer.name, after, change))
    return found
